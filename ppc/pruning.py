"""`prune` by itself: what was kept long enough goes, once a day. What people can have back for 30
days goes within the hour, so that they have all of them, and Amazon's data is gone in time.

The sweep asks for it. Each time it works for a few seconds at most, in steps that are whole by
themselves, until nothing is left to do in that slot; a killed run is taken up at the next sweep,
when its lock has run out. Nothing is removed in quarantine, or by a clock that the database's
differs from: both could take for old what is not.
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
from sellerlegend.organizations.audit import WORKER, Actor, record_event

logger = logging.getLogger(__name__)

# The lock is the command's: by hand and by itself never run beside each other.
SLOT = LOCK = "prune"
SLOT_OF_THE_HOUR = "prune_hour"
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
    """For the sweep: some of today's pruning, then of this hour's, unless it is done, under way,
    or not safe."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for slot, starts_at, rules in (
        (SLOT, hour.replace(hour=0), all_rules),
        (SLOT_OF_THE_HOUR, hour, erasure.rules_of_the_hour),
    ):
        done = Slot.objects.filter(name=slot, starts_at=starts_at).exclude(finished_at=None)
        if not done.exists():
            return _prune_alone(slot, starts_at, rules(WORKER))
    return 0


def all_rules(actor: Actor) -> list[retention.Rule]:
    return [*retention.rules(), *erasure.rules(actor)]


def _prune_alone(slot: str, starts_at: datetime, rules: list[retention.Rule]) -> int:
    if not _is_safe():
        return 0
    try:
        with locks.hold(LOCK, lease=LEASE):
            return _prune(slot, starts_at, rules)
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


def _prune(name: str, starts_at: datetime, rules: list[retention.Rule]) -> int:
    slot, _ = Slot.objects.get_or_create(name=name, starts_at=starts_at)
    run = _work_off(rules)
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
        Slot.objects.filter(name=name, starts_at__lt=starts_at - SLOTS_KEPT).delete()
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
        except Exception:  # the others are not kept; this one is tried again in the next slot
            logger.exception("prune_failed", extra={"rule": rule.name})
            run.failed.append(rule.name)
    return run
