"""Members who see a part of the connections: whatever lies outside is not there for them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import (
    attention,
    authorisers,
    list_queries,
    notice_mails,
    notification_choices,
    reach,
    reach_choices,
    revisions,
    storing,
)
from connections.grouping_models import Client as Customer
from connections.grouping_models import Reach, Tag, Tagging
from connections.listing import Chosen
from connections.models import AdsGrant, Connection
from connections.notice_models import Notice
from connections.reach_choices import Extent
from connections.renewals import renewals_of
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import members
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import ORGANIZATION_ROUTES
from tests.factories import UK
from tests.nothing_changed import nothing_changes
from tests.signing_in import proved_seconds_ago, signed_in_freshly

pytestmark = pytest.mark.django_db

SELLER_IN, SELLER_OUT = "A1NORTHSTAR001", "A2BLUEHARBOR02"


@pytest.fixture
def inside(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Inside store", seller=SELLER_IN)


@pytest.fixture
def outside(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Outside store", seller=SELLER_OUT)


@pytest.fixture
def limited(member: User, organization: Organization, inside: Connection) -> Membership:
    return factories.limit(member, organization, inside)


def trouble(row: Connection) -> Notice:
    """The row's consent is revoked, and a notice tells of it."""
    grant, now = factories.grant_of(row), timezone.now()
    type(grant)._base_manager.filter(pk=grant.pk).update(
        status="invalid", status_changed_at=now, last_error_code="invalid_grant"
    )
    revisions.touch(row.organization_id, [row.pk])
    return factories.make_notice(
        row, kind=Notice.Kind.REVOKED, days=None, step="revoked", reason="grant_invalid"
    )


def feed_both(inside: Connection, outside: Connection) -> Any:
    """One Ads consent that feeds a row in reach and one outside of it."""
    grant = factories.make_ads_grant(inside.organization)
    for row in (inside, outside):
        profile = factories.make_profile(grant, seller=str(row.selling_partner_id))
        factories.make_link(factories.make_account(row), profile)
    return grant


def tag(row: Connection, name: str) -> Tag:
    organization = row.organization
    made: Tag = Tag.objects.for_organization(organization).create(name=name)
    Tagging.objects.for_organization(organization).create(connection=row, tag=made)
    return made


def shown(client: Client, name: str, organization: Organization, *ids: Any, **query: str) -> str:
    answer = client.get(reverse(name, args=[organization.slug, *ids]), query)
    assert answer.status_code == 200, (name, answer.status_code)
    return str(answer.content.decode())


def tells_of(text: str, row: Connection) -> bool:
    return any(sign in text for sign in (row.name, str(row.selling_partner_id), str(row.pk)))


# What is in reach -----------------------------------------------------------------------------


def test_everybody_else_sees_everything(
    organization: Organization, member: User, inside: Connection, outside: Connection
) -> None:
    rows = Connection.objects.for_organization(organization)
    mine = Membership.objects.for_organization(organization).get(user=member)
    assert reach.within_reach(rows, mine) is rows
    assert reach.within_reach(rows, None) is rows


def test_rows_of_a_tag_a_client_and_single_ones(
    organization: Organization, member: User, inside: Connection, outside: Connection
) -> None:
    mine = factories.limit(member, organization, inside)
    tagged, of_client = (factories.make_connection(organization) for _ in range(2))
    acme = Customer.objects.for_organization(organization).create(name="Acme")
    Connection.objects.for_organization(organization).filter(pk=of_client.pk).update(client=acme)
    ours = Reach.objects.for_organization(organization)
    ours.create(membership=mine, tag=tag(tagged, "Spring"))
    ours.create(membership=mine, client=acme)

    rows = reach.within_reach(Connection.objects.for_organization(organization), mine)

    assert set(rows) == {inside, tagged, of_client}
    assert reach.is_within(mine, tagged.pk)
    assert not reach.is_within(mine, outside.pk)
    assert not reach.is_within(mine, None)


def test_without_any_reach_nothing_is_seen(
    organization: Organization, browser: Client, member: User, inside: Connection
) -> None:
    """Also when the tag that was chosen is deleted: fail closed."""
    mine = factories.limit(member, organization)
    spring = tag(inside, "Spring")
    Reach.objects.for_organization(organization).create(membership=mine, tag=spring)
    assert inside.name in shown(browser, "account_connections", organization)

    spring.delete()

    page = shown(browser, "account_connections", organization)
    assert inside.name not in page
    assert "No connection is in your reach" in page
    assert "Connect your first Amazon account" not in page


