"""Leases of long steps, kept by the process that works on them for as long as it lives.

So a lease may be short: it says how soon a dead process is noticed, not how long a call may take.
A process that is frozen keeps nothing; one that hangs keeps its lease no longer than Celery's own
time limit would let it run.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import DatabaseError, InterfaceError, connection

from sellerlegend.transitions import StaleState

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# Celery's hard limit for one task, where it has one.
LONGEST_SECONDS = 120.0


class Keepable(Protocol):
    """A claim: `kind.lease_seconds` long, renewed by `keep`, which raises StaleState when lost."""

    @property
    def kind(self) -> Any: ...
    def keep(self) -> None: ...


@dataclass(eq=False)
class _Held:
    claim: Keepable
    since: float = field(default_factory=time.monotonic)
    renewed: float = field(default_factory=time.monotonic)

    def is_due(self, now: float) -> bool:
        is_old = now - self.renewed >= self.claim.kind.lease_seconds / 3
        return is_old and now - self.since < LONGEST_SECONDS


_held: set[_Held] = set()
_keepers: dict[int, threading.Thread] = {}


@contextmanager
def kept(*claims: Keepable) -> Iterator[None]:
    """Inside the block each lease is renewed after a third of its time, again and again."""
    mine = [_Held(claim) for claim in claims]
    _held.update(mine)
    if os.getpid() not in _keepers:
        _hire_keeper()
    try:
        yield
    finally:
        _held.difference_update(mine)


def _hire_keeper() -> None:
    """One thread for all jobs of a process; a forked process needs its own."""
    keeper = threading.Thread(target=_keep, name="lease-keeper", daemon=True)
    _keepers[os.getpid()] = keeper
    keeper.start()


def _keep() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        due = [held for held in tuple(_held) if held.is_due(time.monotonic())]
        for held in due:
            _renew(held)
        if due:
            connection.close()


def _renew(held: _Held) -> None:
    try:
        held.claim.keep()
        held.renewed = time.monotonic()
    except StaleState:
        _held.discard(held)  # whoever works on it finds out at its own next write
    except (DatabaseError, InterfaceError) as error:
        logger.warning("lease_not_kept", extra={"cause": type(error).__name__})
