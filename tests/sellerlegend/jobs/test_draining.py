"""Many jobs for one message: order, fairness between organizations, and nobody's trouble is
another one's."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from sellerlegend.celery import DRAIN, RUN_JOB
from sellerlegend.jobs import claims, draining, due, ledger
from sellerlegend.jobs.claims import Claim
from sellerlegend.jobs.kinds import Kind
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Organization
from tests import bells, factories
from tests.sellerlegend.jobs.conftest import NAME, Work, finish
from tests.threads import run_many

Status = Job.Status
pytestmark = pytest.mark.django_db


@pytest.fixture(params=["one statement", "portable"])
def any_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL takes jobs in one statement; every engine can take them one by one."""
    if request.param == "portable":
        monkeypatch.setattr(due, "takes_in_one_statement", lambda: False)
    elif connection.vendor != "postgresql":
        pytest.skip("one statement needs PostgreSQL")


def queue_jobs(organization: Organization, count: int, *, oldest: float = 1.0) -> list[UUID]:
    """`oldest` seconds ago the first became due, each next one a moment later."""
    first = timezone.now() - timedelta(seconds=oldest)
    jobs = [
        Job(
            organization=organization,
            kind=NAME,
            subject_id=uuid.uuid4(),
            next_attempt_at=first + timedelta(milliseconds=number),
        )
        for number in range(count)
    ]
    Job.objects.for_organization(organization).bulk_create(jobs)
    return [job.pk for job in jobs]


def statuses(organization: Organization) -> Counter[str]:
    jobs = Job.objects.for_organization(organization)
    return Counter(jobs.values_list("status", flat=True))


# Order -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_engine")
def test_two_hundred_and_fifty_jobs_are_done_in_the_order_in_which_they_became_due(
    work: Work,
) -> None:
    jobs = queue_jobs(work.organization, 250, oldest=600)

    assert ledger.drain("interactive", seconds=60) == 250

    assert work.ran == jobs
    assert statuses(work.organization) == {Status.DONE: 250}


@pytest.mark.usefixtures("any_engine")
def test_organizations_take_turns_and_each_ones_oldest_goes_first(work: Work) -> None:
    other = factories.make_organization()
    crowd = queue_jobs(work.organization, 200, oldest=600)
    few = queue_jobs(other, 3, oldest=60)

    ledger.drain("interactive", seconds=60)

    assert sorted(work.ran, key=str) == sorted([*crowd, *few], key=str)
    assert [job for job in work.ran if job in crowd] == crowd
    assert [job for job in work.ran if job in few] == few
    # Not behind the two hundred that are older.
    assert max(work.ran.index(job) for job in few) <= 6


