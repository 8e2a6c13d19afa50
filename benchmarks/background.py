"""P10: finishing jobs whose call of Amazon is instant. P11: queueing ten thousand."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import redis
from django.conf import settings
from django.db import connection

from benchmarks import job_worker, plain_worker
from benchmarks.measure import calibration, cpu_of, percentile
from benchmarks.report import Rate, Report
from benchmarks.screen import Screens
from sellerlegend.celery import DRAIN, QUEUES
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Organization

ROUNDS = 5
PLAIN_ROWS = 1_500
JOBS = 6_000
QUEUED = 10_000
# As an onboarding has it: ten marketplaces of a row.
ORGANIZATIONS = 8
JOBS_OF_A_ROW = 10
PATIENCE_SECONDS = 120
OPTIONS = ["--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]


@dataclass
class Side:
    """How many a second in each round, and CPU milliseconds of the worker for each."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return percentile(self.rates, 50)


def finishing(screens: Screens, report: Report) -> None:
    """Both workers stand ready, each with two processes, and take turns."""
    owners = [tenant.organization for tenant in list(screens.tenants.values())]
    owners += list(Organization.objects.exclude(pk__in=[o.pk for o in owners])[:ORGANIZATIONS])
    make_plain_table()
    plain, product = Side(), Side()
    loops: list[float] = []
    with (
        running("benchmarks.plain_worker", plain_worker.QUEUE) as plain_pid,
        running("benchmarks.job_worker", ",".join(QUEUES)) as product_pid,
    ):
        finish_plainly(plain_pid, Side(), rows=100)
        drain_jobs(product_pid, Side(), owners[:ORGANIZATIONS], jobs=100)
        for _ in range(ROUNDS):
            loops.append(calibration())
            finish_plainly(plain_pid, plain)
            drain_jobs(product_pid, product, owners[:ORGANIZATIONS])
    report.add(Rate("P10 finish jobs", product.rate, plain.rate, 7.0, percentile(loops, 50)))
    report.say(
        f"CPU of the worker for each: {percentile(product.cpu, 50):.2f} ms by drain, "
        f"{percentile(plain.cpu, 50):.2f} ms by a task for each row"
    )


def queueing(screens: Screens, report: Report) -> None:
    """Ten thousand by `enqueue_many` and by `delay()` in a loop, in turns, from one process."""
    organization = screens.tenants[25].organization
    plain, product = Side(), Side()
    loops: list[float] = []
    with plain_worker.app.pool.acquire(block=True) as held:
        held.ensure_connection()
    for number in range(ROUNDS + 1):
        loops.append(calibration())
        timed(delay_in_a_loop, plain)
        timed(lambda: enqueue(organization), product)
        forget_everything()
        if not number:  # the first round warms
            plain, product = Side(), Side()
    report.add(Rate("P11 queue 10,000", product.rate, plain.rate, 8.0, percentile(loops, 50)))
    report.say(
        f"CPU for each: {percentile(product.cpu, 50):.3f} ms by enqueue_many, "
        f"{percentile(plain.cpu, 50):.3f} ms by delay()"
    )


def timed(work: Callable[[], None], side: Side) -> None:
    began, cpu = time.monotonic(), time.process_time()
    work()
    side.rates.append(QUEUED / (time.monotonic() - began))
    side.cpu.append((time.process_time() - cpu) * 1_000 / QUEUED)


def delay_in_a_loop() -> None:
    for _ in range(QUEUED):
        plain_worker.finish.delay(str(uuid.uuid4()))


def enqueue(organization: Organization) -> None:
    subjects = [(uuid.uuid4(), None) for _ in range(QUEUED)]
    ledger.enqueue_many(job_worker.KIND, organization=organization, subjects=subjects)


def forget_everything() -> None:
    Job._base_manager.filter(kind=job_worker.KIND).delete()
    with contextlib.closing(redis.Redis.from_url(settings.REDIS_URL)) as broker:
        broker.delete(plain_worker.QUEUE, *QUEUES)


# Two workers -------------------------------------------------------------------------------


@contextlib.contextmanager
def running(application: str, queues: str) -> Iterator[int]:
    command = [sys.executable, "-m", "celery", "--app", application, "worker", *OPTIONS]
    process = subprocess.Popen(
        [*command, "--queues", queues, "--hostname", f"{application}@%h"],
        env=os.environ | {"SWEEP_SECONDS": "60", "C_FORCE_ROOT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def make_plain_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE plain_row"
            " (id uuid PRIMARY KEY, status varchar(10), finished_at timestamptz)"
        )


def finish_plainly(worker: int, side: Side, *, rows: int = PLAIN_ROWS) -> None:
    """The clock runs from the moment all messages are in the queue, so that sending them takes
    no CPU from the worker meanwhile."""
    ids = [str(uuid.uuid4()) for _ in range(rows)]
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE plain_row")
        cursor.execute("INSERT INTO plain_row SELECT unnest(%s::uuid[]), 'queued'", [ids])
    for row_id in ids:
        plain_worker.finish.delay(row_id)
    measure(worker, side, rows, "SELECT count(*) FROM plain_row WHERE status = 'done'")


def drain_jobs(worker: int, side: Side, owners: list[Organization], *, jobs: int = JOBS) -> None:
    Job._base_manager.filter(kind=job_worker.KIND).delete()
    for number, owner in enumerate(owners):
        count = jobs // len(owners) + (number < jobs % len(owners))
        rows = [uuid.uuid4() for _ in range(count // JOBS_OF_A_ROW + 1)]
        Job.objects.for_organization(owner).bulk_create(
            Job(
                organization=owner,
                kind=job_worker.KIND,
                subject_id=uuid.uuid4(),
                connection_id=rows[place // JOBS_OF_A_ROW],
            )
            for place in range(count)
        )
    job_worker.app.send_task(DRAIN, args=["interactive"], queue="interactive")
    measure(
        worker,
        side,
        jobs,
        f"SELECT count(*) FROM jobs_job WHERE status = 'done' AND kind = '{job_worker.KIND}'",
    )


def measure(worker: int, side: Side, rows: int, count: str) -> None:
    began, cpu, done_before = time.monotonic(), tree_cpu(worker), counted(count)
    done = done_before
    while done < rows:
        time.sleep(0.02)
        done = counted(count)
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise RuntimeError(f"only {done} of {rows} rows are done")
    side.rates.append((rows - done_before) / (time.monotonic() - began))
    side.cpu.append((tree_cpu(worker) - cpu) / 1e6 / (rows - done_before))


def counted(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def tree_cpu(pid: int) -> int:
    """Nanoseconds of the worker and its pool."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123  # not a real file
        return cpu_of(pid) + sum(tree_cpu(int(child)) for child in file.read().split())
