"""What every sweep does for our client secrets: know them, date them, end them."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.applications.clients import held_rows
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.applications.usage import TALLY

logger = logging.getLogger(__name__)

# How long an access token that was got with the secret before may still be in use.
TOKEN_LIFE = timedelta(hours=1)


def look_after_secrets() -> int:
    """Safe to run twice at once. Returns how many rows it touched."""
    touched = TALLY.flush()
    for application in LwaApplication:
        rows = held_rows(application)
        touched += _register(rows)
        if rows:
            touched += _supersede(rows[0])
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


def _supersede(newest: ClientSecret) -> int:
    older = ClientSecret.objects.filter(client_id=newest.client_id, superseded_at=None)
    return older.exclude(fingerprint=newest.fingerprint).update(superseded_at=newest.first_seen_at)


def _erase_ended() -> int:
    """Amazon accepts these no longer, and nobody else should be able to read them."""
    kept = ClientSecret.objects.exclude(superseded_at=None).exclude(sealed_secret="")
    ended = [row.pk for row in kept if row.ends_at() <= timezone.now()]
    if not ended:
        return 0
    return ClientSecret.objects.filter(pk__in=ended).update(sealed_secret="", data_key="")


def wrapped_data_keys() -> list[str]:
    """Of every stored secret, for the count of what a key of the ring still wraps."""
    return list(ClientSecret.objects.exclude(data_key="").values_list("data_key", flat=True))


def _rewrap() -> int:
    """Under the ring's first key, each by compare and swap: these rows are so few that no
    command has to remember them."""
    current = {crypto.first_kid()}
    written = 0
    for row in ClientSecret.objects.exclude(data_key=""):
        if crypto.wrapping_kids(row.data_key) == current:
            continue
        try:
            data_key = crypto.rewrap_data_key(row.data_key, row.pk)
        except crypto.Undecryptable:
            continue  # told whenever the secret is opened
        same = ClientSecret.objects.filter(pk=row.pk, data_key=row.data_key)
        written += same.update(data_key=data_key)
    return written


def note_expired(application: LwaApplication) -> None:
    """The Selling Partner API called our secret too old. Once is enough: that does not mend.

    An access token of the secret before may say so for an hour after a rotation; that is not
    held against the new one.
    """
    rows = held_rows(application)
    if not rows or (len(rows) > 1 and rows[0].first_seen_at > timezone.now() - TOKEN_LIFE):
        return
    newest = ClientSecret.objects.filter(pk=rows[0].pk, called_expired_at=None)
    if newest.update(called_expired_at=timezone.now()):
        logger.error(
            "client_secret_expired",
            extra={"client": rows[0].client_id, "fingerprint": rows[0].fingerprint},
        )
