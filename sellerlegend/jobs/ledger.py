"""The ledger of background work, for those who queue it and for those who describe it.

How a job comes in stands in `queueing.py`, how it changes hands in `claims.py`, which one is next
in `due.py`, many for one message in `draining.py`, and what happens to lost ones in `sweeping.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from sellerlegend.celery import RUN_JOB, ring
from sellerlegend.jobs.claims import (
    MAX_ATTEMPTS,
    Claim,
    backoff,
    claim,
    claim_due,
    finishing_many,
)
from sellerlegend.jobs.draining import do, drain
from sellerlegend.jobs.due import due_jobs, queue_ages
from sellerlegend.jobs.keeping import kept
from sellerlegend.jobs.kinds import KINDS, Kind, register
from sellerlegend.jobs.models import Job
from sellerlegend.jobs.queueing import enqueue, enqueue_many
from sellerlegend.jobs.sweeping import (
    last_sweep_at,
    recover_lost,
    register_sweeper,
    sweep,
    sweep_in_turn,
)
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoping import across_organizations

__all__ = [
    "CANCELLED",
    "KINDS",
    "MAX_ATTEMPTS",
    "Claim",
    "Kind",
    "backoff",
    "cancel_live",
    "claim",
    "drain",
    "due_jobs",
    "enqueue",
    "enqueue_many",
    "finishing_many",
    "held_back",
    "hurry",
    "last_sweep_at",
    "queue_ages",
    "recover_lost",
    "register",
    "register_sweeper",
    "retry",
    "run",
    "run_here",
    "run_next",
    "start_over",
    "sweep",
    "sweep_in_turn",
]

LOOK_AGAIN_SECONDS = 0.2
# The error code of work that nobody wants any more, which is no failure.
CANCELLED = "cancelled"


def run_next(job_id: UUID) -> bool:
    """Do the job whose turn it is, in the queue of this one. False when none was due.

    A bell names a job, but bells wait in the order in which they were rung: if each did its own
    job, a hundred of one organization would keep another one's only job waiting.
    """
    with across_organizations("the queue is read from the job row"):
        row = Job.objects.filter(pk=job_id).values_list("queue", "attempts").first()
    if row is None:
        return False
    queue, attempts = row
    for is_first_try in (attempts == 0, attempts > 0):
        for taken in claim_due(queue, limit=1, is_first_try=is_first_try, served={}):
            with kept(taken):
                do(taken)
            return True
    return False


def run(job_id: UUID, *, is_capped: bool = True) -> bool:
    """Claim and do one job. False when it was not due or somebody else has it.

    An exception nobody foresaw leaves the claim to its lease: the sweep counts the attempt.
    """
    taken = claim(job_id, is_capped=is_capped)
    if taken is None:
        return False
    with kept(taken):
        do(taken)
    return True


def run_here(job: Job) -> Job:
    """Do the job in this process, or watch the worker that was faster. Returns the row after."""
    while True:
        run(job.pk, is_capped=False)
        job.refresh_from_db()
        lease = job.lease_expires_at
        if job.status != Job.Status.RUNNING or lease is None or lease < timezone.now():
            return job
        time.sleep(LOOK_AGAIN_SECONDS)


def held_back(kind: str) -> Exists:
    """For a query of subjects: their job is being done at this moment, or is not due yet."""
    now = timezone.now()
    running = Q(status=Job.Status.RUNNING, lease_expires_at__gte=now)
    later = Q(status__in=[Job.Status.QUEUED, Job.Status.WAITING], next_attempt_at__gt=now)
    return Exists(Job.objects.filter(running | later, kind=kind, subject_id=OuterRef("pk")))


def hurry(job: Job) -> bool:
    """Make a job due now. False when it is not there to be hurried any more."""
    with transaction.atomic():
        KINDS[job.kind].changed(job)
        idle = Job._base_manager.filter(
            pk=job.pk, status__in=[Job.Status.QUEUED, Job.Status.WAITING]
        )
        if idle.update(next_attempt_at=timezone.now()) != 1:
            return False
        ring(RUN_JOB, str(job.pk), job.queue)
    return True


def start_over(jobs: Iterable[Job]) -> None:
    """What live jobs act upon has changed: they are due now and as good as new, and whoever
    works on them with what he knew before is refused. In the caller's transaction."""
    for job in jobs:
        live = Job._base_manager.filter(pk=job.pk, status__in=Job.LIVE)
        if live.update(
            status=Job.Status.QUEUED,
            next_attempt_at=timezone.now(),
            attempts=0,
            lease_expires_at=None,
            waiting_reason="",
            fence=F("fence") + 1,
        ):
            ring(RUN_JOB, str(job.pk), job.queue)


def retry(job: Job, *, actor: Actor) -> bool:
    """Now instead of later: idle work becomes due, work given up starts over by its kind's
    rules. False when there was nothing to do."""
    if job.kind not in KINDS:
        return False
    restart = KINDS[job.kind].restart
    if job.status == Job.Status.DEAD and restart is not None:
        return restart(job, actor)
    return hurry(job)


def cancel_live(*, organization_id: UUID, subject_ids: list[UUID]) -> int:
    """Close the live jobs of subjects that went away; a running worker's write is refused."""
    jobs = Job.objects.for_organization(organization_id)
    return jobs.filter(subject_id__in=subject_ids, status__in=Job.LIVE).update(
        status=Job.Status.DEAD,
        lease_expires_at=None,
        finished_at=timezone.now(),
        last_error_code=CANCELLED,
        fence=F("fence") + 1,
    )
