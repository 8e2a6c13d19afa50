"""The only reader of refresh tokens. Everybody else receives a ready call or a fingerprint.

Access tokens live in `token_cache`. Refresh is single-flight by a short lease on the grant's row:
no lock is held over HTTP, and a slow refresh cannot undo a newer consent because its write is
conditional on the version, nor a neighbour's newer access token because it is conditional on the
lease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from connections import grants, observations, refusals, token_cache
from connections.models import AdsGrant, Connection, Grant
from connections.token_cache import AnyGrant
from connections.verdicts import (
    GrantMissing,
    Quarantined,
    VaultKeyMissing,
)
from sellerlegend import crypto, tallies
from sellerlegend.amazon import lwa
from sellerlegend.amazon.errors import (
    AccessTokenRejected,
    AmazonError,
    ClientMisconfigured,
    ClientSecretExpired,
    GrantInvalid,
    HeldBack,
)
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.clients import client_of, configured_client
from sellerlegend.applications.upkeep import note_expired
from sellerlegend.jobs import breakers, outcomes
from sellerlegend.organizations import custody, quarantine

logger = logging.getLogger(__name__)

T = TypeVar("T")

LEASE = timedelta(seconds=30)
LONGEST_WAIT_SECONDS = 25.0
LOOK_AGAIN_SECONDS = 0.1


def seal_refresh_token(grant: AnyGrant, token: Secret, data_key: str) -> dict[str, Any]:
    """The columns a new consent writes. The version moves, so older writers are refused."""
    return {
        "refresh_token": crypto.seal(token, grant.place(), data_key=data_key),
        "fingerprint": crypto.fingerprint(token),
        "client_id": configured_client(grant.application).client_id,
        **refusals.NO_REFUSALS,
        **observations.fresh_columns(),
    }


def spapi_call(
    connection: Connection, call: Callable[[Secret], T], *, force_refresh: bool = False
) -> T:
    """Run `call(access_token)` with the connection's consent. Raises AmazonError kinds."""
    grant, data_key = grants.spapi_grant_of(connection)
    return _call_noted(grant, call, force_refresh, data_key)


def live_token(connection: Connection) -> Secret:
    """The access token of the connection's consent, for one call. Raises as `access_token`."""
    grant, data_key = grants.spapi_grant_of(connection)
    if grant is None:
        raise GrantMissing(operation="credentials")
    return access_token(grant, data_key=data_key)


def spapi_probe(connection: Connection, call: Callable[[Secret], T]) -> T:
    """The same for a call that only asks whether we may: how it goes is no news of the consent,
    unless Amazon refuses its tokens. Raises AmazonError kinds."""
    grant, data_key = grants.spapi_grant_of(connection)
    return _call_with_token(grant, call, force_refresh=False, data_key=data_key)


def prove(connection: Connection) -> None:
    """Have a live access token, without a call of the API. Raises AmazonError kinds."""
    grant, data_key = grants.spapi_grant_of(connection)
    _call_with_token(grant, lambda _access_token: None, force_refresh=False, data_key=data_key)


def ads_call(grant: AdsGrant, call: Callable[[Secret], T], *, force_refresh: bool = False) -> T:
    """Run `call(access_token)` with an Ads consent. Raises AmazonError kinds."""
    return _call_noted(grant, call, force_refresh)


def _call_noted(
    grant: AnyGrant | None, call: Callable[[Secret], T], force_refresh: bool, data_key: str = ""
) -> T:
    """The call, and a note on the grant of how it went."""
    try:
        answer = _call_with_token(grant, call, force_refresh, data_key)
    except AmazonError as error:
        if grant is not None:
            observations.note_failure(grant, error)
        raise
    if grant is not None:
        observations.note_success(grant)
    return answer


def _call_with_token(
    grant: AnyGrant | None, call: Callable[[Secret], T], force_refresh: bool, data_key: str = ""
) -> T:
    """A rejected access token is replaced once; rejected again, the grant itself is doubted."""
    if grant is None:
        raise GrantMissing(operation="credentials")
    token = access_token(grant, force=force_refresh, data_key=data_key)
    try:
        with outcomes.on_behalf_of(grant.owner_id()):
            answer = call(token)
    except AccessTokenRejected:
        token_cache.forget(grant, token, custody.data_key(grant.owner_id()))
        answer = _second_try(grant, call)
    except ClientSecretExpired:
        # Says nothing of this consent. The next token is got with the secret of that moment.
        token_cache.forget(grant, token, custody.data_key(grant.owner_id()))
        note_expired(grant.application)
        raise
    if grant.last_error_code == refusals.ACCESS_TOKEN_REJECTED:
        refusals.trust_again(grant, "call_succeeded")
    return answer


