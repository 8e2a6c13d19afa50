"""Work that kills or hogs, in real workers: what it does to everybody else's."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from sellerlegend.celery import RUN_JOB
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Organization
from tests import factories
from tests.own_redis import OwnRedis, own_redis
from tests.rogues.apps import DEADLY, INSTANT, SLOW
from tests.workers import Office, open_office, pool_of, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
]
ENVIRONMENT = {"SWEEP_SECONDS": "1", "DJANGO_SETTINGS_MODULE": "tests.rogues.settings"}


@pytest.fixture
def office(transactional_db: None, tmp_path: Path) -> Iterator[Office]:
    with open_office("redis", "", tmp_path) as opened:
        opened.environment |= ENVIRONMENT
        yield opened


def queue(kind: str, organization: Organization, count: int, *, age: float = 1) -> list[uuid.UUID]:
    """Jobs that have been due for `age` seconds, without a bell."""
    first = timezone.now() - timedelta(seconds=age)
    jobs = [
        Job(
            organization=organization,
            kind=kind,
            subject_id=uuid.uuid4(),
            next_attempt_at=first + timedelta(milliseconds=number),
        )
        for number in range(count)
    ]
    Job.objects.for_organization(organization).bulk_create(jobs)
    return [job.pk for job in jobs]


def statuses(jobs: list[uuid.UUID]) -> Counter[str]:
    return Counter(Job._base_manager.filter(pk__in=jobs).values_list("status", flat=True))


def test_one_job_does_not_wait_behind_a_hundred_bells_of_another_organization(
    office: Office,
) -> None:
    """E28, T23: by the messages that an ordinary press of a button sends."""
    crowd, single = factories.make_organization(), factories.make_organization()
    many = queue(SLOW, crowd, 100, age=60)
    [one] = queue(INSTANT, single, 1)
    for job in (*many, one):
        office.tell(RUN_JOB, str(job))
    office.hire(concurrency=2)

    wait_until(lambda: statuses([one]) == {"done": 1}, "job of the other organization")

    # Two processes and the sweep's own bells: a handful, not the hundred that were rung before.
    assert statuses(many)["done"] <= 10


def test_jobs_that_kill_their_process_do_not_keep_the_others_from_being_done(
    office: Office,
) -> None:
    """E20: three real segmentation faults, the oldest of the queue."""
    organization = factories.make_organization()
    deadly = queue(DEADLY, organization, 3, age=60)
    harmless = queue(INSTANT, organization, 40)
    worker = office.hire(concurrency=2)

    wait_until(lambda: statuses(harmless) == {"done": 40}, "harmless work done")

    left = Job._base_manager.filter(pk__in=deadly)
    assert set(left.values_list("status", flat=True)) <= {"queued", "running"}
    assert max(left.values_list("attempts", flat=True)) < 5
    assert worker.process.poll() is None


@pytest.fixture
def lonely_office(transactional_db: None, tmp_path: Path) -> Iterator[tuple[Office, OwnRedis]]:
    """With a Redis that only it uses."""
    with open_office("redis", "", tmp_path) as opened, own_redis(tmp_path) as server:
        opened.environment |= {**ENVIRONMENT, "REDIS_URL": server.url}
        opened.broker_url = server.url
        yield opened, server


def test_while_nobody_hears_the_bells_a_deadly_job_does_not_end_the_worker(
    lonely_office: tuple[Office, OwnRedis],
) -> None:
    office, server = lonely_office
    worker = office.hire(concurrency=1)
    wait_until(lambda: bool(pool_of(worker.process.pid)), "a pool")
    [warm] = queue(INSTANT, factories.make_organization(), 1)
    wait_until(lambda: statuses([warm]) == {"done": 1}, "a worker that works")

    server.freeze()
    organization = factories.make_organization()
    [deadly] = queue(DEADLY, organization, 1, age=60)
    harmless = queue(INSTANT, organization, 5)
    wait_until(lambda: statuses(harmless) == {"done": 5}, "work without bells")

    assert Job._base_manager.get(pk=deadly).status in ("queued", "running")
    assert worker.process.poll() is None


def test_a_thousand_jobs_whose_bells_are_flushed_are_all_done(
    lonely_office: tuple[Office, OwnRedis],
) -> None:
    """E11: nobody is told anything, and nothing is rung again but by the sweep."""
    office, server = lonely_office
    jobs = queue(INSTANT, factories.make_organization(), 1_000)
    for job in jobs[:50]:
        office.tell(RUN_JOB, str(job))
    server.flush()
    office.hire(concurrency=2)

    wait_until(lambda: statuses(jobs) == {"done": 1_000}, "a thousand jobs done")

    assert set(Job._base_manager.values_list("attempts", flat=True)) == {1}
