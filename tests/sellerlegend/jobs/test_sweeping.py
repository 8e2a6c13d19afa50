"""The sweep runs once for each slot of time, whoever asks for it and however often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import time_machine
from django.utils import timezone

from sellerlegend.jobs import ledger, sweeping, tasks
from sellerlegend.jobs.models import Job, Slot
from tests.sellerlegend.jobs.conftest import Work
from tests.threads import run_many

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC)


def lose(work: Work) -> Job:
    """A job whose worker died."""
    job = work.enqueue()
    assert ledger.claim(job.pk) is not None
    return work.write(job, lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_two_beats_sweep_once_in_a_slot_and_again_in_the_next(work: Work) -> None:
    """E23. Slots are counted in UTC, so the night in which the clocks change has no gap."""
    with time_machine.travel(START, tick=False) as clock:
        first = lose(work)
        tasks.sweep()
        assert work.stored(first).status == Job.Status.QUEUED
        second = lose(work)
        tasks.sweep()
        assert work.stored(second).status == Job.Status.RUNNING
        clock.shift(15)
        tasks.sweep()
        assert work.stored(second).status == Job.Status.QUEUED
    assert Slot.objects.filter(name="sweep").count() == 2


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_of_eight_who_want_one_slot_one_gets_it(work: Work) -> None:
    """E24: each worker asks by itself."""
    with time_machine.travel(START):
        taken = run_many(8, partial(sweeping.take_slot, "nightly", 60.0))

    assert sum(isinstance(slot, Slot) for slot in taken) == 1
    assert taken.count(None) == 7


def test_a_sweep_that_is_still_under_way_is_not_joined_but_a_killed_one_is_replaced() -> None:
    with time_machine.travel(START, tick=False) as clock:
        assert sweeping.take_slot("sweep", 5.0) is not None
        clock.shift(12)
        assert ledger.sweep_in_turn() is None
        clock.shift(5)
        assert ledger.sweep_in_turn() is not None


def test_the_end_of_the_last_sweep_is_told() -> None:
    assert ledger.last_sweep_at() is None

    with time_machine.travel(START, tick=False) as clock:
        ledger.sweep_in_turn()
        assert ledger.last_sweep_at() == START
        clock.shift(3600 * 25)
        ledger.sweep_in_turn()

        assert ledger.last_sweep_at() == timezone.now()
    # Slots of the day before are gone.
    assert Slot.objects.filter(name="sweep").count() == 1
