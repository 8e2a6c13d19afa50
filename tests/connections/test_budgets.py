"""Repetitions are about a tenth of all calls at most, and nothing is lost by their being held."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from connections.models import Connection
from marketplaces import services as marketplace_services
from sellerlegend import tallies
from sellerlegend.amazon.errors import AmazonUnavailable
from sellerlegend.jobs import breakers, budgets, ledger
from sellerlegend.jobs.models import Breaker, Job
from tests import factories
from tests.amazon_emulator import RunningEmulator

NAME, OPERATION = "sellers.EU", "sellers.read"
SELLER = "A1NORTHSTAR001"


@dataclass
class Clock:
    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("sellerlegend.jobs.budgets.monotonic", clock.monotonic)
    return clock


def goes_out(*, name: str = NAME) -> bool:
    with budgets.repeating(True):
        return budgets.seconds_to_hold(name) == 0.0


def spend(name: str = NAME) -> None:
    for _ in range(int(budgets.MOST_POINTS / 2)):
        budgets.failed(name)


def simulate(clock: Clock, *, share_that_fails: float, is_held: bool) -> tuple[int, int]:
    """Twenty new calls a second for ten minutes; what fails is repeated after 5 s on average.
    Returns (calls, repetitions among them)."""
    dice = random.Random(20)
    waiting: list[float] = []
    calls = repetitions = 0
    for _ in range(600):
        clock.now += 1.0
        due = [at for at in waiting if at <= clock.now]
        waiting = [at for at in waiting if at > clock.now]
        for is_repetition in [False] * 20 + [True] * len(due):
            with budgets.repeating(is_repetition):
                hold = budgets.seconds_to_hold(NAME) if is_held else 0.0
            if hold:
                waiting.append(clock.now + hold)
                continue
            calls += 1
            repetitions += is_repetition
            if dice.random() < share_that_fails:
                budgets.failed(NAME)
                waiting.append(clock.now + dice.uniform(2, 8))
            else:
                budgets.answered(NAME)
    return calls, repetitions


# The rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2, 0.3, 0.45])
def test_repetitions_are_a_tenth_at_most(clock: Clock, share: float) -> None:
    calls, repetitions = simulate(clock, share_that_fails=share, is_held=True)

    assert repetitions <= 0.11 * calls


def test_without_it_they_would_be_many_more(clock: Clock) -> None:
    calls, repetitions = simulate(clock, share_that_fails=0.3, is_held=False)

    assert repetitions > 0.25 * calls


def test_a_few_failures_hold_nothing_up(clock: Clock) -> None:
    tallies.take()

    simulate(clock, share_that_fails=0.02, is_held=True)

    assert not [name for name, _ in tallies.take().added if name == "repetitions_held"]


def test_first_calls_are_never_held(clock: Clock) -> None:
    for _ in range(100):
        budgets.failed(NAME)

    assert budgets.seconds_to_hold(NAME) == 0.0
    with budgets.repeating(False):
        assert budgets.seconds_to_hold(NAME) == 0.0


def test_one_a_second_finds_out_when_it_is_over(clock: Clock) -> None:
    spend()
    assert [goes_out() for _ in range(3)] == [True, False, False]

    clock.now += budgets.ONE_EVERY_SECONDS

    assert [goes_out() for _ in range(3)] == [True, False, False]


def test_after_the_trouble_all_go_out_again(clock: Clock) -> None:
    spend()
    goes_out()
    assert not goes_out()

    budgets.answered(NAME)

    assert [goes_out() for _ in range(5)] == [True] * 5


def test_the_longest_trouble_is_over_after_a_hundred_answers(clock: Clock) -> None:
    for _ in range(1000):
        budgets.failed(NAME)
    for _ in range(101):
        budgets.answered(NAME)

    assert [goes_out() for _ in range(5)] == [True] * 5


def test_each_part_of_amazon_has_its_own(clock: Clock) -> None:
    spend()
    goes_out()

    assert not goes_out()
    assert [goes_out(name="sellers.NA") for _ in range(3)] == [True] * 3


def test_those_that_are_held_do_not_come_back_at_one_moment(clock: Clock) -> None:
    spend()
    goes_out()
    with budgets.repeating(True):
        holds = {budgets.seconds_to_hold(NAME) for _ in range(50)}

    assert len(holds) == 50
    assert min(holds) >= budgets.ONE_EVERY_SECONDS
    assert max(holds) <= budgets.LONGEST_HOLD_SECONDS


# Where it stands -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_held_repetition_is_no_call_no_failure_and_no_probe(clock: Clock) -> None:
    spend()
    goes_out()
    before = list(Breaker.objects.values())

    with (
        budgets.repeating(True),
        pytest.raises(AmazonUnavailable) as held,
        breakers.guarded(NAME, operation=OPERATION),
    ):
        pytest.fail("it went out")

    assert held.value.retry_after is not None
    assert held.value.retry_after >= budgets.ONE_EVERY_SECONDS
    assert list(Breaker.objects.values()) == before
    with breakers.guarded(NAME, operation=OPERATION):
        pass


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=SELLER,
        refresh_token=amazon.world.authorize(SELLER, "NA"),
    )


def run_again(job: Job) -> Job:
    ledger.hurry(job)
    ledger.run(job.pk)
    job.refresh_from_db()
    return job


@pytest.mark.django_db
def test_a_job_that_had_no_answer_waits_on_and_is_done_in_the_end(
    amazon: RunningEmulator, connection: Connection, clock: Clock
) -> None:
    amazon.scenario("html_error_page", surface="sellers", times=1)
    job = run_again(marketplace_services.begin_reading(connection=connection))
    assert (job.status, job.last_error_code) == ("waiting", "amazon_unavailable")
    spend("sellers.NA")
    with budgets.repeating(True):
        budgets.seconds_to_hold("sellers.NA")
    known = amazon.ledger.last_number

    held = run_again(job)

    assert (held.status, held.waiting_reason, held.attempts) == ("waiting", "amazon_unavailable", 0)
    assert amazon.ledger.calls(since=known, surface="sellers") == []

    clock.now += budgets.ONE_EVERY_SECONDS
    assert run_again(job).status == "done"


@pytest.mark.django_db
def test_new_work_beside_it_goes_out(
    amazon: RunningEmulator, connection: Connection, clock: Clock
) -> None:
    spend("sellers.NA")
    with budgets.repeating(True):
        budgets.seconds_to_hold("sellers.NA")

    assert run_again(marketplace_services.begin_reading(connection=connection)).status == "done"


def test_every_kind_of_work_is_watched() -> None:
    kinds = [kind for name, kind in ledger.KINDS.items() if not name.startswith("tests.")]
    runs = [run for kind in kinds for run in (kind.run, kind.run_many) if run is not None]

    assert len(runs) >= 6
    assert {run.__qualname__.partition(".")[0] for run in runs} == {"watched", "watched_many"}
