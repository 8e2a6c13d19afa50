"""Every answer of amazon.md's tables, and the class it belongs to: the texts are Amazon's."""

from __future__ import annotations

import json

import pytest

from sellerlegend.amazon.classify import ads_error, lwa_error, spapi_error
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
from sellerlegend.amazon.http import Reply

HTML = "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"


def _reply(status: int, body: object = "", **fields: float) -> Reply:
    text = body if isinstance(body, str) else json.dumps(body)
    return Reply(status, text.encode(), "req-1", fields.get("retry_after"))


def _forbidden(
    details: str | None, message: str = "Access to requested resource is denied."
) -> Reply:
    error = {"code": "Unauthorized", "message": message, "details": details}
    return _reply(403, {"errors": [error]})


def _lwa(error: str, description: str = "") -> dict[str, str]:
    return {"error": error, "error_description": description}


REFRESH = [
    (400, _lwa("invalid_grant", "The request has an invalid grant parameter : refresh_token. User may have revoked or didn't grant the permission."), GrantInvalid),  # noqa: E501
    (400, _lwa("INVALID_GRANT"), GrantInvalid),
    (401, _lwa("invalid_client", "Client authentication failed"), ClientSecretRefused),
    (400, _lwa("invalid_client"), ClientSecretRefused),
    (400, _lwa("unauthorized_client"), ClientMisconfigured),
    (401, HTML, AmazonUnavailable),
    (401, _lwa("invalid_grant"), ClientSecretRefused),
    (400, _lwa("invalid_request", "The request is missing a required parameter"), UnexpectedReply),
    (400, _lwa("unsupported_grant_type"), UnexpectedReply),
    (400, _lwa("invalid_scope"), UnexpectedReply),
    (403, _lwa("access_denied"), UnexpectedReply),
    (403, _lwa("invalid_grant"), UnexpectedReply),
    (400, HTML, AmazonUnavailable),
    (400, ["invalid_grant"], UnexpectedReply),
    (400, {"error": ["invalid_grant"]}, UnexpectedReply),
    (302, "", UnexpectedReply),
    (204, "", UnexpectedReply),
    (500, _lwa("ServerError"), AmazonUnavailable),
    (400, _lwa("server_error"), AmazonUnavailable),
    (503, _lwa("temporarily_unavailable"), AmazonUnavailable),
    (503, HTML, AmazonUnavailable),
    (504, "", AmazonUnavailable),
    (408, "", AmazonUnavailable),
    (429, HTML, AmazonUnavailable),
    (200, HTML, AmazonUnavailable),
    (200, "", AmazonUnavailable),
]  # fmt: skip

EXCHANGE = [
    (400, _lwa("invalid_grant", "The request has an invalid grant parameter : code"), CodeRejected),
    (400, _lwa("invalid_request", "The request has an invalid parameter : code"), CodeRejected),
    (400, _lwa("unsupported_grant_type"), CodeRejected),
    (400, HTML, AmazonUnavailable),
    (400, "", CodeRejected),
    (401, _lwa("invalid_client", "Client authentication failed"), ClientSecretRefused),
    (400, _lwa("invalid_client"), ClientSecretRefused),
    (403, _lwa("invalid_grant"), UnexpectedReply),
    (500, _lwa("ServerError"), AmazonUnavailable),
    (429, "", AmazonUnavailable),
]

SPAPI = [
    (_forbidden("The access token you provided is revoked, malformed or invalid."), AccessTokenRejected),  # noqa: E501
    (_forbidden("The access token you provided has expired."), AccessTokenRejected),
    (_forbidden("Access token is missing in the request header."), AccessTokenRejected),
    (_forbidden("The LWA secret token you provided has expired."), ClientSecretExpired),
    (_reply(403, {"message": "Forbidden"}), UnexpectedReply),
    (_reply(403, {"errors": []}), UnexpectedReply),
    (_reply(403, {"errors": ["Unauthorized"]}), UnexpectedReply),
    (_reply(403, HTML), AmazonUnavailable),
    (_reply(400, {"errors": [{"code": "InvalidInput", "message": "Invalid Input"}]}), UnexpectedReply),  # noqa: E501
    (_reply(401), UnexpectedReply),
    (_reply(404), UnexpectedReply),
    (_reply(413), UnexpectedReply),
    (_reply(415), UnexpectedReply),
    (_reply(301), UnexpectedReply),
    (_reply(500, {"errors": [{"code": "InternalFailure", "message": "?"}]}), AmazonUnavailable),
    (_reply(500, {}), AmazonUnavailable),
    (_reply(503, HTML), AmazonUnavailable),
    (_reply(504, HTML), AmazonUnavailable),
    (_reply(200, HTML), AmazonUnavailable),
    (_reply(200, {}), AmazonUnavailable),
]  # fmt: skip

DENIED = [
    (_forbidden(""), Denial.MISSING_ROLE),
    (_forbidden(None), Denial.MISSING_ROLE),
    (
        _forbidden("", "The marketplaces you provided are not valid for region."),
        Denial.WRONG_REGION,
    ),
    (_forbidden("The marketplaces you provided are not valid for region."), Denial.WRONG_REGION),
    (_forbidden("A text of next year"), Denial.OTHER),
    (_reply(403, {"errors": [{"code": "MissingAuthenticationToken"}]}), Denial.OTHER),
]

