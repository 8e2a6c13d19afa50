"""*Invite these clients to connect*, after a list of clients was carried out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import client_links, client_lists
from connections.client_link_models import ClientLink
from connections.client_table import checked_list
from connections.import_models import ClientList
from connections.models import Connection, Grant, SpApiGrant
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Organization, Role
from tests import client_trips, factories
from tests.amazon_emulator import RunningEmulator
from tests.client_trips import Asked
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

TABLE = """Client name,Contact name,Contact mail,Store name,Marketplace,Seller ID
Acme,Ada,ada@acme.example,Acme US,US,
Acme,,,Acme DE,DE,
Bolt,,,Works,US,A1WORKS0000001
Bolt,,,Revoked,US,A2BLUEHARBOR02
Cargo,Cleo,cleo@cargo.example,,,
"""
WORDS = {"language": "de", "message": "", "days": "7"}


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Agency")


@pytest.fixture
def desk(organization: Organization) -> Client:
    return signed_in_freshly(factories.make_member(organization, Role.ADMIN))


@pytest.fixture
def looked_at(organization: Organization) -> ClientList:
    factories.make_connection(organization, name="Works", seller="A1WORKS0000001")
    revoked = factories.make_connection(organization, name="Revoked", seller="A2BLUEHARBOR02")
    grants = SpApiGrant.objects.for_organization(organization).filter(connection=revoked)
    grants.update(status=Grant.Status.INVALID, status_changed_at=timezone.now())
    return client_lists.keep(
        organization=organization,
        lines=checked_list(TABLE.encode(), organization.pk),
        actor=Actor.person(factories.owner_of(organization)),
    )


@pytest.fixture
def found(looked_at: ClientList, organization: Organization) -> ClientList:
    client_lists.confirm(
        client_list=looked_at, actor=Actor.person(factories.owner_of(organization))
    )
    looked_at.refresh_from_db()
    return looked_at


def url_of(found: ClientList) -> str:
    return reverse("client_list_invite", args=[found.organization.slug, found.pk])


def form_of(desk: Client, found: ClientList) -> dict[str, Any]:
    page = desk.get(url_of(found))
    fields: dict[str, Any] = {"row": [], "since": page.context["form"].initial["since"], **WORDS}
    for one in page.context["prospects"]:
        fields["row"] += [str(one.id)] if one.is_ticked else []
        fields[f"to-{one.id}"] = one.email
    return fields


def results(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 200, answer.content
    return [(line.name, line.sign.word) for line in answer.context["lines"]]


def made() -> list[tuple[str, str, str]]:
    links = ClientLink._base_manager.order_by("created_at")
    return list(links.values_list("connection__name", "purpose", "recipient_email"))


def test_the_result_of_a_list_leads_to_the_invitations(desk: Client, found: ClientList) -> None:
    page = desk.get(reverse("client_list", args=[found.organization.slug, found.pk]))

    assert url_of(found) in page.content.decode()


def test_before_anything_is_sent_each_row_stands_there(
    amazon: RunningEmulator, desk: Client, found: ClientList
) -> None:
    with nothing_changes(amazon, events=()):
        page = desk.get(url_of(found))

    shown = [
        (one.connection.name, one.purpose, one.email, one.is_ticked)
        for one in page.context["prospects"]
    ]
    assert shown == [
        ("Acme US", "Connect", "ada@acme.example", True),
        ("Acme DE", "Connect", "ada@acme.example", True),
        ("Works", "Reconnect", "", False),
        ("Revoked", "Reconnect", "", True),
    ]


def test_each_new_client_gets_a_link_to_connect_and_each_known_row_one_to_reconnect(
    desk: Client, found: ClientList
) -> None:
    answer = desk.post(url_of(found), form_of(desk, found))

    assert results(answer) == [
        ("Acme US", "The link is being sent"),
        ("Acme DE", "The link is being sent"),
        ("Revoked", "Copy the link"),
    ]
    assert made() == [
        ("Acme US", "connect", "ada@acme.example"),
        ("Acme DE", "connect", "ada@acme.example"),
        ("Revoked", "reconnect", ""),
    ]
    for job in Job._base_manager.filter(kind=client_links.MAIL):
        ledger.run(job.pk)
    assert [message.to for message in mail.outbox] == [["ada@acme.example"]]
    assert {link.language for link in ClientLink._base_manager.all()} == {"de"}


def test_a_row_that_works_is_asked_when_somebody_ticks_it(desk: Client, found: ClientList) -> None:
    works = Connection._base_manager.get(name="Works")

    answer = desk.post(url_of(found), form_of(desk, found) | {"row": [str(works.pk)]})

    assert results(answer) == [("Works", "Copy the link")]


def test_sending_it_twice_invites_once(
    amazon: RunningEmulator, desk: Client, found: ClientList
) -> None:
    """Also when a client was faster than the second click."""
    fields = form_of(desk, found)
    answer = desk.post(url_of(found), fields)
    url = next(line.url for line in answer.context["lines"] if line.url)
    revoked = ClientLink._base_manager.get(connection__name="Revoked")
    client_trips.whole_trip(Client(), Asked(url[url.index("/c/") :], revoked.pk), "A2BLUEHARBOR02")
    before = made()

    again = results(desk.post(url_of(found), fields))

    assert again == [
        ("Acme US", "Has an open link already"),
        ("Acme DE", "Has an open link already"),
        ("Revoked", "Has a new consent"),
    ]
    assert made() == before
    assert Job._base_manager.filter(kind=client_links.MAIL).count() == 1


def test_a_list_that_was_not_carried_out_invites_nobody(
    amazon: RunningEmulator, desk: Client, looked_at: ClientList
) -> None:
    rows = [str(row.pk) for row in Connection._base_manager.all()]
    fields = {"row": rows, "since": timezone.now().isoformat(), **WORDS}

    with nothing_changes(amazon, events=()):
        assert desk.post(url_of(looked_at), fields).status_code == 422
        assert "There is nobody to ask" in desk.get(url_of(looked_at)).content.decode()


def test_removed_rows_and_those_of_others_are_not_asked(
    amazon: RunningEmulator, desk: Client, found: ClientList
) -> None:
    """Also when an id of theirs stands in the stored list."""
    foreign = factories.make_connection(factories.make_organization())
    fields = form_of(desk, found)
    Connection._base_manager.filter(name="Acme US").update(removed_at=timezone.now())
    removed = Connection._base_manager.get(name="Acme US")
    found.lines[1]["connection"] = str(foreign.pk)
    found.save()
    fields |= {"row": [str(removed.pk), str(foreign.pk)], f"to-{foreign.pk}": ""}

    with nothing_changes(amazon, events=()):
        answer = desk.post(url_of(found), fields)

    assert answer.status_code == 422
    assert foreign.name not in answer.content.decode()


def test_only_an_administrator_with_a_fresh_sign_in_invites(
    amazon: RunningEmulator, desk: Client, found: ClientList
) -> None:
    fields = form_of(desk, found)
    organization = found.organization
    roles = (Role.VIEWER, Role.MEMBER)
    low = [signed_in_freshly(factories.make_member(organization, role)) for role in roles]
    foreign = signed_in_freshly(factories.owner_of(factories.make_organization()))
    old = signed_in_long_ago(factories.owner_of(organization))

    with nothing_changes(amazon, events=()):
        assert [browser.post(url_of(found), fields).status_code for browser in low] == [403, 403]
        assert foreign.post(url_of(found), fields).status_code == 404
        asked = old.post(url_of(found), fields)
    assert asked.headers["Location"].startswith(reverse("account_reauthenticate"))


def test_an_expired_link_can_be_followed_by_another(desk: Client, found: ClientList) -> None:
    desk.post(url_of(found), form_of(desk, found))
    links = ClientLink._base_manager.filter(connection__name="Acme US")
    links.update(
        created_at=timezone.now() - timedelta(days=8), expires_at=timezone.now() - timedelta(days=1)
    )

    answer = desk.post(url_of(found), form_of(desk, found))

    assert results(answer)[0] == ("Acme US", "The link is being sent")
    assert links.count() == 2
