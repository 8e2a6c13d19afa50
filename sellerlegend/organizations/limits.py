"""How often somebody may try: token buckets in the database, taken by one statement.

allauth counts in the cache, in two steps that may run beside each other. Here a bucket is one
row with one number, the time at which all its tokens are back (the generic cell rate algorithm),
and the database decides. Keys are keyed digests: no address and no email stands in the table.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import salted_hmac

from sellerlegend import tallies
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations.access import OrganizationRequest
from sellerlegend.organizations.models import Allowance

logger = logging.getLogger(__name__)

P = ParamSpec("P")

TABLE = Allowance._meta.db_table
IPV6_NETWORK = 64


@dataclass(frozen=True)
class Limit:
    """`burst` tries at once, then one every `seconds`."""

    name: str
    burst: int
    seconds: float


SIGN_IN_FROM_ADDRESS = Limit("sign_in_from_address", burst=20, seconds=6)
SIGN_IN_TO_ACCOUNT = Limit("sign_in_to_account", burst=6, seconds=60)
# A browser that signed in to this account before: a stranger's attempts do not use it up.
SIGN_IN_FROM_KNOWN_DEVICE = Limit("sign_in_from_known_device", burst=6, seconds=60)
SECOND_STEP = Limit("second_step", burst=6, seconds=60)
# A code opens once, to the person it is for; longer than an authenticator shows the same one.
USED_CODE = Limit("used_code", burst=1, seconds=90)
SIGN_UP = Limit("sign_up", burst=20, seconds=60)
PASSWORD_RESET = Limit("password_reset", burst=10, seconds=60)
CODES = Limit("codes", burst=20, seconds=6)
# Twice for a sign-in: the challenge, which is kept in a session of nobody's, and the answer.
PASSKEY = Limit("passkey", burst=40, seconds=3)
NEW_ORGANIZATION = Limit("new_organization", burst=60, seconds=300)
OWN_ACCOUNT = Limit("own_account", burst=20, seconds=6)
MAIL_TO_ADDRESS = Limit("mail_to_address", burst=4, seconds=120)
REFUSED_CALLBACK = Limit("refused_callback", burst=40, seconds=6)
# Anybody may open the OAuth Login URI, and what its link says is kept in a session.
APPSTORE_START = Limit("appstore_start", burst=40, seconds=6)
COSTLY_ACTION = Limit("costly_action", burst=60, seconds=2)
# A trip lives for ten minutes, so this is also the cap of a person's open ones: 110. A reconnect
# queue of forty stores, each tried twice, fits into an hour.
TRIP = Limit("trip", burst=80, seconds=20)


def key_of(limit: Limit, *whose: str) -> str:
    """A digest that cannot be turned back by trying all addresses: it needs the secret key."""
    return salted_hmac(limit.name, "\x1f".join(whose), algorithm="sha256").hexdigest()


def take(*wanted: tuple[Limit, str]) -> float:
    """Take one token of each (limit, whose) in one statement. Returns 0.0 when all had one, else
    the seconds until the emptiest has one again.

    Atomic: of any number of parallel callers exactly as many succeed as there are tokens. An
    empty bucket refuses without waiting for its row, so that an attack makes no queue. What
    another bucket gave in the same call is not put back. A second statement only on refusal.
    """
    now = time.time()
    buckets = {key_of(limit, whose): limit for limit, whose in wanted}
    keys = sorted(buckets)  # one order for everybody: no deadlock
    rows: list[Any] = []
    fits: list[Any] = []
    for key in keys:
        limit = buckets[key]
        latest = now + (limit.burst - 1) * limit.seconds
        rows += [key, limit.name, now + limit.seconds, latest]
        fits += [key, latest]
    with connection.cursor() as cursor:
        cursor.execute(take_statement(len(keys)), [*rows, now, now, now, *fits])
        given = {row[0] for row in cursor.fetchall()}
    refused = {key: limit for key, limit in buckets.items() if key not in given}
    return count_refusal(refused, now) if refused else 0.0


def take_statement(count: int) -> str:
    """The columns of `wanted` are key, kind, `spent_until` of a new row, and the latest
    `spent_until` that still has a token."""
    return f"""
        INSERT INTO {TABLE} AS bucket (key, kind, spent_until, refused)
        SELECT column1, column2, column3, 0
        FROM (VALUES {", ".join(["(%s, %s, %s, %s)"] * count)}) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM {TABLE} AS seen WHERE seen.key = column1 AND seen.spent_until > column4
        )
        ON CONFLICT (key) DO UPDATE SET
            refused = 0,
            spent_until = excluded.spent_until - %s
                + CASE WHEN bucket.spent_until > %s THEN bucket.spent_until ELSE %s END
        WHERE bucket.spent_until <= CASE bucket.key {"WHEN %s THEN %s " * count} END
        RETURNING key
    """  # noqa: S608  # no value stands in it


def count_refusal(refused: dict[str, Limit], now: float) -> float:
    """A number in the row, not a line for each: an attack must not fill the disk. A row that is
    just being written is left out: at worst a refusal is not counted."""
    skip = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    statement = f"""
        UPDATE {TABLE} SET refused = refused + 1
        WHERE key IN (
            SELECT key FROM {TABLE} WHERE key IN ({", ".join(["%s"] * len(refused))}) {skip}
        )
        RETURNING key, spent_until, refused
    """  # noqa: S608  # no value stands in it
    with connection.cursor() as cursor:
        cursor.execute(statement, sorted(refused))
        rows = cursor.fetchall()
    for limit in refused.values():
        tallies.count("rate_refusals", limit=limit.name)
    waits = [1.0] if rows else [limit.seconds for limit in refused.values()]
    for key, spent_until, count in rows:
        limit = refused[key]
        waits.append(spent_until - (limit.burst - 1) * limit.seconds - now)
        if count == 1:
            logger.warning("limit_reached", extra={"limit": limit.name, "bucket": key[:12]})
    return max(waits)


def give_back(*taken: tuple[Limit, str]) -> None:
    """The try was a success and does not count. One statement."""
    cases = [(key_of(limit, whose), limit.seconds) for limit, whose in taken]
    keys = sorted(key for key, _ in cases)
    statement = f"""
        UPDATE {TABLE} SET spent_until
            = spent_until - CASE key {"WHEN %s THEN %s " * len(cases)} END
        WHERE key IN ({", ".join(["%s"] * len(keys))})
    """  # noqa: S608  # no value stands in it
    with connection.cursor() as cursor:
        cursor.execute(statement, [*(value for case in cases for value in case), *keys])


def forget(limit: Limit, whose: str) -> None:
    """Start anew: the person proved by mail who they are."""
    Allowance.objects.filter(key=key_of(limit, whose)).delete()


def spent_rows() -> QuerySet[Allowance]:
    """Buckets that are full again say nothing any more; `prune` removes them."""
    return Allowance.objects.filter(spent_until__lt=time.time())


def client_address(request: HttpRequest) -> str:
    """Who asks, as told by the nearest TRUSTED_PROXY_COUNT proxies: what a client writes into
    X-Forwarded-For stands further left and is not read. An IPv6 client is its /64 network."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    count = settings.TRUSTED_PROXY_COUNT
    told = hops[-count] if 0 < count <= len(hops) else peer
    for text in (told, peer):
        try:
            address = ipaddress.ip_address(text.strip("[]"))
        except ValueError:
            continue
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped:
                return str(address.ipv4_mapped)
            return str(ipaddress.IPv6Network((address, IPV6_NETWORK), strict=False))
        return str(address)
    return "unknown"


View = Callable[Concatenate[OrganizationRequest, P], HttpResponseBase]


def costly(view: View[P]) -> Callable[..., Any]:
    """Let an organization do this COSTLY_ACTION's number of times; then it waits a little."""
    guarded = counted(view, lambda request: (COSTLY_ACTION, request.organization.pk.hex))
    guarded.is_costly = True  # type: ignore[attr-defined]  # read by test_step_up.py
    return guarded


def opens_trip(view: View[P]) -> Callable[..., Any]:
    """Let a person leave for Amazon TRIP's number of times: each trip is a row and an event."""
    guarded = counted(view, lambda request: (TRIP, request.user.pk.hex))
    guarded.opens_trip = True  # type: ignore[attr-defined]  # read by test_step_up.py
    return guarded


def counted(
    view: View[P], bucket: Callable[[OrganizationRequest], tuple[Limit, str]]
) -> Callable[..., Any]:
    """Stands below `organization_view`: strangers use up nothing. Looking (GET, HEAD) costs
    nothing."""

    @wraps(view)
    def guarded(
        request: OrganizationRequest, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        wait = take(bucket(request)) if request.method == "POST" else 0.0
        return too_many_requests(request, wait) if wait else view(request, *args, **kwargs)

    return guarded
