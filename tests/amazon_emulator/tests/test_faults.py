from __future__ import annotations

import http.client
import json
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.amazon_emulator import Fault, RunningEmulator, demo, running_emulator
from tests.amazon_emulator.bodies import MALFORMED
from tests.amazon_emulator.tests.conftest import Caller

PARTICIPATIONS = "/sellingpartnerapi-na.amazon.com/sellers/v1/marketplaceParticipations"


def test_a_fault_sets_status_headers_and_bytes(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.faults.add(
        surface="sellers", status=418, body=b"\x00\xff", headers={"X-Odd": "1"}, times=1
    )

    spoiled = caller.sellers(None)
    honest = caller.sellers(None)

    assert (spoiled.status_code, spoiled.content) == (418, b"\x00\xff")
    assert spoiled.headers["X-Odd"] == "1"
    assert spoiled.headers["x-amzn-RequestId"]
    assert honest.status_code == 403


@pytest.mark.parametrize(
    ("fault", "seller", "strikes"),
    [
        (Fault(surface="sellers", status=500), demo.NORTHSTAR, True),
        (Fault(surface="ads", status=500), demo.NORTHSTAR, False),
        (Fault(operation="getMarketplaceParticipations", status=500), demo.NORTHSTAR, True),
        (Fault(operation="getAccount", status=500), demo.NORTHSTAR, False),
        (Fault(seller=demo.NORTHSTAR, surface="sellers", status=500), demo.NORTHSTAR, True),
        (Fault(seller=demo.NORTHSTAR, surface="sellers", status=500), demo.BLUE_HARBOR, False),
        (Fault(region="NA", surface="sellers", status=500), demo.NORTHSTAR, True),
        (Fault(region="EU", status=500), demo.NORTHSTAR, False),
    ],
)
def test_a_fault_strikes_what_it_matches(
    emulator: RunningEmulator, caller: Caller, fault: Fault, seller: str, strikes: bool
) -> None:
    token = caller.spapi_token(seller)
    emulator.faults.add(fault)

    assert (caller.sellers(token).status_code == 500) == strikes


def test_a_fault_finds_the_seller_of_a_code_and_of_a_refresh_token(
    emulator: RunningEmulator, caller: Caller
) -> None:
    code, other_code = caller.spapi_code(), caller.spapi_code(demo.BLUE_HARBOR)
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    emulator.faults.add(surface="lwa", seller=demo.NORTHSTAR, status=503)

    assert caller.exchange(code).status_code == 503
    assert caller.refresh(refresh_token).status_code == 503
    assert caller.exchange(other_code).status_code == 200


def test_times_skip_and_every_choose_the_calls(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.faults.add(surface="sellers", status=500, skip=1, every=2, times=2)

    statuses = [caller.sellers(None).status_code for _ in range(7)]

    assert statuses == [403, 500, 403, 500, 403, 403, 403]
    assert emulator.faults.active() == []


def test_a_refusing_fault_leaves_the_world_alone(emulator: RunningEmulator, caller: Caller) -> None:
    code = caller.spapi_code()
    emulator.faults.add(surface="lwa", status=500, times=1)

    caller.exchange(code)

    assert caller.exchange(code).status_code == 200


def test_a_lost_answer_was_carried_out_all_the_same(
    emulator: RunningEmulator, caller: Caller
) -> None:
    code = caller.spapi_code()
    emulator.scenario("lost_answer", surface="lwa")

    with pytest.raises(requests.ConnectionError):
        caller.exchange(code)

    assert caller.exchange(code).json()["error"] == "invalid_grant"
    lost, refused = emulator.ledger.calls(surface="lwa")
    assert (lost.status, refused.status) == (0, 400)
    assert lost.fault == "1"


def test_a_delay_is_real_time(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("slow", surface="sellers", delay=0.3)

    started = time.monotonic()
    reply = caller.sellers(None)

    assert time.monotonic() - started >= 0.3
    assert reply.status_code == 403


def test_a_drip_sends_one_byte_per_interval(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.faults.add(surface="sellers", status=200, body=b'{"payload":[]}', drip=0.02)

    started = time.monotonic()
    reply = caller.sellers(None)

    assert time.monotonic() - started >= 14 * 0.02
    assert reply.json() == {"payload": []}


def test_a_drip_can_begin_with_the_head(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.faults.add(surface="sellers", status=200, body=b"{}", drip=0.001, drip_head=True)

    connection = http.client.HTTPConnection(urlsplit(emulator.url).netloc, timeout=10)
    started = time.monotonic()
    connection.request("GET", PARTICIPATIONS)
    reply = connection.getresponse()
    time_of_head = time.monotonic() - started

    assert reply.read() == b"{}"
    assert time_of_head > 0.1
    connection.close()


def test_a_cut_promises_more_than_it_sends(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("cut", surface="sellers", after=5)

    connection = http.client.HTTPConnection(urlsplit(emulator.url).netloc, timeout=10)
    connection.request("GET", PARTICIPATIONS)
    with pytest.raises(http.client.IncompleteRead) as cut:
        connection.getresponse().read()

    assert cut.value.partial == b'{"err'
    connection.close()


def test_faults_are_ended_one_by_one_or_all(emulator: RunningEmulator, caller: Caller) -> None:
    first = emulator.faults.add(surface="sellers", status=500)
    emulator.faults.add(surface="sellers", status=502)

    assert emulator.faults.remove(first.fault_id)
    assert not emulator.faults.remove(first.fault_id)
    assert caller.sellers(None).status_code == 502
    emulator.faults.clear()
    assert caller.sellers(None).status_code == 403


def test_stopping_does_not_wait_for_slow_answers() -> None:
    with running_emulator() as emulator:
        emulator.faults.add(delay=60)
        emulator.faults.add(drip=60)
        host, port = urlsplit(emulator.url).netloc.split(":")
        waiting = socket.create_connection((host, int(port)))
        waiting.sendall(b"GET /appstore/ HTTP/1.1\r\nHost: x\r\n\r\n")
        emulator.ledger.wait_for(1, surface="appstore")
        started = time.monotonic()

    assert time.monotonic() - started < 2
    waiting.close()


# Troubles by name ---------------------------------------------------------------------------


def test_an_outage_concerns_one_service_in_one_region(
    emulator: RunningEmulator, caller: Caller
) -> None:
    america, europe = caller.spapi_token(), caller.spapi_token(region="EU")
    emulator.scenario("outage", surface="sellers", region="EU")

    down = caller.sellers(europe, region="eu")

    assert down.status_code == 503
    assert down.json()["errors"][0]["code"] == "ServiceUnavailable"
    assert "x-amzn-RateLimit-Limit" not in down.headers
    assert caller.sellers(america).status_code == 200
    assert caller.profiles(caller.ads_token(), "advertising-api-eu.amazon.com").status_code == 200


def test_throttling_the_selling_partner_api_gives_no_hint(
    emulator: RunningEmulator, caller: Caller
) -> None:
    token = caller.spapi_token()
    emulator.scenario("throttled", surface="sellers", seller=demo.NORTHSTAR)

    reply = caller.sellers(token)

    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (429, "QuotaExceeded")
    assert not {"Retry-After", "x-amzn-RateLimit-Limit"} & set(reply.headers)


@pytest.mark.parametrize(
    ("surface", "key"), [("sellers", "errors"), ("lwa", "error"), ("ads", "code")]
)
def test_a_server_error_uses_the_words_of_the_service(
    emulator: RunningEmulator, caller: Caller, surface: str, key: str
) -> None:
    emulator.scenario("server_error", surface=surface, times=1)

    reply = {
        "sellers": lambda: caller.sellers(None),
        "lwa": lambda: caller.refresh("x"),
        "ads": lambda: caller.profiles(None),
    }[surface]()

    assert reply.status_code == 500
    assert key in reply.json()


@pytest.mark.parametrize(("status", "word"), [(503, "XHTML"), (504, "nginx"), (200, "XHTML")])
def test_an_html_page_stands_where_json_belongs(
    emulator: RunningEmulator, caller: Caller, status: int, word: str
) -> None:
    emulator.scenario("html_error_page", surface="sellers", status=status)

    reply = caller.sellers(None)

    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "text/html")
    assert word in reply.text


@pytest.mark.parametrize(
    ("surface", "kind"), [(surface, kind) for surface in MALFORMED for kind in MALFORMED[surface]]
)
def test_malformed_answers_say_200(
    emulator: RunningEmulator, caller: Caller, surface: str, kind: str
) -> None:
    emulator.scenario("malformed", surface=surface, kind=kind, times=1)

    reply = {
        "sellers": lambda: caller.sellers(None),
        "lwa": lambda: caller.refresh("x"),
        "ads": lambda: caller.profiles(None),
    }[surface]()

    assert (reply.status_code, reply.content) == (200, MALFORMED[surface][kind])


def test_hostile_text_is_legal_json() -> None:
    for surface in ("sellers", "ads"):
        assert "\x00" in str(json.loads(MALFORMED[surface]["hostile_text"])) or "\\x00" in str(
            json.loads(MALFORMED[surface]["hostile_text"])
        )


def test_a_false_invalid_grant_passes(emulator: RunningEmulator, caller: Caller) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    emulator.scenario("false_invalid_grant", seller=demo.NORTHSTAR)

    refused, good = caller.refresh(refresh_token), caller.refresh(refresh_token)

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert good.status_code == 200


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("outage", {"surface": "ec2"}),
        ("slow", {"surface": ""}),
        ("malformed", {"kind": "odd"}),
        ("malformed", {"surface": "seller_central"}),
        ("wrong_secret", {"application": "mws"}),
        ("wrong_account", {"seller": "A0"}),
        ("wrong_login", {"login": "nobody"}),
    ],
)
def test_scenarios_refuse_what_does_not_exist(
    emulator: RunningEmulator, name: str, options: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        emulator.scenario(name, **options)


def test_unknown_scenarios_and_options_are_errors(emulator: RunningEmulator) -> None:
    with pytest.raises(KeyError):
        emulator.scenario("sunshine")
    with pytest.raises(TypeError):
        emulator.scenario("outage", colour="red")
