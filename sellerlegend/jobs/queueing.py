"""Putting work into the ledger: a job for one subject, or for ten thousand at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from sellerlegend.celery import DRAIN, RUN_JOB, ring
from sellerlegend.jobs import due
from sellerlegend.jobs.kinds import KINDS
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Organization

ENQUEUE_TRIES = 5
ROWS_PER_STATEMENT = 10_000

Subject = tuple[UUID, UUID | None]  # its id, and the connection whose row shows the work

# Two arrays instead of ten thousand rows of twelve values: most of the time went into the text of
# the statement.
_INSERT = """
INSERT INTO jobs_job (id, organization_id, kind, subject_id, connection_id, queue, status,
                      attempts, fence, waiting_reason, last_error_code, next_attempt_at,
                      created_at)
SELECT gen_random_uuid(), %(organization)s, %(kind)s, subject_id, connection_id, %(queue)s,
       'queued', 0, 0, '', '', %(now)s, %(now)s
FROM unnest(%(subjects)s::uuid[], %(connections)s::uuid[]) AS wanted (subject_id, connection_id)
ON CONFLICT DO NOTHING
"""


def enqueue(
    kind: str,
    *,
    organization: Organization | UUID,
    subject_id: UUID,
    connection_id: UUID | None = None,
    is_first: bool = False,
) -> Job:
    """Queue one live job per (kind, subject); the loser of a race gets the running one.

    Rings on commit. Safe inside the caller's transaction. `is_first`: the caller has reason to
    believe that there is none, and saves the look; the database still refuses a second one.
    """
    organization_id = _id_of(organization)
    jobs = Job.objects.for_organization(organization_id)
    live = jobs.filter(kind=kind, subject_id=subject_id, status__in=Job.LIVE)
    for tries_left in reversed(range(ENQUEUE_TRIES)):
        try:
            with transaction.atomic():
                known = None if is_first else live.first()
                job: Job = known or jobs.create(
                    kind=kind,
                    subject_id=subject_id,
                    connection_id=connection_id,
                    queue=KINDS[kind].queue,
                )
            break
        except IntegrityError:
            # Lost the race, and the winner's job may be over already; or nothing to wait for.
            is_first = False
            if not tries_left:
                raise
    ring(RUN_JOB, str(job.pk), job.queue)
    return job


def enqueue_many(
    kind: str, *, organization: Organization | UUID, subjects: Sequence[Subject]
) -> None:
    """Queue a job for each subject that has no live one of this kind, and ring one bell for all.
    Safe inside the caller's transaction."""
    if not subjects:
        return
    organization_id, now = _id_of(organization), timezone.now()
    insert = _insert_arrays if due.takes_in_one_statement() else _insert_rows
    with transaction.atomic():
        for start in range(0, len(subjects), ROWS_PER_STATEMENT):
            insert(kind, organization_id, subjects[start : start + ROWS_PER_STATEMENT], now)
    ring(DRAIN, KINDS[kind].queue, KINDS[kind].queue)


def _insert_arrays(
    kind: str, organization_id: UUID, subjects: Sequence[Subject], now: datetime
) -> None:
    values: dict[str, Any] = {
        "organization": organization_id,
        "kind": kind,
        "queue": KINDS[kind].queue,
        "now": now,
        "subjects": _array(subject_id for subject_id, _ in subjects),
        "connections": _array(connection_id for _, connection_id in subjects),
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)


def _array(ids: Iterable[UUID | None]) -> str:
    """PostgreSQL's own notation; the driver takes ten times as long to write the same."""
    return "{" + ",".join("NULL" if one is None else one.hex for one in ids) + "}"


def _insert_rows(
    kind: str, organization_id: UUID, subjects: Sequence[Subject], now: datetime
) -> None:
    """The portable form."""
    Job.objects.for_organization(organization_id).bulk_create(
        (
            Job(
                id=uuid.uuid4(),
                organization_id=organization_id,
                kind=kind,
                subject_id=subject_id,
                connection_id=connection_id,
                queue=KINDS[kind].queue,
                next_attempt_at=now,
                created_at=now,
            )
            for subject_id, connection_id in subjects
        ),
        ignore_conflicts=True,
    )


def _id_of(organization: Organization | UUID) -> UUID:
    return organization if isinstance(organization, UUID) else organization.pk
