"""One soak: submit steadily while the nemesis rages, wait until all is done, check the history."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.soak.checker import Verdict, check
from tests.soak.crew import Crew, Post
from tests.soak.history import Event, Journal
from tests.soak.nemesis import Nemesis
from tests.soak.servers import OwnPostgres, OwnRedis, own_postgres, own_redis

SUBMISSIONS_A_SECOND = 5.0
CONVERGENCE_SECONDS = 120.0
# A worker is frozen for so much longer than its lease.
PAST_THE_LEASE_SECONDS = 5.0


class Side(Protocol):
    """What is under the nemesis."""

    name: str

    @property
    def lease_seconds(self) -> float: ...
    def environment(self) -> dict[str, str]: ...
    def posts(self, folder: Path) -> list[Post]: ...
    def submit(self, number: int) -> bool: ...
    def leave(self) -> None: ...
    def unfinished(self) -> int: ...
    def collect(self) -> list[Event]: ...


Open = Callable[[Path, Journal, OwnRedis, OwnPostgres], AbstractContextManager[Side]]


@dataclass(frozen=True)
class Outcome:
    """`replaced` counts the processes that the supervisor had to start again; `refused` the
    submissions that were not acknowledged, for example while the database was away."""

    name: str
    seconds: float
    seed: int
    lease_seconds: float
    verdict: Verdict
    refused: int
    replaced: int
    history: Path


def soak(
    open_side: Open,
    folder: Path,
    *,
    seconds: float,
    seed: int,
    patience: float = CONVERGENCE_SECONDS,
) -> Outcome:
    """Raises TimeoutError when servers or workers do not start. `patience` is how long, in
    seconds after the nemesis, unfinished work is waited for."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / "history.jsonl")
    with (
        own_redis() as redis,
        own_postgres() as postgres,
        open_side(folder, journal, redis, postgres) as side,
    ):
        crew = Crew(folder, side.environment(), side.posts(folder))
        try:
            crew.open()
            nemesis = Nemesis(
                crew,
                redis,
                postgres,
                journal,
                random.Random(seed),
                side.lease_seconds + PAST_THE_LEASE_SECONDS,
            )
            refused = _under(nemesis, side, seconds)
            _wait_until_done(side, patience)
        finally:
            crew.close()
        journal.extend(side.collect())
        verdict = check(journal.events)
        return Outcome(
            side.name,
            seconds,
            seed,
            side.lease_seconds,
            verdict,
            refused,
            crew.replaced,
            journal.path,
        )


def _under(nemesis: Nemesis, side: Side, seconds: float) -> int:
    """Submit in another thread while the nemesis rages in this one; how many were refused.

    In this one, because what it starts again would die with the thread that started it.
    """
    is_calm = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(_submit_until, is_calm, side)
        try:
            nemesis.rage(seconds)
        finally:
            is_calm.set()
        return submitting.result()


def _submit_until(is_calm: threading.Event, side: Side) -> int:
    number = refused = 0
    start = time.monotonic()
    while not is_calm.is_set():
        if number < (time.monotonic() - start) * SUBMISSIONS_A_SECOND:
            refused += not side.submit(number)
            number += 1
        else:
            time.sleep(0.02)
    side.leave()
    return refused


def _wait_until_done(side: Side, patience: float) -> None:
    """The checker says what is missing after that."""
    deadline = time.monotonic() + patience
    while side.unfinished() and time.monotonic() < deadline:
        time.sleep(0.5)