def _second_try(grant: AnyGrant, call: Callable[[Secret], T]) -> T:
    token = access_token(grant)
    try:
        with outcomes.on_behalf_of(grant.owner_id()):
            return call(token)
    except AccessTokenRejected:
        token_cache.forget(grant, token, custody.data_key(grant.owner_id()))
        raise refusals.refused(grant, refusals.ACCESS_TOKEN_REJECTED) from None


def access_token(grant: AnyGrant, *, force: bool = False, data_key: str = "") -> Secret:
    """A live access token: from the cache, else by exactly one refresh among all processes.

    Raises GrantMissing, GrantDoubted, GrantInvalid, GrantUnreadable, ClientMisconfigured,
    AmazonUnavailable. `force` refreshes in any case, also for a grant believed invalid (an
    operator's re-sync), unless staff asked for a new consent. `data_key`: the organization's, where
    the caller has just read it.
    """
    if quarantine.is_on():
        raise Quarantined(operation="credentials")
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    try:
        while True:
            token = _obtain(grant, data_key or custody.data_key(grant.owner_id()), force=force)
            if token is not None:
                return token
            if time.monotonic() > deadline:
                raise HeldBack(operation="lwa.refresh", retry_after=5.0)
            time.sleep(LOOK_AGAIN_SECONDS)
            grants.look_again(grant)
            data_key = ""  # a rotation may have replaced it meanwhile
    except ObjectDoesNotExist:
        # The row was removed while we waited for a neighbour.
        raise GrantMissing(operation="credentials") from None


def _obtain(grant: AnyGrant, data_key: str, *, force: bool) -> Secret | None:
    """One look, and one refresh if nobody else is at it; None: look again."""
    _require_own_client(grant, force=force)
    held = None if force else token_cache.read(grant, data_key)
    if held is not None:
        return held
    refusals.require_usable(grant, force=force)
    seen = grant.refresh_lease_until, grant.last_refreshed_at
    lease = _take_lease(grant)
    if lease is None:
        return None
    try:
        # What a neighbour did between our look and our lease counts: his token, or his refusal.
        # A row that nobody has touched since has no token that was not there then.
        if not force and seen != (None, grant.last_refreshed_at):
            held = token_cache.read(grant, data_key)
        if held is None:
            refusals.require_usable(grant, force=force)
            held = _refresh(grant, data_key, lease)
        return held
    finally:
        if grant.refresh_lease_until is not None:
            grants.release_lease(grant, lease)


def _require_own_client(grant: AnyGrant, *, force: bool) -> None:
    """Amazon calls a consent of another client of ours invalid, as if the seller had revoked it:
    it is not asked. The fault is our environment's (two pairs swapped, another application)."""
    is_asked = grant.status in (Grant.Status.ACTIVE, Grant.Status.DOUBTED) or (
        force and grant.status == Grant.Status.INVALID
    )
    if not is_asked or grant.client_id in ("", configured_client(grant.application).client_id):
        return
    logger.error("grant_of_another_client", extra={"grant": grant.pk, "client": grant.client_id})
    with tallies.outcome("refreshes", kind=grant.EVENT_PREFIX.removesuffix("_grant")):
        raise ClientMisconfigured(operation="credentials")


def _take_lease(grant: AnyGrant) -> datetime | None:
    """When our lease ends; None while somebody else has one. Reads the row again with it."""
    now = timezone.now()
    return now + LEASE if grants.take_lease(grant, now=now, until=now + LEASE) else None


def _refresh(grant: AnyGrant, data_key: str, lease: datetime) -> Secret | None:
    """None when the consent was replaced or destroyed meanwhile, or when somebody else took the
    lease over: what came is not to be used."""
    token, data_key = _refresh_token(grant, data_key)
    try:
        reply, client_id = ask(grant, token)
    except GrantInvalid:
        raise refuse(grant) from None
    accepted = Accepted(reply, token, client_id, data_key)
    return reply.access_token if accept(grant, accepted, lease) else None


def ask(grant: AnyGrant, token: Secret) -> tuple[lwa.TokenReply, str]:
    """One refresh at Amazon by whoever holds the lease, and the client id that asked. Reads and
    writes nothing of the row. Raises AmazonError kinds."""
    with tallies.outcome("refreshes", kind=grant.EVENT_PREFIX.removesuffix("_grant")):
        client = client_of(grant.application)
        with outcomes.on_behalf_of(grant.owner_id()):
            return _ask_lwa(client, token), client.client_id


def refuse(grant: AnyGrant) -> AmazonError:
    """Amazon refused the token that `grant` was read with: counted, and what to raise."""
    return refusals.refused(grant, refusals.REFUSED)


@dataclass(frozen=True)
class Accepted:
    """Amazon accepted `token`: what it said, who asked, and what seals it."""

    reply: lwa.TokenReply
    token: Secret
    client_id: str
    data_key: str = field(repr=False)


