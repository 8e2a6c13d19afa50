"""T5: the walk of `walk_machine.py` and `walk_of_years.py`, as long as the suite allows."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.amazon_emulator import RunningEmulator
from tests.fuzzing import examples, seconds
from tests.walk_of_years import WalkOfYears, set_the_scene

# 60 in the suite, 2,000 with `make fuzz`.
PARTS = 2
WALKS_OF_A_PART = examples(30)
STEPS = 30
# What failed once is not remembered: the report shows the shortest walk that fails.
PHASES = [Phase.generate, Phase.shrink]


@pytest.mark.django_db
@pytest.mark.timeout(seconds(1200))
@pytest.mark.parametrize("_part", range(PARTS))
def test_no_order_of_events_breaks_a_rule(amazon: RunningEmulator, _part: int) -> None:
    set_the_scene(amazon)

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
