"""`prune` by itself, once a day: what was kept long enough goes, and Amazon's data within 30 days.

The sweep asks for it. Each time it works for a few seconds at most, in steps that are whole by
themselves, until nothing is left to do that day; a killed run is taken up at the next sweep, when
its lock has run out. Nothing is removed in quarantine, or by a clock that the database's differs
from: both could take for old what is not.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from connections import retention
from ppc import erasure
from sellerlegend import database_clock
from sellerlegend.jobs import locks, sweeping
from sellerlegend.jobs.models import Slot
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import WORKER, record_event

logger = logging.getLogger(__name__)

# The lock is the command's: by hand and by itself never run beside each other.
SLOT = LOCK = "prune"
SECONDS = 2.0
# Far longer than one step; a killed run is continued after it.
LEASE = timedelta(minutes=1)
SLOTS_KEPT = timedelta(days=7)
LARGEST_SKEW_SECONDS = 3600.0


@dataclass
class Run:
    """What one go removed. `is_whole`: every rule came to its end, or to an error."""

    removed: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    is_whole: bool = True


def prune_in_turn() -> int:
    """For the sweep: some of today's pruning, unless it is done, under way, or not safe."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    done = Slot.objects.filter(name=SLOT, starts_at=today).exclude(finished_at=None)
    if done.exists() or not _is_safe():
        return 0
    try:
        with locks.hold(LOCK, lease=LEASE):
            return _prune(today)
    except locks.LockHeld:
        return 0


def last_prune_at() -> datetime | None:
    """When a day's pruning last came to its end."""
    return sweeping.last_end_of(SLOT)


def _is_safe() -> bool:
    if quarantine.cause():
        return False
    skew = database_clock.skew_seconds()
    if abs(skew) > LARGEST_SKEW_SECONDS:
        logger.warning("prune_refused", extra={"skew_seconds": round(skew)})
        return False
    return True


def _prune(today: datetime) -> int:
    slot, _ = Slot.objects.get_or_create(name=SLOT, starts_at=today)
    run = _work_off([*retention.rules(), *erasure.rules(WORKER)])
    total = run.removed.total()
    if total or run.failed:
        record_event(
            "pruned",
            actor=WORKER,
            organization=None,
            removed={name: count for name, count in run.removed.items() if count},
            failed=run.failed,
        )
    logger.info("pruned", extra={"rows": total, "is_whole": run.is_whole} | dict(run.removed))
    if run.is_whole:
        Slot.objects.filter(pk=slot.pk).update(finished_at=timezone.now())
        Slot.objects.filter(name=SLOT, starts_at__lt=today - SLOTS_KEPT).delete()
    return total


def _work_off(rules: list[retention.Rule]) -> Run:
    run = Run()
    end = time.monotonic() + SECONDS
    for rule in rules:
        try:
            for count in rule.steps():
                run.removed[rule.name] += count
                if time.monotonic() >= end:
                    run.is_whole = False
                    return run
        except Exception:  # the others are not kept; this one is tried again tomorrow
            logger.exception("prune_failed", extra={"rule": rule.name})
            run.failed.append(rule.name)
    return run
