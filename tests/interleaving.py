"""Two pieces of work stepped through every order of their parts, on real threads.

A part ends where the work reaches a seam: a function of the product that a test wraps to wait
there for its turn. Whoever cannot reach the next seam because the other one holds a lock loses his
turn and goes on when the lock is free, as a database would have it.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
from django.db import connection

# Long for a part that may go on, short for one that waits for a lock. On a machine so busy that
# a part lasts longer, the order is another one, and what must hold after it is the same.
TURN_SECONDS = 0.3
PATIENCE_SECONDS = 30
_player = threading.local()


def orders(first: int, second: int) -> list[str]:
    """Every order of so many parts each: `AABB`, `ABAB`, …"""
    steps = range(first + second)
    return [
        "".join("A" if step in places else "B" for step in steps)
        for places in itertools.combinations(steps, first)
    ]


def orders_of_twins(parts: int) -> list[str]:
    """The same where both do the same: who begins is called A."""
    return [order for order in orders(parts, parts) if order.startswith("A")]


def seam(patch: pytest.MonkeyPatch, module: ModuleType, name: str, *, after: bool = False) -> None:
    """Threads that take turns wait before (or after) this function; all others pass."""
    function = getattr(module, name)

    @functools.wraps(function)
    def waiting(*args: Any, **kwargs: Any) -> Any:
        if not after:
            wait_for_turn()
        answer = function(*args, **kwargs)
        if after:
            wait_for_turn()
        return answer

    patch.setattr(module, name, waiting)


def wait_for_turn() -> None:
    player = getattr(_player, "value", None)
    if player is not None:
        player.wait()


class Player:
    """One thread: it says when it stands at a seam or is done, and goes on when told."""

    def __init__(self) -> None:
        self.may_go = threading.Semaphore(0)
        self.stands = threading.Event()

    def wait(self) -> None:
        self.stands.set()
        assert self.may_go.acquire(timeout=PATIENCE_SECONDS)

    def step(self) -> None:
        self.stands.clear()
        self.may_go.release()
        self.stands.wait(TURN_SECONDS)

    def perform(self, work: Callable[[], Any]) -> Any:
        _player.value = self
        try:
            connection.ensure_connection()
            self.wait()
            return work()
        except Exception as error:  # noqa: BLE001  # the test looks at what was raised
            return error
        finally:
            _player.value = None
            self.stands.set()
            connection.close()


def play(order: str, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Both pieces of work in this order of parts; what each returned or raised."""
    players = {"A": Player(), "B": Player()}
    with ThreadPoolExecutor(2) as pool:
        ends = [
            pool.submit(player.perform, work)
            for player, work in zip(players.values(), (first, second), strict=True)
        ]
        for player in players.values():
            assert player.stands.wait(PATIENCE_SECONDS)
        for name in order:
            players[name].step()
        for player in players.values():
            # More than enough: nobody may stop at a seam that the order does not know.
            player.may_go.release(100)
        return ends[0].result(PATIENCE_SECONDS), ends[1].result(PATIENCE_SECONDS)
