"""T5: the walk of `walk_machine.py` and `walk_of_years.py`, as long as the suite allows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sellerlegend.jobs.models import CallWindow
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.fuzzing import examples, seconds
from tests.walk_machine import Tenant
from tests.walk_of_years import WalkOfYears

# 200 in the suite, 2,000 with `make fuzz`.
PARTS = 2
WALKS_OF_A_PART = examples(100)
STEPS = 30
HOUR = timedelta(hours=1)
# What failed once is not remembered: the report shows the shortest walk that fails.
PHASES = [Phase.generate, Phase.shrink]


@pytest.fixture
def walkers(db: None, amazon: RunningEmulator) -> None:
    WalkOfYears.amazon = amazon
    first, second = (factories.make_organization(name) for name in ("Northstar", "Blue Harbor"))
    WalkOfYears.bystander = factories.make_organization("Bystander")
    WalkOfYears.tenants = (
        Tenant(first, trips.sign_in(factories.owner_of(first))),
        Tenant(second, trips.sign_in(factories.owner_of(second))),
    )


@pytest.mark.usefixtures("walkers")
def test_time_passes_over_calls_of_two_minutes_that_are_as_far_from_each_other() -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    for minute in (now, now - HOUR):
        CallWindow.objects.create(
            minute=minute, surface="lwa", organization_id=WalkOfYears.bystander.pk, calls=1
        )

    WalkOfYears().let_time_pass(HOUR)

    minutes = set(CallWindow.objects.values_list("minute", flat=True))
    assert minutes == {now - HOUR, now - 2 * HOUR}


@pytest.mark.usefixtures("walkers")
@pytest.mark.timeout(seconds(1200))
@pytest.mark.parametrize("_part", range(PARTS))
def test_no_order_of_events_breaks_a_rule(_part: int) -> None:
    run_state_machine_as_test(
        WalkOfYears,
        settings=settings(
            max_examples=WALKS_OF_A_PART,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )
