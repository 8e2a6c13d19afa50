"""A newer Ads consent that takes over from an ended one remembers the days between."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from connections import notices
from connections.models import AdsGrant
from connections.notice_models import Notice
from ppc.models import AdsProfile
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.ppc.test_consents import listed, read

pytestmark = pytest.mark.django_db


def ended(grant: AdsGrant, days: int) -> None:
    since = timezone.now() - timedelta(days=days)
    AdsGrant._base_manager.filter(pk=grant.pk).update(
        status="invalid", first_refused_at=since, status_changed_at=since
    )


def stored(grant: AdsGrant) -> AdsGrant:
    row: AdsGrant = AdsGrant._base_manager.get(pk=grant.pk)
    return row


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
