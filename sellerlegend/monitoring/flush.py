"""Carries what this process counted to the database, from a thread that nobody waits for.

A killed process loses what it counted in the last few seconds, and nothing else does: the
numbers survive restarts, so a counter never goes back.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
from typing import Any

from celery.signals import worker_init, worker_process_init, worker_process_shutdown
from django.conf import settings
from django.db import Error, connection, transaction
from django.utils import timezone

from sellerlegend import tallies
from sellerlegend.jobs import outcomes
from sellerlegend.monitoring.models import Tally
from sellerlegend.tallies import Series

logger = logging.getLogger(__name__)

INSERT = "INSERT INTO {table} (name, labels, value, updated_at) VALUES (%s, %s, %s, %s) "
ADD = (
    INSERT + "ON CONFLICT (name, labels) DO UPDATE SET "
    "value = {table}.value + excluded.value, updated_at = excluded.updated_at"
)
SET = (
    INSERT + "ON CONFLICT (name, labels) DO UPDATE SET "
    "value = excluded.value, updated_at = excluded.updated_at"
)


def flush() -> None:
    """Tell the database what was counted since the last time. Never raises: what it does not
    hear now is told the next time."""
    taken = tallies.take()
    if not (taken.added or taken.latest):
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # In one order everywhere, so that two processes never wait for each other in a circle.
            for template, numbers in ((ADD, taken.added), (SET, taken.latest)):
                cursor.executemany(template.format(table=Tally._meta.db_table), rows(numbers))
    except Error as error:
        tallies.put_back(taken)
        logger.warning("tallies_not_told", extra={"cause": type(error).__name__})


def rows(numbers: dict[Series, float]) -> list[tuple[Any, ...]]:
    now = timezone.now()
    found = [(name, labels_text(labels), value) for (name, labels), value in numbers.items()]
    return [(*row, now) for row in sorted(found)]


def labels_text(labels: tallies.Labels) -> str:
    return json.dumps(dict(labels), separators=(",", ":"))


_teller: tuple[int, threading.Thread] | None = None


def start(**_signal: Any) -> None:
    """Begin to tell, once in each process. Threads do not survive a fork: the child begins anew."""
    global _teller  # noqa: PLW0603  # one for each process
    if _teller is not None and _teller[0] == os.getpid():
        return
    thread = threading.Thread(target=_tell_for_ever, name="tallies", daemon=True)
    _teller = (os.getpid(), thread)
    thread.start()
    atexit.register(_tell_the_last)


def _tell_for_ever() -> None:
    pause = threading.Event()
    while not pause.wait(settings.TALLY_SECONDS):
        _tell_the_last()


def _tell_the_last(**_signal: Any) -> None:
    flush()
    outcomes.flush()
    # Between two flushes nobody needs it.
    connection.close()


worker_init.connect(start, weak=False)
worker_process_init.connect(start, weak=False)
worker_process_shutdown.connect(_tell_the_last, weak=False)
