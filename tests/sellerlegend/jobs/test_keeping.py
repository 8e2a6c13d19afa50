"""A living process keeps its lease; a lost one is not taken back."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from sellerlegend.jobs import draining, keeping, ledger
from sellerlegend.jobs.claims import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.scoping import across_organizations
from tests.sellerlegend.jobs.conftest import NAME, Work
from tests.threads import run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.needs_postgresql]

# Looked at every second, renewed after a second: 2 s would hang on one look coming in time.
LEASE_SECONDS = 3


@pytest.fixture(autouse=True)
def short_lease(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by monkeypatch, which would put the old one back after `work` took it away.
    ledger.KINDS[NAME] = replace(ledger.KINDS[NAME], lease_seconds=LEASE_SECONDS)
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(keeping, "_keepers", {})


def test_work_that_lasts_longer_than_its_lease_is_not_given_to_somebody_else(work: Work) -> None:
    is_done = threading.Event()

    def last_long(claim: Claim) -> None:
        time.sleep(2 * LEASE_SECONDS)
        with claim.finishing():
            is_done.set()

    def sweep_meanwhile() -> int:
        recovered = 0
        while not is_done.wait(0.1):
            recovered += ledger.recover_lost()
        return recovered

    work.does = last_long
    job = work.enqueue()

    ran, recovered = run_together(lambda: ledger.run(job.pk), sweep_meanwhile)

    assert (ran, recovered) == (True, 0)
    assert (work.stored(job).status, work.stored(job).attempts) == ("done", 1)


def test_what_waits_behind_a_slow_job_of_its_batch_loses_no_attempt(work: Work) -> None:
    is_over = threading.Event()

    def dawdle(claim: Claim) -> None:
        if len(work.ran) == 3:  # with two others of its batch behind it
            time.sleep(2 * LEASE_SECONDS)
        with claim.finishing():
            pass

    def drain() -> int:
        begun = ledger.drain("interactive", seconds=60)
        is_over.set()
        return begun

    def sweep_meanwhile() -> int:
        recovered = 0
        while not is_over.wait(0.1):
            recovered += ledger.recover_lost()
        return recovered

    work.does = dawdle
    jobs = [work.enqueue() for _ in range(6)]

    begun, recovered = run_together(drain, sweep_meanwhile)

    assert (begun, recovered) == (6, 0)
    assert {(work.stored(job).status, work.stored(job).attempts) for job in jobs} == {("done", 1)}


def test_what_waits_behind_a_slow_job_of_its_batch_is_done_by_somebody_else(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "HOLD_SECONDS", 0.3)
    has_begun, may_end = threading.Event(), threading.Event()

    def dawdle(claim: Claim) -> None:
        if len(work.ran) == 2:  # the first of a batch of four
            has_begun.set()
            assert may_end.wait(30)
        with claim.finishing():
            pass

    def help_out() -> int:
        assert has_begun.wait(30)
        done = 0
        while done < 3:
            done += ledger.drain("interactive")
        may_end.set()
        return done

    work.does = dawdle
    jobs = [work.enqueue() for _ in range(5)]

    begun, helped = run_together(lambda: ledger.drain("interactive"), help_out)

    assert (begun, helped) == (2, 3)
    assert {(work.stored(job).status, work.stored(job).attempts) for job in jobs} == {("done", 1)}


def test_a_lease_that_was_lost_is_not_renewed(work: Work) -> None:
    def lose_it(claim: Claim) -> None:
        with across_organizations("the test takes the job away"):
            Job.objects.filter(pk=claim.job.pk).update(fence=claim.fence + 1)
        time.sleep(LEASE_SECONDS)
        with claim.finishing():
            pass

    work.does = lose_it
    job = work.enqueue()

    [ran] = run_together(lambda: ledger.run(job.pk))

    stored = work.stored(job)
    assert ran is True
    assert (stored.status, stored.fence) == ("running", 2)
    assert stored.lease_expires_at is not None
    assert ledger.recover_lost() == 1


def test_what_hangs_longer_than_anything_may_keeps_its_lease_no_more(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "LONGEST_SECONDS", 0.0)
    work.does = lambda claim: time.sleep(LEASE_SECONDS + 0.5)
    job = work.enqueue()

    run_together(lambda: ledger.run(job.pk))

    assert ledger.recover_lost() == 1
    assert work.stored(job).status == "queued"
