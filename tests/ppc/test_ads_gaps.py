"""A newer Ads consent that takes over from an ended one remembers the days between."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import notices
from connections.models import AdsGrant, Connection
from connections.notice_models import Notice
from ppc import disconnecting
from ppc.disconnecting import Side
from ppc.models import AdsProfile
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import NORTHSTAR, NORTHSTAR_LOGIN
from tests.ppc.test_consents import listed, read
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db


def ended(grant: AdsGrant, days: int) -> None:
    since = timezone.now() - timedelta(days=days)
    AdsGrant._base_manager.filter(pk=grant.pk).update(
        status="invalid", first_refused_at=since, status_changed_at=since
    )


def stored(grant: AdsGrant) -> AdsGrant:
    row: AdsGrant = AdsGrant._base_manager.get(pk=grant.pk)
    return row


def disconnected(grant: AdsGrant, days: int) -> None:
    """As a person's *Disconnect* leaves it."""
    since = timezone.now() - timedelta(days=days)
    AdsGrant._base_manager.filter(pk=grant.pk).update(
        status="disconnected", refresh_token="", status_changed_at=since
    )


def gap_events() -> list[AuditEvent]:
    return list(AuditEvent._base_manager.filter(code="access_gap").order_by("pk"))


def test_a_recognised_reconnect_ends_a_gap() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    ended(older, 8)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"), listed("2"))

    grant, [event] = stored(newer), gap_events()
    assert stored(older).status == "disconnected"
    assert grant.gap_ended_at == newer.authorized_at
    assert grant.gap_started_at == stored(older).first_refused_at
    assert (event.subject_id, event.details["days"], event.details["cause"]) == (
        newer.pk,
        8,
        "invalid",
    )


def test_a_recognised_reconnect_is_told_as_a_recovery() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    row = factories.make_connection(organization)
    profile = AdsProfile.objects.for_organization(organization).get()
    factories.make_link(factories.make_account(row), profile)
    ended(older, 8)
    notices.derive(timezone.now())
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"))
    notices.derive(timezone.now())

    told = Notice._base_manager.order_by("created_at")
    assert [(notice.kind, notice.ads_grant_id) for notice in told] == [
        ("revoked", newer.pk),
        ("recovered", newer.pk),
    ]
    assert [notice.resolved_at is not None for notice in told] == [True, False]


def test_of_several_the_longest_time_is_remembered() -> None:
    organization = factories.make_organization()
    for profile, days in (("1", 3), ("2", 9), ("3", 5)):
        older = factories.make_ads_grant(organization)
        read(older, listed(profile))
        ended(older, days)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"), listed("2"), listed("3"))

    grant = stored(newer)
    assert grant.gap_started_at is not None
    assert (newer.authorized_at - grant.gap_started_at).days == 9
    assert sorted(event.details["days"] for event in gap_events()) == [3, 5, 9]


def test_taking_over_from_one_that_works_is_no_gap() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"))

    assert stored(older).status == "disconnected"
    assert stored(newer).gap_started_at is None
    assert gap_events() == []


def test_one_that_is_not_recognised_is_no_gap() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"), listed("2"))
    ended(older, 8)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("9"))

    assert stored(older).status == "invalid"
    assert stored(newer).gap_started_at is None
    assert gap_events() == []


def test_what_ended_after_the_newer_consent_is_no_gap() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    newer = factories.make_ads_grant(organization)
    ended(older, 0)

    read(newer, listed("1"))

    assert stored(newer).gap_started_at is None
    assert gap_events() == []


# After a disconnect ------------------------------------------------------------------------


def test_a_reconnect_after_a_disconnect_ends_a_gap() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    disconnected(older, 8)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"), listed("2"))

    grant, [event] = stored(newer), gap_events()
    assert (grant.gap_started_at, grant.gap_ended_at) == (
        stored(older).status_changed_at,
        newer.authorized_at,
    )
    assert event.subject_id == newer.pk
    assert (event.details["days"], event.details["cause"]) == (8, "disconnected")


def test_reading_again_tells_the_gap_once() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    disconnected(older, 8)
    newer = factories.make_ads_grant(organization)

    for found in (listed("1"),), (), (listed("1"),), (listed("1"), listed("2")):
        read(newer, *found)

    assert len(gap_events()) == 1


def test_the_consent_that_was_used_last_counts() -> None:
    """The one before it was renewed, which was no gap."""
    organization = factories.make_organization()
    first, second = (factories.make_ads_grant(organization) for _ in range(2))
    for grant in (first, second):
        read(grant, listed("1"))
    assert stored(first).status == "disconnected"
    AdsGrant._base_manager.filter(pk=first.pk).update(
        status_changed_at=timezone.now() - timedelta(days=300)
    )
    disconnected(second, 3)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"))

    assert [event.details["days"] for event in gap_events()] == [3]
    assert stored(newer).gap_started_at == stored(second).status_changed_at


def test_a_renewal_of_a_renewal_is_no_gap() -> None:
    organization = factories.make_organization()
    for _ in range(3):
        read(factories.make_ads_grant(organization), listed("1"))

    assert gap_events() == []


def test_what_a_living_consent_saw_meanwhile_is_no_gap() -> None:
    organization = factories.make_organization()
    living = factories.make_ads_grant(organization)
    read(living, listed("1"), listed("2"))
    ended_here = factories.make_ads_grant(organization)
    read(ended_here, listed("1"))
    disconnected(ended_here, 8)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"))

    assert stored(living).status == "active"
    assert (stored(newer).gap_started_at, gap_events()) == (None, [])


@pytest.mark.parametrize("access", ["view", ""])
def test_what_could_not_be_edited_before_is_no_gap(access: str) -> None:
    """View only, or no longer listed, when it was disconnected."""
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    read(older, *([listed("1", access)] if access else []))
    disconnected(older, 8)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("1"))

    assert (stored(newer).gap_started_at, gap_events()) == (None, [])


def test_somebody_elses_consent_ends_no_gap() -> None:
    organization = factories.make_organization()
    older = factories.make_ads_grant(organization)
    read(older, listed("1"))
    disconnected(older, 8)
    newer = factories.make_ads_grant(organization)

    read(newer, listed("9"))

    assert (stored(newer).gap_started_at, gap_events()) == (None, [])


def test_details_and_timeline_show_the_days_between(amazon: RunningEmulator) -> None:
    row = factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )
    account = factories.make_account(row)
    owner = factories.owner_of(row.organization)
    client = signed_in_freshly(owner)

    def connect() -> None:
        back = trips.allow(trips.leave_for_ads(client, row, [account.pk]), NORTHSTAR_LOGIN)
        assert trips.come_back(client, back) == "ads_connected"
        ledger.drain("interactive")

    with time_machine.travel(timezone.now() - timedelta(days=5)):
        client = signed_in_freshly(owner)
        connect()
        disconnecting.disconnect(
            connection=row, sides=frozenset({Side.PPC}), actor=Actor.person(owner)
        )
    client = signed_in_freshly(owner)
    assert "No access from" not in shown(client, "connection_details", row)

    connect()

    details = shown(client, "connection_details", row)
    assert details.count("No access from") == 1
    assert ": 5 days" in details
    (told,) = re.findall(r"No access from .*?: 5 days", details)
    assert told in shown(client, "connection_timeline", row)


def shown(client: Client, name: str, row: Connection) -> str:
    answer = client.get(reverse(name, args=[row.organization.slug, row.pk]))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())
