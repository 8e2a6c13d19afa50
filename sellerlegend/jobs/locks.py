"""One holder per name, by a lease in the database: a killed holder frees its lock by itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from sellerlegend.jobs.models import NamedLock

LEASE = timedelta(minutes=5)
RENEW_AFTER = timedelta(seconds=30)


class LockHeld(RuntimeError):
    """Somebody else holds the lock, or took it after our lease had run out."""


@dataclass
class Lock:
    name: str
    lease: timedelta = LEASE
    holder: uuid.UUID = field(default_factory=uuid.uuid4)
    renewed_at: datetime = field(default_factory=timezone.now)

    def renew(self) -> None:
        """Keep it; writes at most every half minute. Raises LockHeld when it was lost."""
        now = timezone.now()
        if now - self.renewed_at < RENEW_AFTER:
            return
        mine = NamedLock.objects.filter(name=self.name, holder=self.holder)
        if mine.update(lease_expires_at=now + self.lease) != 1:
            raise LockHeld(self.name)
        self.renewed_at = now


def ends_at(name: str) -> datetime | None:
    """When the lock is free again unless its holder keeps it; None: nobody has it."""
    held = NamedLock.objects.filter(name=name).exclude(holder=None)
    return held.values_list("lease_expires_at", flat=True).first()


@contextmanager
def hold(name: str, *, lease: timedelta = LEASE) -> Iterator[Lock]:
    """Raises LockHeld at once when the name is taken."""
    lock = Lock(name, lease)
    NamedLock.objects.get_or_create(name=name)
    free = Q(holder__isnull=True) | Q(lease_expires_at__lt=lock.renewed_at)
    taken = NamedLock.objects.filter(free, name=name).update(
        holder=lock.holder, lease_expires_at=lock.renewed_at + lease
    )
    if taken != 1:
        raise LockHeld(name)
    try:
        yield lock
    finally:
        NamedLock.objects.filter(name=name, holder=lock.holder).update(
            holder=None, lease_expires_at=None
        )
