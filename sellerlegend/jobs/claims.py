"""Claim, lease, fence, finish: the one place where background work changes hands.

A service runs inside a `Claim`: it calls Amazon outside any transaction and then writes its
domain rows inside `with claim.finishing(...)`, one short transaction that also closes the job.
When the lease was lost meanwhile, `finishing` raises `StaleState` and nothing is written.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from sellerlegend.jobs import due, progress
from sellerlegend.jobs.kinds import KINDS, Kind
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.transitions import StaleState

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
BACKOFF_BASE_SECONDS = 5
BACKOFF_CAP_SECONDS = 900

# `status || ''` keeps it to the primary key: the planner takes running jobs for so few that it
# reads all of them, in their index, to find these.
_CLOSE = """
UPDATE jobs_job
SET status = 'done', finished_at = %(now)s, waiting_reason = '', lease_expires_at = NULL
FROM unnest(%(ids)s::uuid[], %(fences)s::bigint[]) AS held (id, fence)
WHERE jobs_job.id = held.id AND jobs_job.fence = held.fence AND jobs_job.status || '' = 'running'
RETURNING jobs_job.id
"""


@dataclass(frozen=True)
class Claim:
    """The right to do one job until the lease ends."""

    job: Job
    fence: int

    @contextmanager
    def finishing(self, *, error: str | None = None) -> Iterator[None]:
        """One transaction: the job is done and so is what the caller writes inside.

        `error` names a permanent refusal, for work whose subject has no column for it.
        """
        columns = {} if error is None else {"last_error_code": error}
        with transaction.atomic():
            self.kind.changed(self.job)
            self._release(
                status=Job.Status.DONE, finished_at=timezone.now(), waiting_reason="", **columns
            )
            yield

    def wait(self, *, reason: str, retry_after: float | None = None, counted: bool = True) -> None:
        """Put the job down, visibly; it is tried again by itself.

        `retry_after` in seconds, else full jitter by attempt. `counted=False` gives the attempt
        back: being told to wait by a rate limit is not a failure. A counted wait after the last
        attempt makes the job dead instead, and its kind says what that means.
        """
        exhausted = counted and self.job.attempts >= MAX_ATTEMPTS
        delay = backoff(self.job.attempts) if retry_after is None else retry_after
        columns: dict[str, Any] = {
            "status": Job.Status.WAITING,
            "next_attempt_at": timezone.now() + timedelta(seconds=delay),
            "waiting_reason": reason,
            "attempts": F("attempts") - (0 if counted else 1),
        }
        if exhausted:
            columns = {"status": Job.Status.DEAD, "finished_at": timezone.now()}
        with transaction.atomic():
            self.kind.changed(self.job)
            self._release(last_error_code=reason, **columns)
            if exhausted:
                self.kind.give_up(self.job)

    def keep(self) -> None:
        """Renew the lease between the calls of a long step. Raises StaleState when it is lost."""
        lease = timezone.now() + timedelta(seconds=self.kind.lease_seconds)
        self._write(lease_expires_at=lease)

    @property
    def kind(self) -> Kind:
        return KINDS[self.job.kind]

    def _release(self, **columns: Any) -> None:
        self._write(lease_expires_at=None, **columns)

    def _write(self, **columns: Any) -> None:
        """Every write is conditional on the fence: a late worker changes nothing."""
        held = Job._base_manager.filter(pk=self.job.pk, status=Job.Status.RUNNING, fence=self.fence)
        if held.update(**columns) != 1:
            logger.warning("stale_write_refused", extra={"job": self.job.pk})
            raise StaleState("another worker holds this job now")


def backoff(attempts: int) -> float:
    """Full jitter: a random wait up to base × 2^n, capped, never below two seconds."""
    longest = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2**attempts)
    return max(2.0, random.uniform(0, longest))  # noqa: S311  # jitter, not a secret


# Claiming ----------------------------------------------------------------------------------


def claim(job_id: UUID, *, now: datetime | None = None, is_capped: bool = True) -> Claim | None:
    """Take a due job: one conditional UPDATE with lease, fence and attempt. None: not ours.

    `is_capped=False` for a person's own process, which is not one of the workers that the
    organizations share.
    """
    if quarantine.is_on():
        return None
    now = now or timezone.now()
    with across_organizations("the organization is read from the job row"):
        job = Job.objects.select_related("organization").filter(pk=job_id).first()
        if job is None or job.status not in (Job.Status.QUEUED, Job.Status.WAITING):
            return None
        if job.next_attempt_at > now or job.kind not in KINDS:
            return None
        return _take(job, now, is_capped=is_capped)


def _take(job: Job, now: datetime, *, is_capped: bool) -> Claim | None:
    fence = job.fence + 1
    lease = now + timedelta(seconds=KINDS[job.kind].lease_seconds)
    free = Job.objects.filter(pk=job.pk, status=job.status, fence=job.fence)
    if is_capped:
        free = free.alias(busy=_running_beside()).filter(busy__lt=due.RUNNING_PER_ORGANIZATION)
    taken = free.update(
        status=Job.Status.RUNNING,
        fence=fence,
        attempts=F("attempts") + 1,
        lease_expires_at=lease,
        started_at=now,
        waiting_reason="",
    )
    if taken != 1:
        return None
    job.status, job.fence, job.attempts = Job.Status.RUNNING, fence, job.attempts + 1
    job.lease_expires_at = lease
    progress.note_claim()
    return Claim(job=job, fence=fence)


def _running_beside() -> Coalesce:
    running = Job.objects.filter(
        organization_id=OuterRef("organization_id"), status=Job.Status.RUNNING
    )
    counted = running.order_by().values("organization_id").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def claim_due(
    queue: str, *, limit: int, is_first_try: bool, served: Mapping[UUID, int]
) -> list[Claim]:
    """Take up to `limit` due jobs of a queue, in the order of `due.py`.

    Jobs that lost a worker before (`is_first_try=False`) are asked for apart: whoever takes one
    beside others makes them share its fate. `served` counts what the caller did already for
    which organization.
    """
    if quarantine.is_on():
        return []
    now = timezone.now()
    with across_organizations("due work of every organization"):
        if due.takes_in_one_statement():
            jobs = due.take(queue, now, limit=limit, is_first_try=is_first_try, served=served)
            claims = [Claim(job=job, fence=job.fence) for job in jobs]
        else:
            jobs = due.listed(queue, now, limit=limit, is_first_try=is_first_try, served=served)
            taken = (_take(job, now, is_capped=True) for job in jobs)
            claims = [claim for claim in taken if claim is not None]
    if claims:
        progress.note_claim()
    return claims


def give_back(claims: Sequence[Claim]) -> None:
    """Put down what was taken and not begun: due as before, and no attempt."""
    for fence, ids in _by_fence(claims).items():
        held = Job._base_manager.filter(pk__in=ids, status=Job.Status.RUNNING, fence=fence)
        held.update(status=Job.Status.QUEUED, lease_expires_at=None, attempts=F("attempts") - 1)


@contextmanager
def finishing_many(claims: Sequence[Claim]) -> Iterator[list[Claim]]:
    """The same as `Claim.finishing` for several jobs of one kind and connection: one transaction
    for all. Yields those that are still held; for the others nothing may be written."""
    first = claims[0]
    with transaction.atomic():
        first.kind.changed(first.job)
        yield _finish(claims)


def _finish(claims: Sequence[Claim]) -> list[Claim]:
    """Close those that are still held."""
    close = _close_arrays if due.takes_in_one_statement() else _close_by_fence
    finished = close(claims, timezone.now())
    if len(finished) < len(claims):
        logger.warning("stale_write_refused", extra={"jobs": len(claims) - len(finished)})
    return [claim for claim in claims if claim.job.pk in finished]


def _close_arrays(claims: Sequence[Claim], now: datetime) -> set[UUID]:
    values: dict[str, Any] = {
        "now": now,
        "ids": [str(claim.job.pk) for claim in claims],
        "fences": [claim.fence for claim in claims],
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, values)
        return {job_id for (job_id,) in cursor.fetchall()}


def _close_by_fence(claims: Sequence[Claim], now: datetime) -> set[UUID]:
    """The portable form: a statement for each fence."""
    finished: set[UUID] = set()
    for fence, ids in _by_fence(claims).items():
        mine = Job._base_manager.filter(pk__in=ids, fence=fence)
        count = mine.filter(status=Job.Status.RUNNING).update(
            status=Job.Status.DONE, finished_at=now, waiting_reason="", lease_expires_at=None
        )
        # Only the holder of a fence can have ended a job under it.
        ended = mine.filter(status=Job.Status.DONE, finished_at=now)
        finished.update(ids if count == len(ids) else ended.values_list("pk", flat=True))
    return finished


def _by_fence(claims: Sequence[Claim]) -> dict[int, list[UUID]]:
    grouped: defaultdict[int, list[UUID]] = defaultdict(list)
    for claim in claims:
        grouped[claim.fence].append(claim.job.pk)
    return grouped
