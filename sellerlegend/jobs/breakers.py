"""Nobody calls a part of Amazon that is down: a breaker for each, shared by all processes.

`with guarded("sellers.EU", operation=…)` stands around every call. Failures are rare and go to a
row of the database, with the successes this process had since; whether a breaker is open is read
from that row every few seconds, so a call that succeeds costs no query. At half of ten or more
calls failed within a minute it opens. Then jobs are put off and people get the friendly word at
once, until one probe succeeds.

Only outages count: no answer, 5xx, what is no answer of the API. A refusal of one seller's token
or a 429 is an answer. `guarded_client` is the same for our own LWA client: one refusal of its
secrets is enough, since every seller's refresh would meet it. One probe follows after a minute, and
each that is refused doubles the wait, up to a quarter of an hour.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.amazon.errors import AmazonError, AmazonUnavailable, ClientMisconfigured, HeldBack
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import budgets, outcomes
from sellerlegend.jobs.models import Breaker

logger = logging.getLogger(__name__)

WINDOW = timedelta(seconds=60)
LEAST_CALLS = 10
OPEN_SHARE = 0.5
OPEN_SECONDS = 30.0
CLIENT_SECONDS = 60.0
LONGEST_CLIENT_SECONDS = 900.0
# Longer than the slowest call: whoever tries and dies is replaced.
PROBE = timedelta(seconds=30)
LOOK_SECONDS = 5.0


@dataclass
class _Copy:
    """What this process knows of a breaker, and what it has not told yet."""

    looked_at: float
    open_until: datetime | None
    successes: int = 0
    since: float = 0.0


_copies: dict[str, _Copy] = {}


def forget() -> None:
    """Look again before the next call."""
    _copies.clear()


@contextmanager
def guarded(name: str, *, operation: str) -> Iterator[None]:
    """Around one call of Amazon, and nothing else.

    Raises HeldBack with the seconds to wait while the breaker is open, or while there
    are too many repetitions (`budgets.py`), which are asked first: a probe is not to be held.
    """
    wait = budgets.seconds_to_hold(name) or _seconds_to_wait(name)
    if wait:
        raise HeldBack(operation=operation, retry_after=wait)
    try:
        with outcomes.counted(name):
            yield
    except AmazonUnavailable as error:
        if error.throttled:
            _answered(name)
        else:
            _failed(name)
        raise
    except AmazonError:
        _answered(name)
        raise
    _answered(name)


@contextmanager
def guarded_client(client: LwaClient, *, operation: str) -> Iterator[None]:
    """Around one call with our own client secrets; others have a breaker of their own.

    Raises ClientMisconfigured while these were refused not long ago.
    """
    name = client_breaker(client)
    if _seconds_to_wait(name):
        raise ClientMisconfigured(operation=operation)
    try:
        yield
    except ClientMisconfigured:
        _client_refused(name)
        raise
    except AmazonUnavailable:
        raise
    except AmazonError:
        _close_if_open(name)
        raise
    _close_if_open(name)


def client_breaker(client: LwaClient) -> str:
    """A new secret begins with a closed breaker."""
    secrets = Secret("\n".join(secret.reveal() for secret in client.secrets))
    return f"client.{client.client_id[-12:]}.{crypto.fingerprint(secrets)[:8]}"


def _seconds_to_wait(name: str) -> float:
    """0.0: the call may go out, and if the breaker was open it is the probe."""
    copy = _copy_of(name)
    now = timezone.now()
    if copy.open_until is None:
        return 0.0
    if copy.open_until <= now and _is_probe(name, now):
        return 0.0
    # Not all at one moment when it ends.
    left = max(1.0, (copy.open_until - now).total_seconds())
    return left + random.uniform(0, 5)  # noqa: S311  # jitter, not a secret


def _is_probe(name: str, now: datetime) -> bool:
    """Whether we are the one who tries. A neighbour may have closed it meanwhile."""
    free = Q(probe_until=None) | Q(probe_until__lt=now)
    half_open = Breaker.objects.filter(free, name=name, open_until__lte=now)
    if half_open.update(probe_until=now + PROBE) == 1:
        return True
    _copies.pop(name, None)
    return _copy_of(name).open_until is None


def _copy_of(name: str) -> _Copy:
    now = time.monotonic()
    copy = _copies.get(name)
    if copy is None or now - copy.looked_at > LOOK_SECONDS:
        row = Breaker.objects.filter(name=name).values_list("open_until", flat=True).first()
        successes, since = (copy.successes, copy.since) if copy else (0, now)
        copy = _copies[name] = _Copy(now, row, successes, since)
    return copy


def _answered(name: str) -> None:
    budgets.answered(name)
    copy = _copy_of(name)
    now = time.monotonic()
    if now - copy.since > WINDOW.total_seconds():
        copy.successes, copy.since = 0, now
    copy.successes += 1
    _close_if_open(name)


def _close_if_open(name: str) -> None:
    """A call that went out while the breaker was open was the probe."""
    if _copy_of(name).open_until is None:
        return
    ended = Breaker.objects.filter(name=name, open_until__lte=timezone.now())
    if ended.update(
        open_until=None,
        probe_until=None,
        calls=0,
        failures=0,
        window_started_at=timezone.now(),
    ):
        logger.warning("breaker_closed", extra={"part": name})
    _copies.pop(name, None)


def _failed(name: str) -> None:
    budgets.failed(name)
    if _copy_of(name).open_until is not None:
        _open(name, OPEN_SECONDS)
        return
    now = timezone.now()
    calls = _untold_successes(name) + 1
    Breaker.objects.get_or_create(name=name, defaults={"window_started_at": now})
    row = Breaker.objects.filter(name=name)
    if not row.filter(window_started_at__gt=now - WINDOW).update(
        calls=F("calls") + calls, failures=F("failures") + 1
    ):
        row.update(window_started_at=now, calls=calls, failures=1)
    enough = row.filter(
        calls__gte=LEAST_CALLS, failures__gte=OPEN_SHARE * F("calls"), open_until=None
    )
    if enough.exists():
        _open(name, OPEN_SECONDS)


def _client_refused(name: str) -> None:
    """`failures` counts the refusals in a row; calls that were on their way together are one."""
    now = timezone.now()
    breaker, _ = Breaker.objects.get_or_create(name=name, defaults={"window_started_at": now})
    if breaker.open_until is not None and breaker.open_until > now:
        _copies.pop(name, None)
        return
    seconds = min(LONGEST_CLIENT_SECONDS, CLIENT_SECONDS * 2 ** min(breaker.failures, 10))
    seconds *= random.uniform(0.8, 1.0)  # noqa: S311  # jitter, not a secret
    Breaker.objects.filter(name=name).update(failures=F("failures") + 1)
    _open(name, seconds)


def _untold_successes(name: str) -> int:
    copy = _copy_of(name)
    is_recent = time.monotonic() - copy.since <= WINDOW.total_seconds()
    told = copy.successes if is_recent else 0
    copy.successes, copy.since = 0, time.monotonic()
    return told


def _open(name: str, seconds: float) -> None:
    now = timezone.now()
    columns = {"open_until": now + timedelta(seconds=seconds), "probe_until": None}
    Breaker.objects.update_or_create(
        name=name, defaults=columns, create_defaults=columns | {"window_started_at": now}
    )
    logger.warning("breaker_opened", extra={"part": name, "seconds": seconds})
    _copies.pop(name, None)
