"""Two secrets of one client: the newer one first, the older one when Amazon refuses it."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import parse_qs

import pytest

from sellerlegend.amazon import lwa
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import (
    AmazonUnavailable,
    ClientMisconfigured,
    ClientSecretRefused,
    CodeRejected,
    GrantInvalid,
    UnexpectedReply,
)
from sellerlegend.amazon.secret import Secret
from tests.sellerlegend.amazon.scripted_server import ScriptedServer, cut, reply

NEW, OLD = Secret("amzn1.oa2-cs.v1.new"), Secret("amzn1.oa2-cs.v1.old")
GRANTED = {
    "access_token": "Atza|IQEBLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSR",
    "token_type": "bearer",
    "expires_in": 3600,
}
UNKNOWN_CLIENT = {"error": "invalid_client", "error_description": "Client authentication failed"}


class Watch:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def accepted(self, client_id: str, secret: Secret, *, is_fallback: bool) -> None:
        self.told.append(("accepted", secret.reveal()[-3:]))

    def refused(self, client_id: str, secret: Secret) -> None:
        self.told.append(("refused", secret.reveal()[-3:]))


class Amazon:
    """A token endpoint that knows some secrets; others are 401 invalid_client."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.known = {"new", "old"}
        self.answer = reply(200, GRANTED)
        server.answer = self._answer

    def _answer(self, connection: socket.socket) -> None:
        is_known = self.asked_with[-1] in self.known
        (self.answer if is_known else reply(401, UNKNOWN_CLIENT))(connection)

    @property
    def forms(self) -> list[dict[str, list[str]]]:
        return [parse_qs(request.body) for request in self.server.requests]

    @property
    def asked_with(self) -> list[str]:
        return [form["client_secret"][0].rpartition(".")[2] for form in self.forms]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def client(watch: Watch) -> lwa.LwaClient:
    lwa._set_aside.clear()
    return lwa.LwaClient("amzn1.application-oa2-client.two", (NEW, OLD), watch)


@pytest.fixture
def amazon(server: ScriptedServer) -> Amazon:
    return Amazon(server)


def refresh(amazon: Amazon, client: lwa.LwaClient) -> lwa.TokenReply:
    return lwa.refresh(
        endpoints=Endpoints.emulator(amazon.server.url),
        client=client,
        refresh_token=Secret("Atzr|a"),
    )


def exchange(amazon: Amazon, client: lwa.LwaClient) -> lwa.TokenReply:
    return lwa.exchange_code(
        endpoints=Endpoints.emulator(amazon.server.url),
        client=client,
        code=Secret("code"),
        redirect_uri="https://app.example/back",
        code_verifier=None,
    )


@pytest.mark.parametrize("ask", [refresh, exchange])
def test_the_newer_secret_is_asked_with_first(
    amazon: Amazon, client: lwa.LwaClient, watch: Watch, ask: Any
) -> None:
    ask(amazon, client)

    assert amazon.asked_with == ["new"]
    assert watch.told == [("accepted", "new")]


@pytest.mark.parametrize("ask", [refresh, exchange])
def test_a_refused_newer_secret_leads_to_the_older_one(
    amazon: Amazon, client: lwa.LwaClient, watch: Watch, ask: Any
) -> None:
    amazon.known = {"old"}

    reply = ask(amazon, client)

    assert reply.access_token.reveal() == GRANTED["access_token"]
    assert amazon.asked_with == ["new", "old"]
    assert watch.told == [("refused", "new"), ("accepted", "old")]


def test_which_one_works_is_remembered(amazon: Amazon, client: lwa.LwaClient) -> None:
    amazon.known = {"old"}

    for _ in range(3):
        refresh(amazon, client)

    assert amazon.asked_with == ["new", "old", "old", "old"]


