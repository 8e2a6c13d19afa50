"""What each worker looks after by itself: the sweep, and whether it still works at all.

Two threads in the worker's main process. One sweeps in turn with all other workers, so that a
dead beat costs nothing; when the broker hears no bell it also does due work right there. The
other one ends a worker that takes nothing although work is due: such a worker answers `ping` and
looks alive (lab L8), so only its claims count. The supervisor starts a new one.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any

from billiard.process import active_children  # type: ignore[import-untyped]  # no stubs
from celery.worker import state
from django.conf import settings
from django.db import close_old_connections, connections
from django.utils import timezone

from sellerlegend.celery import QUEUES, TASK_SECONDS, is_broker_deaf, is_broker_reachable
from sellerlegend.jobs import due, progress, sweeping
from sellerlegend.organizations import quarantine

logger = logging.getLogger(__name__)

# Filled in a signal's handler, which may interrupt itself: an event's lock would stay taken.
_stopping: SimpleQueue[None] = SimpleQueue()


def start_tending(sender: Any, **_signal: Any) -> None:
    """Once for each worker, when its pool stands: what forks later closes nothing of ours."""
    while not _stopping.empty():
        _stopping.get()
    watchdog = Watchdog(
        slots=sender.controller.concurrency,
        seconds=settings.WATCHDOG_SECONDS,
        queues=tuple(sender.app.amqp.queues.consume_from),
    )
    for work, pause in ((tend, settings.SWEEP_SECONDS), (watchdog.look, watchdog.pause)):
        threading.Thread(target=_repeat, args=(work, pause), daemon=True).start()


def stop_tending(**_signal: Any) -> None:
    """A worker that lets its last jobs end is not stuck. However often it is told to end."""
    _stopping.put(None)


def _is_stopped_within(seconds: float) -> bool:
    try:
        _stopping.get(timeout=seconds)
    except Empty:
        return False
    _stopping.put(None)  # for the other thread
    return True


def _repeat(work: Callable[[], None], pause: float) -> None:
    while not _is_stopped_within(pause):
        try:
            close_old_connections()
            work()
        except Exception as error:  # noqa: BLE001  # the database is away, for instance
            logger.warning("tending_failed", extra={"cause": type(error).__name__})
        finally:
            # Nothing is left open for a process of the pool to inherit.
            connections.close_all()


def tend() -> None:
    """One sweep; and the due work itself while nobody hears the bells."""
    if sweeping.sweep_in_turn() is not None and is_broker_deaf():
        _lifeboat.put_out()


class Lifeboat:
    """Does due work in a process of its own, one at a time: what kills it, or hangs in it, does
    neither to the worker."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0.0

    def put_out(self) -> None:
        now = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            if now - self._since > TASK_SECONDS:
                self._process.kill()
            return
        self._process = subprocess.Popen([sys.executable, "-m", "sellerlegend.jobs.lifeboat"])
        self._since = now


_lifeboat = Lifeboat()


@dataclass
class Watchdog:
    """Ends the process when for `seconds` work of its queues was due that nobody had reason to
    leave.

    Silent while the database or the broker is away, while all `slots` are busy within their time
    limit, and after a freeze of the whole process: then the count begins anew.
    """

    slots: int
    seconds: float
    queues: Sequence[str] = QUEUES
    suspect_since: float | None = None
    looked_at: float = 0.0

    @property
    def pause(self) -> float:
        return self.seconds / 10

    def look(self) -> None:
        now = time.monotonic()
        was_frozen = now - self.looked_at > self.seconds / 2
        self.looked_at = now
        try:
            is_suspect = not was_frozen and not self._is_busy() and self._is_work_left()
        except Exception:
            self.suspect_since = None
            raise
        if not is_suspect:
            self.suspect_since = None
            return
        since = self.suspect_since = self.suspect_since or now
        if progress.last_claim() > since:
            self.suspect_since = now
        elif now - since >= self.seconds - 2 * self.pause:
            self._judge(now - since)

    def _is_busy(self) -> bool:
        """Every slot does what it may do. By Celery's own book, which a lost slot is not in."""
        oldest = time.time() - TASK_SECONDS
        legal = [request for request in tuple(state.active_requests) if _started(request) > oldest]
        return len(legal) >= self.slots

    def _is_work_left(self) -> bool:
        return not quarantine.is_on() and due.is_claimable_before(
            timezone.now() - timedelta(seconds=2 * self.pause), self.queues
        )

    def _judge(self, seconds: float) -> None:
        if not is_broker_reachable():
            self.suspect_since = None
            return
        logger.critical("worker_stuck", extra={"seconds": round(seconds)})
        end_process()


def _started(request: Any) -> float:
    return float(request.time_start or 0.0)


def end_process() -> None:
    """Not a shutdown, which would wait for what is stuck. Leases and fences hold what is lost."""
    for child in active_children():
        os.kill(child.pid, signal.SIGKILL)
    logging.shutdown()
    os._exit(1)
