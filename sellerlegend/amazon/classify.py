"""What an answer other than a good 200 means: the only place that decides.

Each function takes a Reply and returns the exception to raise.
"""

from __future__ import annotations

from http import HTTPStatus

from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    ClientSecretExpired,
    ClientSecretRefused,
    CodeRejected,
    Denial,
    GrantInvalid,
    UnexpectedReply,
)
from sellerlegend.amazon.http import Reply, clean_request_id, parse_json

# LWA's own pages spell the first one ServerError.
_SERVER_ERRORS = frozenset({"servererror", "server_error", "temporarily_unavailable"})

# Only these words tell the kinds of 403 apart; code and message are the same for all:
# https://developer-docs.amazon.com/sp-api/docs/resolve-common-http-and-authorization-error-codes
_SECRET_EXPIRED = "lwa secret token you provided has expired"  # noqa: S105
_TOKEN_REFUSED = (
    "access token you provided is revoked, malformed or invalid",
    "access token you provided has expired",
    "access token is missing",
)
# Of an object or a list, which is all that the APIs of Amazon answer with.
_JSON_BEGINS = (b"{", b"[")
_WRONG_REGION = "not valid for region"


def lwa_error(reply: Reply, *, operation: str, is_code_exchange: bool) -> AmazonError:
    """An answer of the token endpoint.

    An old or used code shows as invalid_grant or as invalid_request, so any 400 to an exchange
    rejects the code; for a refresh only 400 with invalid_grant condemns the grant.
    https://developer.amazon.com/docs/login-with-amazon/authorization-code-grant.html
    """
    fields = _fields(reply)
    error = str(fields.get("error", "")).lower()
    request_id = reply.request_id or clean_request_id(fields.get("request_id"))
    if _is_down(reply.status) or error in _SERVER_ERRORS or _is_page(reply):
        return _unavailable(reply, operation)
    if reply.status == HTTPStatus.OK:
        return unusable_body(reply, operation=operation)
    if error == "unauthorized_client":
        return ClientMisconfigured(request_id, operation)
    if reply.status == HTTPStatus.UNAUTHORIZED or error == "invalid_client":
        return ClientSecretRefused(request_id, operation)
    if reply.status == HTTPStatus.BAD_REQUEST and is_code_exchange:
        return CodeRejected(request_id, operation)
    if reply.status == HTTPStatus.BAD_REQUEST and error == "invalid_grant":
        return GrantInvalid(request_id, operation)
    return UnexpectedReply(request_id, operation, reply.status)


def spapi_error(reply: Reply, *, operation: str) -> AmazonError:
    """An answer of the Selling Partner API, where all trouble with tokens is a 403."""
    if _is_down(reply.status) or _is_page(reply):
        return _unavailable(reply, operation)
    if reply.status == HTTPStatus.OK:
        return unusable_body(reply, operation=operation)
    if reply.status == HTTPStatus.FORBIDDEN:
        return _spapi_forbidden(reply, operation)
    return UnexpectedReply(reply.request_id, operation, reply.status)


def ads_error(reply: Reply, *, operation: str) -> AmazonError:
    """An answer of the Ads API, where a refused access token is a 401.

    https://advertising.amazon.com/API/docs/en-us/reference/concepts/errors
    """
    if _is_down(reply.status) or _is_page(reply):
        return _unavailable(reply, operation)
    if reply.status == HTTPStatus.OK:
        return unusable_body(reply, operation=operation)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        return AccessTokenRejected(reply.request_id, operation)
    if reply.status == HTTPStatus.FORBIDDEN:
        return AccessDenied(reply.request_id, operation, Denial.OTHER)
    return UnexpectedReply(reply.request_id, operation, reply.status)


def unusable_body(reply: Reply, *, operation: str) -> AmazonError:
    """A 200 with HTML, nothing or another shape is an outage in disguise; too much is not."""
    if reply.truncated:
        return UnexpectedReply(reply.request_id, operation, reply.status)
    return _unavailable(reply, operation)


def _spapi_forbidden(reply: Reply, operation: str) -> AmazonError:
    errors = _fields(reply).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return UnexpectedReply(reply.request_id, operation, reply.status)
    details = str(first.get("details") or "").strip().lower()
    words = f"{first.get('message')} {details}".lower()
    if _SECRET_EXPIRED in words:
        return ClientSecretExpired(reply.request_id, operation)
    if any(phrase in words for phrase in _TOKEN_REFUSED):
        return AccessTokenRejected(reply.request_id, operation)
    if _WRONG_REGION in words:
        return AccessDenied(reply.request_id, operation, Denial.WRONG_REGION)
    is_role = first.get("code") == "Unauthorized" and not details
    detail = Denial.MISSING_ROLE if is_role else Denial.OTHER
    return AccessDenied(reply.request_id, operation, detail)


def _fields(reply: Reply) -> dict[str, object]:
    parsed = parse_json(reply.body)
    return parsed if isinstance(parsed, dict) else {}


def _is_down(status: int) -> bool:
    return (
        status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _is_page(reply: Reply) -> bool:
    """A refusal that is no JSON comes from something before the API, a firewall or an error page:
    it says nothing of the seller, of our client or of a code. One without a body has its status."""
    if reply.status < HTTPStatus.BAD_REQUEST or not reply.body.strip():
        return False
    if reply.truncated:  # no whole JSON either way: how it begins has to tell
        return reply.body.lstrip()[:1] not in _JSON_BEGINS
    return parse_json(reply.body) is None


def _unavailable(reply: Reply, operation: str) -> AmazonUnavailable:
    return AmazonUnavailable(
        reply.request_id,
        operation,
        retry_after=reply.retry_after,
        throttled=reply.status == HTTPStatus.TOO_MANY_REQUESTS,
    )
