"""Real threads that start at one moment, each with a database connection of its own."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

PATIENCE_SECONDS = 60
CROWD = 20


def run_together(*work: Callable[[], T]) -> list[T | Exception]:
    """Start all at one moment; what each returned or raised, in the order given."""
    gate = threading.Barrier(len(work))

    def run(one: Callable[[], T]) -> T | Exception:
        try:
            connection.ensure_connection()
            gate.wait(PATIENCE_SECONDS)
            return one()
        except Exception as error:  # noqa: BLE001  # the test looks at what was raised
            return error
        finally:
            connection.close()

    with alone_if_many(len(work)), ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work, timeout=PATIENCE_SECONDS))


@contextlib.contextmanager
def alone_if_many(count: int) -> Iterator[None]:
    """One crowd at a time: PostgreSQL has a hundred connections for all processes of a run."""
    with Path(__file__).open() as lock:
        if count > CROWD:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_many(count: int, work: Callable[[], T]) -> list[T | Exception]:
    return run_together(*[work] * count)
