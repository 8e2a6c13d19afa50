"""The sweep: picks up what a lost message or a killed worker left behind.

Beat asks for it and so does every worker by itself (`tending.py`); a row for each slot of time
lets one of them do it, so a second beat or a tenth worker costs a query.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from sellerlegend.celery import DRAIN, RUN_JOB, ring
from sellerlegend.jobs import due
from sellerlegend.jobs.claims import MAX_ATTEMPTS
from sellerlegend.jobs.kinds import KINDS
from sellerlegend.jobs.models import Job, Slot
from sellerlegend.organizations.scoping import across_organizations

logger = logging.getLogger(__name__)

SWEEP_SLOT = "sweep"
# Whoever has not ended his sweep by then was killed, or is slow: two at once do no harm.
LONGEST_SWEEP = timedelta(seconds=15)
SLOTS_KEPT = timedelta(hours=1)
# More due jobs than this are called by one bell for the whole queue.
FEW = 10

SWEEPERS: list[Callable[[], int]] = []


def register_sweeper(sweeper: Callable[[], int]) -> None:
    """Something else to look after at every sweep; returns how many rows it touched."""
    if sweeper not in SWEEPERS:
        SWEEPERS.append(sweeper)


def sweep_in_turn() -> int | None:
    """Sweep, unless somebody did in this slot of time or is still at it. None: not our turn."""
    slot = take_slot(SWEEP_SLOT, settings.SWEEP_SECONDS)
    if slot is None:
        return None
    touched = sweep()
    Slot.objects.filter(pk=slot.pk).update(finished_at=timezone.now())
    Slot.objects.filter(name=SWEEP_SLOT, starts_at__lt=slot.starts_at - SLOTS_KEPT).delete()
    return touched


def take_slot(name: str, seconds: float) -> Slot | None:
    """The running slot of `seconds`, for the first who asks; None for everybody else, and while
    the holder of an earlier one is not done."""
    now = timezone.now()
    starts_at = datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
    slots = Slot.objects.filter(name=name)
    if slots.filter(finished_at=None, starts_at__gt=now - LONGEST_SWEEP).exists():
        return None
    slot, is_ours = Slot.objects.get_or_create(name=name, starts_at=starts_at)
    return slot if is_ours else None


def last_sweep_at() -> datetime | None:
    """When a sweep last came to its end."""
    return last_end_of(SWEEP_SLOT)


def last_end_of(name: str) -> datetime | None:
    """When the work of a slot of this name was last done."""
    found: datetime | None = Slot.objects.filter(name=name).aggregate(last=Max("finished_at"))[
        "last"
    ]
    return found


def sweep() -> int:
    """Expired leases go back to the queue, or are given up after the last attempt; due jobs are
    rung again. Returns how many rows it touched or rang. Safe to run twice at once."""
    touched = recover_lost()
    for queue in sorted({kind.queue for kind in KINDS.values()}):
        touched += _isolated(_ring_due, queue)
    return touched + sum(_isolated(sweeper) for sweeper in SWEEPERS)


def _ring_due(queue: str) -> int:
    found = due.due_jobs(queue, limit=FEW + 1)
    if len(found) > FEW:
        ring(DRAIN, queue, queue)
    else:
        for job_id in found:
            ring(RUN_JOB, str(job_id), queue)
    return len(found)


def recover_lost() -> int:
    """Take back the jobs whose worker did not come back within its lease."""
    return sum(_isolated(_recover, job) for job in _expired_leases())


def _isolated(step: Callable[..., int], *arguments: Any) -> int:
    """One row that cannot be written must not keep all others from being looked after."""
    try:
        return step(*arguments)
    except Exception:  # logged with its cause; the next sweep tries again
        logger.exception("sweep_step_failed")
        return 0


def _expired_leases() -> list[Job]:
    with across_organizations("expired leases of every organization"):
        return list(
            Job.objects.filter(status=Job.Status.RUNNING, lease_expires_at__lt=timezone.now())
            .select_related("organization")
            .order_by("lease_expires_at")[:500]
        )


def _recover(job: Job) -> bool:
    exhausted = job.attempts >= MAX_ATTEMPTS
    with transaction.atomic():
        if job.kind in KINDS:
            KINDS[job.kind].changed(job)
        # Behind those that are due already: what killed its worker would be the oldest each time.
        columns: dict[str, Any] = {"status": Job.Status.QUEUED, "next_attempt_at": timezone.now()}
        if exhausted:
            columns = {"status": Job.Status.DEAD, "finished_at": timezone.now()}
        held = Job._base_manager.filter(pk=job.pk, status=Job.Status.RUNNING, fence=job.fence)
        if (
            held.update(
                lease_expires_at=None,
                last_error_code="worker_lost",
                fence=F("fence") + 1,
                **columns,
            )
            != 1
        ):
            return False
        logger.warning("lease_expired", extra={"job": job.pk, "kind": job.kind})
        if exhausted and job.kind in KINDS:
            KINDS[job.kind].give_up(job)
    return True
