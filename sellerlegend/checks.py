"""System checks with stable ids: a wrong configuration is told before the first seller is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg2
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError
from django.utils import timezone

from sellerlegend import deletions
from sellerlegend.amazon.environment import conflicting_environment
from sellerlegend.env import environment


@register(Tags.security)
def refuse_the_emulator_in_production(**_: Any) -> list[CheckMessage]:
    if settings.AMAZON_EMULATOR_URL and not settings.DEBUG:
        return [
            Error(
                "The addresses of the fake Amazon are set although DEBUG is off.",
                hint="Remove AMAZON_EMULATOR_URL from the environment.",
                id="SL.E010",
            )
        ]
    return []


@register(Tags.security)
def refuse_variables_libraries_prefer(**_: Any) -> list[CheckMessage]:
    """The Amazon libraries prefer these to what we pass: one seller's token for another's call."""
    return [
        Error(
            f"{name} is set in the environment.",
            hint="Amazon's client libraries would silently prefer it to our own credentials.",
            id="SL.E020",
        )
        for name in conflicting_environment(environment())
    ]


@register(Tags.security, deploy=True)
def ask_for_the_applications_credentials(**_: Any) -> list[CheckMessage]:
    missing = [
        name
        for name, value in (
            ("SPAPI_APPLICATION_ID", settings.SPAPI_APPLICATION_ID),
            ("SPAPI_CLIENT_ID", settings.SPAPI_CLIENT.client_id),
            ("SPAPI_CLIENT_SECRET", settings.SPAPI_CLIENT.secrets),
            ("ADS_CLIENT_ID", settings.ADS_CLIENT.client_id),
            ("ADS_CLIENT_SECRET", settings.ADS_CLIENT.secrets),
        )
        if not value
    ]
    return [
        checks.Warning(
            f"{name} is missing: nobody can connect an account.",
            hint="The staff page /staff/setup says where to find it.",
            id="SL.W030",
        )
        for name in missing
    ]


@register(Tags.database, deploy=True)
def advise_against_sqlite(**_: Any) -> list[CheckMessage]:
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        return []
    return [
        checks.Warning(
            "SQLite is the default of the demo; production needs PostgreSQL.",
            hint="Set DATABASE_URL.",
            id="SL.W040",
        )
    ]


@register(Tags.caches, deploy=True)
def ask_for_redis(**_: Any) -> list[CheckMessage]:
    if settings.REDIS_URL:
        return []
    return [
        checks.Warning(
            "Messages go through files on this machine: other machines' workers hear nothing.",
            hint="Set REDIS_URL.",
            id="SL.W041",
        )
    ]


@register(Tags.files)
def ask_for_a_writable_deletion_log(**_: Any) -> list[CheckMessage]:
    obstacle = deletions.obstacle()
    if not obstacle:
        return []
    return [
        Error(
            f"DELETION_LOG {obstacle}: nobody can disconnect or delete anything.",
            hint="Create its folder, and let the product's user write there.",
            id="SL.E056",
        )
    ]


OLDEST_KEY = timedelta(days=365)


@register(Tags.database)
def know_every_key_in_use(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Key ids and ages, never keys. Only with `check --database default`."""
    if not databases:
        return []
    from sellerlegend import crypto  # noqa: PLC0415  # apps are not loaded before
    from sellerlegend.organizations import custody  # noqa: PLC0415  # same

    try:
        kinds, ages = custody.rows_by_kind(), custody.key_ages()
    # A cursor on the server that could not be opened fails once more, unwrapped, when it is closed.
    except (DatabaseError, psycopg2.Error):
        return []  # before the first migration there is nothing to know
    loaded = settings.TOKEN_ENCRYPTION_KEYS
    found: list[CheckMessage] = [
        Error(
            f"{counts[kid]} {kind} are locked: the key {kid} is not loaded.",
            hint="Put it back into TOKEN_ENCRYPTION_KEYS, behind the first key.",
            id="SL.E050",
        )
        for kind, counts in kinds.items()
        for kid in sorted(counts.keys() - loaded.keys() - {crypto.UNKNOWN_KID})
    ]
    first = next(iter(loaded))
    if timezone.now() - ages.get(first, timezone.now()) > OLDEST_KEY:
        found.append(
            checks.Warning(
                f"The key {first} has encrypted for more than a year.",
                hint="Put a fresh one before it, then run rotate_encryption_keys.",
                id="SL.W051",
            )
        )
    return found
