"""The record of the vault: why and how often secrets were opened, and which keys are in use.

A refresh each hour for each of many stores would drown an event each, so openings are counted
by organization, purpose and day. What cannot be counted is not opened. Two kinds leave another
trace: a trip's code verifier the trip's own event, and an access token, which lives an hour, the
opening of the refresh token it came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import chain
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.crypto import Place, Purpose
from sellerlegend.organizations.models import Organization, VaultKey, VaultUse

UNCOUNTED = frozenset({Purpose.CALL, Purpose.EXCHANGE})


def open_secret(text: str, place: Place, *, data_key: str, purpose: Purpose) -> Secret:
    """`crypto.unseal`, counted before it is tried. Raises Undecryptable."""
    if purpose not in UNCOUNTED:
        count_use(place.organization_id, purpose)
    return crypto.unseal(text, place, data_key=data_key, purpose=purpose)


def count_use(organization_id: UUID, purpose: Purpose) -> None:
    """One more today. One statement, but for the first of a day."""
    day = timezone.now().date()
    uses = VaultUse.objects.for_organization(organization_id)
    today = uses.filter(purpose=purpose.value, day=day)
    if today.update(count=F("count") + 1):
        return
    try:
        with transaction.atomic():
            uses.create(purpose=purpose.value, day=day)
    except IntegrityError:
        today.update(count=F("count") + 1)


_other_keys: list[Callable[[], Iterable[str]]] = []


def count_keys_of(wrapped: Callable[[], Iterable[str]]) -> None:
    """Data keys that belong to no organization: a key of the ring retires only without them."""
    if wrapped not in _other_keys:
        _other_keys.append(wrapped)


def rows_by_key() -> Counter[str]:
    """How many rows' data keys each key of the ring wraps. Reads one column of all."""
    counts: Counter[str] = Counter()
    for data_key in chain.from_iterable(wrapped() for wrapped in _other_keys):
        counts.update(crypto.wrapping_kids(data_key))
    for data_key in Organization.objects.values_list("data_key", flat=True).iterator():
        counts.update(crypto.wrapping_kids(data_key))
    return counts


def remember_keys(kids: Iterable[str] = ()) -> int:
    """Note the keys of the ring, and `kids`, with the time of the first look."""
    wanted = set(settings.TOKEN_ENCRYPTION_KEYS) | set(kids)
    known = set(VaultKey.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    VaultKey.objects.bulk_create(
        [VaultKey(kid=kid) for kid in sorted(wanted - known)], ignore_conflicts=True
    )
    return len(wanted - known)


def key_ages() -> dict[str, datetime]:
    """Since when each key id is known."""
    return dict(VaultKey.objects.values_list("pk", "first_seen_at"))


def data_key(organization_id: UUID) -> str:
    return Organization.objects.values_list("data_key", flat=True).get(pk=organization_id)


def data_key_under_lock(organization_id: UUID) -> str:
    """For sealing in the caller's transaction: no rotation drops the key before it ends."""
    locked = Organization.objects.select_for_update().filter(pk=organization_id)
    return locked.values_list("data_key", flat=True).get()
