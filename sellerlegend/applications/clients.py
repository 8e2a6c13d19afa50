"""Which secrets our LWA clients have at this moment: the only reader of stored ones.

The environment is the start and the fallback; what was rotated since is sealed in the database,
so that a rotation reaches every process within seconds and without a restart. The secret that was
seen last is the newest, and asked with first; in force is the newest that Amazon accepts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.applications.usage import TALLY
from sellerlegend.organizations import custody

logger = logging.getLogger(__name__)

# How long a process keeps using what it has read: a rotation leaves seven days.
LOOK_AGAIN_SECONDS = 15.0
# Amazon accepts no third one.
LIVE_SECRETS = 2

# By application: until when (monotonic), what the environment said, and the whole client.
_known: dict[LwaApplication, tuple[float, LwaClient, LwaClient]] = {}


def configured_client(application: LwaApplication) -> LwaClient:
    """As the environment has it."""
    is_spapi = application == LwaApplication.SPAPI
    client: LwaClient = settings.SPAPI_CLIENT if is_spapi else settings.ADS_CLIENT
    return client


def client_of(application: LwaApplication) -> LwaClient:
    """The client with its newest secret and the one before it. One query every 15 s."""
    configured = configured_client(application)
    until, known_for, client = _known.get(application, (0.0, configured, configured))
    now = time.monotonic()
    if now < until and known_for == configured:
        return client
    client = replace(configured, secrets=_secrets(application, configured), watch=TALLY)
    _known[application] = (now + LOOK_AGAIN_SECONDS, configured, client)
    return client


def forget_clients() -> None:
    """The next call reads again: a secret was just stored by this process."""
    _known.clear()


def _secrets(application: LwaApplication, configured: LwaClient) -> tuple[Secret, ...]:
    """The newest first, then those that Amazon accepted before those that nobody has tried: two
    typos must not push the good one out."""
    by_fingerprint = {crypto.fingerprint(secret): secret for secret in configured.secrets}
    found: list[tuple[ClientSecret, Secret]] = []
    for row in held_rows(application):
        secret = by_fingerprint.get(row.fingerprint) or opened(row)
        if secret is not None:
            found.append((row, secret))
    others = sorted(found[1:], key=lambda pair: pair[0].accepted_at is None)
    return tuple(secret for _, secret in [*found[:1], *others][:LIVE_SECRETS])


def opened(row: ClientSecret) -> Secret | None:
    """None for one that only an environment holds, and for one that does not open."""
    if not row.sealed_secret:
        return None
    try:
        return crypto.unseal(
            row.sealed_secret, row.place(), data_key=row.data_key, purpose=crypto.Purpose.CLIENT
        )
    except crypto.Undecryptable as error:
        logger.error(
            "client_secret_unreadable",
            extra={"client": row.client_id, "fingerprint": row.fingerprint, "cause": str(error)},
        )
        return None


def held_rows(application: LwaApplication) -> list[ClientSecret]:
    """The secrets we could use, newest first; without saving, those that no sweep saw yet."""
    configured = configured_client(application)
    stored = ClientSecret.objects.filter(client_id=configured.client_id)
    return rank(application, configured, stored, timezone.now())


def held_of(client_id: str) -> list[ClientSecret]:
    """The same for any client id: without the environment where it is not a present one."""
    for application in LwaApplication:
        if configured_client(application).client_id == client_id:
            return held_rows(application)
    stored = ClientSecret.objects.filter(client_id=client_id).exclude(sealed_secret="")
    return list(stored.order_by("-first_seen_at"))


def in_force(rows: list[ClientSecret]) -> ClientSecret | None:
    """Of the held ones, newest first: the newest that Amazon accepts, as far as anybody knows.
    One that it never accepted is in force only where there is no other."""
    accepted = [row for row in rows if row.accepted_at is not None]
    good = [row for row in accepted if row.refused_at is None]
    return next(iter(good or accepted or rows), None)


def rank(
    application: LwaApplication,
    configured: LwaClient,
    stored: Iterable[ClientSecret],
    now: datetime,
) -> list[ClientSecret]:
    """A secret that is new in the environment counts as the newest one; the previous one of the
    environment as older than the one it stands behind."""
    rows = {row.fingerprint: row for row in stored}
    held = [row for row in rows.values() if row.sealed_secret]
    newest_possible = now
    for secret in configured.secrets:
        fingerprint = crypto.fingerprint(secret)
        row = rows.get(fingerprint) or ClientSecret(
            application=application,
            client_id=configured.client_id,
            fingerprint=fingerprint,
            first_seen_at=newest_possible,
        )
        if row not in held:
            held.append(row)
        newest_possible = min(newest_possible, row.first_seen_at) - timedelta(milliseconds=1)
    return sorted(held, key=lambda row: row.first_seen_at, reverse=True)


def store(
    application: LwaApplication,
    secret: Secret,
    *,
    issued_at: datetime | None,
    expires_at: datetime | None,
) -> ClientSecret:
    """Seal a secret that Amazon accepts, in the caller's transaction. It is the newest now, unless
    it is held already: then it keeps its place.

    A secret that was seen before has a row, also when nobody holds its value any more.
    """
    held = {row.fingerprint for row in held_rows(application)}
    fingerprint = crypto.fingerprint(secret)
    client_id = configured_client(application).client_id
    same = ClientSecret.objects.select_for_update().filter(
        client_id=client_id, fingerprint=fingerprint
    )
    row = same.first() or ClientSecret(
        application=application, client_id=client_id, fingerprint=fingerprint
    )
    row.issued_at, row.expires_at = issued_at or row.issued_at, expires_at or row.expires_at
    if fingerprint not in held and not row._state.adding:
        row.issued_at = row.issued_at or row.first_seen_at  # it is not younger than that
        row.first_seen_at, row.superseded_at, row.refused_at = timezone.now(), None, None
    row.data_key = custody.new_data_key(row.pk)
    row.sealed_secret = crypto.seal(secret, row.place(), data_key=row.data_key)
    row.save(force_insert=row._state.adding)
    return row
