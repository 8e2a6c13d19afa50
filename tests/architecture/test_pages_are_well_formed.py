"""Small slips that a reader of the documents trips over."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(CHECKOUT / "docs").glob("*.md"), *CHECKOUT.glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_title_stands_alone_and_once(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = prose.splitlines()
    crowded = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r"#{1,4} ", line) and before.strip()
    ]
    titles = re.findall(r"^## (.+)$", prose, re.MULTILINE)

    assert crowded == []
    assert len(titles) == len(set(titles))
    assert not re.search(r"^(.{30,})\n\1$", prose, re.MULTILINE), "a line is there twice"


def test_the_ledgers_files_are_told_as_they_are() -> None:
    page = (CHECKOUT / "docs/architecture.md").read_text()
    section = page.split("## The ledger\n", 1)[1].split("\n## ", 1)[0]
    told = set(re.findall(r"`(\w+)\.py`", section))
    there = {path.stem for path in (CHECKOUT / "sellerlegend/jobs").glob("*.py")}

    # Rows, names and doors; what happens stands in the others.
    plain = {"__init__", "admin", "apps", "kinds", "models", "progress", "tasks"}
    assert told == there - plain