def test_the_newer_one_is_tried_again_after_a_while(
    amazon: Amazon, client: lwa.LwaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.known = {"old"}
    refresh(amazon, client)
    amazon.known = {"new", "old"}
    monkeypatch.setattr(lwa, "_set_aside", dict.fromkeys(lwa._set_aside, 0.0))

    refresh(amazon, client)
    refresh(amazon, client)

    assert amazon.asked_with == ["new", "old", "new", "new"]


def test_an_old_secret_that_dies_while_it_is_used_leads_back(
    amazon: Amazon, client: lwa.LwaClient
) -> None:
    amazon.known = {"old"}
    refresh(amazon, client)
    amazon.known = {"new"}

    refresh(amazon, client)

    assert amazon.asked_with == ["new", "old", "old", "new"]


def test_when_both_are_refused_the_client_is_at_fault(
    amazon: Amazon, client: lwa.LwaClient, watch: Watch
) -> None:
    amazon.known = set()

    with pytest.raises(ClientSecretRefused):
        refresh(amazon, client)

    assert amazon.asked_with == ["new", "old"]
    assert watch.told == [("refused", "new"), ("refused", "old")]


def test_a_client_without_a_secret_asks_nobody(amazon: Amazon) -> None:
    with pytest.raises(ClientMisconfigured):
        refresh(amazon, lwa.LwaClient("amzn1.application-oa2-client.bare", ()))

    assert amazon.asked_with == []


@pytest.mark.parametrize(
    ("status", "error", "raised", "told"),
    [
        (400, "invalid_grant", GrantInvalid, [("accepted", "new")]),
        (400, "unauthorized_client", ClientMisconfigured, []),
        (400, "invalid_request", UnexpectedReply, []),
        (503, "server_error", AmazonUnavailable, []),
        (429, "slow_down", AmazonUnavailable, []),
    ],
)
def test_no_other_answer_leads_to_the_older_secret(
    amazon: Amazon,
    client: lwa.LwaClient,
    watch: Watch,
    status: int,
    error: str,
    raised: type[Exception],
    told: list[tuple[str, str]],
) -> None:
    amazon.answer = reply(status, {"error": error})

    with pytest.raises(raised):
        refresh(amazon, client)

    assert amazon.asked_with == ["new"]
    assert watch.told == told


def test_a_refused_code_is_not_offered_twice(amazon: Amazon, client: lwa.LwaClient) -> None:
    amazon.answer = reply(400, {"error": "invalid_grant"})

    with pytest.raises(CodeRejected):
        exchange(amazon, client)

    assert amazon.asked_with == ["new"]


def test_no_connection_leads_nowhere(amazon: Amazon, client: lwa.LwaClient) -> None:
    amazon.answer = cut(b"")

    with pytest.raises(AmazonUnavailable):
        refresh(amazon, client)

    assert amazon.asked_with == ["new"]


def test_a_second_call_needs_time_that_is_left(
    amazon: Amazon, client: lwa.LwaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.known = set()
    monkeypatch.setattr(lwa, "SECOND_CALL_SECONDS", 10.0)

    with pytest.raises(ClientSecretRefused):
        exchange(amazon, client)

    # Less than that is left: a call that would only be cut off is not made.
    assert amazon.asked_with == ["new"]


def test_a_token_for_no_seller(amazon: Amazon, client: lwa.LwaClient) -> None:
    reply = lwa.grantless_token(
        endpoints=Endpoints.emulator(amazon.server.url), client=client, scope="a::b"
    )

    assert reply.refresh_token is None
    assert amazon.forms[0] == {
        "grant_type": ["client_credentials"],
        "scope": ["a::b"],
        "client_id": ["amzn1.application-oa2-client.two"],
        "client_secret": ["amzn1.oa2-cs.v1.new"],
    }


def test_a_secret_is_proved_without_any_consent(amazon: Amazon, client: lwa.LwaClient) -> None:
    amazon.answer = reply(400, {"error": "invalid_grant"})

    lwa.prove_secret(endpoints=Endpoints.emulator(amazon.server.url), client=client)

    amazon.known = set()
    with pytest.raises(ClientSecretRefused):
        lwa.prove_secret(endpoints=Endpoints.emulator(amazon.server.url), client=client)
