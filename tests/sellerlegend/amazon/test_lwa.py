from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses

from sellerlegend.amazon import lwa
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import (
    AmazonError,
    AmazonUnavailable,
    ClientSecretRefused,
    CodeRejected,
    GrantInvalid,
    UnexpectedReply,
)
from sellerlegend.amazon.secret import Secret

ENDPOINTS = Endpoints.amazon()
CLIENT = lwa.LwaClient("amzn1.application-oa2-client.demo", (Secret("amzn1.oa2-cs.v1.demo"),))
GRANTED = {
    "access_token": "Atza|IQEBLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSR",
    "refresh_token": "Atzr|IQEBLzAtAhRPpMJxdwVz2Nn6f2y-tpJX2DeX",
    "token_type": "bearer",
    "expires_in": 3600,
}


@pytest.fixture
def token_endpoint() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def _answer(token_endpoint: responses.RequestsMock, status: int = 200, **options: Any) -> None:
    token_endpoint.post("https://api.amazon.com/auth/o2/token", status=status, **options)


def _refresh() -> lwa.TokenReply:
    return lwa.refresh(endpoints=ENDPOINTS, client=CLIENT, refresh_token=Secret("Atzr|old|+"))


def _exchange(code_verifier: Secret | None = None) -> lwa.TokenReply:
    return lwa.exchange_code(
        endpoints=ENDPOINTS,
        client=CLIENT,
        code=Secret("RHcode+/ "),
        redirect_uri="https://app.example/amazon/spapi/callback",
        code_verifier=code_verifier,
    )


def _form(token_endpoint: responses.RequestsMock) -> dict[str, list[str]]:
    body = token_endpoint.calls[0].request.body
    assert isinstance(body, bytes)
    return parse_qs(body.decode(), strict_parsing=True)


def test_a_code_becomes_tokens(token_endpoint: responses.RequestsMock) -> None:
    _answer(token_endpoint, json=GRANTED)

    reply = _exchange()

    assert reply == lwa.TokenReply(
        Secret(str(GRANTED["access_token"])), Secret(str(GRANTED["refresh_token"])), 3600
    )
    assert _form(token_endpoint) == {
        "grant_type": ["authorization_code"],
        "code": ["RHcode+/ "],
        "redirect_uri": ["https://app.example/amazon/spapi/callback"],
        "client_id": ["amzn1.application-oa2-client.demo"],
        "client_secret": ["amzn1.oa2-cs.v1.demo"],
    }


def test_an_ads_code_is_exchanged_with_its_verifier(token_endpoint: responses.RequestsMock) -> None:
    _answer(token_endpoint, json=GRANTED)

    _exchange(code_verifier=Secret("verifier"))

    assert _form(token_endpoint)["code_verifier"] == ["verifier"]


def test_a_refresh_sends_no_scope(token_endpoint: responses.RequestsMock) -> None:
    _answer(token_endpoint, json=GRANTED)

    _refresh()

    assert _form(token_endpoint) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["Atzr|old|+"],
        "client_id": ["amzn1.application-oa2-client.demo"],
        "client_secret": ["amzn1.oa2-cs.v1.demo"],
    }


@pytest.mark.parametrize("blank", [{}, {"refresh_token": None}, {"refresh_token": " \n"}])
def test_a_blank_refresh_token_is_none(
    token_endpoint: responses.RequestsMock, blank: dict[str, str | None]
) -> None:
    rest = {name: value for name, value in GRANTED.items() if name != "refresh_token"}
    _answer(token_endpoint, json=rest | blank)

    assert _refresh().refresh_token is None


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (3600, 3600),
        ("1800", 1800),
        (900.7, 900),
        (-1, 60),
        (0, 60),
        (10**9, 3600),
        ("1e999", 3600),
        pytest.param(10**400, 3600, id="absurd"),
    ],
)
def test_a_lifetime_is_kept_within_bounds(
    token_endpoint: responses.RequestsMock, sent: object, seconds: int
) -> None:
    _answer(token_endpoint, json=GRANTED | {"expires_in": sent})

    assert _refresh().expires_in == seconds


