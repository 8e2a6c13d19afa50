"""What every sweep does for our client secrets: know them, date them, end them."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import models
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.applications.clients import held_of, held_rows, in_force, opened
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.applications.usage import TALLY
from sellerlegend.organizations import custody

logger = logging.getLogger(__name__)

# How long an access token that was got with the secret before may still be in use.
TOKEN_LIFE = timedelta(hours=1)


def look_after_secrets() -> int:
    """Safe to run twice at once. Returns how many rows it touched."""
    touched = TALLY.flush()
    for application in LwaApplication:
        rows = held_rows(application)
        touched += _register(rows)
        touched += _supersede(rows)
    return touched + _erase_ended() + _rewrap()


def _register(rows: list[ClientSecret]) -> int:
    """Write down the secrets of the environment that nobody has seen yet."""
    new = [row for row in rows if row._state.adding]
    for row in new:
        _, is_created = ClientSecret.objects.get_or_create(
            client_id=row.client_id,
            fingerprint=row.fingerprint,
            defaults={"application": row.application, "first_seen_at": row.first_seen_at},
        )
        if is_created:
            logger.info(
                "client_secret_seen",
                extra={"client": row.client_id, "fingerprint": row.fingerprint},
            )
    return len(new)


def _supersede(rows: list[ClientSecret]) -> int:
    """Only a secret that Amazon accepted takes the place of an older one: a typo in the
    environment ends nothing. And the one in force has no successor, whatever was believed."""
    current = in_force(rows)
    if current is None:
        return 0
    same = ClientSecret.objects.filter(client_id=current.client_id)
    again = same.filter(fingerprint=current.fingerprint).exclude(superseded_at=None)
    touched = again.update(superseded_at=None)
    if current.accepted_at is not None:
        older = same.filter(superseded_at=None, first_seen_at__lt=current.first_seen_at)
        touched += older.update(superseded_at=current.first_seen_at)
    return touched


def _erase_ended() -> int:
    """Amazon accepts these no longer, and nobody else should be able to read them."""
    now = timezone.now()
    kept = ClientSecret.objects.exclude(superseded_at=None).exclude(sealed_secret="")
    ended = [row for row in kept if row.ends_at() <= now and _has_heir(row)]
    return sum(_as_it_was(row).update(sealed_secret="", data_key="") for row in ended)


def _as_it_was(row: ClientSecret) -> models.QuerySet[ClientSecret]:
    """Unless it was sealed anew, or came in force again, since it was read."""
    same = ClientSecret.objects.filter(pk=row.pk, data_key=row.data_key)
    return same.filter(superseded_at=row.superseded_at, first_seen_at=row.first_seen_at)


def _has_heir(row: ClientSecret) -> bool:
    """Whether a newer secret is held that Amazon accepted after it last accepted this one. Dates
    may be wrong; a value that is gone does not come back."""
    heir = in_force(held_of(row.client_id))
    if heir is None or heir.pk == row.pk or heir.first_seen_at <= row.first_seen_at:
        return False
    if heir.accepted_at is None or row.accepted_at is None:
        return False
    return heir.accepted_at > row.accepted_at


def wrapped_data_keys() -> list[str]:
    """Of every stored secret, for the count of what a key of the ring still wraps."""
    return list(ClientSecret.objects.exclude(data_key="").values_list("data_key", flat=True))


def _rewrap() -> int:
    """Under the ring's first key, and never under a wrong one."""
    try:
        return rewrap()
    except custody.KeyRefused as error:
        logger.error("client_secrets_not_rewrapped", extra={"cause": str(error)})
        return 0


def rewrap(*, is_new_data_key: bool = False) -> int:
    """Wrap each stored secret's data key with the ring's first one, or seal it under a fresh one.
    By compare and swap; returns the rows written. One that does not open is told whenever it is
    needed, and by `unreadable_secrets`. Raises KeyRefused."""
    current = {crypto.first_kid()}
    written = 0
    for row in ClientSecret.objects.exclude(data_key=""):
        if not is_new_data_key and crypto.wrapping_kids(row.data_key) == current:
            continue
        custody.require_good_first_key()
        try:
            columns = _sealed_anew(row) if is_new_data_key else _wrapped_anew(row)
        except crypto.Undecryptable:
            continue
        same = ClientSecret.objects.filter(pk=row.pk, data_key=row.data_key)
        written += same.update(**columns)
    return written


def _wrapped_anew(row: ClientSecret) -> dict[str, str]:
    return {"data_key": crypto.rewrap_data_key(row.data_key, row.pk)}


def _sealed_anew(row: ClientSecret) -> dict[str, str]:
    secret = opened(row)
    if secret is None:
        raise crypto.Undecryptable(row.fingerprint)
    data_key = crypto.new_data_key(row.pk)
    sealed = crypto.seal(secret, row.place(), data_key=data_key)
    return {"data_key": data_key, "sealed_secret": sealed}


def unreadable_secrets() -> int:
    """How many are stored under a data key that does not open."""
    rows = ClientSecret.objects.exclude(data_key="").values_list("data_key", "pk")
    return sum(not crypto.is_readable(data_key, pk) for data_key, pk in rows)


def note_expired(application: LwaApplication) -> None:
    """The Selling Partner API called our secret too old. Once is enough: that does not mend.

    An access token of the secret before may say so for an hour after a rotation; that is not
    held against the new one.
    """
    rows = held_rows(application)
    current = in_force(rows)
    if current is None:
        return
    if len(rows) > 1 and current.first_seen_at > timezone.now() - TOKEN_LIFE:
        return
    unheard = ClientSecret.objects.filter(pk=current.pk, called_expired_at=None)
    if unheard.update(called_expired_at=timezone.now()):
        logger.error(
            "client_secret_expired",
            extra={"client": current.client_id, "fingerprint": current.fingerprint},
        )
