"""The ledger: who may do a job, what happens to it, and that nothing is lost or done twice."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from sellerlegend.celery import DRAIN, RUN_JOB, SWEEP, app
from sellerlegend.jobs import ledger, sweeping, tasks
from sellerlegend.jobs.ledger import MAX_ATTEMPTS, Claim
from sellerlegend.jobs.models import Job
from sellerlegend.transitions import StaleState
from tests import bells, factories
from tests.sellerlegend.jobs.conftest import NAME, Work
from tests.threads import run_many, run_together

Status = Job.Status


def claimed(job: Job) -> Claim:
    claim = ledger.claim(job.pk)
    assert claim is not None
    return claim


def in_the_past(seconds: float = 1) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


# Queueing ----------------------------------------------------------------------------------


def test_a_queued_job_is_due_at_once(work: Work) -> None:
    job = work.enqueue()

    assert (job.status, job.attempts, job.fence) == (Status.QUEUED, 0, 0)
    assert job.organization_id == work.organization.pk
    assert job.next_attempt_at <= timezone.now()
    assert ledger.due_jobs("interactive") == [job.pk]


def test_a_subject_has_one_live_job_of_a_kind(work: Work) -> None:
    subject = uuid.uuid4()
    first = work.enqueue(subject)

    for status in (Status.QUEUED, Status.WAITING):
        work.write(first, status=status)
        assert work.enqueue(subject) == first
    claimed(work.write(first, status=Status.QUEUED))

    assert work.enqueue(subject) == first
    assert work.enqueue() != first


@pytest.mark.parametrize("status", [Status.DONE, Status.DEAD])
def test_a_subject_whose_job_is_over_gets_a_new_one(work: Work, status: str) -> None:
    subject = uuid.uuid4()
    first = work.enqueue(subject, status=status)

    assert work.enqueue(subject) != first


def test_the_database_refuses_a_second_live_job(work: Work) -> None:
    job = work.enqueue()

    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.for_organization(work.organization).create(
            kind=job.kind, subject_id=job.subject_id
        )


@pytest.mark.parametrize(
    "columns",
    [{"status": "running"}, {"lease_expires_at": timezone.now()}, {"status": "nonsense"}],
    ids=["running without a lease", "a lease without running", "an unknown status"],
)
def test_the_database_refuses_what_makes_no_sense(work: Work, columns: dict[str, Any]) -> None:
    job = work.enqueue()

    with pytest.raises(IntegrityError), transaction.atomic():
        work.write(job, **columns)


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once_queue_one_job(work: Work) -> None:
    subject = uuid.uuid4()

    jobs = run_many(16, lambda: work.enqueue(subject))

    assert len({job.pk for job in jobs if isinstance(job, Job)}) == 1
    assert all(isinstance(job, Job) for job in jobs)
    assert Job.objects.for_organization(work.organization).count() == 1


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_race_is_won_also_inside_longer_transactions(work: Work) -> None:
    subject = uuid.uuid4()

    def enqueue() -> Job:
        with transaction.atomic():
            job = work.enqueue(subject)
            time.sleep(0.05)
            # The loser's transaction is still usable.
            assert Job.objects.for_organization(work.organization).count() == 1
        return job

    jobs = run_many(8, enqueue)

    assert {type(job) for job in jobs} == {Job}
    assert len({job.pk for job in jobs if isinstance(job, Job)}) == 1


@pytest.mark.django_db(transaction=True)
def test_work_for_an_organization_that_is_gone_is_an_error(work: Work) -> None:
    """The loser of a race tries again, but not for ever."""
    with pytest.raises(IntegrityError):
        ledger.enqueue(NAME, organization=factories.unknown_id(), subject_id=uuid.uuid4())


# Bells -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("silence")
def test_the_bell_rings_with_the_commit_and_not_before(
    work: Work, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = work.enqueue()
        assert bells.heard() == []

    assert bells.heard() == [("interactive", RUN_JOB, str(job.pk))]


@pytest.mark.usefixtures("silence")
@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_job_rings_no_bell(work: Work) -> None:
    with transaction.atomic():
        work.enqueue()
        transaction.set_rollback(True)

    assert bells.heard() == []
    assert not Job.objects.for_organization(work.organization).exists()


@contextmanager
def frozen_server() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize("broker", ["down", "frozen"])
def test_bells_nobody_hears_cost_one_click_little_and_are_no_error(
    work: Work,
    broker: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with frozen_server() as frozen:
        port = frozen if broker == "frozen" else closed_port()
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        monkeypatch.setattr(app.conf, "broker_url", settings.REDIS_URL)
        started = time.monotonic()

        with django_capture_on_commit_callbacks(execute=True):
            jobs = [work.enqueue() for _ in range(20)]

        elapsed = time.monotonic() - started
    assert elapsed < 2.5
    assert caplog.messages.count("bell_not_heard") == 1
    assert {work.stored(job).status for job in jobs} == {Status.QUEUED}


# Claiming ----------------------------------------------------------------------------------


def test_a_claim_takes_lease_fence_and_attempt(work: Work) -> None:
    before = timezone.now()

    claim = claimed(work.enqueue())

    job = work.stored(claim.job)
    assert (job.status, job.attempts, job.fence) == (Status.RUNNING, 1, 1)
    assert job.lease_expires_at is not None
    assert job.started_at is not None
    seconds = ledger.KINDS[NAME].lease_seconds
    assert timedelta(0) <= job.lease_expires_at - before - timedelta(seconds=seconds)
    assert (claim.job.status, claim.job.attempts, claim.fence) == (Status.RUNNING, 1, 1)


def test_a_claimed_job_is_not_claimed_again(work: Work) -> None:
    job = work.enqueue()
    claimed(job)

    assert ledger.claim(job.pk) is None
    assert ledger.run(job.pk) is False
    assert work.stored(job).attempts == 1


@pytest.mark.parametrize("status", [Status.DONE, Status.DEAD])
def test_a_job_that_is_over_is_not_claimed(work: Work, status: str) -> None:
    assert ledger.claim(work.enqueue(status=status).pk) is None


def test_a_job_is_not_claimed_before_its_time(work: Work) -> None:
    job = work.enqueue(
        status=Status.WAITING, next_attempt_at=timezone.now() + timedelta(seconds=30)
    )

    assert ledger.claim(job.pk) is None
    assert ledger.claim(job.pk, now=timezone.now() + timedelta(seconds=31)) is not None


def test_unknown_jobs_and_kinds_are_left_alone(work: Work) -> None:
    """A worker of an older release sees jobs of kinds it does not know yet."""
    job = work.enqueue(kind="tests.of_a_later_release")

    assert ledger.claim(factories.unknown_id()) is None
    assert ledger.claim(job.pk) is None
    assert work.stored(job).attempts == 0


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_many_workers_and_one_job_make_one_claim(work: Work) -> None:
    job = work.enqueue()

    claims = run_many(16, lambda: ledger.claim(job.pk))

    assert sum(isinstance(claim, Claim) for claim in claims) == 1
    assert claims.count(None) == 15
    assert work.stored(job).attempts == 1


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_two_workers_drain_a_queue_and_do_each_job_once(work: Work) -> None:
    jobs = {work.enqueue().pk for _ in range(30)}

    done = run_many(2, lambda: ledger.drain("interactive"))

    assert sum(count for count in done if isinstance(count, int)) == 30
    assert sorted(work.ran, key=str) == sorted(jobs, key=str)


# Finishing ---------------------------------------------------------------------------------


def test_a_finished_job_is_done_together_with_what_was_written(work: Work) -> None:
    claim = claimed(work.enqueue())

    with claim.finishing():
        factories.make_user("written@example.com")

    job = work.stored(claim.job)
    assert (job.status, job.lease_expires_at) == (Status.DONE, None)
    assert job.finished_at is not None
    assert work.shown == [job.pk]


def test_an_error_while_writing_takes_everything_back(work: Work) -> None:
    claim = claimed(work.enqueue())

    def write_and_fail() -> None:
        with claim.finishing():
            work.organization.name = "Half written"
            work.organization.save()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()

    work.organization.refresh_from_db()
    assert work.organization.name != "Half written"
    assert work.stored(claim.job).status == Status.RUNNING


def write_late(claim: Claim, work: Work) -> None:
    with claim.finishing():
        work.organization.name = "Late"
        work.organization.save()


@pytest.mark.parametrize("meanwhile", ["recovered", "claimed by another", "cancelled"])
def test_a_worker_that_lost_its_lease_writes_nothing(work: Work, meanwhile: str) -> None:
    job = work.enqueue()
    late = claimed(job)
    if meanwhile == "cancelled":
        ledger.cancel_live(organization_id=work.organization.pk, subject_ids=[late.job.subject_id])
    else:
        work.write(job, lease_expires_at=in_the_past())
        ledger.recover_lost()
    if meanwhile == "claimed by another":
        claimed(job)
    before = work.stored(job)

    with pytest.raises(StaleState):
        write_late(late, work)
    with pytest.raises(StaleState):
        late.wait(reason="amazon_throttled", retry_after=5)
    with pytest.raises(StaleState):
        late.keep()

    work.organization.refresh_from_db()
    after = work.stored(job)
    assert work.organization.name != "Late"
    assert (after.status, after.fence, after.lease_expires_at, after.next_attempt_at) == (
        before.status,
        before.fence,
        before.lease_expires_at,
        before.next_attempt_at,
    )


def test_a_late_worker_ends_quietly(work: Work) -> None:
    job = work.enqueue()

    def lose_the_lease(claim: Claim) -> None:
        work.write(job, lease_expires_at=in_the_past())
        ledger.recover_lost()
        write_late(claim, work)

    work.does = lose_the_lease

    assert ledger.run(job.pk) is True
    assert work.stored(job).status == Status.QUEUED


def test_a_kept_lease_lasts_longer(work: Work) -> None:
    claim = claimed(work.enqueue())
    work.write(claim.job, lease_expires_at=in_the_past())

    claim.keep()

    assert ledger.recover_lost() == 0
    write_late(claim, work)
    assert work.stored(claim.job).status == Status.DONE


# Waiting -----------------------------------------------------------------------------------


def test_a_waiting_job_says_why_and_when(work: Work) -> None:
    claim = claimed(work.enqueue())

    claim.wait(reason="amazon_throttled", retry_after=62.5)

    job = work.stored(claim.job)
    assert (job.status, job.waiting_reason, job.last_error_code) == (
        Status.WAITING,
        "amazon_throttled",
        "amazon_throttled",
    )
    seconds = (job.next_attempt_at - timezone.now()).total_seconds()
    assert 60 < seconds <= 62.5
    assert (job.lease_expires_at, job.attempts) == (None, 1)
    assert work.shown == [job.pk]


def test_the_reason_goes_with_the_next_claim(work: Work) -> None:
    claim = claimed(work.enqueue())
    claim.wait(reason="amazon_throttled", retry_after=0)

    claimed(claim.job)

    assert work.stored(claim.job).waiting_reason == ""


def test_being_told_to_wait_is_no_failed_attempt(work: Work) -> None:
    job = work.enqueue()

    for _ in range(3 * MAX_ATTEMPTS):
        claimed(job).wait(reason="amazon_throttled", retry_after=0, counted=False)

    stored = work.stored(job)
    assert (stored.status, stored.attempts) == (Status.WAITING, 0)
    assert work.given_up == []


def test_the_last_counted_wait_is_the_end(work: Work) -> None:
    job = work.enqueue()
    for _ in range(MAX_ATTEMPTS - 1):
        claimed(job).wait(reason="unexpected_reply", retry_after=0)
    assert (work.stored(job).status, work.given_up) == (Status.WAITING, [])

    claimed(job).wait(reason="unexpected_reply", retry_after=0)

    stored = work.stored(job)
    assert (stored.status, stored.last_error_code) == (Status.DEAD, "unexpected_reply")
    assert stored.finished_at is not None
    assert work.given_up == [job.pk]
    assert ledger.claim(job.pk) is None


@pytest.mark.parametrize("attempts", [0, 1, 5, 40])
def test_waits_grow_with_jitter_between_two_seconds_and_a_quarter_of_an_hour(
    attempts: int,
) -> None:
    waits = [ledger.backoff(attempts) for _ in range(200)]

    assert min(waits) >= 2
    assert max(waits) <= min(900, 5 * 2**attempts)
    assert len(set(waits)) > 10


# Lost workers and lost messages ------------------------------------------------------------


def test_a_job_whose_worker_died_goes_back_to_the_queue(work: Work) -> None:
    job = work.enqueue()
    claimed(job)
    work.write(job, lease_expires_at=in_the_past())

    assert ledger.recover_lost() == 1

    stored = work.stored(job)
    assert (stored.status, stored.lease_expires_at) == (Status.QUEUED, None)
    assert (stored.fence, stored.attempts) == (2, 1)
    assert stored.last_error_code == "worker_lost"
    assert work.shown == [job.pk]


def test_a_job_whose_lease_runs_is_left_alone(work: Work) -> None:
    job = work.enqueue()
    claimed(job)

    assert ledger.recover_lost() == 0
    assert work.stored(job).status == Status.RUNNING


def test_work_that_kills_its_worker_ends_after_five_attempts(work: Work) -> None:
    job = work.enqueue()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claimed(job)
        assert work.stored(job).attempts == attempt
        work.write(job, lease_expires_at=in_the_past())
        ledger.recover_lost()

    stored = work.stored(job)
    assert (stored.status, stored.attempts) == (Status.DEAD, MAX_ATTEMPTS)
    assert work.given_up == [job.pk]


def test_an_unforeseen_exception_counts_as_a_lost_worker(work: Work) -> None:
    job = work.enqueue()

    def explode(claim: Claim) -> None:
        raise ZeroDivisionError

    work.does = explode

    with pytest.raises(ZeroDivisionError):
        ledger.run(job.pk)

    stored = work.stored(job)
    assert (stored.status, stored.attempts) == (Status.RUNNING, 1)
    assert stored.lease_expires_at is not None


@pytest.mark.usefixtures("silence")
def test_the_sweep_rings_again_for_every_due_job(
    work: Work, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    lost_message = work.enqueue()
    lost_worker = work.enqueue()
    claimed(lost_worker)
    work.write(lost_worker, lease_expires_at=in_the_past())
    work.enqueue(status=Status.WAITING, next_attempt_at=timezone.now() + timedelta(minutes=1))
    claimed(work.enqueue())

    with django_capture_on_commit_callbacks(execute=True):
        ledger.sweep()

    rung = {argument for _, task, argument in bells.heard() if task == RUN_JOB}
    assert rung == {str(lost_message.pk), str(lost_worker.pk)}


def test_the_same_message_three_times_has_one_effect(work: Work) -> None:
    job = work.enqueue()

    for _ in range(3):
        tasks.run_job(str(job.pk))

    assert work.ran == [job.pk]


def test_one_broken_row_does_not_stop_the_sweep(
    work: Work, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = work.enqueue(), work.enqueue()
    for job, seconds in ((broken, 20), (sound, 10)):
        claimed(job)
        work.write(job, lease_expires_at=in_the_past(seconds), attempts=MAX_ATTEMPTS)

    def refuse(job: Job) -> None:
        if job == broken:
            raise ZeroDivisionError
        work.given_up.append(job.pk)

    kind = ledger.KINDS[NAME]
    ledger.register(ledger.Kind(name=NAME, run=kind.run, changed=kind.changed, give_up=refuse))

    assert ledger.sweep() >= 1

    assert work.stored(sound).status == Status.DEAD
    assert work.given_up == [sound.pk]
    # Rolled back as a whole: the next sweep tries again, and the log tells staff.
    assert work.stored(broken).status == Status.RUNNING
    assert "sweep_step_failed" in caplog.messages


def test_one_broken_sweeper_does_not_stop_the_others(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode() -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(sweeping, "SWEEPERS", [explode, lambda: 7])

    assert ledger.sweep() == 7


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_recover_a_job_once(work: Work) -> None:
    job = work.enqueue()
    claimed(job)
    work.write(job, lease_expires_at=in_the_past(), attempts=MAX_ATTEMPTS)

    run_many(6, ledger.recover_lost)

    assert work.stored(job).fence == 2
    assert work.given_up == [job.pk]


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_late_writer_and_the_sweep_do_not_both_win(work: Work) -> None:
    """The worker comes back at the very moment its lease ends."""
    for _ in range(10):
        job = work.enqueue()
        claim = claimed(job)
        work.write(job, lease_expires_at=in_the_past())

        finished, recovered = run_together(partial(write_late, claim, work), ledger.recover_lost)

        wrote = finished is None
        assert work.stored(job).status == (Status.DONE if wrote else Status.QUEUED)
        assert (wrote, recovered) in {(True, 0), (False, 1)}


# Ending early and starting over ------------------------------------------------------------


def test_cancelled_work_is_over(work: Work) -> None:
    queued, running = work.enqueue(), work.enqueue()
    claimed(running)
    other = work.enqueue()

    cancelled = ledger.cancel_live(
        organization_id=work.organization.pk,
        subject_ids=[queued.subject_id, running.subject_id],
    )

    assert cancelled == 2
    for job in (queued, running):
        stored = work.stored(job)
        assert (stored.status, stored.last_error_code) == (Status.DEAD, "cancelled")
        assert ledger.claim(job.pk) is None
    assert work.stored(other).status == Status.QUEUED


def test_work_of_another_organization_is_not_cancelled(work: Work) -> None:
    job = work.enqueue()

    ledger.cancel_live(
        organization_id=factories.make_organization().pk, subject_ids=[job.subject_id]
    )

    assert work.stored(job).status == Status.QUEUED


def test_hurried_work_is_due_now(work: Work) -> None:
    job = work.enqueue()
    claimed(job).wait(reason="grant_doubted", retry_after=900)

    assert ledger.hurry(job) is True
    assert ledger.claim(job.pk) is not None
    assert ledger.hurry(job) is False


def test_work_that_starts_over_is_as_good_as_new(work: Work) -> None:
    waiting, running = work.enqueue(), work.enqueue()
    claimed(waiting).wait(reason="grant_doubted", retry_after=900)
    late = claimed(running)

    ledger.start_over([waiting, running])

    for job in (waiting, running):
        stored = work.stored(job)
        assert (stored.status, stored.attempts, stored.waiting_reason) == (Status.QUEUED, 0, "")
    with pytest.raises(StaleState):
        write_late(late, work)
    assert ledger.claim(running.pk) is not None


def test_work_that_is_over_does_not_start_over(work: Work) -> None:
    job = work.enqueue(status=Status.DONE)

    ledger.start_over([job])

    assert work.stored(job).status == Status.DONE


# Draining ----------------------------------------------------------------------------------


def test_a_drain_does_the_oldest_first_and_stops_at_its_limit(work: Work) -> None:
    late = work.enqueue(next_attempt_at=in_the_past(10))
    early = work.enqueue(next_attempt_at=in_the_past(20))
    last = work.enqueue(next_attempt_at=in_the_past(5))

    assert ledger.drain("interactive", limit=2) == 2

    assert work.ran == [early.pk, late.pk]
    assert work.stored(last).status == Status.QUEUED
    assert ledger.drain("interactive") == 1


def test_a_drain_of_one_queue_leaves_the_other_alone(work: Work) -> None:
    job = work.enqueue()

    assert ledger.drain("background") == 0
    assert work.stored(job).status == Status.QUEUED


def test_a_drain_does_not_turn_in_circles(work: Work) -> None:
    work.does = lambda claim: claim.wait(reason="amazon_throttled", retry_after=5, counted=False)
    work.enqueue()

    assert ledger.drain("interactive") == 1


def test_the_worker_reads_the_organization_from_the_row(work: Work) -> None:
    """A message carries the job's id alone, so it cannot pair it with another organization."""
    job = work.enqueue()
    seen = []

    def look(claim: Claim) -> None:
        seen.append(claim.job.organization_id)
        with claim.finishing():
            pass

    work.does = look
    tasks.run_job(str(job.pk))

    assert seen == [work.organization.pk]


# Tasks -------------------------------------------------------------------------------------


def test_the_tasks_have_the_names_that_messages_carry() -> None:
    assert {RUN_JOB, DRAIN, SWEEP} <= set(app.tasks)
    assert (RUN_JOB, DRAIN, SWEEP) == (
        "sellerlegend.jobs.run_job",
        "sellerlegend.jobs.drain",
        "sellerlegend.jobs.sweep",
    )


def test_celery_is_configured_as_a_doorbell() -> None:
    conf = app.conf

    assert conf.task_acks_late is False
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result is True
    assert conf.result_backend is None
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert conf.task_always_eager is False
    assert conf.task_soft_time_limit < conf.task_time_limit
    # Sweeps that piled up while nobody worked are thrown away.
    assert (
        conf.beat_schedule["sweep"]["options"]["expires"]
        >= 10 * conf.beat_schedule["sweep"]["schedule"]
    )


def test_the_drain_and_sweep_tasks_do_the_same_as_the_functions(work: Work) -> None:
    job = work.enqueue()
    claimed(job)
    work.write(job, lease_expires_at=in_the_past())

    tasks.sweep()
    tasks.drain("interactive")

    assert work.stored(job).status == Status.DONE
