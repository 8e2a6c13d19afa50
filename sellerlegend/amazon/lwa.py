"""Login with Amazon's token endpoint: a code or a refresh token becomes an access token."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from sellerlegend.amazon.classify import lwa_error, unusable_body
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import (
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    ClientSecretRefused,
    CodeRejected,
    GrantInvalid,
)
from sellerlegend.amazon.http import (
    CALL_SECONDS,
    EXCHANGE_SECONDS,
    REFRESH_SECONDS,
    Reply,
    parse_json,
    post_form,
)
from sellerlegend.amazon.secret import Secret

logger = logging.getLogger(__name__)

SHORTEST_SECONDS = 60
LONGEST_SECONDS = 3600
# How long a process asks with the other secret first after one was refused.
SET_ASIDE_SECONDS = 300.0
# Less is not worth a second call within one budget.
SECOND_CALL_SECONDS = 1.0

# What a header can carry; Amazon promises 2048 bytes at most.
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
# No consent: Amazon reads it only when it has accepted who asks.
_NO_GRANT = Secret("Atzr|not-a-consent")


class SecretWatch(Protocol):
    """Told which of a client's secrets Amazon accepts; must not raise, and not call Amazon."""

    def accepted(self, client_id: str, secret: Secret, *, is_fallback: bool) -> None: ...

    def refused(self, client_id: str, secret: Secret) -> None: ...


