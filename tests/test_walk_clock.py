"""The clock of the walk: what there is one of for each minute does not stop it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from sellerlegend.jobs.models import CallWindow
from tests.amazon_emulator import RunningEmulator
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
