"""What this process counted since it last told the database: plain numbers in memory.

Everybody may count, the Amazon clients included, which know neither Django nor our settings.
`sellerlegend.monitoring.flush` carries the numbers to the database every few seconds.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# A label that somebody forgot to bound must not fill the table: past this many series a metric
# counts everything new as one.
MOST_SERIES = 200
OTHER = "other"
BOUND = "le"

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]


@dataclass
class Tallies:
    """Numbers to add and numbers to set, by (name, labels)."""

    added: defaultdict[Series, float] = field(default_factory=lambda: defaultdict(float))
    latest: dict[Series, float] = field(default_factory=dict)


_lock = threading.Lock()
_tallies = Tallies()
_known: defaultdict[str, set[Labels]] = defaultdict(set)


def _after_fork() -> None:
    """A child starts from nothing, and with a lock that no thread of its parent holds."""
    global _lock, _tallies  # one registry for each process
    _lock, _tallies = threading.Lock(), Tallies()


os.register_at_fork(after_in_child=_after_fork)


def count(name: str, amount: float = 1.0, **labels: str) -> None:
    """Add to a counter. Labels come from closed sets: never an id, a name or a path."""
    with _lock:
        _tallies.added[_series(name, labels)] += amount


@contextmanager
def outcome(name: str, **labels: str) -> Iterator[None]:
    """Count what comes of the block: ok, or the class of the exception that ends it."""
    result = "ok"
    try:
        yield
    except Exception as error:
        result = type(error).__name__
        raise
    finally:
        count(name, 1.0, result=result, **labels)


def observe(name: str, seconds: float, bounds: tuple[float, ...], **labels: str) -> None:
    """One duration of a histogram: its bucket (not cumulative here) and the sum."""
    place = bisect_left(bounds, seconds)
    bound = f"{bounds[place]:g}" if place < len(bounds) else "+Inf"
    with _lock:
        _tallies.added[_series(f"{name}_bucket", {**labels, BOUND: bound})] += 1
        _tallies.added[_series(f"{name}_sum", labels)] += seconds


def remember(name: str, value: float, **labels: str) -> None:
    """The latest value of what goes up and down, whichever process saw it last."""
    with _lock:
        _tallies.latest[_series(name, labels)] = value


def take() -> Tallies:
    """What was counted since the last time; the caller tells the database."""
    global _tallies  # swapped whole, under the lock
    with _lock:
        taken, _tallies = _tallies, Tallies()
    return taken


def put_back(taken: Tallies) -> None:
    """The database did not hear it: these numbers wait for the next time."""
    with _lock:
        for series, amount in taken.added.items():
            _tallies.added[series] += amount
        _tallies.latest = taken.latest | _tallies.latest


def _series(name: str, labels: dict[str, str]) -> Series:
    series = tuple(sorted(labels.items()))
    known = _known[name]
    if series not in known:
        if len(known) >= MOST_SERIES:
            return name, tuple((key, value if key == BOUND else OTHER) for key, value in series)
        known.add(series)
    return name, series
