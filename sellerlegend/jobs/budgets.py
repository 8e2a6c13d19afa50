"""Repeated calls are about a tenth of all calls at most, for each process and part of Amazon.

Nothing below the ledger repeats a call: what Amazon did not answer is put down as a job, and the
job's next run is the repetition. While few calls fail, repetitions are few by themselves. When
more than one in eleven fails they would add to the trouble, so they are held: each failure takes
a point, each answer gives a tenth of one back, and with half of the points gone one repetition a
second goes out and the others wait (gRPC proposal A6 throttles retries in this way). First calls
are never held here; when half of all calls fail the breaker stops those too.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic

from sellerlegend import tallies
from sellerlegend.jobs.claims import Claim

MOST_POINTS = 20.0
SHARE = 0.1
# So that they find out when it is over, also where nobody calls for the first time.
ONE_EVERY_SECONDS = 1.0
LONGEST_HOLD_SECONDS = 30.0
# What `connections.verdicts` writes for a call that had no answer.
UNANSWERED = "amazon_unavailable"

_is_repetition: ContextVar[bool] = ContextVar("is_repetition", default=False)


@dataclass
class _Budget:
    points: float = MOST_POINTS
    let_out_at: float = -ONE_EVERY_SECONDS
    lock: threading.Lock = field(default_factory=threading.Lock)


_budgets: dict[str, _Budget] = {}


def forget() -> None:
    """As a process that has just started."""
    _budgets.clear()


def watched(run: Callable[[Claim], None]) -> Callable[[Claim], None]:
    """For a kind of work: whether its calls are repetitions is told by the job."""

    def watched_run(claim: Claim) -> None:
        with repeating(claim.job.last_error_code == UNANSWERED):
            run(claim)

    return watched_run


def watched_many(run: Callable[[Sequence[Claim]], None]) -> Callable[[Sequence[Claim]], None]:
    """Jobs that go together are a repetition when every one of them is."""

    def watched_run(claims: Sequence[Claim]) -> None:
        with repeating(all(claim.job.last_error_code == UNANSWERED for claim in claims)):
            run(claims)

    return watched_run


@contextmanager
def repeating(is_repetition: bool) -> Iterator[None]:
    token = _is_repetition.set(is_repetition)
    try:
        yield
    finally:
        _is_repetition.reset(token)


def seconds_to_hold(name: str) -> float:
    """Before a call of this part of Amazon; 0.0: it may go out."""
    if not _is_repetition.get():
        return 0.0
    budget = _budget(name)
    now = monotonic()
    with budget.lock:
        is_short = budget.points <= MOST_POINTS / 2
        if is_short and now - budget.let_out_at < ONE_EVERY_SECONDS:
            tallies.count("repetitions_held", part=name)
            # Full jitter, or all that wait would come back at one moment.
            return random.uniform(ONE_EVERY_SECONDS, LONGEST_HOLD_SECONDS)  # noqa: S311  # no secret
        budget.let_out_at = now
    tallies.count("repetitions", part=name)
    return 0.0


def answered(name: str) -> None:
    budget = _budget(name)
    with budget.lock:
        budget.points = min(MOST_POINTS, budget.points + SHARE)


def failed(name: str) -> None:
    budget = _budget(name)
    with budget.lock:
        budget.points = max(0.0, budget.points - 1.0)


def _budget(name: str) -> _Budget:
    return _budgets.setdefault(name, _Budget())
