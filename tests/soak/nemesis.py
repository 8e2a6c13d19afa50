"""Who breaks things, by a script that a seed decides: the same seed, the same deeds."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.soak.crew import Crew, Post, child_of
from tests.soak.history import Journal
from tests.soak.servers import PG_FAST, PG_IMMEDIATE, OwnPostgres, OwnRedis

DECK = (
    *["kill_child"] * 4,
    *["kill_worker"] * 3,
    *["terminate_worker"] * 2,
    "restart_redis",
    "flush_redis",
    "freeze_redis",
    "restart_postgres_fast",
    "restart_postgres_immediate",
)
REDIS_FROZEN_SECONDS = 4.0


@dataclass
class Nemesis:
    """`frozen_seconds` is how long a worker is stopped; longer than its lease."""

    crew: Crew
    redis: OwnRedis
    postgres: OwnPostgres
    journal: Journal
    rng: random.Random
    frozen_seconds: float
    _frozen: list[tuple[float, Post]] = field(default_factory=list)

    def rage(self, seconds: float) -> None:
        """Deal the deck again and again for so long, evenly. One worker is always frozen, each
        time past its lease. Returns when the last one has thawed."""
        start = time.monotonic()
        pause = 60.0 / len(DECK)
        deals = self._deals()
        number = 0
        while time.monotonic() - start < seconds:
            if not self._frozen and time.monotonic() - start < max(1.0, seconds - 60):
                self._freeze_worker()
            getattr(self, f"_{next(deals)}")()
            number += 1
            self._wait_until(start + number * pause)
        while self._frozen:
            self._wait_until(time.monotonic() + 0.5)
        self.journal.record("calm")

    def _deals(self) -> Iterator[str]:
        while True:
            deck = list(DECK)
            self.rng.shuffle(deck)
            yield from deck

    def _wait_until(self, moment: float) -> None:
        while True:
            self._thaw_those_due()
            left = moment - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))

    # Workers ----------------------------------------------------------------------------

    def _kill_child(self) -> None:
        post = self.crew.pick(self.rng)
        child = child_of(post, self.rng)
        if child is None:
            self._kill_worker()
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        self.journal.record("killed", worker=post.holder, detail="pool child")

    def _kill_worker(self) -> None:
        post = self.crew.pick(self.rng)
        post.signal(signal.SIGKILL)
        self.journal.record("killed", worker=post.holder, detail="whole worker")

    def _terminate_worker(self) -> None:
        """A deploy: only the main process is told, as supervisors do."""
        post = self.crew.pick(self.rng)
        with contextlib.suppress(ProcessLookupError):
            os.kill(post.pid, signal.SIGTERM)
        self.journal.record("deed", worker=post.holder, detail="SIGTERM")

    def _freeze_worker(self) -> None:
        post = self.crew.pick(self.rng)
        post.is_frozen = True
        post.signal(signal.SIGSTOP)
        self._frozen.append((time.monotonic() + self.frozen_seconds, post))
        self.journal.record("deed", worker=post.holder, detail="SIGSTOP")

    def _thaw_those_due(self) -> None:
        for due, post in list(self._frozen):
            if time.monotonic() >= due:
                post.signal(signal.SIGCONT)
                post.is_frozen = False
                self._frozen.remove((due, post))
                self.journal.record("deed", worker=post.holder, detail="SIGCONT")

    # Servers ----------------------------------------------------------------------------

    def _restart_redis(self) -> None:
        self.journal.record("deed", detail="Redis: kill -9 and start")
        self.redis.kill()
        self.redis.start()

    def _flush_redis(self) -> None:
        self.journal.record("deed", detail="Redis: FLUSHALL")
        self.redis.flush()

    def _freeze_redis(self) -> None:
        self.journal.record("deed", detail=f"Redis: frozen for {REDIS_FROZEN_SECONDS:.0f} s")
        self.redis.freeze()
        self._wait_until(time.monotonic() + REDIS_FROZEN_SECONDS)
        self.redis.thaw()

    def _restart_postgres_fast(self) -> None:
        self.journal.record("deed", detail="PostgreSQL: restart, fast")
        self.postgres.stop(PG_FAST)
        self.postgres.start()

    def _restart_postgres_immediate(self) -> None:
        self.journal.record("deed", detail="PostgreSQL: restart, immediate")
        self.postgres.stop(PG_IMMEDIATE)
        self.postgres.start()
