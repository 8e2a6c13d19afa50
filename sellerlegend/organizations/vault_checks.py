"""System checks of the vault, which ask the database: only `check --database default` runs them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from sellerlegend import crypto
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.models import InstallationState


@register(Tags.database)
def know_each_key_again(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """An id is no proof of a key: each is tried."""
    if not databases:
        return []
    try:
        wrong, counts = custody.wrong_keys(), custody.rows_by_key()
        retired = custody.retired_keys()
        unreadable = custody.unreadable_organizations()
    except DatabaseError:
        return []  # before the first migration there is nothing to know
    found: list[CheckMessage] = [
        Error(
            f"Another key is loaded under the id {kid} than the one it stood for.",
            hint="Put the right one into TOKEN_ENCRYPTION_KEYS; a new key needs an id of its own.",
            id="SL.E052",
        )
        for kid in wrong
    ]
    found += [
        Error(
            f"The retired key {kid} is in use again: {counts[kid]} data keys are under it.",
            hint="Put another key in front, one with a new id, then rotate_encryption_keys.",
            id="SL.E054",
        )
        for kid in sorted(retired)
        if counts[kid] or kid == crypto.first_kid()
    ]
    damaged = counts.pop(crypto.UNKNOWN_KID, 0)
    is_explained = wrong or counts.keys() - settings.TOKEN_ENCRYPTION_KEYS.keys()
    if damaged or (unreadable and not is_explained):
        found.append(
            Error(
                f"{damaged or unreadable} data keys are damaged: they open with no key.",
                hint="Put them back from a backup. Until then the work of those concerned waits.",
                id="SL.E053",
            )
        )
    return found


@register(Tags.database)
def tell_the_quarantine(databases: Any = None, **_: Any) -> list[CheckMessage]:
    if not databases:
        return []
    try:
        cause, is_file_missing = quarantine.cause(), quarantine.is_file_missing()
    except DatabaseError:
        return []  # before the first migration there is nothing to know
    found: list[CheckMessage] = []
    if cause:
        found.append(
            checks.Warning(
                f"In quarantine ({cause}): nothing is claimed and no consent used.",
                hint="manage.py release_quarantine says what to look at before it ends.",
                id="SL.W057",
            )
        )
    if is_file_missing:
        found.append(
            checks.Warning(
                f"There is no {quarantine.file().name} beside DELETION_LOG, or it is damaged: an "
                "old copy of the data put back in place would not be known for one.",
                hint="One folder for all processes, on a disk that stays. A sweep writes it anew.",
                id="SL.W058",
            )
        )
    return found


@register(Tags.database)
def tell_a_renewal_that_stopped(databases: Any = None, **_: Any) -> list[CheckMessage]:
    if not databases:
        return []
    try:
        began_at = InstallationState.objects.values_list("renewal_began_at", flat=True).first()
    except DatabaseError:
        return []  # before the first migration there is nothing to know
    if began_at is None:
        return []
    return [
        checks.Warning(
            f"The renewal of data keys that began at {began_at:%Y-%m-%d %H:%M} UTC is not over.",
            hint="Run rotate_encryption_keys: it goes on where it stopped.",
            id="SL.W055",
        )
    ]
