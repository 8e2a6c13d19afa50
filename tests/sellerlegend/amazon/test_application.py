"""Application Management through python-amazon-sp-api and over real HTTP."""

from __future__ import annotations

import logging

import pytest

from sellerlegend.amazon import application
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import (
    AccessDenied,
    AmazonUnavailable,
    ClientSecretExpired,
    UnexpectedReply,
)
from sellerlegend.amazon.http import USER_AGENT
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from tests.sellerlegend.amazon.scripted_server import ScriptedServer, reply

TOKEN = "Atza|IQEBLjAsAhRmHjNgHpi0U"


def rotate(endpoints: Endpoints) -> None:
    application.rotate_client_secret(
        endpoints=endpoints, region=Region.EU, access_token=Secret(TOKEN)
    )


def test_the_request_is_amazons(
    server: ScriptedServer, endpoints: Endpoints, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sp_api")
    server.answer = reply(204, b"")

    rotate(endpoints)

    [request] = server.requests
    assert request.line == (
        "POST /sellingpartnerapi-eu.amazon.com/applications/2023-11-30/clientSecret HTTP/1.1"
    )
    request.headers.pop("x-amz-date")
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": USER_AGENT,
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-length": "0",
        "x-amz-access-token": TOKEN,
    }
    assert TOKEN not in caplog.text


def denied(details: str) -> dict[str, list[dict[str, str]]]:
    message = "Access to requested resource is denied."
    return {"errors": [{"code": "Unauthorized", "message": message, "details": details}]}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"errors": [{"code": "InvalidInput"}]}, application.RotationNotPossible),
        (400, "<html>", application.RotationNotPossible),
        (403, denied(""), AccessDenied),
        (403, denied("The LWA secret token you provided has expired."), ClientSecretExpired),
        (429, {"errors": [{"code": "QuotaExceeded"}]}, AmazonUnavailable),
        (503, "<html>", AmazonUnavailable),
        (200, {}, AmazonUnavailable),
        (202, {}, UnexpectedReply),
    ],
)
def test_only_204_is_success(
    server: ScriptedServer,
    endpoints: Endpoints,
    status: int,
    body: object,
    expected: type[Exception],
) -> None:
    server.answer = reply(status, body)

    with pytest.raises(expected) as caught:
        rotate(endpoints)

    assert type(caught.value) is expected
