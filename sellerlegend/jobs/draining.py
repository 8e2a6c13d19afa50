"""Many jobs for one message: claim in batches, do, claim again."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError, connections

from sellerlegend import log_facts
from sellerlegend.celery import DRAIN, ring
from sellerlegend.jobs import claims
from sellerlegend.jobs.claims import Claim
from sellerlegend.jobs.keeping import kept
from sellerlegend.jobs.kinds import companions
from sellerlegend.transitions import StaleState

logger = logging.getLogger(__name__)

DRAIN_JOBS = 10_000
# Short, so that messages of the other queue find a free process soon.
DRAIN_SECONDS = 5.0
LARGEST_BATCH = 128
GROWTH = 4
# Whoever is quicker may take more at once; what was not begun soon is put down again, so that
# no lease runs out in a queue behind a slow neighbour.
QUICK_SECONDS = 0.5
HOLD_SECONDS = 2.0
# Jobs that lost a worker are rare: where there was none, nobody asks again at once.
LOST_SECONDS = 0.5


def drain(queue: str, *, limit: int = DRAIN_JOBS, seconds: float = DRAIN_SECONDS) -> int:
    """Do due jobs of one queue until none is left, `limit` is reached or time is up.

    Returns how many were begun. What one job raises unforeseen never stops the others: its claim
    is left to its lease. Where there is more to do than it takes at once, one more bell is rung,
    so that an idle process joins in; and another one when it ends before the work does.
    """
    end = time.monotonic() + seconds
    begun, size, has_rung, look_at = 0, 1, False, 0.0
    served: Counter[UUID] = Counter()
    while begun < limit and time.monotonic() < end:
        wanted = min(size, limit - begun)
        batch = claims.claim_due(queue, limit=wanted, is_first_try=True, served=served)
        if len(batch) == wanted and not has_rung:
            ring(DRAIN, queue, queue)
            has_rung = True
        started = time.monotonic()
        done = _work_off(batch, served, until=end)
        again: list[Claim] = []
        # Not at once: if it kills this process too, work of others was done before.
        if not batch or (begun and time.monotonic() >= look_at):
            again = claims.claim_due(queue, limit=1, is_first_try=False, served=served)
            look_at = 0.0 if again else time.monotonic() + LOST_SECONDS
        done += _work_off(again, served, until=end)
        if not batch and not again:
            return begun
        begun += done
        is_quick = time.monotonic() - started < QUICK_SECONDS
        size = min(GROWTH * size, LARGEST_BATCH) if is_quick else 1
    # Whoever heard the first bell may have found each organization at its cap, and gone.
    ring(DRAIN, queue, queue)
    return begun


def _work_off(batch: Sequence[Claim], served: Counter[UUID], *, until: float) -> int:
    """Returns how many were begun, one at least; what is not begun in time is put back, also while
    the one before it takes long."""
    end = min(until, time.monotonic() + HOLD_SECONDS)
    begun = 0
    waiting = _Waiting(list(_together(batch)))
    group = waiting.next()
    with waiting.given_back_after(HOLD_SECONDS):
        while group is not None:
            begun += len(group)
            served[group[0].job.organization_id] += len(group)
            with kept(*group):
                _do_many(group)
            group = waiting.next() if time.monotonic() < end else None
    return begun


class _Waiting:
    """The groups of a batch that nobody has begun: taken one by one, or given back all at once."""

    def __init__(self, groups: list[list[Claim]]) -> None:
        self._groups = groups
        self._lock = threading.Lock()

    def next(self) -> list[Claim] | None:
        with self._lock:
            return self._groups.pop(0) if self._groups else None

    @contextmanager
    def given_back_after(self, seconds: float) -> Iterator[None]:
        """After so long, by a thread of its own, and at the end of the block."""
        timer = threading.Timer(seconds, self._give_back_beside)
        timer.daemon = True
        if self._groups:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._give_back()

    def _give_back(self) -> list[Claim]:
        with self._lock:
            groups, self._groups = self._groups, []
        rest = list(chain.from_iterable(groups))
        claims.give_back(rest)
        return rest

    def _give_back_beside(self) -> None:
        try:
            for queue in {claim.job.queue for claim in self._give_back()}:
                ring(DRAIN, queue, queue)
        except (DatabaseError, InterfaceError) as error:  # their leases end
            logger.warning("claims_not_given_back", extra={"cause": type(error).__name__})
        finally:
            connections.close_all()


def _together(batch: Iterable[Claim]) -> Iterable[list[Claim]]:
    """Jobs of one kind and connection form a group where the kind knows how to do several."""
    groups: dict[Hashable, list[Claim]] = {}
    for claim in batch:
        groups.setdefault(companions(claim.job), []).append(claim)
    return groups.values()


def _do_many(group: list[Claim]) -> None:
    """A group that fails as a whole is done one by one, so that only the culprit fails."""
    run_many = group[0].kind.run_many
    if run_many is not None and len(group) > 1:
        logger.info("jobs_started", extra={"jobs": len(group), "kind": group[0].job.kind})
        try:
            run_many(group)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # the log has the cause; each is tried alone now
            logger.exception("jobs_failed_together", extra={"kind": group[0].job.kind})
        else:
            return
    for claim in group:
        _do_one(claim)


def _do_one(claim: Claim) -> None:
    try:
        do(claim)
    except SoftTimeLimitExceeded:
        raise
    except Exception:  # its lease ends, the sweep counts the attempt
        logger.exception("job_failed", extra={"job": claim.job.pk, "kind": claim.job.kind})


def do(claim: Claim) -> None:
    """Do one claimed job, whose lease the caller keeps. What nobody foresaw is raised and leaves
    the claim to its lease."""
    job = claim.job
    facts = {"job": job.pk, "organization": job.organization_id, "connection": job.connection_id}
    with log_facts.about(**facts):
        logger.info("job_started", extra={"kind": job.kind})
        try:
            claim.kind.run(claim)
        except StaleState:
            logger.info("job_overtaken", extra={"kind": job.kind})