@dataclass(frozen=True)
class LwaClient:
    """One LWA application. SP-API and Ads have different ones and never share a token.

    `secrets` holds the newest first. After a rotation Amazon accepts the older one for 7 more
    days; it is asked with only when Amazon refuses the newer one.
    """

    client_id: str
    secrets: tuple[Secret, ...]
    watch: SecretWatch | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class TokenReply:
    """`expires_in` is in seconds, 60 to 3600, and concerns the access token only.

    `refresh_token` is None when Amazon sent none or a blank one: keep the stored one then.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: int


@dataclass(frozen=True)
class _Question:
    """What a client asks the token endpoint, without saying who it is."""

    operation: str
    fields: Mapping[str, str | Secret]
    seconds: float = CALL_SECONDS
    is_code_exchange: bool = False


def exchange_code(
    *,
    endpoints: Endpoints,
    client: LwaClient,
    code: Secret,
    redirect_uri: str,
    code_verifier: Secret | None,
) -> TokenReply:
    """Redeem an authorization code, which works once and for five minutes.

    Raises CodeRejected, ClientMisconfigured, AmazonUnavailable (the code may be spent all the
    same), UnexpectedReply.
    https://developer-docs.amazon.com/sp-api/docs/website-authorization-workflow
    """
    fields: dict[str, str | Secret] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
    }
    if code_verifier is not None:
        fields["code_verifier"] = code_verifier
    question = _Question("lwa.exchange_code", fields, EXCHANGE_SECONDS, is_code_exchange=True)
    return _ask(endpoints, client, question)


def refresh(*, endpoints: Endpoints, client: LwaClient, refresh_token: Secret) -> TokenReply:
    """A new access token. Amazon returns the same refresh token, which does not rotate.

    Raises GrantInvalid, ClientMisconfigured, AmazonUnavailable, UnexpectedReply.
    https://developer.amazon.com/docs/login-with-amazon/refresh-token.html
    """
    fields: dict[str, str | Secret] = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
    }
    return _ask(endpoints, client, _Question("lwa.refresh", fields, REFRESH_SECONDS))


def grantless_token(*, endpoints: Endpoints, client: LwaClient, scope: str) -> TokenReply:
    """An access token for an operation that concerns no seller.

    Raises ClientMisconfigured, AmazonUnavailable, UnexpectedReply.
    https://developer-docs.amazon.com/sp-api/docs/grantless-operations
    """
    fields = {"grant_type": "client_credentials", "scope": scope}
    return _ask(endpoints, client, _Question("lwa.grantless", fields))


def prove_secret(*, endpoints: Endpoints, client: LwaClient) -> None:
    """Return when Amazon accepts a secret of this client. Touches no consent.

    Amazon authenticates the client before it looks at the grant: refusing a grant that is none
    means that the client was accepted. This also works for Ads clients, which have no
    client_credentials. Raises ClientMisconfigured, AmazonUnavailable, UnexpectedReply.
    """
    try:
        refresh(endpoints=endpoints, client=client, refresh_token=_NO_GRANT)
    except GrantInvalid:
        return


# Which secret ------------------------------------------------------------------------------

# When a refused secret is asked with first again, in monotonic seconds.
_set_aside: dict[tuple[str, Secret], float] = {}


def _ask(endpoints: Endpoints, client: LwaClient, question: _Question) -> TokenReply:
    """Only `invalid_client` (RFC 6749 section 5.2) leads to the other secret, within the same
    budget: any other answer says that Amazon knows the client."""
    answer: TokenReply | AmazonError = ClientMisconfigured("", question.operation)
    seconds, ends_at = question.seconds, time.monotonic() + question.seconds
    for secret in _in_order(client):
        answer = _ask_with(secret, endpoints, client, question, seconds)
        _remember(client, secret, answer)
        seconds = ends_at - time.monotonic()
        if not isinstance(answer, ClientSecretRefused) or seconds < SECOND_CALL_SECONDS:
            break
    if isinstance(answer, AmazonError):
        raise answer
    return answer


def _in_order(client: LwaClient) -> list[Secret]:
    now = time.monotonic()
    return sorted(
        client.secrets, key=lambda secret: _set_aside.get((client.client_id, secret), 0.0) > now
    )


def _remember(client: LwaClient, secret: Secret, answer: TokenReply | AmazonError) -> None:
    key = (client.client_id, secret)
    if isinstance(answer, ClientSecretRefused):
        _set_aside[key] = time.monotonic() + SET_ASIDE_SECONDS
        logger.warning("client_secret_refused", extra={"client": client.client_id})
        if client.watch is not None:
            client.watch.refused(client.client_id, secret)
    elif isinstance(answer, TokenReply | GrantInvalid | CodeRejected):
        _set_aside.pop(key, None)
        if client.watch is not None:
            is_fallback = secret != client.secrets[0]
            client.watch.accepted(client.client_id, secret, is_fallback=is_fallback)


def _ask_with(
    secret: Secret, endpoints: Endpoints, client: LwaClient, question: _Question, seconds: float
) -> TokenReply | AmazonError:
    who: dict[str, str | Secret] = {"client_id": client.client_id, "client_secret": secret}
    try:
        reply = post_form(
            endpoints.lwa_token(),
            {**question.fields, **who},
            endpoints=endpoints,
            operation=question.operation,
            seconds=seconds,
        )
    except AmazonUnavailable as error:
        return error
    return _judged(reply, question)


def _judged(reply: Reply, question: _Question) -> TokenReply | AmazonError:
    operation = question.operation
    if reply.status != HTTPStatus.OK:
        return lwa_error(reply, operation=operation, is_code_exchange=question.is_code_exchange)
    return _tokens(reply) or unusable_body(reply, operation=operation)


def _tokens(reply: Reply) -> TokenReply | None:
    """None, not an exception, so that no traceback keeps a frame with tokens in the clear."""
    fields = parse_json(reply.body)
    if not isinstance(fields, dict) or str(fields.get("token_type")).lower() != "bearer":
        return None
    access_token = _token(fields, "access_token")
    refresh_token = _token(fields, "refresh_token")
    expires_in = _lifetime(fields.get("expires_in", SHORTEST_SECONDS))
    if not access_token or refresh_token is None or expires_in is None:
        return None
    return TokenReply(access_token, refresh_token or None, expires_in)


def _token(fields: Mapping[str, object], name: str) -> Secret | None:
    """The token, empty when absent or blank; None when it cannot be one."""
    value = fields.get(name)
    if value is None:
        return Secret("")
    if not isinstance(value, str):
        return None
    if not value.strip():
        return Secret("")
    return Secret(value) if _TOKEN.fullmatch(value) else None


def _lifetime(value: object) -> int | None:
    """Seconds within our bounds, from a number or a numeric string; None when it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    if math.isnan(seconds):
        return None
    return int(min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS))
