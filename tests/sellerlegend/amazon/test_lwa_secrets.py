"""Two secrets of one client: the newer one first, the older one when Amazon refuses it."""

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
    AmazonUnavailable,
    ClientMisconfigured,
    ClientSecretRefused,
    CodeRejected,
    GrantInvalid,
    UnexpectedReply,
)
from sellerlegend.amazon.secret import Secret

URL = "https://api.amazon.com/auth/o2/token"
ENDPOINTS = Endpoints.amazon()
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

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.known = {"new", "old"}
        self.answer: dict[str, Any] = {"json": GRANTED, "status": 200}
        mock.add_callback(responses.POST, URL, self._answer)

    def _answer(self, request: Any) -> tuple[int, dict[str, str], str]:
        form = parse_qs(request.body.decode())
        is_known = form["client_secret"][0].rpartition(".")[2] in self.known
        given = self.answer if is_known else {"json": UNKNOWN_CLIENT, "status": 401}
        prepared = responses.Response(responses.POST, URL, **given)
        return prepared.status, {}, prepared.body  # type: ignore[return-value]

    @property
    def asked_with(self) -> list[str]:
        forms = [parse_qs(call.request.body.decode()) for call in self.mock.calls]  # type: ignore[union-attr]
        return [form["client_secret"][0].rpartition(".")[2] for form in forms]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def client(watch: Watch) -> lwa.LwaClient:
    lwa._set_aside.clear()
    return lwa.LwaClient("amzn1.application-oa2-client.two", (NEW, OLD), watch)


@pytest.fixture
def amazon() -> Iterator[Amazon]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Amazon(mock)


def refresh(client: lwa.LwaClient) -> lwa.TokenReply:
    return lwa.refresh(endpoints=ENDPOINTS, client=client, refresh_token=Secret("Atzr|a"))


def exchange(client: lwa.LwaClient) -> lwa.TokenReply:
    return lwa.exchange_code(
        endpoints=ENDPOINTS,
        client=client,
        code=Secret("code"),
        redirect_uri="https://app.example/back",
        code_verifier=None,
    )


@pytest.mark.parametrize("ask", [refresh, exchange])
def test_the_newer_secret_is_asked_with_first(
    amazon: Amazon, client: lwa.LwaClient, watch: Watch, ask: Any
) -> None:
    ask(client)

    assert amazon.asked_with == ["new"]
    assert watch.told == [("accepted", "new")]


@pytest.mark.parametrize("ask", [refresh, exchange])
def test_a_refused_newer_secret_leads_to_the_older_one(
    amazon: Amazon, client: lwa.LwaClient, watch: Watch, ask: Any
) -> None:
    amazon.known = {"old"}

    reply = ask(client)

    assert reply.access_token.reveal() == GRANTED["access_token"]
    assert amazon.asked_with == ["new", "old"]
    assert watch.told == [("refused", "new"), ("accepted", "old")]


def test_which_one_works_is_remembered(amazon: Amazon, client: lwa.LwaClient) -> None:
    amazon.known = {"old"}

    for _ in range(3):
        refresh(client)

    assert amazon.asked_with == ["new", "old", "old", "old"]


def test_the_newer_one_is_tried_again_after_a_while(
    amazon: Amazon, client: lwa.LwaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.known = {"old"}
    refresh(client)
    amazon.known = {"new", "old"}
    monkeypatch.setattr(lwa, "_set_aside", dict.fromkeys(lwa._set_aside, 0.0))

    refresh(client)
    refresh(client)

    assert amazon.asked_with == ["new", "old", "new", "new"]


def test_an_old_secret_that_dies_while_it_is_used_leads_back(
    amazon: Amazon, client: lwa.LwaClient
) -> None:
    amazon.known = {"old"}
    refresh(client)
    amazon.known = {"new"}

    refresh(client)

    assert amazon.asked_with == ["new", "old", "old", "new"]


def test_when_both_are_refused_the_client_is_at_fault(
    amazon: Amazon, client: lwa.LwaClient, watch: Watch
) -> None:
    amazon.known = set()

    with pytest.raises(ClientSecretRefused):
        refresh(client)

    assert amazon.asked_with == ["new", "old"]
    assert watch.told == [("refused", "new"), ("refused", "old")]


def test_a_client_without_a_secret_asks_nobody(amazon: Amazon) -> None:
    with pytest.raises(ClientMisconfigured):
        refresh(lwa.LwaClient("amzn1.application-oa2-client.bare", ()))

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
    amazon.answer = {"json": {"error": error}, "status": status}

    with pytest.raises(raised):
        refresh(client)

    assert amazon.asked_with == ["new"]
    assert watch.told == told


def test_a_refused_code_is_not_offered_twice(amazon: Amazon, client: lwa.LwaClient) -> None:
    amazon.answer = {"json": {"error": "invalid_grant"}, "status": 400}

    with pytest.raises(CodeRejected):
        exchange(client)

    assert amazon.asked_with == ["new"]


def test_no_connection_leads_nowhere(client: lwa.LwaClient) -> None:
    with responses.RequestsMock() as mock:
        mock.post(URL, body=requests.ConnectTimeout())

        with pytest.raises(AmazonUnavailable):
            refresh(client)

        assert len(mock.calls) == 1


def test_a_second_call_needs_time_that_is_left(
    amazon: Amazon, client: lwa.LwaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.known = set()
    monkeypatch.setattr(lwa, "SECOND_CALL_SECONDS", 10.0)

    with pytest.raises(ClientSecretRefused):
        exchange(client)

    # Less than that is left: a call that would only be cut off is not made.
    assert amazon.asked_with == ["new"]


def test_a_token_for_no_seller(amazon: Amazon, client: lwa.LwaClient) -> None:
    reply = lwa.grantless_token(endpoints=ENDPOINTS, client=client, scope="a::b")

    assert reply.refresh_token is None
    form = parse_qs(amazon.mock.calls[0].request.body.decode())  # type: ignore[union-attr]
    assert form == {
        "grant_type": ["client_credentials"],
        "scope": ["a::b"],
        "client_id": ["amzn1.application-oa2-client.two"],
        "client_secret": ["amzn1.oa2-cs.v1.new"],
    }


def test_a_secret_is_proved_without_any_consent(amazon: Amazon, client: lwa.LwaClient) -> None:
    amazon.answer = {"json": {"error": "invalid_grant"}, "status": 400}

    lwa.prove_secret(endpoints=ENDPOINTS, client=client)

    amazon.known = set()
    with pytest.raises(ClientSecretRefused):
        lwa.prove_secret(endpoints=ENDPOINTS, client=client)
