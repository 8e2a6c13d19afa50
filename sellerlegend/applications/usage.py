"""How often each client secret was accepted, and since when one is refused.

Every process counts in memory and writes at most once a minute for each secret, so that a
thousand refreshes do not queue for one row. A killed process loses its last minute of counting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Any

from django.db import DatabaseError, models
from django.db.models import Case, F, When
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.models import ClientSecret

logger = logging.getLogger(__name__)

WRITE_EVERY_SECONDS = 60.0
Key = tuple[str, str]  # client id, fingerprint


class Tally:
    """Stands behind `lwa.SecretWatch`; safe for threads, never raises."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: Counter[Key] = Counter()
        # Of these, after the client's first secret was refused.
        self._fallbacks: Counter[Key] = Counter()
        self._quiet_until: dict[tuple[str, Key], float] = {}

    def accepted(self, client_id: str, secret: Secret, *, is_fallback: bool) -> None:
        key = (client_id, crypto.fingerprint(secret))
        with self._lock:
            self._uses[key] += 1
            self._fallbacks[key] += is_fallback
            is_due = self._is_due("accepted", key)
        if is_due:
            self._write_uses(key)

    def refused(self, client_id: str, secret: Secret) -> None:
        key = (client_id, crypto.fingerprint(secret))
        with self._lock:
            self._quiet_until.pop(("accepted", key), None)
            is_due = self._is_due("refused", key)
        if not is_due:
            return
        if _write(_rows(key).filter(refused_at=None), refused_at=timezone.now()) is None:
            with self._lock:
                self._quiet_until.pop(("refused", key), None)

    def forget(self) -> None:
        """As a process that has just started."""
        with self._lock:
            self._uses.clear()
            self._fallbacks.clear()
            self._quiet_until.clear()

    def flush(self) -> int:
        """Write what is still counted in memory; how many secrets that were."""
        with self._lock:
            keys = [key for key, count in self._uses.items() if count]
        return sum(self._write_uses(key) for key in keys)

    def _is_due(self, what: str, key: Key) -> bool:
        now = time.monotonic()
        if now < self._quiet_until.get((what, key), 0.0):
            return False
        self._quiet_until[what, key] = now + WRITE_EVERY_SECONDS
        return True

    def _write_uses(self, key: Key) -> int:
        """How many rows know of the uses now: 0 or 1."""
        with self._lock:
            count, fallbacks = self._uses.pop(key, 0), self._fallbacks.pop(key, 0)
            self._quiet_until.pop(("refused", key), None)
        # A newer one that is in force makes each use of this one a fallback.
        fallback = Case(
            When(superseded_at__isnull=False, then=F("fallback_uses") + count),
            default=F("fallback_uses") + fallbacks,
            output_field=models.BigIntegerField(),
        )
        written = _write(
            _rows(key),
            uses=F("uses") + count,
            fallback_uses=fallback,
            last_used_at=timezone.now(),
            refused_at=None,
        )
        if not written:
            # Before the first sweep has written the row: kept for the next time.
            with self._lock:
                self._uses[key] += count
                self._fallbacks[key] += fallbacks
        return written or 0


def _rows(key: Key) -> models.QuerySet[ClientSecret]:
    return ClientSecret.objects.filter(client_id=key[0], fingerprint=key[1])


def _write(rows: models.QuerySet[ClientSecret], **columns: Any) -> int | None:
    """Rows changed; None when the database did not hear it. Counting must not keep a refresh from
    its token."""
    try:
        return rows.update(**columns)
    except DatabaseError as error:
        logger.warning("client_secret_not_counted", extra={"cause": type(error).__name__})
        return None


TALLY = Tally()
