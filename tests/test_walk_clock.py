"""The clock of the walk: what there is once for each minute, and what is pruned, do not stop it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from sellerlegend.jobs.models import CallWindow
from tests.amazon_emulator import RunningEmulator
from tests.walk_machine import NORTHSTAR, SPAPI_ALONE
from tests.walk_of_years import WalkOfYears, set_the_scene

HOUR = timedelta(hours=1)


@pytest.mark.django_db
def test_time_passes_over_calls_of_two_minutes_that_are_as_far_from_each_other(
    amazon: RunningEmulator,
) -> None:
    set_the_scene(amazon)
    walk = WalkOfYears()
    now = timezone.now().replace(second=0, microsecond=0)
    for minute in (now, now - HOUR):
        CallWindow.objects.create(
            minute=minute, surface="lwa", organization_id=WalkOfYears.bystander.pk, calls=1
        )

    walk.let_time_pass(HOUR)
    minutes = set(CallWindow.objects.values_list("minute", flat=True))
    walk.take_all_back()

    assert minutes == {now - HOUR, now - 2 * HOUR}


@pytest.mark.django_db
def test_after_a_month_a_trip_is_forgotten_and_its_callback_changes_nothing(
    amazon: RunningEmulator,
) -> None:
    """Only one walk in some thousand comes to it by chance."""
    set_the_scene(amazon)
    walk = WalkOfYears()
    walk.begin_with_a_store_each(seller=NORTHSTAR, reads=False)
    trip = walk.model.trips[0]

    walk.months_pass(days=29, works=True)
    assert not walk.is_pruned(trip)
    walk.come_back(trip=0)
    walk.time_passes(minutes=1500, works=True)
    walk.the_sweep_comes()
    is_pruned = walk.is_pruned(trip)
    walk.come_back(trip=0)
    walk.a_stranger_comes_back(trip=0)
    walk.take_all_back()

    assert is_pruned


@pytest.mark.django_db
def test_what_an_operator_asked_for_ends_with_the_row_that_is_erased(
    amazon: RunningEmulator,
) -> None:
    set_the_scene(amazon)
    walk = WalkOfYears()
    walk.begin_with_a_store_each(seller=NORTHSTAR, reads=False)
    walk.disconnect(org=0, row=0, sides=SPAPI_ALONE)
    walk.an_operator_resyncs(org=0, row=0)

    walk.months_pass(days=180, works=False)
    walk.live_work_has_a_subject_and_subjects_have_their_work()
    walk.take_all_back()
