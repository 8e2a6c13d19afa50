"""Amazon's usage plan: 15 calls at once, then one in 62.5 seconds, counted across all workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import time_machine

from sellerlegend.jobs import rates
from sellerlegend.jobs.models import RateBucket
from sellerlegend.jobs.rates import MARKETPLACE_PARTICIPATIONS as PLAN
from tests.threads import run_many

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = "a-bucket"
OURS = UUID(int=1)

pytestmark = pytest.mark.django_db


def at(seconds: float) -> time_machine.travel:
    return time_machine.travel(START + timedelta(seconds=seconds), tick=False)


def take_at(seconds: float) -> float:
    with at(seconds):
        return rates.take(KEY, PLAN)


def test_the_plan_is_amazons() -> None:
    assert (PLAN.rate, PLAN.burst) == (0.016, 15)


def test_fifteen_calls_go_out_at_once_and_the_next_one_waits() -> None:
    waits = [take_at(0) for _ in range(17)]

    assert waits[:15] == [0.0] * 15
    # 1 / 0.016 s. Asking again does not make it longer.
    assert waits[15:] == [62.5, 62.5]


def test_one_call_in_62_seconds_after_that() -> None:
    for _ in range(15):
        take_at(0)

    assert take_at(62) == pytest.approx(0.5)
    assert take_at(62.5) == 0.0
    assert take_at(62.5) == 62.5
    assert take_at(125) == 0.0


def test_the_wait_that_was_told_is_the_one_that_helps() -> None:
    for _ in range(15):
        take_at(0)

    wait = take_at(20)

    assert wait == pytest.approx(42.5)
    assert take_at(20 + wait) == 0.0


def test_an_idle_bucket_fills_to_the_burst_and_not_beyond() -> None:
    for _ in range(15):
        take_at(0)

    waits = [take_at(100_000) for _ in range(16)]

    assert waits == [0.0] * 15 + [62.5]


def test_a_clock_that_went_back_gives_nothing_away() -> None:
    for _ in range(15):
        take_at(1_000)

    assert take_at(0) == 62.5
    assert take_at(1_062.5) == 0.0


def test_a_worker_whose_clock_is_late_does_not_make_the_others_rich() -> None:
    for _ in range(14):
        take_at(1_000)

    assert take_at(0) == 0.0
    assert take_at(1_000) == 62.5


def test_a_429_empties_the_bucket() -> None:
    take_at(0)
    with at(1):
        rates.drain_bucket(KEY)

    assert take_at(1) == 62.5
    assert take_at(63.5) == 0.0


def test_a_429_for_a_bucket_nobody_used_yet_is_no_error() -> None:
    rates.drain_bucket(KEY)

    assert not RateBucket.objects.exists()


def bucket(*, organization_id: UUID = OURS, plan: rates.UsagePlan = PLAN, **changes: str) -> str:
    parts = {"application_id": "app", "selling_partner_id": "A1", "region": "NA"} | changes
    return rates.bucket_key(
        application_id=parts["application_id"],
        organization_id=organization_id,
        selling_partner_id=parts["selling_partner_id"],
        region=parts["region"],
        plan=plan,
    )


def test_a_bucket_belongs_to_application_organization_seller_region_and_operation() -> None:
    other = rates.UsagePlan("sellers.getAccount", 0.016, 15)
    others = {
        bucket(application_id="other"),
        bucket(selling_partner_id="A2"),
        bucket(region="EU"),
        bucket(plan=other),
        # A claimed Seller ID must not use up what another organization may call.
        bucket(organization_id=uuid4()),
    }

    assert len(others | {bucket()}) == 6
    assert bucket() == bucket()


def test_a_bucket_does_not_name_the_seller() -> None:
    assert "A1NORTHSTAR001" not in bucket(selling_partner_id="A1NORTHSTAR001")
    assert len(bucket()) == 64


def test_parts_do_not_run_into_each_other() -> None:
    assert bucket(application_id="ab", selling_partner_id="c") != bucket(
        application_id="a", selling_partner_id="bc"
    )


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("threads", [2, 24])
def test_workers_together_stay_within_the_plan(threads: int) -> None:
    def take_some() -> list[float]:
        return [rates.take(KEY, PLAN) for _ in range(48 // threads)]

    results = run_many(threads, take_some)

    waits = [wait for waits in results if isinstance(waits, list) for wait in waits]
    assert len(waits) == 48
    # A loser of many races may be told to come back in a second, never to go ahead.
    assert waits.count(0.0) <= PLAN.burst
    assert threads > 2 or waits.count(0.0) == PLAN.burst
