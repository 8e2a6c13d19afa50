"""Whatever goes wrong and whoever turns on debugging: tokens, codes and secrets stay unseen."""

from __future__ import annotations

import http.client
import logging
import traceback
from collections.abc import Callable

import pytest

from sellerlegend.amazon import ads, lwa, sellers
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from tests.sellerlegend.amazon.scripted_server import Answer, ScriptedServer, cut, reply

# Apart from the calls: a traceback shows the source of those.
CODE, REFRESH, ACCESS = Secret("CANARY-code"), Secret("CANARY-refresh"), Secret("CANARY-access")
CLIENT, VERIFIER = Secret("CANARY-client"), Secret("CANARY-verifier")
CANARY = "CANARY-"


def _exchange(endpoints: Endpoints) -> object:
    return lwa.exchange_code(
        endpoints=endpoints,
        client=lwa.LwaClient("client", (CLIENT,)),
        code=CODE,
        redirect_uri="https://app.example/",
        code_verifier=VERIFIER,
    )


def _refresh(endpoints: Endpoints) -> object:
    return lwa.refresh(
        endpoints=endpoints, client=lwa.LwaClient("client", (CLIENT,)), refresh_token=REFRESH
    )


def _participations(endpoints: Endpoints) -> object:
    return sellers.get_marketplace_participations(
        endpoints=endpoints, region=Region.NA, access_token=ACCESS
    )


def _profiles(endpoints: Endpoints) -> object:
    return ads.list_profiles(
        endpoints=endpoints,
        region=Region.NA,
        client_id="client",
        access_token=ACCESS,
    )


CALLS = [_exchange, _refresh, _participations, _profiles]
TOKENS = {
    "access_token": "CANARY-access",
    "refresh_token": "CANARY-refresh",
    "expires_in": 3600,
    "token_type": "bearer",
}
ANSWERS = {
    "success": reply(200, TOKENS),
    "odd success": reply(200, TOKENS | {"token_type": "mac"}),
    "truncated JSON": reply(200, '{"access_token": "CANARY-access"'),
    "echo of the request": reply(400, {"error": "invalid_grant", "sent": "CANARY-refresh"}),
    "echo in an id": reply(403, "CANARY-access", x_amzn_RequestId="Atza|CANARY-access"),
    "outage": reply(503, "CANARY-code"),
    "broken connection": cut(b"HTTP/1.1 CANARY-access"),
}


@pytest.fixture
def everything_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    caplog.set_level(logging.DEBUG)
    for name in ("sp_api.base.client", "httpx", "httpcore", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_nothing_secret_is_logged_printed_or_raised(
    server: ScriptedServer,
    endpoints: Endpoints,
    everything_is_logged: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    call: Callable[[Endpoints], object],
    answer: Answer,
) -> None:
    server.answer = answer

    try:
        seen = repr(call(endpoints))
    except AmazonError as error:
        # With the locals of every frame, as an error page or an error reporter shows them.
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        seen = "".join(told.format()) + repr(error) + repr(vars(error))
    logged = "".join(f"{r.getMessage()} {vars(r)}" for r in everything_is_logged.records)
    printed = "".join(capfd.readouterr())

    assert len(server.requests) == 1
    assert CANARY not in seen + logged + printed