def accept(grant: AnyGrant, accepted: Accepted, lease: datetime) -> bool:
    """Keep what Amazon gave and free our lease. False when the row holds another consent by now,
    or when somebody took our lease over and no other refresh token came: then nothing is kept.

    A different refresh token replaces ours; a blank one never does. Success clears refusals,
    unless it was the access token that was rejected: then only a call that succeeds does.
    """
    new = accepted.reply.refresh_token
    if new is None or new == accepted.token:
        is_kept = _keep_access_token(grant, accepted, lease)
    else:
        is_kept = _keep_both_tokens(grant, accepted, new, lease)
    if not is_kept:
        logger.info("refresh_overtaken", extra={"grant": grant.pk})
        return False
    # Each store's each hour: counted by `tallies`, told only to who looks closely.
    logger.debug("grant_refreshed", extra={"grant": grant.pk})
    is_believed = grant.status == Grant.Status.ACTIVE and not grant.refusals
    if not is_believed and grant.last_error_code != refusals.ACCESS_TOKEN_REJECTED:
        refusals.trust_again(grant, "refresh_succeeded")
    return True


def _keep_access_token(grant: AnyGrant, accepted: Accepted, lease: datetime) -> bool:
    """The token first, since whoever waits for the lease must find it, and its acceptance frees
    that. Whoever dies in between leaves a token that is good and a lease of seconds."""
    reply, now = accepted.reply, timezone.now()
    _cache_in_time(grant, accepted, lease)
    is_mine = False
    try:
        is_mine = grants.note_refresh(grant, at=now, client_id=accepted.client_id, lease=lease)
    finally:
        if not is_mine:
            token_cache.forget(grant, reply.access_token, accepted.data_key)
    if not is_mine:
        return False
    vars(grant).update(
        last_refreshed_at=now, client_id=accepted.client_id, refresh_lease_until=None
    )
    return True


def _cache_in_time(grant: AnyGrant, accepted: Accepted, lease: datetime) -> None:
    """After its lease (a freeze, a database that kept it waiting) a token is for its caller alone:
    a neighbour's newer one may be there. It is also the most by which one is cached too long, well
    within `EXPIRY_MARGIN_SECONDS`."""
    if timezone.now() < lease:
        reply = accepted.reply
        token_cache.remember(grant, reply.access_token, reply.expires_in, accepted.data_key)


def _ask_lwa(client: lwa.LwaClient, token: Secret) -> lwa.TokenReply:
    operation = "lwa.refresh"
    with (
        breakers.guarded_client(client, operation=operation),
        breakers.guarded("lwa", operation=operation),
    ):
        return lwa.refresh(endpoints=settings.AMAZON_ENDPOINTS, client=client, refresh_token=token)


def _refresh_token(grant: AnyGrant, data_key: str) -> tuple[Secret, str]:
    """The token and the data key that opened it. A text that does not open is looked at once
    more: a rotation may have changed both since we read them. Then the grant is locked, unless
    it was the data key that did not open: that says nothing of this consent.

    Raises GrantUnreadable, VaultKeyMissing.
    """
    try:
        return _opened(grant, data_key), data_key
    except crypto.Undecryptable:
        grants.look_again(grant)
        data_key = custody.data_key(grant.owner_id())
    try:
        return _opened(grant, data_key), data_key
    except crypto.DataKeyUnreadable as error:
        logger.error("vault_key_missing", extra={"cause": str(error)})
        raise VaultKeyMissing(operation="credentials") from None
    except crypto.Undecryptable as error:
        raise refusals.lock(grant, str(error)) from None


def _opened(grant: AnyGrant, data_key: str) -> Secret:
    return custody.open_secret(
        grant.refresh_token, grant.place(), data_key=data_key, purpose=crypto.Purpose.REFRESH
    )


def _keep_both_tokens(grant: AnyGrant, accepted: Accepted, new: Secret, lease: datetime) -> bool:
    """Amazon gave another refresh token: that one first, since nothing brings it back.

    Also when our lease was taken over, as long as the row holds the token we asked with. Of two
    that came for one token, whoever has the lease wins in either order: he asked last, so his is
    the newer one. The other's is refused, or replaced.
    """
    with transaction.atomic():
        data_key = custody.data_key_under_lock(grant.owner_id())
        columns = {
            "last_refreshed_at": timezone.now(),
            "client_id": accepted.client_id,
            "refresh_token": crypto.seal(new, grant.place(), data_key=data_key),
            "fingerprint": crypto.fingerprint(new),
        }
        is_mine = Q(fingerprint=grant.fingerprint) | Q(refresh_lease_until=lease)
        mine = observations.current(grant).filter(is_mine)
        if mine.update(**columns) != 1:
            return False
    vars(grant).update(columns)
    _cache_in_time(grant, accepted, lease)
    if not grants.release_lease(grant, lease):
        token_cache.forget(grant, accepted.reply.access_token, accepted.data_key)
    vars(grant).update(refresh_lease_until=None)
    return True
