"""Access tokens: in the shared cache only, sealed, keyed by (grant, version).

While the shared cache is deaf each process keeps its own for a while, sealed as well, so that
those who wait for a refresh find its token and do not each call Amazon in turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import cache

from connections.models import AdsGrant, Grant, SpApiGrant
from sellerlegend import crypto, shared_cache
from sellerlegend.amazon.secret import Secret
from sellerlegend.crypto import Place

logger = logging.getLogger(__name__)

AnyGrant = SpApiGrant | AdsGrant

EXPIRY_MARGIN_SECONDS = 300
# Nobody tells other processes that a token was rejected, so theirs must end soon.
OWN_SECONDS = 120.0
OWN_TOKENS = 1_000

# By key: until when (monotonic), and the sealed token.
_own: dict[str, tuple[float, str]] = {}


def key_of(grant: AnyGrant) -> str:
    return f"access-token:{grant.pk}:{grant.version}"


def read(grant: AnyGrant, data_key: str) -> Secret | None:
    """None for a miss, for what cannot be opened, and for a consent that is not in force."""
    key = key_of(grant)
    sealed = _stored(key)
    if shared_cache.is_deaf():
        sealed = _own_copy(key)
    if not isinstance(sealed, str) or grant.status in (
        Grant.Status.INVALID,
        Grant.Status.DISCONNECTED,
    ):
        return None
    try:
        return crypto.unseal(sealed, _place(grant), data_key=data_key, purpose=crypto.Purpose.CALL)
    except crypto.Undecryptable:
        return None


def remember(grant: AnyGrant, token: Secret, expires_in: int, data_key: str) -> None:
    """`expires_in` in seconds, as Amazon said it."""
    seconds = max(30, expires_in - EXPIRY_MARGIN_SECONDS)
    sealed = crypto.seal(token, _place(grant), data_key=data_key)
    with _tolerating_its_faults():
        cache.set(key_of(grant), sealed, seconds)
    if shared_cache.is_deaf():
        while len(_own) >= OWN_TOKENS:
            _own.pop(next(iter(_own)), None)
        _own[key_of(grant)] = (time.monotonic() + min(seconds, OWN_SECONDS), sealed)


def forget(grant: AnyGrant, rejected: Secret, data_key: str) -> None:
    """Drop a rejected access token, unless a neighbour has replaced it already."""
    if read(grant, data_key) == rejected:
        drop(key_of(grant))


def drop(key: str) -> None:
    _own.pop(key, None)
    with _tolerating_its_faults():
        cache.delete(key)


def _stored(key: str) -> Any:
    found: Any = None
    with _tolerating_its_faults():
        found = cache.get(key)
    return found  # noqa: RET504  # a fault ends the block early


def _own_copy(key: str) -> str | None:
    until, sealed = _own.get(key, (0.0, ""))
    return sealed if time.monotonic() < until else None


def _place(grant: AnyGrant) -> Place:
    place = grant.place()
    return Place(place.table, "access_token", place.organization_id, place.row_id)


@contextmanager
def _tolerating_its_faults() -> Iterator[None]:
    """A cache that is down is a cache miss; what it cannot forget expires by itself."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever the backend raises
        logger.warning("cache_unavailable", extra={"cause": type(error).__name__})
