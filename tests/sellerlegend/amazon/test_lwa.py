from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from urllib.parse import parse_qs

import pytest

from sellerlegend.amazon import http, lwa, transport
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
from tests.sellerlegend.amazon.scripted_server import ScriptedServer, cut, reply

CLIENT = lwa.LwaClient("amzn1.application-oa2-client.demo", (Secret("amzn1.oa2-cs.v1.demo"),))
GRANTED = {
    "access_token": "Atza|IQEBLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSR",
    "refresh_token": "Atzr|IQEBLzAtAhRPpMJxdwVz2Nn6f2y-tpJX2DeX",
    "token_type": "bearer",
    "expires_in": 3600,
}


@pytest.fixture
def token_endpoint(server: ScriptedServer) -> ScriptedServer:
    return server


def _answer(
    token_endpoint: ScriptedServer,
    status: int = 200,
    *,
    json: object = None,
    body: str = "",
    headers: Mapping[str, str] | None = None,
) -> None:
    token_endpoint.answer = reply(status, body if json is None else json, **(headers or {}))


def _refresh(token_endpoint: ScriptedServer) -> lwa.TokenReply:
    return lwa.refresh(
        endpoints=Endpoints.emulator(token_endpoint.url),
        client=CLIENT,
        refresh_token=Secret("Atzr|old|+"),
    )


def _exchange(
    token_endpoint: ScriptedServer, code_verifier: Secret | None = None
) -> lwa.TokenReply:
    return lwa.exchange_code(
        endpoints=Endpoints.emulator(token_endpoint.url),
        client=CLIENT,
        code=Secret("RHcode+/ "),
        redirect_uri="https://app.example/amazon/spapi/callback",
        code_verifier=code_verifier,
    )


def _form(token_endpoint: ScriptedServer) -> dict[str, list[str]]:
    [request] = token_endpoint.requests
    assert request.line == "POST /api.amazon.com/auth/o2/token HTTP/1.1"
    return parse_qs(request.body, strict_parsing=True)


def test_a_code_becomes_tokens(token_endpoint: ScriptedServer) -> None:
    _answer(token_endpoint, json=GRANTED)

    reply = _exchange(token_endpoint)

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


def test_an_ads_code_is_exchanged_with_its_verifier(token_endpoint: ScriptedServer) -> None:
    _answer(token_endpoint, json=GRANTED)

    _exchange(token_endpoint, code_verifier=Secret("verifier"))

    assert _form(token_endpoint)["code_verifier"] == ["verifier"]


def test_a_refresh_sends_no_scope(token_endpoint: ScriptedServer) -> None:
    _answer(token_endpoint, json=GRANTED)

    _refresh(token_endpoint)

    assert _form(token_endpoint) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["Atzr|old|+"],
        "client_id": ["amzn1.application-oa2-client.demo"],
        "client_secret": ["amzn1.oa2-cs.v1.demo"],
    }


@pytest.mark.parametrize("blank", [{}, {"refresh_token": None}, {"refresh_token": " \n"}])
def test_a_blank_refresh_token_is_none(
    token_endpoint: ScriptedServer, blank: dict[str, str | None]
) -> None:
    rest = {name: value for name, value in GRANTED.items() if name != "refresh_token"}
    _answer(token_endpoint, json=rest | blank)

    assert _refresh(token_endpoint).refresh_token is None


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
    token_endpoint: ScriptedServer, sent: object, seconds: int
) -> None:
    _answer(token_endpoint, json=GRANTED | {"expires_in": sent})

    assert _refresh(token_endpoint).expires_in == seconds


def test_a_missing_lifetime_is_the_shortest(token_endpoint: ScriptedServer) -> None:
    rest = {name: value for name, value in GRANTED.items() if name != "expires_in"}
    _answer(token_endpoint, json=rest)

    assert _refresh(token_endpoint).expires_in == 60


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
    token_endpoint: ScriptedServer, change: dict[str, object]
) -> None:
    _answer(token_endpoint, json=GRANTED | change)

    with pytest.raises(AmazonUnavailable):
        _refresh(token_endpoint)


@pytest.mark.parametrize("body", ["<html>ok</html>", "", "[]", "null", '"Atza|x"', "{}"])
def test_another_body_with_200_is_an_outage(token_endpoint: ScriptedServer, body: str) -> None:
    _answer(token_endpoint, body=body)

    with pytest.raises(AmazonUnavailable):
        _exchange(token_endpoint)


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
    token_endpoint: ScriptedServer,
    status: int,
    error: str,
    on_refresh: type[AmazonError],
    on_exchange: type[AmazonError],
) -> None:
    _answer(
        token_endpoint,
        status=status,
        json={"error": error, "error_description": "The request has an invalid grant parameter"},
        headers={"x_amzn_RequestId": "req-9"},
    )

    with pytest.raises(AmazonError) as refreshed:
        _refresh(token_endpoint)
    with pytest.raises(AmazonError) as exchanged:
        _exchange(token_endpoint)

    assert (type(refreshed.value), type(exchanged.value)) == (on_refresh, on_exchange)
    assert (refreshed.value.operation, exchanged.value.operation) == (
        "lwa.refresh",
        "lwa.exchange_code",
    )
    assert refreshed.value.request_id == "req-9"


def test_throttling_carries_the_wait(token_endpoint: ScriptedServer) -> None:
    _answer(token_endpoint, status=429, headers={"Retry_After": "30"})

    with pytest.raises(AmazonUnavailable) as caught:
        _refresh(token_endpoint)

    assert (caught.value.throttled, caught.value.retry_after) == (True, 30.0)


def test_no_connection_is_an_outage(token_endpoint: ScriptedServer) -> None:
    token_endpoint.answer = cut(b"")

    with pytest.raises(AmazonUnavailable) as caught:
        _exchange(token_endpoint)

    assert caught.value.__context__ is None


def test_an_exchange_gets_ten_seconds_and_a_refresh_twenty_three(
    token_endpoint: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(token_endpoint, json=GRANTED)
    granted: list[float] = []

    def deadline(seconds: float) -> AbstractContextManager[None]:
        granted.append(seconds)
        return transport.deadline(seconds)

    monkeypatch.setattr(http, "deadline", deadline)

    _exchange(token_endpoint)
    _refresh(token_endpoint)

    assert granted == [10.0, 23.0]


def test_a_client_does_not_show_its_secret() -> None:
    assert "amzn1.oa2-cs" not in repr(CLIENT)
    assert hash(CLIENT) == hash(lwa.LwaClient(CLIENT.client_id, (Secret("amzn1.oa2-cs.v1.demo"),)))
