"""The checker against histories that somebody made up: it must find each kind of harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.soak.checker import Verdict, check, percentile
from tests.soak.history import Event, Journal, read_journal

NORTH, SOUTH = "organization-north", "organization-south"


def job(number: int, *, start: float = 0.0, worker: str = "1.1", fence: int = 1) -> list[Event]:
    """A job that went well: acknowledged, claimed, done, and its data looked at."""
    subject, backend, name = f"subject{number}", f"session of {worker}", f"Store {number}"
    common: Any = {"job": f"job{number}", "subject": subject, "organization": NORTH}
    write: Any = {**common, "worker": worker, "backend": backend}
    number_of_transaction = 1000 * fence + number
    return [
        Event(start, "acknowledged", **common, detail=name),
        Event(start + 1, "claimed", **write, fence=fence),
        Event(start + 2, "finished", **write, fence=fence, transaction=number_of_transaction),
        Event(start + 2, "effect", **write, transaction=number_of_transaction),
        Event(start + 99, "found", subject=subject, organization=NORTH, detail=name),
    ]


def without(events: list[Event], *kinds: str) -> list[Event]:
    return [event for event in events if event.what not in kinds]


def only(events: list[Event], kind: str) -> Event:
    [found] = [event for event in events if event.what == kind]
    return found


def test_a_good_history_is_clean() -> None:
    verdict = check(job(1) + job(2, start=5))

    assert verdict.is_clean
    assert (verdict.acknowledged, verdict.done, verdict.kills) == (2, 2, 0)


def test_a_job_that_was_never_claimed_is_lost() -> None:
    verdict = check(job(1) + job(2)[:1])

    assert verdict.lost == ["subject2"]
    assert not verdict.is_clean
    assert (verdict.acknowledged, verdict.done) == (2, 1)


def test_a_job_that_was_given_up_is_lost_too() -> None:
    dead = [*job(1)[:2], Event(3, "dead", job="job1", subject="subject1", organization=NORTH)]

    assert check(dead).lost == ["subject1"]


def test_a_job_closed_without_its_effect_is_lost() -> None:
    assert check(without(job(1), "effect")).lost == ["subject1"]


def test_a_second_effect_is_seen_even_from_a_later_transaction() -> None:
    again = replace(only(job(1), "effect"), at=9, transaction=9)

    verdict = check([*job(1), again])

    assert verdict.twice == ["subject1"]
    assert verdict.stale == ["effect on subject1 by 1.1"]


def test_the_late_write_of_a_frozen_worker_is_stale() -> None:
    """Frozen past its lease, it comes back and closes what another one holds by now."""
    first = job(1)
    history = [
        *first[:2],
        Event(61, "recovered", job="job1", subject="subject1", organization=NORTH, fence=2),
        replace(first[1], at=62, worker="2.1", backend="session of 2.1", fence=3),
        replace(first[2], at=63, fence=3),
        replace(first[3], at=63),
    ]

    assert check(history).stale == ["finished job1 by 1.1"]


def test_a_write_with_an_old_fence_is_stale() -> None:
    first = job(1)

    verdict = check([*first[:2], replace(first[2], fence=0), *first[3:]])

    assert verdict.stale == ["finished job1 by 1.1"]


def test_a_write_after_the_sweep_took_the_job_is_stale() -> None:
    taken = Event(1.5, "recovered", job="job1", subject="subject1", organization=NORTH, fence=2)

    assert check([*job(1), taken]).stale == ["finished job1 by 1.1"]


def test_an_effect_beside_the_ledger_is_stale() -> None:
    """The domain rows were written, but not in the transaction that closed the job."""
    first = job(1)

    verdict = check([*first[:3], replace(first[3], transaction=77)])

    assert verdict.stale == ["effect on subject1 by 1.1"]


def test_a_job_put_down_and_taken_up_again_is_clean() -> None:
    first, second = job(1), job(1, start=9, worker="2.1", fence=2)
    put_down = replace(first[2], what="put_down")

    assert check([*first[:2], put_down, *second]).is_clean


def test_an_effect_written_for_another_organization_is_foreign() -> None:
    first = job(1)

    verdict = check([*first[:3], replace(first[3], organization=SOUTH), first[4]])

    assert verdict.foreign == ["subject1"]


def test_another_organizations_data_in_a_row_is_foreign() -> None:
    first = job(1)

    verdict = check([*first[:4], replace(first[4], detail="Store 2")])

    assert verdict.foreign == ["subject1"]


def test_recovery_is_counted_from_the_kill_to_the_next_claim() -> None:
    history = [
        *job(1)[:2],
        Event(1.5, "killed", worker="1.1"),
        Event(31, "recovered", job="job1", subject="subject1", organization=NORTH, fence=2),
        *job(1, start=31.5, worker="2.1", fence=3)[1:],
    ]

    verdict = check(history)

    assert verdict.recovery == [31.0]
    assert (verdict.kills, verdict.is_clean) == (1, True)


def test_a_neighbour_in_the_killed_pool_who_ended_his_job_is_no_victim() -> None:
    verdict = check([*job(1), Event(1.5, "killed", worker="1.1")])

    assert verdict.recovery == []


def test_another_generation_of_the_same_worker_is_no_victim() -> None:
    verdict = check([*job(1, worker="1.2")[:2], Event(1.5, "killed", worker="1.1")])

    assert verdict.recovery == []


def test_convergence_is_counted_from_the_end_of_the_nemesis() -> None:
    calm = Event(10, "calm")

    assert check([*job(1), calm]).convergence == 0.0
    assert check([*job(1), calm, *job(2, start=40)]).convergence == 32.0


def test_two_runs_of_one_plain_task_are_an_effect_twice_and_a_stale_write() -> None:
    """A plain task has no fence: both runs end well, and the first of them had been replaced."""
    first = job(1, fence=0)
    second = job(1, start=0.5, worker="2.1", fence=0)

    verdict = check([*first, *(replace(event, transaction=9) for event in second[1:])])

    assert (verdict.lost, verdict.twice) == ([], ["subject1"])
    assert verdict.stale == ["finished job1 by 1.1"]


@pytest.mark.parametrize(
    ("recovery", "convergence", "in_time"),
    [([45.0], 120.0, True), ([45.1], 0.0, False), ([], 120.1, False)],
)
def test_a_run_is_judged_by_the_goals(
    recovery: list[float], convergence: float, in_time: bool
) -> None:
    verdict = Verdict(acknowledged=1, done=1, kills=1, recovery=recovery, convergence=convergence)

    assert verdict.is_in_time is in_time


def test_percentiles_are_by_the_nearest_rank() -> None:
    assert percentile([], 0.95) == 0.0
    assert percentile([4.0], 0.95) == 4.0
    assert percentile([float(number) for number in range(1, 101)], 0.95) == 95.0


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "history.jsonl")
    journal.extend(job(1))
    journal.record("calm")

    assert read_journal(journal.path) == journal.events
    assert len(journal.path.read_text().splitlines()) == 6
