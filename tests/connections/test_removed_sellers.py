"""A seller whose row was removed is connected again: the row comes back, by an administrator."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import removal
from connections.exchange import exchange
from connections.models import AuthorizationRequest, Connection, Grant, SpApiGrant
from ppc import removing
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import client_trips, factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import GERMANY, US, owner_of
from tests.nothing_changed import nothing_changes
from tests.trips import Callback

pytestmark = pytest.mark.django_db

NORTHSTAR, NA_HOST = "A1NORTHSTAR001", "sellercentral.amazon.com"


@pytest.fixture
def row(organization: Organization) -> Connection:
    """Removed a moment ago."""
    connection = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)
    disconnect(connection)
    removing.remove(connection=connection, actor=Actor.person(owner_of(organization)))
    return connection


@pytest.fixture
def administrator(organization: Organization) -> User:
    return factories.make_member(organization, Role.ADMIN)


@pytest.fixture
def admin_browser(administrator: User) -> Client:
    return trips.sign_in(administrator)


@pytest.fixture
def link(amazon: RunningEmulator, row: Connection) -> Callback:
    return trips.reauthorize(amazon, NA_HOST, NORTHSTAR)


def disconnect(connection: Connection) -> None:
    grants = SpApiGrant._base_manager.filter(connection=connection)
    grants.update(status="disconnected", refresh_token="", status_changed_at=timezone.now())


def all_rows(organization: Organization) -> list[Connection]:
    return list(Connection.with_removed.for_organization(organization))


def page_text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def bring_back(client: Client, link: Callback, row: Connection) -> str:
    return trips.say_yes(
        client, link, row.organization, bring_back=str(row.pk), marketplace=row.marketplace_id
    )


# A start at Amazon ---------------------------------------------------------------------------


def test_the_page_says_that_the_removed_row_comes_back(
    admin_browser: Client, link: Callback, row: Connection
) -> None:
    question = admin_browser.get(str(link))

    said = page_text(question)
    assert "Bring Northstar back?" in said
    assert "it comes back as it was, with its name, settings and history" in said
    assert 'name="name"' not in question.content.decode()
    assert f'value="{row.pk}"' in question.content.decode()


def test_an_administrator_brings_it_back_through_the_appstore(
    amazon: RunningEmulator,
    admin_browser: Client,
    administrator: User,
    organization: Organization,
    link: Callback,
    row: Connection,
) -> None:
    callback = trips.arrive_from(bring_back(admin_browser, link, row))
    [waiting_for_amazon] = all_rows(organization)
    assert waiting_for_amazon.removed_at is not None

    assert trips.come_back(admin_browser, callback) == "brought_back"

    [found] = all_rows(organization)
    assert (found.pk, found.name, found.removed_at) == (row.pk, "Northstar", None)
    assert factories.grant_of(found).status == Grant.Status.ACTIVE
    restored = AuditEvent._base_manager.get(code="connection_restored")
    assert (restored.connection_id, restored.actor) == (row.pk, administrator)
    page = admin_browser.get(reverse("account_connections", args=[organization.slug]))
    assert "is back with its name, settings and history" in page_text(page)


def test_a_member_is_told_to_ask_an_administrator(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    link: Callback,
    row: Connection,
) -> None:
    with nothing_changes(amazon, events=()):
        question = browser.get(str(link))
        step = reverse("appstore_start", args=[question.context["start"].ticket])
        sent = {"organization": organization.slug, "bring_back": str(row.pk)}
        answer = browser.post(step, sent | {"name": "Another", "marketplace": US})

    assert (question.status_code, answer.status_code) == (200, 403)
    for page in (question, answer):
        assert "Northstar was removed" in page_text(page)
        assert "only an administrator may bring it back" in page_text(page)
        assert "<form" not in page.content.decode().partition('id="start-title"')[2]


def test_what_was_removed_since_the_page_is_asked_again(
    amazon: RunningEmulator, admin_browser: Client, organization: Organization
) -> None:
    """The administrator read "renew", not "bring back"."""
    connection = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)
    link = trips.reauthorize(amazon, NA_HOST, NORTHSTAR)
    step = trips.step_of(admin_browser, link)
    disconnect(connection)
    removing.remove(connection=connection, actor=COMMAND)

    with nothing_changes(amazon, events=()):
        answer = admin_browser.post(step, {"organization": organization.slug})

    assert answer.status_code == 200
    assert "Bring Northstar back?" in page_text(answer)


def test_what_was_restored_since_the_page_is_simply_reconnected(
    amazon: RunningEmulator,
    admin_browser: Client,
    organization: Organization,
    link: Callback,
    row: Connection,
) -> None:
    callback = trips.arrive_from(bring_back(admin_browser, link, row))
    removing.restore(organization_id=organization.pk, connection_id=row.pk, actor=COMMAND)

    assert trips.come_back(admin_browser, callback) == "reconnected"
    assert [one.pk for one in all_rows(organization)] == [row.pk]
    assert AuditEvent._base_manager.filter(code="connection_restored").count() == 1


def test_the_door_that_tells_no_region_asks_once_more(
    amazon: RunningEmulator,
    admin_browser: Client,
    organization: Organization,
    link: Callback,
    row: Connection,
) -> None:
    uri = link.params["amazon_callback_uri"].replace(NA_HOST, "amazon.com")
    step = trips.step_of(admin_browser, link.with_params(amazon_callback_uri=uri))
    sent = {"organization": organization.slug, "name": "Another", "marketplace": US}

    first_page = admin_browser.get(step)
    question = admin_browser.post(step, sent)
    assert "Northstar of this seller (NA) was removed here." in page_text(first_page)
    assert "Bring Northstar back?" in page_text(question)
    assert not AuthorizationRequest._base_manager.exists()
    answer = admin_browser.post(step, sent | {"bring_back": str(row.pk)})

    assert answer.status_code == 302
    assert AuthorizationRequest._base_manager.get().connection == row
    assert [one.pk for one in all_rows(organization)] == [row.pk]


def test_the_choice_of_organizations_says_what_was_removed(
    amazon: RunningEmulator, member: User, browser: Client, link: Callback
) -> None:
    factories.make_organization("Second Company", owner=member)

    question = browser.get(str(link))

    assert "had this seller as Northstar, which was removed" in page_text(question)


# An ordinary connect -------------------------------------------------------------------------


def test_a_member_connecting_the_seller_anew_changes_nothing_and_is_told(
    amazon: RunningEmulator, browser: Client, organization: Organization, row: Connection
) -> None:
    waiting = factories.make_waiting_connection(organization, name="A new name")
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        assert trips.come_back(browser, callback) == "row_removed"

    page = browser.get(reverse("authorization_outcome", args=[callback.trip.reference]))
    assert "only an administrator may bring it back" in page_text(page)
    assert "restores it under Removed connections" in page_text(page)


def test_a_clients_link_brings_no_removed_row_back_and_tells_nothing_of_it(
    amazon: RunningEmulator, organization: Organization, row: Connection
) -> None:
    """Also of a link that an administrator made: who consents is the client."""
    waiting = factories.make_waiting_connection(organization, name="A new name")
    asked = client_trips.ask(waiting)
    phone = Client()
    callback = trips.confirm(client_trips.press_continue(phone, asked.path), NORTHSTAR)
    before = Connection._base_manager.values("removed_at", "revision").get(pk=row.pk)
    calls = len(amazon.ledger.calls(surface="lwa"))

    told = page_text(client_trips.come_back(phone, callback))

    assert "This connection was removed in the meantime" in told
    assert f"Ask {organization.name} what to do." in told
    assert "administrator" not in told
    assert "Removed connections" not in told
    assert len(amazon.ledger.calls(surface="lwa")) == calls
    found = {each.pk: each for each in all_rows(organization)}
    assert set(found) == {row.pk, waiting.pk}
    assert found[waiting.pk].selling_partner_id is None
    assert Connection._base_manager.values("removed_at", "revision").get(pk=row.pk) == before
    assert factories.grant_of(row).status == "disconnected"
    assert asked.link.status == "failed"


def test_who_is_administrator_no_more_at_the_return_brings_nothing_back(
    amazon: RunningEmulator,
    admin_browser: Client,
    administrator: User,
    organization: Organization,
    link: Callback,
    row: Connection,
) -> None:
    callback = trips.arrive_from(bring_back(admin_browser, link, row))
    Membership.objects.for_organization(organization).filter(user=administrator).update(
        role=Role.MEMBER
    )

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        assert trips.come_back(admin_browser, callback) == "row_removed"


@pytest.mark.parametrize("who", ["demoted", "removed", "restored"])
def test_what_happens_during_the_exchange_counts(
    amazon: RunningEmulator,
    admin_browser: Client,
    administrator: User,
    organization: Organization,
    link: Callback,
    row: Connection,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
) -> None:
    """The code is spent by then: the end is said, no twin is made, and staff find the orphan."""
    callback = trips.arrive_from(bring_back(admin_browser, link, row))
    memberships = Membership.objects.for_organization(organization).filter(user=administrator)

    def meanwhile(*arguments: Any) -> Any:
        reply = exchange(*arguments)
        if who == "demoted":
            memberships.update(role=Role.MEMBER)
        else:
            removing.restore(organization_id=organization.pk, connection_id=row.pk, actor=COMMAND)
        if who == "removed":
            removing.remove(connection=row, actor=COMMAND)
        return reply

    monkeypatch.setattr("connections.flows.exchange", meanwhile)

    ending = trips.come_back(admin_browser, callback)

    [found] = all_rows(organization)
    is_back = who == "restored"
    assert ending == ("reconnected" if is_back else "row_removed")
    assert (found.pk, found.removed_at is None) == (row.pk, is_back)
    assert factories.grant_of(found).status == ("active" if is_back else "disconnected")


def test_an_erased_row_is_gone(
    amazon: RunningEmulator,
    admin_browser: Client,
    organization: Organization,
    link: Callback,
    row: Connection,
) -> None:
    callback = trips.arrive_from(bring_back(admin_browser, link, row))
    Connection._base_manager.filter(pk=row.pk).delete()

    assert trips.come_back(admin_browser, callback) == "row_gone"
    assert all_rows(organization) == []


def test_only_an_administrator_brings_a_row_back(
    organization: Organization, member: User, row: Connection
) -> None:
    with pytest.raises(removal.NeedsAdministrator):
        removing.restore(
            organization_id=organization.pk, connection_id=row.pk, actor=Actor.person(member)
        )

    row.refresh_from_db()
    assert row.removed_at is not None


# Another region ------------------------------------------------------------------------------


def another_region(client: Client, connection: Connection, marketplace: str) -> Any:
    url = reverse("connection_another_region", args=[connection.organization.slug, connection.pk])
    return client.post(url, {"name": "Not used", "marketplace": marketplace})


def test_another_region_brings_its_removed_row_back(
    amazon: RunningEmulator, admin_browser: Client, organization: Organization, row: Connection
) -> None:
    europe = factories.make_connection(
        organization, name="Northstar EU", seller=NORTHSTAR, marketplace_id=GERMANY
    )
    url = reverse("connection_another_region", args=[organization.slug, europe.pk])

    page = admin_browser.get(url)
    answer = another_region(admin_browser, europe, US)
    callback = trips.confirm(answer.headers["Location"], NORTHSTAR)

    assert "Northstar of this seller (NA) was removed." in page_text(page)
    assert "it comes back with its name, settings and history" in page_text(page)
    assert trips.come_back(admin_browser, callback) == "brought_back"
    assert {one.pk for one in all_rows(organization)} == {row.pk, europe.pk}


def test_another_region_tells_a_member_whom_to_ask(
    amazon: RunningEmulator, browser: Client, organization: Organization, row: Connection
) -> None:
    europe = factories.make_connection(organization, seller=NORTHSTAR, marketplace_id=GERMANY)

    with nothing_changes(amazon, events=()):
        answer = another_region(browser, europe, US)

    assert answer.status_code == 422
    assert "Northstar of this seller was removed in this region." in page_text(answer)
