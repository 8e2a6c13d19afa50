"""System checks of a deployment: what is wrong with it before the first seller arrives.

Errors stop every management command, `migrate` among them, so that a release with one does not
start. Those of the servers stop none. `docs/checks.md` has the table of all ids.
"""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http.request import validate_host

from sellerlegend.monitoring import readiness

# What this repository and other people's examples hold: everybody knows these.
PUBLISHED = re.compile(r"(?i)(tests|lint|build|demo|settings-test)-")
# Words of whoever means to replace it later. A random key has none of them by chance.
PLACEHOLDER = re.compile(
    r"(?i)insecure|change[-_ ]?(me|this)|your[-_ ]|replace[-_ ]|secret[-_ ]?key"
)
FEWEST_DISTINCT_CHARACTERS = 10
FEWEST_DISTINCT_BYTES = 16
FILES = "django.core.mail.backends.filebased.EmailBackend"


@register(Tags.security)
def refuse_a_published_secret_key(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG or not is_placeholder(settings.SECRET_KEY):
        return []
    return [
        Error(
            "DJANGO_SECRET_KEY is one of an example or no random one: whoever knows it can forge "
            "sessions' data.",
            hint="python -c 'import secrets; print(secrets.token_urlsafe(50))'",
            id="SL.E011",
        )
    ]


def is_placeholder(key: str) -> bool:
    """One that others can know, or that repeats itself."""
    if PUBLISHED.match(key) or PLACEHOLDER.search(key):
        return True
    repeats = any(key[size:] == key[:-size] for size in range(1, len(key) // 2 + 1))
    return repeats or len(set(key)) < FEWEST_DISTINCT_CHARACTERS


@register(Tags.security)
def refuse_keys_that_nobody_threw_dice_for(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG:
        return []
    return [
        Error(
            f"The key {kid} of TOKEN_ENCRYPTION_KEYS is not random.",
            hint="32 bytes of secrets.token_bytes(); then rotate_encryption_keys.",
            id="SL.E012",
        )
        for kid, key in settings.TOKEN_ENCRYPTION_KEYS.items()
        if is_guessable(key)
    ]


def is_guessable(key: bytes) -> bool:
    """Zeros, a repeated pattern, bytes in steps, or text that somebody typed. 32 random ones are
    never so by chance."""
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    is_text = all(chr(byte).isprintable() and byte < 0x7F for byte in key)
    return is_text or len(set(key)) < FEWEST_DISTINCT_BYTES or len(steps) == 1


@register(Tags.security)
def refuse_one_key_under_two_names(**_: Any) -> list[CheckMessage]:
    keys = settings.TOKEN_ENCRYPTION_KEYS
    if len(set(keys.values())) == len(keys):
        return []
    return [
        Error(
            "TOKEN_ENCRYPTION_KEYS holds one key under two names: rotating would change nothing.",
            hint="Put a new random key in front.",
            id="SL.E013",
        )
    ]


@register(Tags.security)
def refuse_redirects_in_the_clear(**_: Any) -> list[CheckMessage]:
    uris = ("SPAPI_REDIRECT_URI", "ADS_REDIRECT_URI", "SPAPI_LOGIN_URI")
    return [
        Error(
            f"{name} is not https: authorization codes would travel in the clear.",
            hint="Set PUBLIC_BASE_URL to the https address.",
            id="SL.E014",
        )
        for name in uris
        if not settings.DEBUG and not getattr(settings, name).startswith("https://")
    ]


@register(Tags.security)
def refuse_proxy_headers_without_a_proxy(**_: Any) -> list[CheckMessage]:
    if not settings.SECURE_PROXY_SSL_HEADER or settings.TRUSTED_PROXY_COUNT:
        return []
    return [
        Error(
            "A header decides what counts as https, and no proxy is trusted to set it.",
            hint="Set TRUSTED_PROXY_COUNT to the number of proxies in front.",
            id="SL.E015",
        )
    ]


@register(Tags.security, deploy=True)
def ask_for_the_proxy(**_: Any) -> list[CheckMessage]:
    if settings.TRUSTED_PROXY_COUNT or not settings.IS_HTTPS:
        return []
    return [
        checks.Warning(
            "The address is https and no proxy is trusted: gunicorn itself speaks plain http, so "
            "every page redirects to itself, and all people have the proxy's address.",
            hint="Set TRUSTED_PROXY_COUNT, unless gunicorn has the certificate.",
            id="SL.W016",
        )
    ]


@register(Tags.compatibility, deploy=True)
def ask_for_the_metrics_token(**_: Any) -> list[CheckMessage]:
    if settings.METRICS_TOKEN:
        return []
    return [
        checks.Warning(
            "Without METRICS_TOKEN there is no /metrics: no alert can fire.",
            hint="Set it: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            id="SL.W047",
        )
    ]


@register(Tags.security)
def refuse_any_host(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG or "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Error(
            "DJANGO_ALLOWED_HOSTS takes every name: a forged Host header is believed.",
            hint="Name the hosts. Probes need none: /healthz and /readyz answer under any.",
            id="SL.E017",
        )
    ]


def public_host() -> str:
    return urlsplit(settings.PUBLIC_BASE_URL).hostname or ""


@register(Tags.security)
def refuse_a_host_that_is_not_allowed(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG or validate_host(public_host(), settings.ALLOWED_HOSTS):
        return []
    return [
        Error(
            "The host of PUBLIC_BASE_URL is not in DJANGO_ALLOWED_HOSTS: every page is a 400.",
            hint="Add it.",
            id="SL.E018",
        )
    ]


@register(Tags.security)
def refuse_debugging_in_public(**_: Any) -> list[CheckMessage]:
    if not settings.DEBUG or is_this_machine(public_host()):
        return []
    return [
        Error(
            "DEBUG is on at a public address: its pages show the product's inside to strangers.",
            hint="Set DJANGO_DEBUG=false, or use localhost.",
            id="SL.E019",
        )
    ]


def is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@register(Tags.compatibility, deploy=True)
def ask_for_a_mail_server(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.EMAIL_BACKEND == FILES:
        found.append(
            checks.Warning(
                "Mails are written to files: nobody can confirm an address or reset a password.",
                hint="Set EMAIL_HOST.",
                id="SL.W042",
            )
        )
    if settings.DEFAULT_FROM_EMAIL.rstrip(">").endswith("@localhost"):
        found.append(
            checks.Warning(
                "Mails come from an address at localhost, which mail servers refuse.",
                hint="Set DEFAULT_FROM_EMAIL.",
                id="SL.W043",
            )
        )
    return found


# These ask the servers, so they run only when told to: check --deploy --database default.
# A release needs neither Redis nor a clock: our `migrate` leaves them out.


@register(Tags.database)
def ask_the_broker(databases: Any = None, **_: Any) -> list[CheckMessage]:
    if not databases or readiness.look_at_the_broker()[readiness.BROKER] == readiness.OK:
        return []
    return [
        Error(
            "The queue cannot be reached: work starts only when a sweep finds it.",
            hint="Look at Redis and REDIS_URL.",
            id="SL.E044",
        )
    ]


@register(Tags.database)
def compare_the_clocks(databases: Any = None, **_: Any) -> list[CheckMessage]:
    if not databases or clock() == readiness.OK:
        return []
    return [
        checks.Warning(
            "This machine's clock differs from the database's or Amazon's.",
            hint="Leases and expiry dates are reckoned by it: look at NTP on each machine.",
            id="SL.W045",
        )
    ]


def clock() -> str:
    """As /readyz tells it; nothing while migrations are pending, when its tables may be missing."""
    try:
        return readiness.clock()
    except DatabaseError:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return readiness.OK
        raise