ADS = [
    (401, {"code": "401", "details": "HTTP 401 Unauthorized"}, AccessTokenRejected),
    (
        401,
        {"code": "UNAUTHORIZED", "details": "Not authorized to access scope"},
        AccessTokenRejected,
    ),
    (401, HTML, AmazonUnavailable),
    (403, {"code": "403", "details": ""}, AccessDenied),
    (400, {"code": "400", "details": ""}, UnexpectedReply),
    (404, "", UnexpectedReply),
    (415, "", UnexpectedReply),
    (422, {"code": "422"}, UnexpectedReply),
    (307, "", UnexpectedReply),
    (207, [], UnexpectedReply),
    (429, {"code": "429"}, AmazonUnavailable),
    (500, {"code": "500"}, AmazonUnavailable),
    (502, HTML, AmazonUnavailable),
    (504, HTML, AmazonUnavailable),
    (200, {"profiles": []}, AmazonUnavailable),
]


@pytest.mark.parametrize(("status", "body", "expected"), REFRESH)
def test_a_refresh_is_judged(status: int, body: object, expected: type[AmazonError]) -> None:
    error = lwa_error(_reply(status, body), operation="op", is_code_exchange=False)

    assert type(error) is expected
    assert (error.operation, error.request_id) == ("op", "req-1")


@pytest.mark.parametrize(("status", "body", "expected"), EXCHANGE)
def test_an_exchange_is_judged(status: int, body: object, expected: type[AmazonError]) -> None:
    error = lwa_error(_reply(status, body), operation="op", is_code_exchange=True)

    assert type(error) is expected


@pytest.mark.parametrize(("reply", "expected"), SPAPI)
def test_the_selling_partner_api_is_judged(reply: Reply, expected: type[AmazonError]) -> None:
    error = spapi_error(reply, operation="op")

    assert type(error) is expected
    assert (error.operation, error.request_id) == ("op", "req-1")


@pytest.mark.parametrize(("reply", "detail"), DENIED)
def test_a_403_with_a_good_token_says_why(reply: Reply, detail: Denial) -> None:
    error = spapi_error(reply, operation="op")

    assert isinstance(error, AccessDenied)
    assert error.detail is detail


@pytest.mark.parametrize(("status", "body", "expected"), ADS)
def test_the_ads_api_is_judged(status: int, body: object, expected: type[AmazonError]) -> None:
    error = ads_error(_reply(status, body), operation="op")

    assert type(error) is expected
    assert (error.operation, error.request_id) == ("op", "req-1")


def test_throttling_is_told_from_an_outage() -> None:
    throttled = spapi_error(_reply(429), operation="op")
    down = spapi_error(_reply(503, retry_after=7.0), operation="op")

    assert isinstance(throttled, AmazonUnavailable)
    assert isinstance(down, AmazonUnavailable)
    assert (throttled.throttled, throttled.retry_after) == (True, None)
    assert (down.throttled, down.retry_after) == (False, 7.0)


def test_ads_say_how_long_to_wait() -> None:
    error = ads_error(_reply(429, retry_after=12.0), operation="op")

    assert isinstance(error, AmazonUnavailable)
    assert (error.throttled, error.retry_after) == (True, 12.0)


def test_an_unexpected_reply_remembers_its_status() -> None:
    error = spapi_error(_reply(418), operation="op")

    assert isinstance(error, UnexpectedReply)
    assert error.status == 418


def test_the_request_id_of_lwa_may_stand_in_the_body() -> None:
    body = json.dumps({"error": "invalid_grant", "request_id": "6b0d2f0a-1"}).encode()

    error = lwa_error(Reply(400, body), operation="op", is_code_exchange=False)

    assert error.request_id == "6b0d2f0a-1"


@pytest.mark.parametrize("judge", [spapi_error, ads_error])
def test_too_much_is_not_asked_for_again(judge: object) -> None:
    error = judge(Reply(200, b"[", truncated=True), operation="op")  # type: ignore[operator]

    assert type(error) is UnexpectedReply


def _judged(reply: Reply) -> list[type[AmazonError]]:
    """By each of the judges."""
    return [
        type(lwa_error(reply, operation="op", is_code_exchange=False)),
        type(lwa_error(reply, operation="op", is_code_exchange=True)),
        type(spapi_error(reply, operation="op")),
        type(ads_error(reply, operation="op")),
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize("begins", [HTML.encode(), b"\r\n  <!DOCTYPE html>", b"Request blocked"])
def test_a_page_that_is_too_long_to_read_is_a_page(status: int, begins: bytes) -> None:
    """By its status an Ads 401 would doubt the consent, and a 403 take its permission."""
    assert _judged(Reply(status, begins, truncated=True)) == [AmazonUnavailable] * 4


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, [UnexpectedReply, CodeRejected, UnexpectedReply, UnexpectedReply]),
        (401, [ClientSecretRefused, ClientSecretRefused, UnexpectedReply, AccessTokenRejected]),
        (403, [UnexpectedReply, UnexpectedReply, UnexpectedReply, AccessDenied]),
    ],
)
@pytest.mark.parametrize("begins", [b'{"code": "40', b' [{"code', b" \n "])
def test_json_that_is_too_long_to_read_has_its_status(
    status: int, expected: list[type[AmazonError]], begins: bytes
) -> None:
    assert _judged(Reply(status, begins, truncated=True)) == expected


def test_a_body_never_reaches_a_message() -> None:
    canary = "Atza|canary"
    bodies = [_lwa(canary, canary), {"errors": [{"code": canary, "details": canary}]}, canary]

    for status in (200, 302, 400, 401, 403, 404, 429, 500):
        for body in bodies:
            reply = _reply(status, body)
            for error in (
                lwa_error(reply, operation="op", is_code_exchange=False),
                lwa_error(reply, operation="op", is_code_exchange=True),
                spapi_error(reply, operation="op"),
                ads_error(reply, operation="op"),
            ):
                assert canary not in f"{error} {error!r} {vars(error)} {reply}"
