"""How calls of Amazon went, by part of Amazon, organization and minute: what incidents are made of.

Every call passes `breakers.guarded`, which counts it here in memory for whoever said
`on_behalf_of`. A thread of each process carries the numbers to the database every few seconds, as
it does with tallies, and the sweep does so before it looks. A call that we held back is none, and
a refusal of our own client says nothing of Amazon. An answer that no page of Amazon's explains is a
failure: given to many it is no seller's.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import Error, connection, transaction
from django.utils import timezone

from sellerlegend.amazon.errors import (
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    GrantInvalid,
    UnexpectedReply,
)
from sellerlegend.amazon.probes import ProbeKind
from sellerlegend.amazon.regions import Region
from sellerlegend.jobs.models import CallWindow, Incident

logger = logging.getLogger(__name__)

# What the database could not be told for so long is of no use any more.
HELD = timedelta(minutes=10)

KEYS = ("minute", "surface", "region", "organization_id")
COUNTS = ("calls", "failures", "throttled", "refused")
# In one statement, so that processes add up: neither reads what the other wrote.
ADD = "INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({keys}) DO UPDATE SET {sums}"

# Whose part a call is, by the first word of its breaker: a question for a role is put to the
# Selling Partner API of its region, whatever its own breaker is called.
SURFACES: dict[str, Incident.Surface] = {surface.value: surface for surface in Incident.Surface} | {
    kind.value: Incident.Surface.SELLERS for kind in ProbeKind
}

Key = tuple[datetime, str, str, UUID]

_caller: ContextVar[UUID | None] = ContextVar("organization_that_calls", default=None)
_lock = threading.Lock()
_counts: defaultdict[Key, list[int]] = defaultdict(lambda: [0] * len(COUNTS))


def _after_fork() -> None:
    """A child starts from nothing, and with a lock that no thread of its parent holds."""
    global _lock  # noqa: PLW0603  # one for each process
    _lock = threading.Lock()
    _counts.clear()


os.register_at_fork(after_in_child=_after_fork)


def forget() -> None:
    with _lock:
        _counts.clear()


@contextmanager
def on_behalf_of(organization_id: UUID) -> Iterator[None]:
    """Calls of this block are made with a consent of this organization."""
    token = _caller.set(organization_id)
    try:
        yield
    finally:
        _caller.reset(token)


@contextmanager
def counted(part: str) -> Iterator[None]:
    """Around one call of a part of Amazon, by the name of its breaker."""
    try:
        yield
    except AmazonUnavailable as error:
        _count(part, failures=1, throttled=int(error.throttled))
        raise
    except UnexpectedReply as error:
        error.part = part_of(part)
        _count(part, failures=1)
        raise
    except (GrantInvalid, AccessTokenRejected):
        _count(part, failures=1, refused=1)
        raise
    except ClientMisconfigured:
        raise
    except AmazonError:
        _count(part)
        raise
    _count(part)


def part_of(name: str) -> tuple[str, str] | None:
    """Surface and region of a breaker; None for one that incidents know nothing of."""
    word, _, region = name.partition(".")
    surface = SURFACES.get(word)
    regions = ("",) if surface == Incident.Surface.LWA else tuple(Region)
    return (surface.value, region) if surface is not None and region in regions else None


def _count(part: str, *, failures: int = 0, throttled: int = 0, refused: int = 0) -> None:
    caller = _caller.get()
    if caller is None:
        return
    known = part_of(part)
    if known is None:
        return
    minute = timezone.now().replace(second=0, microsecond=0)
    with _lock:
        numbers = _counts[minute, *known, caller]
        for place, amount in enumerate((1, failures, throttled, refused)):
            numbers[place] += amount


def flush() -> None:
    """Tell the database. Never raises: what it does not hear now it is told the next time."""
    taken = _take()
    if not taken:
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # In one order everywhere, so that two processes never wait for each other in a circle.
            cursor.executemany(_statement(), [_row(*item) for item in sorted(taken.items())])
    except Error as error:
        _put_back(taken)
        logger.warning("outcomes_not_told", extra={"cause": type(error).__name__})


def _take() -> dict[Key, list[int]]:
    with _lock:
        taken = dict(_counts)
        _counts.clear()
    return taken


def _put_back(taken: dict[Key, list[int]]) -> None:
    oldest = timezone.now() - HELD
    with _lock:
        for key, numbers in taken.items():
            if key[0] < oldest:
                continue
            known = _counts[key]
            for place, amount in enumerate(numbers):
                known[place] += amount


def _statement() -> str:
    table, columns = CallWindow._meta.db_table, (*KEYS, *COUNTS)
    return ADD.format(
        table=table,
        columns=", ".join(columns),
        values=", ".join(["%s"] * len(columns)),
        keys=", ".join(KEYS),
        sums=", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in COUNTS),
    )


def _row(key: Key, numbers: list[int]) -> list[Any]:
    values = zip((*KEYS, *COUNTS), (*key, *numbers), strict=True)
    fields: Any = CallWindow._meta
    return [fields.get_field(name).get_db_prep_value(value, connection) for name, value in values]
