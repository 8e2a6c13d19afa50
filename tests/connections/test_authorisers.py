"""Who authorised what: what has to be given anew when a person leaves."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.grouping_models import Reach
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from connections.queue_models import ReconnectItem
from connections.queue_rows import CLIENTS, GONE
from ppc import leaving
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Membership, Organization, Role, User
from tests import factories, trips

pytestmark = pytest.mark.django_db


def given_by(row: Connection, user: User | None, **columns: Any) -> Connection:
    grants = SpApiGrant.objects.for_organization(row.organization_id).filter(connection=row)
    grants.update(authorized_by=user, authorized_at="2026-03-01T10:00:00Z", **columns)
    return row


@pytest.fixture
def leaver(organization: Organization) -> User:
    return factories.make_member(organization, user=factories.make_user(name="Lea Leaver"))


@pytest.fixture
def page(organization: Organization) -> str:
    return reverse("authorisers", args=[organization.slug])


@pytest.fixture
def stores(organization: Organization, leaver: User) -> list[Connection]:
    return [
        given_by(factories.make_connection(organization, name=name), leaver)
        for name in ("Aspen", "Birch")
    ]


def counted(browser: Client, page: str) -> list[tuple[str, bool, int, int]]:
    people = browser.get(page).context["authorisers"]
    return [(one.name, one.is_member, one.stores, one.ads) for one in people]


def test_each_person_with_what_they_gave(
    browser: Client,
    organization: Organization,
    page: str,
    leaver: User,
    stores: list[Connection],
) -> None:
    owner = factories.owner_of(organization)
    factories.make_connection(organization)
    factories.make_ads_grant(organization, user=leaver)
    ended = factories.make_connection(organization)
    given_by(ended, leaver, status=Grant.Status.DISCONNECTED, refresh_token="")
    foreign = factories.make_connection(factories.make_organization())
    given_by(foreign, leaver)

    expected = [("Lea Leaver", True, 2, 1), (owner.email, True, 1, 0)]
    assert counted(browser, page) == sorted(expected, key=lambda one: one[0].lower())


def test_the_list_shows_what_the_pages_of_people_count(
    browser: Client,
    organization: Organization,
    page: str,
    leaver: User,
    stores: list[Connection],
) -> None:
    """Not what was disconnected; and an Amazon Ads consent is no row of the list."""
    factories.make_ads_grant(organization, user=leaver)
    ended = factories.make_connection(organization, name="Cedar")
    given_by(ended, leaver, status=Grant.Status.DISCONNECTED, refresh_token="")

    detail = browser.get(f"{page}?person={leaver.pk}")
    url = detail.context["list_url"]
    listed = browser.get(url).content.decode()
    filters = browser.get(reverse("connection_filters", args=[organization.slug])).content.decode()
    people = browser.get(reverse("people", args=[organization.slug])).content.decode()

    assert url in detail.content.decode()
    assert "2 connections in the list" in " ".join(detail.content.decode().split())
    assert re.findall(r'connection-account__name">([^<]+)<', listed) == ["Aspen", "Birch"]
    assert "Lea Leaver (2)" in filters
    assert "Authorised: Selling Partner of 2 connections, 1 Amazon Ads consent" in people


def test_whoever_left_the_organization_stands_first_by_name(
    browser: Client,
    organization: Organization,
    page: str,
    leaver: User,
    stores: list[Connection],
) -> None:
    factories.make_connection(organization)
    Membership.objects.for_organization(organization).filter(user=leaver).delete()

    assert counted(browser, page)[0] == ("Lea Leaver", False, 2, 0)
    assert "No member any more" in browser.get(page).content.decode()


def test_a_deleted_login_leaves_its_consents_without_a_name(
    browser: Client, page: str, leaver: User, stores: list[Connection]
) -> None:
    leaving.delete_login(leaver)

    assert counted(browser, page) == [("A deleted login", False, 2, 0)]
    detail = browser.get(f"{page}?person={GONE}")
    assert "Authorised by a deleted login" in detail.text
    assert [one.name for one in detail.context["stores"]] == ["Aspen", "Birch"]
    assert detail.context["list_url"].endswith("?authorised=none")


def test_what_clients_gave_by_links_is_no_leavers(
    browser: Client,
    organization: Organization,
    page: str,
    leaver: User,
    stores: list[Connection],
) -> None:
    """Neither in the table, nor in the list, its filters and rows, nor in the queue."""
    given_by(factories.make_connection(organization, name="Cedar"), None, is_by_client=True)
    leaving.delete_login(leaver)

    assert counted(browser, page) == [
        ("A deleted login", False, 2, 0),
        ("Clients, by link", False, 1, 0),
    ]
    assert browser.get(page).content.decode().count("No member any more") == 1
    assert [one.name for one in browser.get(f"{page}?person={GONE}").context["stores"]] == [
        "Aspen",
        "Birch",
    ]
    detail = browser.get(f"{page}?person={CLIENTS}")
    assert [one.name for one in detail.context["stores"]] == ["Cedar"]
    assert "<h1>Authorised by clients, by link</h1>" in " ".join(detail.text.split())
    assert "No member of this organization any more" not in detail.content.decode()
    listed = browser.get(detail.context["list_url"]).content.decode()
    assert re.findall(r'connection-account__name">([^<]+)<', listed) == ["Cedar"]
    assert "Authorised by the client by link on " in listed
    assert "Authorised by clients, by link" in listed
    filters = browser.get(reverse("connection_filters", args=[organization.slug])).content.decode()
    assert "Clients, by link (1)" in filters
    assert "A deleted login (2)" in filters
    queue_url = f"{reverse('reconnect_queue_add', args=[organization.slug])}?person={CLIENTS}"
    assert [one.name for one in browser.get(queue_url).context["able"]] == ["Cedar"]


def test_the_filter_says_who_is_no_member_any_more(
    browser: Client, organization: Organization, leaver: User, stores: list[Connection]
) -> None:
    url = reverse("connection_filters", args=[organization.slug])
    assert "Lea Leaver (2)" in browser.get(url).content.decode()

    Membership.objects.for_organization(organization).filter(user=leaver).delete()

    assert "Lea Leaver, no member any more (2)" in browser.get(url).content.decode()


def test_consents_of_clients_from_before_are_known_by_name_or_by_the_record(
    organization: Organization, leaver: User
) -> None:
    named, unnamed, of_leaver = (
        given_by(factories.make_connection(organization), None) for _ in range(3)
    )
    given_by(named, None, authorized_name="Maria")
    client = Actor.client(factories.unknown_id(), made_by=None)
    record_event("spapi_grant_active", actor=client, subject=factories.grant_of(unnamed))
    record_event("spapi_grant_active", actor=client, subject=factories.grant_of(of_leaver))
    grants = SpApiGrant.objects.for_organization(organization)
    grants.filter(connection=unnamed).update(authorized_at=timezone.now())

    import_module("connections.migrations.0022_consents_of_clients").note(apps, None)

    by_clients = grants.filter(is_by_client=True)
    assert set(by_clients.values_list("connection_id", flat=True)) == {named.pk, unnamed.pk}


def test_all_of_one_person_can_be_walked(
    browser: Client,
    organization: Organization,
    page: str,
    leaver: User,
    stores: list[Connection],
) -> None:
    other = factories.make_connection(organization, name="Of the owner")
    grant = factories.make_ads_grant(organization, user=leaver)
    account = factories.make_account(other)
    factories.make_link(account, factories.make_profile(grant, seller="A1"))

    detail = browser.get(f"{page}?person={leaver.pk}")
    add_url = f"{reverse('reconnect_queue_add', args=[organization.slug])}?person={leaver.pk}"
    chosen = browser.get(add_url).context["able"]
    browser.post(add_url, {"row": [str(one.id) for one in chosen]})

    text = detail.content.decode()
    assert add_url in text
    assert [(one.name, one.row_id) for one in detail.context["ads"]] == [("Of the owner", other.pk)]
    assert reverse("ppc_connect", args=[organization.slug, other.pk]) in text
    items = ReconnectItem.objects.for_organization(organization).order_by("position")
    assert [item.connection_id for item in items] == [row.pk for row in stores]


@pytest.mark.parametrize("person", ["made up", "member without a consent", "garbled", ""])
def test_whoever_gave_nothing_here_is_nobody(
    browser: Client, member: User, page: str, stores: list[Connection], person: str
) -> None:
    key = {"made up": str(factories.unknown_id()), "member without a consent": str(member.pk)}

    assert browser.get(f"{page}?person={key.get(person, person)}").status_code == 404


def test_a_viewer_looks_and_is_offered_nothing(
    organization: Organization, page: str, leaver: User, stores: list[Connection]
) -> None:
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    text = viewer.get(f"{page}?person={leaver.pk}").content.decode()

    assert "Aspen" in text
    assert "reconnect-queue" not in text


def test_a_limited_member_sees_what_is_within_reach(
    browser: Client,
    organization: Organization,
    member: User,
    page: str,
    leaver: User,
    stores: list[Connection],
) -> None:
    memberships = Membership.objects.for_organization(organization).filter(user=member)
    memberships.update(is_limited=True)
    factories.make_ads_grant(organization, user=leaver)
    assert AdsGrant.objects.for_organization(organization).count() == 1
    assert counted(browser, page) == []

    Reach.objects.for_organization(organization).create(
        membership=memberships.get(), connection=stores[0]
    )

    assert counted(browser, page) == [("Lea Leaver", True, 1, 0)]
    detail = browser.get(f"{page}?person={leaver.pk}").content.decode()
    assert "Aspen" in detail
    assert "Birch" not in detail


def test_a_rows_details_lead_to_all_of_its_authoriser(
    browser: Client, organization: Organization, page: str, stores: list[Connection]
) -> None:
    aspen = stores[0]
    details = browser.get(reverse("connection_details", args=[organization.slug, aspen.pk]))

    shown = browser.get(f"{page}?of={aspen.pk}")

    assert f'href="{page}?of={aspen.pk}"' in details.content.decode()
    assert shown.context["who"].name == "Lea Leaver"
    foreign = factories.make_connection(factories.make_organization())
    for row_id in (foreign.pk, factories.unknown_id(), "garbled"):
        assert browser.get(f"{page}?of={row_id}").status_code == 404


def test_an_imported_consent_of_an_unknown_day_is_not_said_to_have_no_end(
    browser: Client, page: str, leaver: User, stores: list[Connection]
) -> None:
    given_by(stores[0], leaver, is_consent_dated=False, imported_at="2026-03-01T10:00:00Z")

    shown = browser.get(page, {"person": str(leaver.pk)}).content.decode()

    assert "unknown: reconnect to know" in shown
    assert "No fixed end" not in shown
