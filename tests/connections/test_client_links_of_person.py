"""What one person handed out to clients, and its end when they are not trusted any more."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from connections import client_links
from connections.client_link_models import ClientLink
from connections.models import Connection
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import client_trips, factories
from tests.amazon_emulator import RunningEmulator
from tests.client_trips import Asked
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db

Status = ClientLink.Status


@pytest.fixture
def rows(organization: Organization) -> list[Connection]:
    return [factories.make_connection(organization) for _ in range(3)]


@pytest.fixture
def links(rows: list[Connection], member: User) -> list[Asked]:
    """Two of the member's, and one of the owner's."""
    return [*(client_trips.ask(row, maker=member) for row in rows[:2]), client_trips.ask(rows[2])]


@pytest.fixture
def admin(organization: Organization) -> Client:
    return signed_in_freshly(factories.make_member(organization, Role.ADMIN))


def statuses(links: list[Asked]) -> list[str]:
    return [asked.link.status for asked in links]


def url_of(organization: Organization, person: User) -> str:
    return reverse("client_links_of_person", args=[organization.slug, person.pk])


def remove(admin: Client, organization: Organization, person: User, **fields: str) -> Any:
    member = Membership.objects.for_organization(organization).get(user=person)
    url = reverse("member_remove", args=[organization.slug, member.pk])
    return admin.post(url, fields, follow=True)


def test_the_dialog_offers_to_revoke_what_the_person_made(
    admin: Client, organization: Organization, member: User, links: list[Asked]
) -> None:
    row = Membership.objects.for_organization(organization).get(user=member)
    page = admin.get(reverse("member_remove", args=[organization.slug, row.pk])).content.decode()

    assert "Also revoke the 2 open client links they made" in page
    assert '<input type="checkbox" name="end_links" value="yes" checked>' in page


def test_the_dialog_is_silent_about_links_where_there_are_none(
    admin: Client, organization: Organization, member: User
) -> None:
    row = Membership.objects.for_organization(organization).get(user=member)

    assert (
        "end_links"
        not in admin.get(
            reverse("member_remove", args=[organization.slug, row.pk])
        ).content.decode()
    )


def test_a_removed_persons_links_end_with_the_tick(
    admin: Client, organization: Organization, member: User, links: list[Asked]
) -> None:
    page = remove(admin, organization, member, end_links="yes").content.decode()

    assert statuses(links) == [Status.REVOKED, Status.REVOKED, Status.MADE]
    assert [Client().get(asked.path).status_code for asked in links] == [410, 410, 200]
    assert "go on" not in page
    events = AuditEvent._base_manager.filter(code="client_link_revoked")
    assert [event.details["reason"] for event in events] == ["maker_left", "maker_left"]


def test_without_the_tick_they_go_on_and_the_page_says_so(
    admin: Client, organization: Organization, member: User, links: list[Asked]
) -> None:
    page = remove(admin, organization, member).content.decode()

    assert statuses(links) == [Status.MADE] * 3
    assert "The links to clients that they made go on." in page
    assert not Membership.objects.for_organization(organization).filter(user=member).exists()


def test_a_removal_that_is_refused_ends_no_link(
    organization: Organization, rows: list[Connection], amazon: RunningEmulator
) -> None:
    owner = factories.owner_of(organization)
    client_trips.ask(rows[0], maker=owner)
    desk = signed_in_freshly(factories.make_member(organization, Role.ADMIN))
    member = Membership.objects.for_organization(organization).get(user=owner)

    with nothing_changes(amazon, events=()):
        url = reverse("member_remove", args=[organization.slug, member.pk])
        assert desk.post(url, {"end_links": "yes"}).status_code == 403


def test_links_of_somebody_who_left_are_ended_from_their_own_page(
    admin: Client, organization: Organization, member: User, links: list[Asked]
) -> None:
    Membership.objects.for_organization(organization).filter(user=member).delete()
    url = url_of(organization, member)

    page = admin.get(url)
    answer = admin.post(url, follow=True).content.decode()
    again = admin.post(url, follow=True).content.decode()

    assert "2 open links" in page.content.decode()
    assert "Their links go on until somebody ends them." in page.content.decode()
    assert [line.link.pk for line in page.context["lines"]] == [links[1].pk, links[0].pk]
    assert "2 links are over." in answer
    assert "0 links are over." in again
    assert statuses(links) == [Status.REVOKED, Status.REVOKED, Status.MADE]
    assert "None of these links is open" in admin.get(url).content.decode()


def test_what_was_made_by_itself_stays(
    organization: Organization, rows: list[Connection], member: User
) -> None:
    made_by_itself = client_trips.ask(
        rows[0], maker=member, notice=factories.make_notice(rows[0], days=30, step="30 days")
    )

    ended = client_links.revoke_all_of(organization=organization, maker=member, actor=COMMAND)

    assert ended == 0
    assert made_by_itself.link.status == Status.MADE


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
def test_whoever_is_no_administrator_ends_none(
    role: Role,
    organization: Organization,
    member: User,
    links: list[Asked],
    amazon: RunningEmulator,
) -> None:
    desk = signed_in_freshly(factories.make_member(organization, role))

    with nothing_changes(amazon, events=()):
        assert desk.get(url_of(organization, member)).status_code == 403
        assert desk.post(url_of(organization, member)).status_code == 403
    people = desk.get(reverse("people", args=[organization.slug])).content.decode()
    assert "open links to clients" not in people


def test_another_organization_neither_sees_nor_ends_them(
    organization: Organization, member: User, links: list[Asked], amazon: RunningEmulator
) -> None:
    """Nor for a person who is a member of both."""
    foreign = factories.make_organization("Foreign")
    factories.make_member(foreign, user=member)
    desk = signed_in_freshly(factories.owner_of(foreign))

    with nothing_changes(amazon, events=()):
        for target in (foreign, organization):
            assert desk.get(url_of(target, member)).status_code == 404
            assert desk.post(url_of(target, member)).status_code == 404
    people = desk.get(reverse("people", args=[foreign.slug])).content.decode()
    assert "open link" not in people


def test_people_lead_to_the_links_and_to_what_was_authorised(
    admin: Client, organization: Organization, member: User, links: list[Asked]
) -> None:
    owner = factories.owner_of(organization)
    authorised = f"{reverse('authorisers', args=[organization.slug])}?person={owner.pk}"

    page = admin.get(reverse("people", args=[organization.slug])).content.decode()
    theirs = admin.get(authorised).content.decode()

    assert url_of(organization, member) in page
    assert "2 open links to clients" in page
    assert authorised in page
    assert "Authorised: Selling Partner of 3 connections" in page
    assert f"?person={member.pk}" not in page
    assert "Reconnect one after another" in theirs
    assert url_of(organization, owner) in theirs
    assert (
        "All links of this person"
        in admin.get(reverse("client_links", args=[organization.slug])).content.decode()
    )


def test_a_limited_member_counts_only_consents_within_reach(
    organization: Organization, rows: list[Connection]
) -> None:
    limited = factories.make_member(organization)
    factories.limit(limited, organization, rows[0])

    page = signed_in_freshly(limited).get(reverse("people", args=[organization.slug]))

    assert "Authorised: Selling Partner of 1 connection" in " ".join(page.content.decode().split())
