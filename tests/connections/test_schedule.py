"""When ten thousand consents are proved: spread over the day, and never a day apart."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from connections import verification
from connections.models import AdsGrant, Connection, SpApiGrant
from sellerlegend.organizations.models import Organization
from tests import factories

NOW = datetime.fromisoformat("2026-11-26T12:00:00+00:00")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MANY = 10_000


def hours(moments: list[datetime]) -> Counter[int]:
    return Counter((moment - NOW) // HOUR for moment in moments)


def test_ten_thousand_that_nobody_scheduled_spread_over_the_day() -> None:
    found = hours([verification.first_proof(NOW) for _ in range(MANY)])

    assert set(found) == set(range(24))
    assert max(found.values()) < 2 * MANY / 24


def test_what_began_together_comes_apart_and_is_never_a_day_late() -> None:
    moments = [NOW] * MANY
    for _ in range(14):
        following = [verification.next_proof(moment) for moment in moments]
        gaps = [after - before for after, before in zip(following, moments, strict=True)]
        assert min(gaps) >= timedelta(hours=20)
        # With an hour for the sweep and the queue still within the day.
        assert max(gaps) <= timedelta(hours=23)
        moments = following

    by_hour = hours(moments)

    assert max(by_hour.values()) < MANY / 6


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (timedelta(0), HOUR),
        (HOUR, 6 * HOUR),
        (6 * HOUR, DAY),
        (DAY, 2 * DAY),
        (2 * DAY + HOUR, 3 * DAY),
        (3 * DAY + HOUR, 4 * DAY),
        (4 * DAY, None),
        (40 * DAY, None),
    ],
)
def test_quiet_probes_begin_within_the_hour_and_are_few(
    over: timedelta, expected: timedelta | None
) -> None:
    found = {verification.next_quiet_probe(NOW, NOW + over) for _ in range(30)}

    if expected is None:
        assert found == {None}
        return
    assert len(found) > 1  # what ended together is not asked together
    waits = [moment - NOW for moment in found if moment is not None]
    assert expected * verification.QUIET_SOONEST <= min(waits) <= max(waits) <= expected


def test_each_quiet_probe_leads_to_the_next_and_six_are_all() -> None:
    asked, due = 0, verification.columns_of_end(NOW)["verify_due_at"]
    while due is not None:
        asked, due = asked + 1, verification.next_quiet_probe(NOW, due)

    assert asked == 6


@pytest.fixture
def crowd(db: None) -> Organization:
    organization = factories.make_organization()
    rows = Connection.objects.for_organization(organization).bulk_create(
        Connection(
            organization=organization,
            name=f"Store {number}",
            region="NA",
            marketplace_id=factories.US,
            selling_partner_id=f"A{number:013d}",
        )
        for number in range(MANY)
    )
    with_token = {
        "status": "active",
        "refresh_token": "sealed",
        "authorized_at": timezone.now(),
    }
    SpApiGrant._base_manager.bulk_create(
        SpApiGrant(id=uuid.uuid4(), connection=row, **with_token) for row in rows
    )
    return organization


def test_an_upgrade_schedules_ten_thousand_in_batches_and_fires_none(crowd: Organization) -> None:
    queued: list[int] = []
    scheduled = []
    while count := verification.schedule_new(SpApiGrant):
        scheduled.append(count)

    verification.queue_due(SpApiGrant, lambda _owner, grants: queued.append(len(grants)))

    assert scheduled == [verification.BATCH] * (MANY // verification.BATCH)
    assert sum(queued) < MANY / 100
    grants = SpApiGrant.objects.for_organization(crowd)
    due = [moment - timezone.now() for moment in grants.values_list("verify_due_at", flat=True)]
    assert max(due) <= DAY
    assert len({moment // HOUR for moment in due}) >= 24


def test_what_is_overdue_is_queued_in_bounded_batches(crowd: Organization) -> None:
    grants = SpApiGrant.objects.for_organization(crowd)
    grants.update(verify_due_at=timezone.now() - HOUR)
    queued: list[int] = []

    for _ in range(3):
        verification.queue_due(SpApiGrant, lambda _owner, found: queued.append(len(found)))

    assert queued == [verification.QUEUED_AT_ONCE] * 3
    assert (
        grants.filter(verify_due_at__gt=timezone.now()).count() == 3 * verification.QUEUED_AT_ONCE
    )


def test_a_time_that_a_reading_set_meanwhile_stays(db: None) -> None:
    grant = factories.make_ads_grant(factories.make_organization())
    mine = AdsGrant.objects.for_organization(grant.organization_id)
    soon = timezone.now() + HOUR
    mine.update(verify_due_at=soon)

    assert verification.schedule_new(AdsGrant) == 0

    assert mine.get().verify_due_at == soon
