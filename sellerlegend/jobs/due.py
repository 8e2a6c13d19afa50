"""Which job is next: the oldest of each organization in turn, and none of one that is at its cap.

Organizations with fewer jobs under way go first, so ten thousand jobs of one do not keep the one
job of another waiting; among equals the oldest goes first. Jobs that are done at once share the
turn of their first, so that they come in the same batch. The cap is soft by what other workers take
in the same instant.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Min, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from sellerlegend.jobs.kinds import KINDS, companions
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.scoping import across_organizations

RUNNING_PER_ORGANIZATION = 32
IDLE = (Job.Status.QUEUED, Job.Status.WAITING)

# The organizations are found by skipping through the index `job_due_by_organization`, not by
# reading all their jobs: what a claim costs does not grow with the backlog of any of them.
# The shape is for a planner that was told wrong: with numbers from before a crowd came, it read
# the crowd once for each of its jobs. `status || ''` keeps it to the primary key.
_NEXT = """
WITH RECURSIVE organization (id) AS (
  (SELECT organization_id FROM jobs_job
   WHERE queue = %(queue)s AND status IN ('queued', 'waiting')
   ORDER BY organization_id LIMIT 1)
  UNION ALL
  SELECT (SELECT organization_id FROM jobs_job
          WHERE queue = %(queue)s AND status IN ('queued', 'waiting')
            AND organization_id > organization.id
          ORDER BY organization_id LIMIT 1)
  FROM organization WHERE organization.id IS NOT NULL
), busy (id, jobs) AS MATERIALIZED (
  SELECT organization_id, count(*) FROM jobs_job WHERE status = 'running' GROUP BY 1
), turn AS (
  SELECT due.*, organization.id AS owner,
         coalesce(busy.jobs, 0) + coalesce(served.jobs, 0)
           + row_number() OVER (PARTITION BY organization.id ORDER BY due.next_attempt_at) AS place
  FROM organization
  LEFT JOIN unnest(%(served)s::uuid[], %(served_jobs)s::int[]) AS served (id, jobs)
    ON served.id = organization.id
  LEFT JOIN busy ON busy.id = organization.id
  CROSS JOIN LATERAL (
    SELECT id, next_attempt_at, kind, connection_id FROM jobs_job
    WHERE queue = %(queue)s AND status IN ('queued', 'waiting')
      AND organization_id = organization.id AND next_attempt_at <= %(now)s
      AND kind = ANY(%(kinds)s) AND (attempts = 0) = %(is_first_try)s
    ORDER BY next_attempt_at
    LIMIT least(%(limit)s, greatest(%(cap)s - coalesce(busy.jobs, 0), 0))
  ) AS due
), next (id, place, since, next_attempt_at) AS MATERIALIZED (
  SELECT id, min(place) OVER companions, min(next_attempt_at) OVER companions, next_attempt_at
  FROM turn
  WINDOW companions AS (
    PARTITION BY owner, kind, connection_id,
                 CASE WHEN kind = ANY(%(kinds_together)s::text[]) THEN NULL ELSE id END)
)
"""
_TAKE = """, chosen AS (
  SELECT job.id, first.place, first.since
  FROM (SELECT * FROM next ORDER BY place, since, next_attempt_at) AS first
  CROSS JOIN LATERAL (
    SELECT id FROM jobs_job WHERE id = first.id AND status || '' IN ('queued', 'waiting')
    FOR UPDATE SKIP LOCKED
  ) AS job
  LIMIT %(limit)s
)
UPDATE jobs_job SET
  status = 'running', fence = fence + 1, attempts = attempts + 1, waiting_reason = '',
  started_at = %(now)s,
  lease_expires_at = %(now)s + make_interval(secs => (
    SELECT seconds FROM unnest(%(kinds)s, %(leases)s::int[]) AS lease (kind, seconds)
    WHERE lease.kind = jobs_job.kind))
