"""Which tests begin a run: those that last for minutes, so that none of them is alone at its end.

xdist gives each worker one piece of the list; who has done with it takes from the end of another's.
So a piece begins with what lasts long, and ends with short tests that others may take.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol, TypeVar

# Each of them.
WALKS = "tests/test_walk_machine.py"
# Each whole: its tests may share servers that take a while to start. None ends in a flush of
# the test database: those stay behind all others, where pytest-django puts them.
TOGETHER = (
    "tests/browser/",
    "tests/soak/test_soak.py",
    "tests/test_outages.py",
    "tests/test_url_fuzz.py",
    "tests/connections/test_an_hour_of_outage.py",
)


class Named(Protocol):
    @property
    def nodeid(self) -> str: ...


T = TypeVar("T", bound=Named)


def longest_first(tests: list[T], workers: int) -> list[T]:
    """The same tests, cut for so many workers."""
    long: defaultdict[str, list[T]] = defaultdict(list)
    short: list[T] = []
    for test in tests:
        group = _long_group(test.nodeid)
        (long[group] if group else short).append(test)
    pieces: list[list[T]] = [[] for _ in range(workers)]
    for number, group in enumerate(sorted(long, key=_rank)):
        pieces[number % workers] += long[group]
    return _filled(pieces, short)


def _filled(pieces: list[list[T]], short: list[T]) -> list[T]:
    """Of equal length, as xdist cuts them, with the short tests behind the long ones."""
    left = sum(map(len, pieces)) + len(short)
    ordered: list[T] = []
    for number, piece in enumerate(pieces):
        length = left // (len(pieces) - number)
        missing = max(0, length - len(piece))
        ordered += piece + short[:missing]
        short = short[missing:]
        left -= max(length, len(piece))
    return ordered


def _long_group(nodeid: str) -> str:
    if nodeid.startswith(WALKS):
        return nodeid
    return next((place for place in TOGETHER if nodeid.startswith(place)), "")


def _rank(group: str) -> tuple[int, str]:
    return (1 + TOGETHER.index(group) if group in TOGETHER else 0), group
