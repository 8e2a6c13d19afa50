"""docs/compliance.md has every rule once, each with a file, a test, or whose duty it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# Amazon's Data Protection Policy, and the items of ASVS 5.0 that this product set out to meet.
POLICY = re.findall(r"\S+", "1.1 1.2 1.3 1.4 1.4.2 1.5 1.6 1.7 1.8 2.1 2.4 2.5 2.6.1 2.7 2.8")
ITEMS = re.findall(
    r"\S+",
    "1.2.10 2.3.1 2.3.3 2.3.4 2.4.1 3.3.1 3.3.2 3.3.3 3.3.4 3.4.1 3.4.2 3.4.3 3.4.4 3.4.5 3.4.6 "
    "3.5.1 3.5.2 3.5.3 3.7.2 6.3.1 6.3.8 7.2.4 7.4.1 7.4.2 7.4.3 8.2.1 8.2.2 8.2.3 8.3.2 8.4.1 "
    "10.1.1 10.1.2 10.2.1 10.2.2 10.2.3 11.2.2 11.3.2 11.3.3 11.3.4 11.5.1 13.1.2–13.2.6 13.3.1 "
    "13.3.2 13.3.3 13.3.4 14.2.1 14.2.2 14.3.2 15.3.1 15.3.2 15.3.3 15.3.4 15.3.7 15.4.2 16.2.5 "
    "16.4.1 16.5.1 16.5.2 16.5.3 16.5.4",
)


def rows() -> list[tuple[str, str]]:
    text = (CHECKOUT / "docs/compliance.md").read_text()
    return re.findall(r"^\| (\d[\d.–]*) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)


def test_every_rule_is_there_once_and_in_order() -> None:
    assert [rule for rule, _ in rows()] == POLICY + ITEMS


@pytest.mark.parametrize(("rule", "held_by"), rows())
def test_every_rule_is_held_by_something(rule: str, held_by: str) -> None:
    is_held = re.search(r"`[\w./-]+(::\w+)?`|[\w/]+\.(md|py)", held_by)

    assert is_held or "operator's duty" in held_by, rule
