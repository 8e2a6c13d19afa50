"""The record of the vault: why and how often secrets were opened, and which keys are in use.

A refresh each hour for each of many stores would drown an event each, so openings are counted
by organization, purpose and day: each try, before it is made. What cannot be counted is not opened.
The others leave another trace: a trip's code verifier the trip's own event; an access token, which
lives an hour, the opening of the refresh token it came from; a client secret of ours, which every
process opens anew all the time and which belongs to no organization, the count of its uses at
Amazon; a person's second step the sign-in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from itertools import chain
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.crypto import Place, Purpose
from sellerlegend.organizations.models import Organization, VaultKey, VaultUse
from sellerlegend.prepared import PreparedUpdate

# So many rows say whether a key without a canary is the right one.
SAMPLE = 3
UNCOUNTED = frozenset({Purpose.CALL, Purpose.EXCHANGE})


def open_secret(text: str, place: Place, *, data_key: str, purpose: Purpose) -> Secret:
    """`crypto.unseal`, counted before it is tried. Raises Undecryptable."""
    if purpose not in UNCOUNTED:
        count_use(place.organization_id, purpose)
    return crypto.unseal(text, place, data_key=data_key, purpose=purpose)


def open_many(
    sealed: Sequence[tuple[str, Place]], organization_id: UUID, *, data_key: str, purpose: Purpose
) -> list[Secret | None]:
    """The same for many of one organization, counted in one statement; None for what does not
    open. Raises DataKeyUnreadable."""
    count_use(organization_id, purpose, times=len(sealed))
    return crypto.unseal_many(sealed, organization_id, data_key=data_key, purpose=purpose)


def count_use(organization_id: UUID, purpose: Purpose, *, times: int = 1) -> None:
    """So many more today. One statement, but for the first of a day."""
    day = timezone.now().date()
    use: dict[str, Any] = {
        "organization_id": organization_id,
        "purpose": purpose.value,
        "day": day,
        "times": times,
    }
    if COUNT.run(**use):
        return
    try:
        with transaction.atomic():
            uses = VaultUse.objects.for_organization(organization_id)
            uses.create(purpose=purpose.value, day=day, count=times)
    except IntegrityError:
        COUNT.run(**use)


def counted_uses(*, organization_id: UUID, purpose: str, day: date, times: int) -> Any:
    uses = VaultUse.objects.for_organization(organization_id)
    return uses.filter(purpose=purpose, day=day), {"count": F("count") + times}


COUNT = PreparedUpdate(counted_uses, organization_id=UUID, purpose=str, day=date, times=int)


ORGANIZATIONS = "organizations"
_other_keys: dict[str, Callable[[], Iterable[str]]] = {}


def count_keys_of(kind: str, wrapped: Callable[[], Iterable[str]]) -> None:
    """Data keys that belong to no organization: a key of the ring retires only without them.
    `kind` says in the plural what they seal."""
    _other_keys[kind] = wrapped


def other_rows_by_kind() -> dict[str, Counter[str]]:
    """As `rows_by_kind`, without the organizations."""
    return {
        kind: Counter(chain.from_iterable(map(crypto.wrapping_kids, wrapped())))
        for kind, wrapped in _other_keys.items()
    }


def rows_by_kind() -> dict[str, Counter[str]]:
    """What `rows_by_key` adds up. No cursor of the server's: where there is no table yet, closing
    one ends in an error that is not Django's."""
    keys = Organization.objects.values_list("data_key", flat=True)
    of_organizations = Counter(chain.from_iterable(map(crypto.wrapping_kids, keys)))
    return {ORGANIZATIONS: of_organizations, **other_rows_by_kind()}


def rows_by_key() -> Counter[str]:
    """How many rows' data keys each key of the ring wraps; under UNKNOWN_KID those that name
    none. Reads one column of all."""
    counts: Counter[str] = Counter()
    for of_a_kind in rows_by_kind().values():
        counts.update(of_a_kind)
    return counts


def remember_keys(kids: Iterable[str] = ()) -> int:
    """Note the keys of the ring, and `kids`, with the time of the first look."""
    wanted = (set(settings.TOKEN_ENCRYPTION_KEYS) | set(kids)) - {crypto.UNKNOWN_KID}
    known = set(VaultKey.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    VaultKey.objects.bulk_create(
        [VaultKey(kid=kid) for kid in sorted(wanted - known)], ignore_conflicts=True
    )
    _seal_canaries()
    return len(wanted - known)


def _seal_canaries() -> None:
    """Once for each key, and never with one that opens nothing of what stands under its id."""
    without = VaultKey.objects.filter(pk__in=settings.TOKEN_ENCRYPTION_KEYS, canary="")
    for kid in without.values_list("pk", flat=True):
        if not _opens_nothing(kid):
            mine = VaultKey.objects.filter(pk=kid, canary="")
            mine.update(canary=crypto.seal_canary(kid))


def wrong_keys() -> list[str]:
    """Ids under which another key is loaded than the one they stood for: what is sealed under
    that one cannot be read, and what is sealed now could not be read later."""
    ring = settings.TOKEN_ENCRYPTION_KEYS
    canaries = dict(VaultKey.objects.filter(pk__in=ring).values_list("pk", "canary"))
    return [
        kid
        for kid in ring
        if not (
            crypto.opens_canary(canaries[kid], kid)
            if canaries.get(kid)
            else not _opens_nothing(kid)
        )
    ]


def _opens_nothing(kid: str) -> bool:
    """True when data keys stand under this id and the loaded key opens none of the first."""
    under = Organization.objects.filter(data_key__startswith=f"{crypto.FORMAT}.{kid}.")
    rows = under.values_list("data_key", "pk")[:SAMPLE]
    opened = [crypto.is_readable(crypto.newest_data_key(text), pk) for text, pk in rows]
    return bool(opened) and not any(opened)


def unreadable_organizations() -> int:
    """How many have a data key that does not open, for whatever cause. Tries every one."""
    rows = Organization.objects.exclude(data_key="").values_list("data_key", "pk")
    return sum(not crypto.is_readable(data_key, pk) for data_key, pk in rows.iterator())


def retired_keys() -> set[str]:
    """Nothing may be wrapped under these any more."""
    retired = VaultKey.objects.exclude(retired_at=None)
    return set(retired.values_list("pk", flat=True))


class KeyRefused(RuntimeError):
    """Nothing may be wrapped under the ring's first key. Says its id, never the key."""


def require_good_first_key() -> None:
    """Before anything is wrapped. Raises KeyRefused."""
    kid = crypto.first_kid()
    if kid in retired_keys():
        raise KeyRefused(f"The key {kid} was retired and stands first again: it may be known.")
    if kid in wrong_keys():
        raise KeyRefused(f"Another key is loaded under the id {kid} than the one it stood for.")


def new_data_key(owner_id: UUID) -> str:
    """Raises KeyRefused."""
    require_good_first_key()
    return crypto.new_data_key(owner_id)


def key_ages() -> dict[str, datetime]:
    """Since when each key id is known."""
    return dict(VaultKey.objects.values_list("pk", "first_seen_at"))


def data_key(organization_id: UUID) -> str:
    return Organization.objects.values_list("data_key", flat=True).get(pk=organization_id)


def data_key_under_lock(organization_id: UUID) -> str:
    """For sealing in the caller's transaction: no rotation drops the key before it ends."""
    locked = Organization.objects.select_for_update().filter(pk=organization_id)
    return locked.values_list("data_key", flat=True).get()
