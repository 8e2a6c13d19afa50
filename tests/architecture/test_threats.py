"""docs/threats.md has every row of the catalogue once, with tests that exist or a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.test_runbook import functions_of

CHECKOUT = Path(__file__).resolve().parents[2]

CATALOGUE = {
    "A": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24),
    "B": (1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 14, 15),
    "C": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22),
    "D": (1, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22),
    "E": (
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        13,
        15,
        16,
        17,
        18,
        20,
        21,
        22,
        23,
        24,
        25,
        26,
        27,
        28,
        29,
        30,
        31,
    ),
    "F": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19),
    "G": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17),
}
ROWS = [f"{section}{number}" for section, numbers in CATALOGUE.items() for number in numbers]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SHORTEST_REASON = 20


def told() -> list[tuple[str, str]]:
    """(row, what is said of it), in the order of the page."""
    text = (CHECKOUT / "docs/threats.md").read_text()
    return re.findall(r"^\| ([A-G]\d+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)


def test_every_row_is_there_once_and_in_order() -> None:
    assert [row for row, _ in told()] == ROWS


@pytest.mark.parametrize(("row", "said"), told(), ids=[row for row, _ in told()])
def test_a_row_names_tests_that_exist_or_gives_a_reason(row: str, said: str) -> None:
    named = TEST.findall(said)
    reason = TEST.sub("", said).strip(" ,;")

    assert [f"{path}::{name}" for path, name in named if name not in functions_of(path)] == []
    assert named or len(reason) >= SHORTEST_REASON, row
    assert "TODO" not in said