@pytest.mark.usefixtures("any_engine")
def test_slow_jobs_of_one_organization_let_the_others_through(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is quick, so one job is taken at a time: still in turns."""
    monkeypatch.setattr(draining, "QUICK_SECONDS", 0.0)
    crowd = queue_jobs(work.organization, 20, oldest=600)
    few = queue_jobs(factories.make_organization(), 2, oldest=60)

    ledger.drain("interactive", limit=4)

    assert work.ran == [crowd[0], few[0], crowd[1], few[1]]


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_one_job_does_not_wait_for_ten_thousand_of_another_organization(work: Work) -> None:
    """T23, with two workers."""
    subjects = [(uuid.uuid4(), None) for _ in range(10_000)]
    ledger.enqueue_many(NAME, organization=work.organization, subjects=subjects)
    done: dict[UUID, float] = {}

    def note(claim: Claim) -> None:
        finish(claim)
        done[claim.job.pk] = time.monotonic()

    work.does = note
    other = factories.make_organization()
    ledger.drain("interactive", seconds=0.5)
    (job,) = queue_jobs(other, 1)
    queued = time.monotonic()

    run_many(2, partial(ledger.drain, "interactive", seconds=2.0))

    assert done[job] - queued < 10
    assert len(done) < 10_000


# The cap -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_engine")
def test_an_organization_never_has_more_under_way_than_its_cap(work: Work) -> None:
    queue_jobs(work.organization, 50, oldest=600)
    other = factories.make_organization()
    (job,) = queue_jobs(other, 1)

    taken = claims.claim_due("interactive", limit=200, is_first_try=True, served={})
    again = claims.claim_due("interactive", limit=200, is_first_try=True, served={})

    cap = due.RUNNING_PER_ORGANIZATION
    assert Counter(claim.job.organization_id for claim in taken) == {
        work.organization.pk: cap,
        other.pk: 1,
    }
    assert again == []
    assert job in {claim.job.pk for claim in taken}
    waiting = Job.objects.for_organization(work.organization).filter(status=Status.QUEUED)
    assert ledger.claim(waiting[0].pk) is None
    # A person's own process is not one of the workers that organizations share.
    assert ledger.claim(waiting[0].pk, is_capped=False) is not None
    finish(taken[0])
    finish(taken[-1])
    assert len(claims.claim_due("interactive", limit=9, is_first_try=True, served={})) <= 1


@pytest.mark.needs_postgresql
def test_the_order_is_read_from_an_index(work: Work) -> None:
    """However long the queue of one organization is, a claim reads little of it."""
    for _ in range(20):
        queue_jobs(factories.make_organization(), 200, oldest=600)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
        with CaptureQueriesContext(connection) as sent:
            claims.claim_due("interactive", limit=10, is_first_try=True, served={})
        (statement,) = [query["sql"] for query in sent if "WITH RECURSIVE" in query["sql"]]
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "job_due_by_organization" in plan


@pytest.mark.needs_postgresql
def test_a_crowd_that_the_planner_does_not_know_of_costs_a_claim_little(work: Work) -> None:
    """A bulk job comes within a second, its statistics a minute later."""
    queue_jobs(work.organization, 2_000, oldest=900)
    Job.objects.for_organization(work.organization).update(status=Status.DONE)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
        queue_jobs(work.organization, 6_000, oldest=600)
        for _ in range(7):
            queue_jobs(factories.make_organization(), 200, oldest=600)
        cursor.execute("SET LOCAL statement_timeout = '5s'")

        taken = claims.claim_due("interactive", limit=64, is_first_try=True, served={})

    assert len(taken) == 64


# Claims ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_engine")
def test_a_batch_takes_lease_fence_and_attempt_of_each(work: Work) -> None:
    later = timezone.now() + timedelta(minutes=1)
    ids = queue_jobs(work.organization, 3, oldest=60)
    for columns in (
        {"next_attempt_at": later},
        {"kind": "tests.of_a_later_release"},
        {"queue": "background"},
        {"status": Status.DONE},
    ):
        work.enqueue(**columns)

    taken = claims.claim_due("interactive", limit=10, is_first_try=True, served={})

    assert [claim.job.pk for claim in taken] == ids
    for claim in taken:
        stored = work.stored(claim.job)
        assert (stored.status, stored.attempts, stored.fence) == (Status.RUNNING, 1, 1)
        assert (claim.fence, claim.job.attempts, claim.job.status) == (1, 1, Status.RUNNING)
        lease = stored.lease_expires_at
        assert lease is not None
        assert stored.started_at is not None
        assert lease - stored.started_at == timedelta(seconds=ledger.KINDS[NAME].lease_seconds)
        finish(claim)
    assert statuses(work.organization)[Status.DONE] == 4


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_workers_take_each_job_once(work: Work) -> None:
    organizations = [work.organization, *(factories.make_organization() for _ in range(4))]
    jobs = [job for owner in organizations for job in queue_jobs(owner, 60)]

    done = run_many(8, partial(ledger.drain, "interactive", seconds=30))

    assert sum(count for count in done if isinstance(count, int)) == 300
    assert sorted(work.ran, key=str) == sorted(jobs, key=str)
    assert set(Job._base_manager.values_list("attempts", "fence", "status")) == {(1, 1, "done")}


def test_what_was_taken_and_not_begun_soon_is_put_down_again(work: Work) -> None:
    jobs = queue_jobs(work.organization, 8, oldest=60)
    taken = claims.claim_due("interactive", limit=8, is_first_try=True, served={})

    assert draining._work_off(taken, Counter(), until=time.monotonic()) == 1

    assert work.ran == jobs[:1]
    for claim in taken[1:]:
        stored = work.stored(claim.job)
        assert (stored.status, stored.attempts) == (Status.QUEUED, 0)
        assert (stored.lease_expires_at, stored.fence) == (None, 1)
    assert ledger.drain("interactive") == 7


def test_a_drain_ends_when_its_time_is_up(work: Work) -> None:
    queue_jobs(work.organization, 5)

    def take_time(claim: Claim) -> None:
        time.sleep(0.06)
        finish(claim)

    work.does = take_time

    assert ledger.drain("interactive", seconds=0.1) < 5


# Trouble -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_engine")
def test_one_jobs_exception_does_not_stop_the_others(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = queue_jobs(work.organization, 20, oldest=60)

    def explode(claim: Claim) -> None:
        if claim.job.pk == jobs[3]:
            raise ZeroDivisionError
        finish(claim)

    work.does = explode

    assert ledger.drain("interactive") == 20

    assert statuses(work.organization) == {Status.DONE: 19, Status.RUNNING: 1}
    culprit = Job.objects.for_organization(work.organization).get(pk=jobs[3])
    assert (culprit.attempts, culprit.lease_expires_at is not None) == (1, True)
    assert caplog.messages.count("job_failed") == 1


def test_a_job_that_lost_a_worker_is_never_taken_beside_others(work: Work) -> None:
    """E20: work that kills its process must not take its neighbours' attempts with it."""
    jobs = queue_jobs(work.organization, 6, oldest=60)
    Job.objects.for_organization(work.organization).filter(pk__in=jobs[:2]).update(attempts=1)
    held: list[int] = []

    def look(claim: Claim) -> None:
        running = Job.objects.for_organization(work.organization).filter(status=Status.RUNNING)
        held.append(running.count())
        finish(claim)

    work.does = look

    ledger.drain("interactive")

    retried = [held[work.ran.index(job)] for job in jobs[:2]]
    assert retried == [1, 1]
    assert statuses(work.organization) == {Status.DONE: 6}


def test_work_that_kills_its_worker_five_times_leaves_its_neighbours_done(work: Work) -> None:
    """E20 and E21: the process dies in the middle of a batch, each time."""
    jobs = queue_jobs(work.organization, 12, oldest=60)
    poison = jobs[4]
    runs: list[UUID] = []

    class Killed(BaseException):
        """What SIGKILL looks like from outside: nothing is put down, no handler runs."""

    def die(claim: Claim) -> None:
        runs.append(claim.job.pk)
        if claim.job.pk == poison:
            raise Killed
        finish(claim)

    work.does = die
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(claims, "give_back", lambda _claims: None)
    for _ in range(12):
        with contextlib.suppress(Killed):
            ledger.drain("interactive")
        rows = Job.objects.for_organization(work.organization).filter(status=Status.RUNNING)
        rows.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        ledger.recover_lost()
    monkeypatch.undo()

    assert statuses(work.organization) == {Status.DONE: 11, Status.DEAD: 1}
    assert runs.count(poison) == 5
    assert work.given_up == [poison]


def test_lost_jobs_are_not_looked_for_after_each_batch(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To find that there is none, a claim reads the whole backlog."""
    queue_jobs(work.organization, 250, oldest=60)
    looks: list[bool] = []
    claim_due = claims.claim_due

    def count(*args: Any, is_first_try: bool, **kwargs: Any) -> list[Claim]:
        looks.append(is_first_try)
        return claim_due(*args, is_first_try=is_first_try, **kwargs)

    monkeypatch.setattr(claims, "claim_due", count)
    monkeypatch.setattr(draining, "LOST_SECONDS", 60.0)

    assert ledger.drain("interactive", seconds=60) == 250

    assert looks.count(True) > 5
    # After the second batch, and before it ends.
    assert looks.count(False) == 2


def test_a_job_that_takes_too_long_ends_the_drain_and_nobody_elses_claim(work: Work) -> None:
    jobs = queue_jobs(work.organization, 8, oldest=60)

    def take_too_long(claim: Claim) -> None:
        if claim.job.pk == jobs[3]:
            raise SoftTimeLimitExceeded
        finish(claim)

    work.does = take_too_long

    with pytest.raises(SoftTimeLimitExceeded):
        ledger.drain("interactive")

    rows = Job.objects.for_organization(work.organization).filter(status=Status.RUNNING)
    assert list(rows.values_list("pk", flat=True)) == [jobs[3]]
    assert statuses(work.organization)[Status.QUEUED] == 4


# Several at once ---------------------------------------------------------------------------


def together(work: Work, claims_: Sequence[Claim]) -> None:
    work.together.append([claim.job.pk for claim in claims_])
    with ledger.finishing_many(claims_):
        pass


@pytest.fixture
def grouped(work: Work) -> Work:
    kind = ledger.KINDS[NAME]
    ledger.register(
        Kind(
            name=NAME,
            run=kind.run,
            changed=kind.changed,
            give_up=kind.give_up,
            run_many=partial(together, work),
        )
    )
    return work


def test_jobs_of_one_connection_are_done_together(grouped: Work) -> None:
    one, two = factories.unknown_id(), uuid.uuid4()
    subjects = [(uuid.uuid4(), one if number % 2 else two) for number in range(40)]
    ledger.enqueue_many(NAME, organization=grouped.organization, subjects=subjects)

    assert ledger.drain("interactive") == 40

    assert statuses(grouped.organization) == {Status.DONE: 40}
    sizes = [len(group) for group in grouped.together]
    # Others than the first, which was alone.
    assert sum(sizes) + len(grouped.ran) == 40
    assert max(sizes) >= 4
    connections = dict(Job._base_manager.values_list("pk", "connection_id"))
    assert all(len({connections[job] for job in group}) == 1 for group in grouped.together)
    # One bump of the row for each group.
    assert len(grouped.shown) == len(grouped.together) + len(grouped.ran)


@pytest.mark.usefixtures("any_engine")
def test_jobs_that_are_done_at_once_come_in_one_batch_and_share_a_turn(grouped: Work) -> None:
    """The batch would hold some of each row otherwise, and each row be done twice."""
    crowd = queue_jobs(grouped.organization, 12, oldest=600)
    other = factories.make_organization()
    single = queue_jobs(other, 1, oldest=60)
    rows = [uuid.uuid4(), uuid.uuid4()]
    for number, job in enumerate(crowd):
        stored = Job.objects.for_organization(grouped.organization).filter(pk=job)
        stored.update(connection_id=rows[number % 2])

    taken = claims.claim_due("interactive", limit=12, is_first_try=True, served={})

    assert [claim.job.pk for claim in taken] == [*crowd[0::2], *single, *crowd[1::2][:5]]


@pytest.mark.usefixtures("any_engine")
def test_jobs_that_are_done_one_by_one_come_by_age_whatever_their_row(work: Work) -> None:
    jobs = queue_jobs(work.organization, 6, oldest=60)
    rows = [uuid.uuid4(), uuid.uuid4()]
    for number, job in enumerate(jobs):
        stored = Job.objects.for_organization(work.organization).filter(pk=job)
        stored.update(connection_id=rows[number % 2])

    taken = claims.claim_due("interactive", limit=4, is_first_try=True, served={})

    assert [claim.job.pk for claim in taken] == jobs[:4]


@pytest.mark.usefixtures("any_engine")
def test_a_group_closes_each_job_under_its_own_fence(grouped: Work) -> None:
    jobs = queue_jobs(grouped.organization, 4)
    mine = Job.objects.for_organization(grouped.organization)
    mine.filter(pk__in=jobs[:2]).update(fence=6)
    taken = claims.claim_due("interactive", limit=4, is_first_try=True, served={})
    assert sorted(claim.fence for claim in taken) == [1, 1, 7, 7]
    # Another worker has this one now, under a fence that a neighbour of the group has as well.
    mine.filter(pk=jobs[3]).update(fence=7)

    with ledger.finishing_many(taken) as held:
        assert sorted(str(claim.job.pk) for claim in held) == sorted(map(str, jobs[:3]))

    assert statuses(grouped.organization) == {Status.DONE: 3, Status.RUNNING: 1}
    assert grouped.stored(taken[0].job).finished_at is not None
    with ledger.finishing_many(taken) as held:
        assert held == []


@pytest.mark.needs_postgresql
def test_a_group_is_closed_by_its_keys_however_many_jobs_are_running(work: Work) -> None:
    """The planner learns of running jobs when they are done, and thinks that there are none."""
    jobs = queue_jobs(work.organization, 2_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
        cursor.execute("SET LOCAL enable_seqscan = off")
        ids = [str(job) for job in jobs[:10]]
        values: dict[str, Any] = {"now": timezone.now(), "ids": ids, "fences": [1] * 10}
        cursor.execute(f"EXPLAIN {claims._CLOSE}", values)
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "jobs_job_pkey" in plan
    assert "job_running_by_organization" not in plan


@pytest.mark.usefixtures("any_engine")
def test_a_group_writes_for_the_claims_it_still_holds_and_for_no_other(grouped: Work) -> None:
    queue_jobs(grouped.organization, 3)
    taken = claims.claim_due("interactive", limit=3, is_first_try=True, served={})
    lost = taken[1]
    grouped.write(lost.job, lease_expires_at=timezone.now() - timedelta(seconds=1))
    ledger.recover_lost()

    with ledger.finishing_many(taken) as held:
        assert held == [taken[0], taken[2]]

    assert grouped.stored(lost.job).status == Status.QUEUED
    assert statuses(grouped.organization) == {Status.DONE: 2, Status.QUEUED: 1}


def test_a_group_that_fails_is_done_one_by_one(
    grouped: Work, caplog: pytest.LogCaptureFixture
) -> None:
    kind = ledger.KINDS[NAME]

    def fail(_claims: Sequence[Claim]) -> None:
        with ledger.finishing_many(_claims):
            raise ZeroDivisionError

    ledger.register(
        Kind(name=NAME, run=kind.run, changed=kind.changed, give_up=kind.give_up, run_many=fail)
    )
    jobs = queue_jobs(grouped.organization, 12)

    assert ledger.drain("interactive") == 12

    assert grouped.ran == jobs
    assert statuses(grouped.organization) == {Status.DONE: 12}
    assert "jobs_failed_together" in caplog.messages


# Queueing many -----------------------------------------------------------------------------


@pytest.mark.usefixtures("silence", "any_engine")
def test_many_jobs_are_queued_in_few_statements_and_with_one_bell(
    work: Work, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    live = work.enqueue()
    running = work.enqueue()
    assert ledger.claim(running.pk) is not None
    over = work.enqueue(status=Status.DONE)
    known = [(job.subject_id, None) for job in (live, running, over)]
    subjects: list[tuple[UUID, Any]] = [(uuid.uuid4(), uuid.uuid4()) for _ in range(2_400)]
    bells.heard()

    with (
        CaptureQueriesContext(connection) as sent,
        django_capture_on_commit_callbacks(execute=True),
    ):
        ledger.enqueue_many(
            NAME, organization=work.organization, subjects=[*subjects, *known, subjects[0]]
        )

    inserts = [query for query in sent if "INSERT INTO" in query["sql"]]
    assert len(inserts) == 1 or connection.vendor == "sqlite"  # which takes 1,000 values
    assert bells.heard() == [("interactive", DRAIN, "interactive")]
    jobs = Job.objects.for_organization(work.organization)
    assert jobs.filter(status__in=Job.LIVE).count() == 2_400 + 3
    assert set(jobs.values_list("subject_id", "connection_id")) >= set(subjects)


@pytest.mark.usefixtures("silence")
def test_nothing_to_queue_rings_no_bell(
    work: Work, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        ledger.enqueue_many(NAME, organization=work.organization, subjects=[])

    assert bells.heard() == []


@pytest.mark.usefixtures("silence")
def test_a_drain_calls_a_helper_and_at_its_end_a_successor(
    work: Work, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    queue_jobs(work.organization, 30)

    with django_capture_on_commit_callbacks(execute=True):
        ledger.drain("interactive", limit=20)
    assert bells.heard() == [("interactive", DRAIN, "interactive")] * 2

    with django_capture_on_commit_callbacks(execute=True):
        ledger.drain("background")
    assert bells.heard() == []


@pytest.mark.usefixtures("silence")
def test_the_sweep_rings_one_bell_for_a_crowd(
    work: Work, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    queue_jobs(work.organization, 300)
    with django_capture_on_commit_callbacks(execute=True):
        ledger.sweep()
    assert bells.heard() == [("interactive", DRAIN, "interactive")]

    Job.objects.for_organization(work.organization).delete()
    few = queue_jobs(work.organization, 3)
    with django_capture_on_commit_callbacks(execute=True):
        ledger.sweep()
    assert [argument for _, task, argument in bells.heard() if task == RUN_JOB] == [
        str(job) for job in few
    ]


def test_the_age_of_a_queue_is_that_of_its_oldest_due_job(work: Work) -> None:
    assert ledger.queue_ages() == {}
    queue_jobs(work.organization, 3, oldest=90)
    work.enqueue(queue="background", next_attempt_at=timezone.now() + timedelta(minutes=1))
    work.enqueue(queue="background", status=Status.DONE)

    ages = ledger.queue_ages()

    assert set(ages) == {"interactive"}
    assert 89 < ages["interactive"] < 120
