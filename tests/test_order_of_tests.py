"""The order in which the workers of a run get its tests."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from tests.order_of_tests import longest_first


@dataclass(frozen=True)
class Named:
    nodeid: str


SHORT = [Named(f"tests/ppc/test_linking.py::test_{number}") for number in range(90)]
WALKS = [Named(f"tests/test_walk_machine.py::test_walk[{number}]") for number in range(2)]
SOAK = [Named(f"tests/soak/test_soak.py::test_{number}") for number in range(2)]
BROWSER = [Named(f"tests/browser/test_list.py::test_{number}") for number in range(9)]


def shuffled() -> list[Named]:
    tests = [*SHORT, *WALKS, *SOAK, *BROWSER]
    random.shuffle(tests)
    return tests


def cut(tests: list[Named], workers: int) -> list[list[Named]]:
    """As `WorkStealingScheduling.check_schedule` does."""
    pieces = []
    for number in range(workers):
        length = len(tests) // (workers - number)
        pieces.append(tests[:length])
        tests = tests[length:]
    return pieces


def test_each_piece_begins_with_long_tests_and_ends_with_short_ones() -> None:
    first, second, third = cut(longest_first(shuffled(), 3), 3)

    assert first[0] == WALKS[0]
    assert set(first[1:3]) == set(SOAK)
    assert second[0] == WALKS[1]
    assert set(third[:9]) == set(BROWSER)
    assert {*first[3:], *second[1:], *third[9:]} == set(SHORT)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_no_test_is_lost_or_doubled(workers: int) -> None:
    tests = shuffled()

    ordered = longest_first(tests, workers)

    assert sorted(test.nodeid for test in ordered) == sorted(test.nodeid for test in tests)


def test_long_tests_of_one_place_keep_the_order_in_which_they_came() -> None:
    """Those that share a product of one kind stand together."""
    tests = shuffled()

    ordered = longest_first(tests, 2)

    of_browsers = [test for test in tests if test in BROWSER]
    assert [test for test in ordered if test in BROWSER] == of_browsers


def test_fewer_tests_than_workers_are_all_there() -> None:
    assert longest_first([WALKS[0], SHORT[0]], 8) == [WALKS[0], SHORT[0]]
    assert longest_first([], 8) == []