FROM chosen WHERE jobs_job.id = chosen.id
RETURNING jobs_job.*, chosen.place, chosen.since
"""


def takes_in_one_statement() -> bool:
    return connection.vendor == "postgresql"


def take(
    queue: str, now: datetime, *, limit: int, is_first_try: bool, served: Mapping[UUID, int]
) -> list[Job]:
    """Claim the next jobs (PostgreSQL). Whoever takes at the same moment gets others."""
    values = {
        "queue": queue,
        "now": now,
        "kinds": list(KINDS),
        "kinds_together": [kind.name for kind in KINDS.values() if kind.run_many is not None],
        "leases": [kind.lease_seconds for kind in KINDS.values()],
        "is_first_try": is_first_try,
        "limit": limit,
        "cap": RUNNING_PER_ORGANIZATION,
        "served": [str(organization_id) for organization_id in served],
        "served_jobs": list(served.values()),
    }
    taken: list[Any] = list(Job.objects.raw(_NEXT + _TAKE, values))
    return sorted(taken, key=lambda job: (job.place, job.since, job.next_attempt_at))


def listed(
    queue: str, now: datetime, *, limit: int, is_first_try: bool, served: Mapping[UUID, int]
) -> list[Job]:
    """The next jobs in the same order, not claimed: the portable form."""
    idle = Job.objects.filter(
        queue=queue, status__in=IDLE, next_attempt_at__lte=now, kind__in=list(KINDS)
    )
    tries = idle.filter(attempts=0) if is_first_try else idle.exclude(attempts=0)
    place = Window(
        RowNumber(), partition_by=F("organization_id"), order_by=F("next_attempt_at").asc()
    )
    running = Job.objects.filter(status=Job.Status.RUNNING)
    busy: dict[UUID, int] = {}
    for organization_id in running.values_list("organization_id", flat=True):
        busy[organization_id] = busy.get(organization_id, 0) + 1
    placed: list[Job] = []
    turns: dict[Hashable, tuple[int, datetime]] = {}
    for job in tries.annotate(place=place).filter(place__lte=limit):
        before = busy.get(job.organization_id, 0)
        if before + job.place <= RUNNING_PER_ORGANIZATION:
            turn = before + served.get(job.organization_id, 0) + job.place, job.next_attempt_at
            turns[companions(job)] = min(turn, turns.get(companions(job), turn))
            placed.append(job)
    placed.sort(key=lambda job: (*turns[companions(job)], job.next_attempt_at))
    return placed[:limit]


def due_jobs(queue: str, *, limit: int = 200) -> list[UUID]:
    """Oldest first, whoever they belong to."""
    with across_organizations("due work of every organization"):
        idle = Job.objects.filter(queue=queue, status__in=IDLE, next_attempt_at__lte=timezone.now())
        return list(idle.order_by("next_attempt_at").values_list("pk", flat=True)[:limit])


def queue_ages() -> dict[str, float]:
    """For each queue with due work: for how many seconds its oldest job has been due."""
    now = timezone.now()
    with across_organizations("due work of every organization"):
        idle = Job.objects.filter(status__in=IDLE, next_attempt_at__lte=now)
        oldest = idle.order_by().values_list("queue").annotate(Min("next_attempt_at"))
        return {queue: (now - since).total_seconds() for queue, since in oldest}


def is_claimable_before(moment: datetime, queues: Sequence[str]) -> bool:
    """Whether a job of these queues that was due before `moment` waits although its organization
    is below its cap: work that a worker could have begun."""
    with across_organizations("due work of every organization"):
        idle = Job.objects.filter(queue__in=queues, status__in=IDLE, kind__in=list(KINDS))
        waiting = idle.filter(next_attempt_at__lt=moment).order_by()
        owners = set(waiting.values_list("organization_id", flat=True).distinct()[:1000])
        running = Job.objects.filter(status=Job.Status.RUNNING, organization_id__in=owners)
        counts: dict[UUID, int] = {}
        for owner in running.values_list("organization_id", flat=True):
            counts[owner] = counts.get(owner, 0) + 1
        return any(counts.get(owner, 0) < RUNNING_PER_ORGANIZATION for owner in owners)
