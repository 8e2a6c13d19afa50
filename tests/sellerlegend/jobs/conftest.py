"""A kind of work whose deeds the tests see."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from sellerlegend.jobs import ledger
from sellerlegend.jobs.ledger import Claim, Kind
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Organization
from tests import factories

NAME = "tests.work"


def finish(claim: Claim) -> None:
    with claim.finishing():
        pass


@dataclass
class Work:
    """`does` is what a worker does with a claim; lists remember who was called with which job."""

    organization: Organization
    does: Callable[[Claim], None] = finish
    ran: list[UUID] = field(default_factory=list)
    shown: list[UUID] = field(default_factory=list)
    given_up: list[UUID] = field(default_factory=list)
    together: list[list[UUID]] = field(default_factory=list)

    def run(self, claim: Claim) -> None:
        self.ran.append(claim.job.pk)
        self.does(claim)

    def show(self, job: Job) -> None:
        self.shown.append(job.pk)

    def give_up(self, job: Job) -> None:
        self.given_up.append(job.pk)

    def enqueue(self, subject_id: UUID | None = None, **columns: Any) -> Job:
        """A queued job; `columns` are written over it, without any rule."""
        job = ledger.enqueue(
            NAME, organization=self.organization, subject_id=subject_id or uuid.uuid4()
        )
        return self.write(job, **columns) if columns else job

    def write(self, job: Job, **columns: Any) -> Job:
        Job.objects.for_organization(self.organization).filter(pk=job.pk).update(**columns)
        return self.stored(job)

    def stored(self, job: Job) -> Job:
        found: Job = Job.objects.for_organization(self.organization).get(pk=job.pk)
        return found


@pytest.fixture
def work(db: None) -> Iterator[Work]:
    done = Work(factories.make_organization())
    ledger.register(Kind(name=NAME, run=done.run, changed=done.show, give_up=done.give_up))

    yield done

    del ledger.KINDS[NAME]
