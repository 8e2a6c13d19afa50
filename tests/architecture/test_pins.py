"""The pins serve every Python that the README names, not only the one they were compiled on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pinned() -> set[str]:
    text = (ROOT / "requirements.txt").read_text()
    return {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.M)}


def asked_for(version: str) -> Iterator[tuple[str, str]]:
    """Package and what it needs on this Python, extras apart."""
    python = {"python_full_version": version, "python_version": "3.11", "extra": ""}
    for package in sorted(pinned()):
        for line in metadata.requires(package) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(python):
                yield package, canonicalize_name(needed.name)


@pytest.mark.parametrize("version", ["3.11.0", "3.11.14"])
def test_what_a_pinned_package_needs_is_pinned(version: str) -> None:
    pins = pinned()
    assert len(pins) > 30
    assert [(package, name) for package, name in asked_for(version) if name not in pins] == []