def test_a_missing_lifetime_is_the_shortest(token_endpoint: responses.RequestsMock) -> None:
    rest = {name: value for name, value in GRANTED.items() if name != "expires_in"}
    _answer(token_endpoint, json=rest)

    assert _refresh().expires_in == 60


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": "Atza|two words"},
        {"access_token": "Atza|\r\nX: 1"},
        {"access_token": "Atza|\u20ac"},
        {"access_token": "A" * 9000},
        {"refresh_token": ["Atzr|x"]},
        {"refresh_token": "Atzr|\x00"},
        {"token_type": "mac"},
        {"token_type": None},
        {"expires_in": "soon"},
        {"expires_in": None},
        {"expires_in": True},
        {"expires_in": [3600]},
        {"expires_in": "nan"},
    ],
)
def test_an_odd_success_is_an_outage(
    token_endpoint: responses.RequestsMock, change: dict[str, object]
) -> None:
    _answer(token_endpoint, json=GRANTED | change)

    with pytest.raises(AmazonUnavailable):
        _refresh()


@pytest.mark.parametrize("body", ["<html>ok</html>", "", "[]", "null", '"Atza|x"', "{}"])
def test_another_body_with_200_is_an_outage(
    token_endpoint: responses.RequestsMock, body: str
) -> None:
    _answer(token_endpoint, body=body)

    with pytest.raises(AmazonUnavailable):
        _exchange()


@pytest.mark.parametrize(
    ("status", "error", "on_refresh", "on_exchange"),
    [
        (400, "invalid_grant", GrantInvalid, CodeRejected),
        (400, "invalid_request", UnexpectedReply, CodeRejected),
        (401, "invalid_client", ClientSecretRefused, ClientSecretRefused),
        (500, "ServerError", AmazonUnavailable, AmazonUnavailable),
        (429, "throttled", AmazonUnavailable, AmazonUnavailable),
        (302, "", UnexpectedReply, UnexpectedReply),
    ],
)
def test_a_refusal_says_who_must_act(
    token_endpoint: responses.RequestsMock,
    status: int,
    error: str,
    on_refresh: type[AmazonError],
    on_exchange: type[AmazonError],
) -> None:
    _answer(
        token_endpoint,
        status=status,
        json={"error": error, "error_description": "The request has an invalid grant parameter"},
        headers={"x-amzn-RequestId": "req-9"},
    )

    with pytest.raises(AmazonError) as refreshed:
        _refresh()
    with pytest.raises(AmazonError) as exchanged:
        _exchange()

    assert (type(refreshed.value), type(exchanged.value)) == (on_refresh, on_exchange)
    assert (refreshed.value.operation, exchanged.value.operation) == (
        "lwa.refresh",
        "lwa.exchange_code",
    )
    assert refreshed.value.request_id == "req-9"


def test_throttling_carries_the_wait(token_endpoint: responses.RequestsMock) -> None:
    _answer(token_endpoint, status=429, headers={"Retry-After": "30"})

    with pytest.raises(AmazonUnavailable) as caught:
        _refresh()

    assert (caught.value.throttled, caught.value.retry_after) == (True, 30.0)


def test_no_connection_is_an_outage(token_endpoint: responses.RequestsMock) -> None:
    _answer(token_endpoint, body=requests.ConnectTimeout("with a body: client_secret=demo"))

    with pytest.raises(AmazonUnavailable) as caught:
        _exchange()

    assert caught.value.__context__ is None


def test_an_exchange_gets_ten_seconds_and_a_refresh_twenty_three(
    token_endpoint: responses.RequestsMock,
) -> None:
    _answer(token_endpoint, json=GRANTED)

    _exchange()
    _refresh()

    waits = [call.request.req_kwargs["timeout"] for call in token_endpoint.calls]  # type: ignore[attr-defined]
    assert waits == [(3.0, 10.0), (3.0, 23.0)]


def test_a_client_does_not_show_its_secret() -> None:
    assert "amzn1.oa2-cs" not in repr(CLIENT)
    assert hash(CLIENT) == hash(lwa.LwaClient(CLIENT.client_id, (Secret("amzn1.oa2-cs.v1.demo"),)))
