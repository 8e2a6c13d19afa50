"""Is the product able to work? One word for each part, within a bounded time.

Each look runs in a thread of its own, at most one at a time: a server that is frozen holds that
one thread, and everybody who asks meanwhile is told *late*.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from django.conf import settings
from django.db import Error, connection
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from sellerlegend import crypto, database_clock
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.monitoring.models import Tally
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.models import Organization

logger = logging.getLogger(__name__)

OK, DOWN, LATE, UNKNOWN = "ok", "down", "late", "unknown"
# The looks run side by side, and an answer is promised within 2.5 s.
PATIENCE_SECONDS = 1.5
FRESH_SECONDS = 2.0
SWEEP_AGE = timedelta(minutes=2)
QUEUE_AGE_SECONDS = 300.0
DATABASE_SKEW_SECONDS = 5.0
AMAZON_SKEW_SECONDS = 60.0
AMAZON_SKEW_LASTS = timedelta(days=1)
AMAZON_SKEW = "amazon_clock_skew_seconds"
QUARANTINE = "quarantine"
QUARANTINE_WORDS = {
    "": OK,
    quarantine.ORDERED: "ordered",
    quarantine.MOVED: "moved",
    quarantine.OLDER: "older",
}
BEHIND_THE_DATABASE = ("database", "keys", "clock", "sweep", "queue", QUARANTINE)
BROKER = "broker"

Words = dict[str, str]


class Look:
    """One look at something outside, shared by all who ask for it within two seconds."""

    def __init__(
        self,
        look: Callable[[], Words],
        names: tuple[str, ...],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.look = look
        self.names = names
        self.patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._begun_at = -math.inf
        self._answer: Future[Words] = Future()
        self._answer.set_result({})

    def begin(self) -> Callable[[], Words]:
        """Look, unless somebody is at it or just was. What it returns waits for the words, but
        no longer than the patience after the look began."""
        with self._lock:
            if self._answer.done() and time.monotonic() - self._begun_at > FRESH_SECONDS:
                self._answer, self._begun_at = Future(), time.monotonic()
                # Not an executor: the end of the process would wait for its threads, frozen or not.
                threading.Thread(target=self._run, args=(self._answer,), daemon=True).start()
            return partial(self._words, self._answer, self._begun_at + self.patience_seconds)

    def _words(self, answer: Future[Words], deadline: float) -> Words:
        try:
            return answer.result(max(0.0, deadline - time.monotonic()))
        except FutureTimeoutError:
            return dict.fromkeys(self.names, LATE)

    def _run(self, answer: Future[Words]) -> None:
        try:
            answer.set_result(self.look())
        except Exception:  # whatever it is: this part does not work
            logger.exception("look_failed")
            answer.set_result(dict.fromkeys(self.names, DOWN))


def look_behind_the_database() -> Words:
    try:
        words = {"database": OK, "clock": clock()}
        words[QUARANTINE] = quarantine_word()
        return words | {"keys": keys(), "sweep": sweep(), "queue": queue()}
    except Error:
        return dict.fromkeys(BEHIND_THE_DATABASE, UNKNOWN) | {"database": DOWN}
    finally:
        connection.close()


def look_at_the_broker() -> Words:
    if not settings.REDIS_URL:
        folder = Path(settings.CELERY_BROKER_DIR) / "messages"
        return {BROKER: OK if folder.is_dir() else DOWN}
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=PATIENCE_SECONDS,
        socket_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        return {BROKER: OK if client.ping() else DOWN}
    except redis.RedisError:
        return {BROKER: DOWN}
    finally:
        client.close()


LOOKS = (Look(look_behind_the_database, BEHIND_THE_DATABASE), Look(look_at_the_broker, (BROKER,)))


def readiness() -> Words:
    """One word for each part: ok, or what is wrong with it. Takes PATIENCE_SECONDS at most."""
    answers = [look.begin() for look in LOOKS]
    return {name: word for answer in answers for name, word in answer().items()}


def database_skew() -> float:
    """Seconds by which the database's clock is ahead of this process's."""
    if connection.vendor != "postgresql":
        return 0.0  # a file: there is only one clock
    return database_clock.skew_seconds()


def amazon_skew() -> float | None:
    """Seconds by which Amazon's clock was ahead of ours at its last answer; None: not known."""
    seen = Tally.objects.filter(name=AMAZON_SKEW, updated_at__gt=timezone.now() - AMAZON_SKEW_LASTS)
    return seen.order_by("-updated_at").values_list("value", flat=True).first()


def clock() -> str:
    amazons = amazon_skew()
    is_wrong = abs(database_skew()) > DATABASE_SKEW_SECONDS or (
        amazons is not None and abs(amazons) > AMAZON_SKEW_SECONDS
    )
    return "skewed" if is_wrong else OK


def locked_organizations() -> int:
    """How many have a data key under an id that is not loaded: nothing of theirs can be read."""
    rows = Organization.objects.exclude(data_key="")
    for kid in settings.TOKEN_ENCRYPTION_KEYS:
        rows = rows.exclude(data_key__startswith=f"{crypto.FORMAT}.{kid}.")
    return rows.count()


def keys() -> str:
    """The ring works, its keys are the ones their ids stand for, and none is missing."""
    place = crypto.Place("monitoring", "readiness", UUID(int=0), UUID(int=0))
    data_key = crypto.new_data_key(place.organization_id)
    sealed = crypto.seal(Secret("probe"), place, data_key=data_key)
    crypto.unseal(sealed, place, data_key=data_key, purpose=crypto.Purpose.PROBE)
    if custody.wrong_keys():
        return "wrong"
    if crypto.first_kid() in custody.retired_keys():
        return "retired"
    loaded = settings.TOKEN_ENCRYPTION_KEYS.keys()
    of_others = custody.other_rows_by_kind().values()
    is_missing = any(counts.keys() - loaded for counts in of_others) or locked_organizations()
    return "missing" if is_missing else OK


def quarantine_word() -> str:
    return QUARANTINE_WORDS[quarantine.cause()]


def sweep() -> str:
    at = ledger.last_sweep_at()
    if at is None:
        return "never"
    return "old" if timezone.now() - at > SWEEP_AGE else OK


def queue() -> str:
    return "old" if max(ledger.queue_ages().values(), default=0.0) > QUEUE_AGE_SECONDS else OK


def is_ready(words: dict[str, Any]) -> bool:
    """Quarantine is told, and pages are served all the same."""
    told_only = {QUARANTINE: set(QUARANTINE_WORDS.values())}
    return all(word in told_only.get(name, {OK}) for name, word in words.items())