def test_a_removed_row_is_in_nobodys_reach(limited: Membership, inside: Connection) -> None:
    Connection._base_manager.filter(pk=inside.pk).update(removed_at=timezone.now())
    assert not reach.is_within(limited, inside.pk)


# Pages ----------------------------------------------------------------------------------------


def test_no_page_tells_of_a_row_outside(
    amazon: RunningEmulator,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    """Every route that needs no row, and every page of the row that is in reach."""
    organization = limited.organization
    for row in (inside, outside):
        trouble(row)
    feed_both(inside, outside)
    tried = 0
    for route in ORGANIZATION_ROUTES:
        if "GET" not in route.methods or not set(route.takes) <= {"connection_id"}:
            continue
        ids = [inside.pk] if route.takes else []
        answer = browser.get(reverse(route.name, args=[organization.slug, *ids]))
        if answer.status_code != 200:
            continue
        assert not tells_of(answer.content.decode(), outside), route.name
        tried += 1
    assert tried > 10


def test_the_list_its_pages_and_counts_are_of_the_reach(
    organization: Organization, browser: Client, limited: Membership, outside: Connection
) -> None:
    for number in range(30):
        factories.make_connection(organization, name=f"Other {number:02}")
    for query in ({}, {"page": "2"}, {"sort": "renew_by"}, {"health": "connected"}):
        page = shown(browser, "account_connections", organization, **query)
        assert "Inside store" in page
        assert "Other" not in page
        assert re.search(r"of 3\d", page) is None
    facts = list_queries.chosen_facts(limited, 1, Chosen())
    assert [fact["total"] for fact in facts] == [1]


def test_the_poll_tells_of_rows_in_reach_alone(
    organization: Organization, browser: Client, limited: Membership, outside: Connection
) -> None:
    for since in ("0", str(Organization.objects.get(pk=organization.pk).revision - 1)):
        answer = browser.get(
            reverse("connection_changes", args=[organization.slug]), {"since": since}
        )
        assert answer.status_code == 200
        assert not tells_of(f"{answer.content.decode()}{answer.headers}", outside)


def test_what_needs_somebody_is_counted_for_each_reach(
    organization: Organization,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    """Neither count is ever shown to the other: one is kept for the organization."""
    trouble(outside)
    owner = signed_in_freshly(factories.owner_of(organization))

    def counts() -> list[str]:
        pages = ("account_connections", "notifications")
        return [
            ", ".join(sorted(set(re.findall(r"\d+ connections? needs? you", text))))
            for client in (owner, browser)
            for text in (shown(client, name, organization) for name in pages)
        ]

    assert counts() == ["1 connection needs you"] * 2 + [""] * 2
    trouble(inside)
    assert counts() == ["2 connections need you"] * 2 + ["1 connection needs you"] * 2
    fresh = Organization.objects.get(pk=organization.pk)
    assert attention.attention_of(fresh.pk, fresh.revision).count == 2
    assert attention.attention_of(fresh.pk, fresh.revision, limited).count == 1


def test_a_limited_member_adds_nothing(
    amazon: RunningEmulator, browser: Client, limited: Membership, inside: Connection
) -> None:
    organization = limited.organization
    page = shown(browser, "account_connections", organization)
    assert "Add New Connection" not in page
    assert "Connect another region" not in page
    assert "Reconnect" in page
    with nothing_changes(amazon, events=()):
        for name, ids in (
            ("connection_new", []),
            ("connection_add_as_new", [inside.pk]),
            ("connection_another_region", [inside.pk]),
        ):
            url = reverse(name, args=[organization.slug, *ids])
            answer = browser.post(url, {"name": "Mine", "marketplace": UK})
            assert answer.status_code == 403, name
            assert "You see only some connections of this organization" in answer.text
            assert "Your role" not in answer.text


def test_several_rows_are_checked_within_the_reach(
    amazon: RunningEmulator,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    organization = limited.organization
    page = shown(browser, "connections_check", organization, row=str(outside.pk))
    assert not tells_of(page, outside)
    with nothing_changes(amazon, events=()):
        answer = browser.post(
            reverse("connections_check", args=[organization.slug]), {"account": str(outside.pk)}
        )
    assert answer.status_code == 422


# Amazon Ads -----------------------------------------------------------------------------------


def test_a_shared_ads_consent_shows_its_rows_in_reach(
    organization: Organization,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    feed_both(inside, outside)
    elsewhere = factories.make_ads_grant(organization)
    profile = factories.make_profile(elsewhere, seller=SELLER_OUT, marketplace_id=UK)
    factories.make_link(factories.make_account(outside, UK), profile)

    page = shown(browser, "ppc_connect", organization, inside.pk)

    assert "Serves Inside store" in " ".join(page.split())
    assert page.count("Given by") == 1
    assert not tells_of(page, outside)


def test_a_consent_that_was_given_for_a_row_in_reach_is_told(
    organization: Organization,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    """Before its profiles are read, its trip alone says whose it is."""
    mine = factories.make_ads_grant(organization, asked_for=inside)
    factories.make_ads_grant(organization, asked_for=outside)
    every = AdsGrant.objects.for_organization(organization)

    assert set(reach.ads_grants_within(every, limited)) == {mine}
    assert shown(browser, "ppc_connect", organization, inside.pk).count("Given by") == 1
    assert [grant for grant, _rows in authorisers.ads_consents(limited)] == [mine]
    ads = [renewal.key for renewal in renewals_of(organization, limited) if renewal.is_ads]
    assert ads == []  # it feeds no row

    factories.make_profile(mine, seller=SELLER_OUT)

    assert set(reach.ads_grants_within(every, limited)) == set()
    assert shown(browser, "ppc_connect", organization, inside.pk).count("Given by") == 0


def test_a_marketplace_of_another_row_is_not_linked_by_its_id(
    amazon: RunningEmulator,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    """It would be linked when the browser comes back from Amazon Ads."""
    theirs = factories.make_account(outside)
    url = reverse("ppc_connect", args=[limited.organization.slug, inside.pk])
    with nothing_changes(amazon, events=()):
        answer = browser.post(url, {"account": str(theirs.pk), "new_consent": "1"})
    assert answer.status_code == 422


def test_what_a_shared_consent_asks_is_not_answered_for_others(
    amazon: RunningEmulator,
    organization: Organization,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    grant = feed_both(inside, outside)
    notice = Notice.objects.for_organization(organization).create(
        kind=Notice.Kind.EXPIRED,
        step="expired",
        subject_id=grant.pk,
        ads_grant=grant,
        consent_at=grant.authorized_at,
        occurred_at=timezone.now(),
    )
    page = shown(browser, "notifications", organization)
    url = reverse("notices_acknowledge", args=[organization.slug])
    assert "Inside store" in page
    assert url not in page
    for fields in (
        {"notice": str(notice.pk)},
        {"ticked": str(notice.pk)},
        {"kind": "expired", "shown_at": timezone.now().isoformat()},
    ):
        with nothing_changes(amazon, events=()):
            assert browser.post(url, fields).status_code == 403
    owner = signed_in_freshly(factories.owner_of(organization))
    assert url in shown(owner, "notifications", organization)


# Mails and feeds ------------------------------------------------------------------------------


def test_mails_tell_of_rows_in_reach_alone(
    organization: Organization,
    member: User,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    """Also when the reach became smaller after the mail was planned."""
    notification_choices.choose(
        organization=organization,
        user=member,
        wants="all",
        digest_hour=0,
        quiet_from=0,
        quiet_until=0,
        paused_until=None,
    )
    for row in (inside, outside):
        notice = trouble(row)
        Notice._base_manager.filter(pk=notice.pk).update(
            created_at=timezone.now() - timedelta(minutes=20)
        )

    notice_mails.plan_for(organization, timezone.now())
    Reach.objects.for_organization(organization).all().delete()
    Reach.objects.for_organization(organization).create(membership=limited, connection=inside)
    for job in Job.objects.for_organization(organization).filter(kind=notice_mails.MAIL):
        assert ledger.run(job.pk)

    bodies = [str(message.body) for message in mail.outbox if message.to == [member.email]]
    assert len(bodies) == 1
    assert tells_of(bodies[0], inside)
    assert not tells_of(bodies[0], outside)


def test_the_calendar_and_its_link_hold_rows_in_reach_alone(
    organization: Organization,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    feed_both(inside, outside)
    proved_seconds_ago(browser, 0, "password")
    answer = browser.post(reverse("calendar_feed_make", args=[organization.slug])).content.decode()
    link = re.search(r"/calendar/[\w-]{43}\.ics", answer)
    assert link
    folded = Client().get(link[0]).content.decode()
    for text in (answer, folded.replace("\r\n ", "")):
        assert tells_of(text, inside)
        assert not tells_of(text, outside)
    Reach.objects.for_organization(organization).all().delete()
    assert "BEGIN:VEVENT" not in Client().get(link[0]).content.decode()


# Trips ----------------------------------------------------------------------------------------


def test_a_trip_ends_at_nothing_when_the_row_left_the_reach(
    amazon: RunningEmulator, browser: Client, limited: Membership, inside: Connection
) -> None:
    callback = trips.confirm(trips.leave(browser, inside), SELLER_IN)
    before = factories.grant_of(inside).version
    Reach.objects.for_organization(limited.organization).all().delete()

    page = browser.get(str(callback), follow=True).content.decode()

    assert factories.grant_of(inside).version == before
    assert callback.trip.outcome == "row_gone"
    assert not tells_of(page, inside)


@pytest.mark.parametrize("is_tampered", [False, True], ids=["signed in as it", "edited"])
def test_a_seller_who_is_known_outside_stops_the_trip_before_the_exchange(
    amazon: RunningEmulator,
    organization: Organization,
    browser: Client,
    member: User,
    is_tampered: bool,
) -> None:
    """Else it would overwrite the consent of a row that the person does not see."""
    outside = factories.make_connection(organization, name="Outside store", seller=SELLER_IN)
    waiting = factories.make_waiting_connection(organization, name="Waits")
    factories.limit(member, organization, waiting)
    signed_in_as = SELLER_OUT if is_tampered else SELLER_IN
    callback = trips.confirm(trips.leave(browser, waiting), signed_in_as)
    callback = callback.with_params(selling_partner_id=SELLER_IN)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip):
        answer = browser.get(str(callback), follow=True)

    page = answer.content.decode()
    assert callback.trip.outcome == "other_row"
    assert "It is not one of those that you look after here." in page
    assert outside.name not in page
    assert str(outside.pk) not in f"{page}{answer.redirect_chain}"


def test_a_seller_that_came_into_a_row_outside_meanwhile_is_not_overwritten(
    amazon: RunningEmulator, organization: Organization, member: User
) -> None:
    """Under the lock it is asked again."""
    outside = factories.make_connection(organization, seller=SELLER_IN)
    waiting = factories.make_waiting_connection(organization, name="Waits")
    factories.limit(member, organization, waiting)

    with pytest.raises(storing.OfAnotherRow), transaction.atomic():
        storing.store_spapi_grant(
            connection=waiting,
            seller=SELLER_IN,
            token=Secret("Atzr|another"),
            actor=Actor.person(member),
            is_proved=True,
        )

    assert factories.grant_of(outside).version == 1


def test_a_start_at_amazon_knows_the_reach(
    amazon: RunningEmulator,
    organization: Organization,
    browser: Client,
    limited: Membership,
    inside: Connection,
    outside: Connection,
) -> None:
    hosts = "sellercentral.amazon.com"
    page = browser.get(str(trips.reauthorize(amazon, hosts, SELLER_IN))).content.decode()
    assert "Renew the consent of Inside store?" in page

    link = trips.reauthorize(amazon, hosts, SELLER_OUT)
    answer = browser.get(str(link))
    assert outside.name not in answer.content.decode()
    assert "this seller is none of them" in answer.text
    assert "Your role lets you look" not in answer.text
    step = trips.step_of(browser, link)
    with nothing_changes(amazon, events=()):
        fields = {"organization": organization.slug, "name": "New", "marketplace": factories.US}
        assert browser.post(step, fields).status_code == 403


# Choosing it ----------------------------------------------------------------------------------


def test_an_administrator_chooses_and_it_counts_at_once(
    organization: Organization,
    browser: Client,
    member: User,
    inside: Connection,
    outside: Connection,
) -> None:
    spring = tag(inside, "Spring")
    mine = Membership.objects.for_organization(organization).get(user=member)
    owner = signed_in_freshly(factories.owner_of(organization))
    url = reverse("member_reach", args=[organization.slug, mine.pk])
    assert "Spring" in owner.get(url).text
    assert outside.name in shown(browser, "account_connections", organization)

    answer = owner.post(url, {"sees": "some", "tags": str(spring.pk)})

    assert answer.status_code == 303
    page = shown(browser, "account_connections", organization)
    assert inside.name in page
    assert outside.name not in page
    assert "Spring" in shown(owner, "people", organization)
    event = AuditEvent._base_manager.get(code="member_reach_changed")
    assert event.details == {"is_limited": True, "chosen": 1}
    owner.post(url, {"sees": "all"})
    assert outside.name in shown(browser, "account_connections", organization)
    assert not Reach._base_manager.exists()


def test_ticks_beside_all_are_a_mistake_and_no_wide_open_door(
    amazon: RunningEmulator, organization: Organization, member: User, inside: Connection
) -> None:
    spring = tag(inside, "Spring")
    mine = Membership.objects.for_organization(organization).get(user=member)
    url = reverse("member_reach", args=[organization.slug, mine.pk])
    owner = signed_in_freshly(factories.owner_of(organization))

    with nothing_changes(amazon, events=()):
        wrong = owner.post(url, {"sees": "all", "tags": str(spring.pk)})

    assert wrong.status_code == 422
    assert "choose “Only what is ticked below” as well." in wrong.text
    owner.post(url, {"sees": "some", "tags": str(spring.pk)})
    # What was ticked before is no new wish.
    assert owner.post(url, {"sees": "all", "tags": str(spring.pk)}).status_code == 303


def test_a_search_narrows_the_lists_and_keeps_every_tick(
    amazon: RunningEmulator,
    organization: Organization,
    member: User,
    inside: Connection,
    outside: Connection,
) -> None:
    tag(inside, "Spring")
    factories.make_connection(organization, name="Harbour & Co", seller="A3HARBOUR00001")
    mine = Membership.objects.for_organization(organization).get(user=member)
    url = reverse("member_reach", args=[organization.slug, mine.pk])
    owner = signed_in_freshly(factories.owner_of(organization))
    ticks = {"sees": "some", "connections": str(inside.pk), "words": " harbOUR &"}

    with nothing_changes(amazon, events=()):
        found = owner.post(url, ticks | {"search": "yes"})

    def shown(page: Any, name: str) -> list[tuple[str, bool]]:
        boxes = page.context["form"][name]
        return [(box.choice_label, bool(box.data["selected"])) for box in boxes]

    assert found.status_code == 200
    assert shown(found, "connections") == [
        ("Harbour & Co (NA, A3HARBOUR00001)", False),
        (f"{inside.name} (NA, {inside.selling_partner_id})", True),
    ]
    assert shown(found, "tags") == []
    assert shown(found, "sees") == [("All connections", False), ("Only what is ticked below", True)]
    assert "<span data-ticked-count>1</span> of 3 ticked" in found.text
    assert "<span data-ticked-count>0</span> of 1 ticked" in found.text
    assert 'value="harbOUR &amp;"' in found.text
    assert len(shown(owner.post(url, ticks | {"words": "", "search": "yes"}), "connections")) == 3
    for words, count in (("a3harb", 2), ("Hárbour", 2), ("nowhere", 1)):
        found = owner.post(url, ticks | {"words": words, "search": "yes"})
        assert len(shown(found, "connections")) == count, words
        assert ('"Nothing was found.">Nothing was found.</span>' in found.text) is (count == 1)
    assert owner.post(url, ticks).status_code == 303
    assert [reach.connection_id for reach in Reach._base_manager.all()] == [inside.pk]


def test_only_what_the_organization_has_can_be_chosen(
    amazon: RunningEmulator, organization: Organization, member: User, inside: Connection
) -> None:
    foreign = factories.make_connection(factories.make_organization("Harbor"))
    mine = Membership.objects.for_organization(organization).get(user=member)
    owner = factories.owner_of(organization)
    url = reverse("member_reach", args=[organization.slug, mine.pk])
    client = signed_in_freshly(owner)
    with nothing_changes(amazon, events=()):
        fields = {"sees": "some", "connections": str(foreign.pk)}
        assert client.post(url, fields).status_code == 422
    by = Membership.objects.for_organization(organization).get(user=owner)
    reach_choices.set_reach(
        by=by, member_id=mine.pk, extent=Extent(connections=(foreign.pk, inside.pk))
    )
    assert list(Reach._base_manager.values_list("connection", flat=True)) == [inside.pk]


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
def test_administrators_see_everything(
    amazon: RunningEmulator, organization: Organization, role: Role
) -> None:
    owner = factories.owner_of(organization)
    by = Membership.objects.for_organization(organization).get(user=owner)
    user = factories.make_member(organization, role)
    about = Membership.objects.for_organization(organization).get(user=user)
    url = reverse("member_reach", args=[organization.slug, about.pk])
    client = signed_in_freshly(owner)
    with nothing_changes(amazon, events=()):
        assert client.post(url, {"sees": "some"}).status_code == 403
        with pytest.raises(members.RoleTooLow):
            reach_choices.set_reach(by=by, member_id=about.pk, extent=Extent())


def test_who_is_limited_reads_no_names_of_others_reach(
    organization: Organization, browser: Client, limited: Membership, outside: Connection
) -> None:
    other = factories.make_member(organization)
    factories.limit(other, organization, outside)

    page = shown(browser, "people", organization)

    assert "Inside store" in page
    assert "A part of the connections" in page
    assert not tells_of(page, outside)
