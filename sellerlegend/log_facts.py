"""Who and what a log line is about: facts that go onto every line until the work is done.

A context variable, so threads never see each other's. Ids only: no names, no addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

Fact = str | int | UUID | None

_facts: ContextVar[dict[str, Fact] | None] = ContextVar("log_facts", default=None)


def current() -> dict[str, Fact]:
    return _facts.get() or {}


def add(**facts: Fact) -> None:
    """From here to the end of the block that `about` began. None is left out."""
    _facts.set(current() | {name: fact for name, fact in facts.items() if fact is not None})


@contextmanager
def about(**facts: Fact) -> Iterator[None]:
    """Every line inside the block carries the facts; what was before is there again after it."""
    token = _facts.set(current())
    try:
        add(**facts)
        yield
    finally:
        _facts.reset(token)
