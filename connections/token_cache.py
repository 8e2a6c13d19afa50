"""Access tokens: in the shared cache only, sealed, keyed by (grant, version).

Each process keeps what it found there for a moment, sealed as well: asking Redis costs more than
all the rest of handing a token out. While the shared cache is deaf it keeps it longer, so that
those who wait for a refresh find its token and do not each call Amazon in turn. Status and version
come from the row each time, so what was ended or replaced is not found here either.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.utils import timezone

from connections.models import AdsGrant, Grant, SpApiGrant
from sellerlegend import crypto, shared_cache
from sellerlegend.amazon.lwa import LONGEST_SECONDS
from sellerlegend.amazon.secret import Secret
from sellerlegend.crypto import Place

logger = logging.getLogger(__name__)

AnyGrant = SpApiGrant | AdsGrant

EXPIRY_MARGIN_SECONDS = 300
# Of what is kept here, with a minute for clocks that differ.
LONGEST_LIFE = timedelta(seconds=LONGEST_SECONDS - EXPIRY_MARGIN_SECONDS + 60)
# Nobody tells other processes that a token was rejected, so theirs must end soon: a process that
# meets such a copy drops it and looks into the shared cache. And a copy outlives the shared one by
# this, so it must be less than what a token has left then.
COPY_SECONDS = 20.0
OWN_SECONDS = 120.0
OWN_TOKENS = 1_000

# By key: until when (monotonic), and the sealed token.
_own: dict[str, tuple[float, str]] = {}


def key_of(grant: AnyGrant) -> str:
    return f"access-token:{grant.pk}:{grant.version}"


def read(grant: AnyGrant, data_key: str) -> Secret | None:
    """None for a miss, for what cannot be opened, and for a consent that is not in force."""
    if grant.status in (Grant.Status.INVALID, Grant.Status.DISCONNECTED):
        return None
    key = key_of(grant)
    sealed = _own_copy(key)
    if sealed is None:
        sealed = None if _is_long_over(grant) else _stored(key)
        if not isinstance(sealed, str):
            return None
        _keep(key, sealed, COPY_SECONDS)
    return _opened(grant, sealed, data_key)


def _is_long_over(grant: AnyGrant) -> bool:
    """Whether the row says that its last token has ended, and nobody is getting another or died
    over it: then the shared cache need not be asked."""
    last = grant.last_refreshed_at
    if last is None or grant.refresh_lease_until is not None:
        return False
    return timezone.now() - last > LONGEST_LIFE


def _opened(grant: AnyGrant, sealed: str, data_key: str) -> Secret | None:
    try:
        return crypto.unseal(sealed, _place(grant), data_key=data_key, purpose=crypto.Purpose.CALL)
    except crypto.Undecryptable:
        return None


def remember(grant: AnyGrant, token: Secret, expires_in: int, data_key: str) -> None:
    """`expires_in` in seconds, as Amazon said it."""
    seconds = max(30, expires_in - EXPIRY_MARGIN_SECONDS)
    sealed, key = crypto.seal(token, _place(grant), data_key=data_key), key_of(grant)
    with _tolerating_its_faults():
        cache.set(key, sealed, seconds)
    _own.pop(key, None)
    longest = OWN_SECONDS if shared_cache.is_deaf() else COPY_SECONDS
    _keep(key, sealed, min(seconds, longest))


def remember_many(
    tokens: Sequence[tuple[AnyGrant, Secret, int]], organization_id: UUID, data_key: str
) -> None:
    """`remember` for consents of one organization: sealed with one look at its data key, told to
    the shared cache at once, and not kept by this process, which asks for none of them soon."""
    values = [(token, _place(grant)) for grant, token, _ in tokens]
    sealed = crypto.seal_many(values, organization_id, data_key=data_key)
    by_seconds: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for (grant, _, expires_in), text in zip(tokens, sealed, strict=True):
        key = key_of(grant)
        _own.pop(key, None)
        by_seconds[max(30, expires_in - EXPIRY_MARGIN_SECONDS)][key] = text
    for seconds, texts in by_seconds.items():
        with _tolerating_its_faults():
            cache.set_many(texts, seconds)


def forget(grant: AnyGrant, rejected: Secret, data_key: str) -> None:
    """Drop a rejected access token, unless a neighbour has replaced it already: then only our
    own copy goes."""
    key = key_of(grant)
    _own.pop(key, None)
    sealed = _stored(key)
    if isinstance(sealed, str) and _opened(grant, sealed, data_key) == rejected:
        drop(key)


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


def _keep(key: str, sealed: str, seconds: float) -> None:
    while len(_own) >= OWN_TOKENS:
        _own.pop(next(iter(_own)), None)
    _own[key] = (time.monotonic() + seconds, sealed)


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
