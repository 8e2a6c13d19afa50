from __future__ import annotations

import json
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.amazon_emulator import RunningEmulator, demo, running_emulator
from tests.amazon_emulator.tests.conftest import Caller, query_of
from tests.amazon_emulator.wire import sha256

DAY = 24 * 3600


# Scenarios that change accounts ---------------------------------------------------------------


def countries(caller: Caller, seller: str = demo.NORTHSTAR) -> dict[str, tuple[bool, bool]]:
    payload = caller.sellers(caller.spapi_token(seller)).json()["payload"]
    return {
        entry["marketplace"]["id"]: (
            entry["participation"]["isParticipating"],
            entry["participation"]["hasSuspendedListings"],
        )
        for entry in payload
    }


def test_marketplaces_come_go_and_pause(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("lost_marketplace", marketplace="CA")
    emulator.scenario("new_marketplace", marketplace="BR")
    emulator.scenario("not_participating", marketplace="MX")
    emulator.scenario("suspended_listings", marketplace="US")

    assert countries(caller) == {
        "ATVPDKIKX0DER": (True, True),
        "A1AM78C64UM0Y8": (False, False),
        "A2Q3Y263D00KWC": (True, False),
        "A2ZV50J4W1RKNI": (True, False),
    }


def test_participations_can_be_empty(emulator: RunningEmulator, caller: Caller) -> None:
    emulator.scenario("empty_participations", seller=demo.BLUE_HARBOR)

    assert countries(caller, demo.BLUE_HARBOR) == {}
    assert caller.confirm(demo.BLUE_HARBOR).status_code == 302


def test_profiles_come_and_go(emulator: RunningEmulator, caller: Caller) -> None:
    def listed() -> list[str]:
        token = caller.ads_token()
        return [
            item["countryCode"]
            for item in caller.profiles(token, params={"accessLevel": "edit"}).json()
        ]

    emulator.scenario("lost_profile", marketplace="CA")
    emulator.scenario("new_profile", marketplace="MX")
    assert listed() == ["US", "US", "US", "MX"]

    emulator.scenario("view_only")
    assert listed() == []
    assert len(caller.profiles(caller.ads_token(), params={"accessLevel": "view"}).json()) == 4

    emulator.scenario("empty_profiles")
    assert caller.profiles(caller.ads_token(), params={"accessLevel": "view"}).json() == []


def test_a_revoked_grant_answers_400_and_an_expired_one_too(
    emulator: RunningEmulator, caller: Caller
) -> None:
    america = emulator.world.authorize(demo.NORTHSTAR, "NA")
    europe = emulator.world.authorize(demo.NORTHSTAR, "EU")

    emulator.scenario("revoked_grant", region="NA")
    only_america = (caller.refresh(america).status_code, caller.refresh(europe).status_code)
    emulator.scenario("expired_grant")

    assert only_america == (400, 200)
    assert caller.refresh(europe).json()["error"] == "invalid_grant"


def test_normal_ends_the_troubles_and_leaves_the_grants(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    for name in (
        "draft_app",
        "hybrid_app",
        "no_oauth_addresses",
        "consent_limit",
        "missing_role",
        "expired_secret",
        "wrong_secret",
        "secondary_user",
        "wrong_account",
        "outage",
    ):
        emulator.scenario(name)

    emulator.scenario("normal")

    token = caller.refresh(refresh_token).json()["access_token"]
    assert caller.sellers(token).status_code == 200
    assert sorted(query_of(caller.confirm())) == ["selling_partner_id", "spapi_oauth_code", "state"]
    assert f'value="{demo.NORTHSTAR}" selected' in caller.get(caller.consent_path()).text


def test_reset_brings_back_the_first_day(emulator: RunningEmulator, caller: Caller) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    emulator.scenario("empty_participations")
    emulator.scenario("outage")
    emulator.advance_clock(DAY)

    emulator.reset()

    assert len(emulator.ledger) == 0
    assert emulator.faults.active() == []
    assert emulator.clock.offset == 0
    assert caller.refresh(refresh_token).status_code == 400
    assert len(countries(caller)) == 5


def test_the_date_header_follows_the_clock(emulator: RunningEmulator, caller: Caller) -> None:
    before = parsedate_to_datetime(caller.sellers(None).headers["Date"])
    emulator.advance_clock(3600)
    after = parsedate_to_datetime(caller.sellers(None).headers["Date"])

    assert 3599 <= (after - before).total_seconds() <= 3605


# The ledger -----------------------------------------------------------------------------------


def test_the_ledger_tells_who_called_what_and_keeps_no_token(
    emulator: RunningEmulator, caller: Caller
) -> None:
    code = caller.spapi_code()
    tokens = caller.exchange(code).json()
    caller.sellers(tokens["access_token"])

    confirm, exchange, sellers = emulator.ledger.calls()
    assert [(e.surface, e.operation, e.status) for e in (confirm, exchange, sellers)] == [
        ("seller_central", "confirm", 302),
        ("lwa", "authorization_code", 200),
        ("sellers", "getMarketplaceParticipations", 200),
    ]
    assert {e.seller for e in (confirm, exchange, sellers)} == {demo.NORTHSTAR}
    assert {e.region for e in (confirm, exchange, sellers)} == {"NA"}
    assert len({e.client_id for e in (confirm, exchange, sellers)}) == 1
    assert exchange.token_sha256 == sha256(code)
    assert sellers.token_sha256 == sha256(tokens["access_token"])
    recorded = str([entry.as_dict() for entry in emulator.ledger])
    assert not [secret for secret in emulator.issued_secrets() if secret in recorded]


def test_the_ledger_can_be_asked_by_any_column(emulator: RunningEmulator, caller: Caller) -> None:
    token = caller.spapi_token()
    caller.sellers(token)
    caller.sellers(token, region="eu")
    mark = emulator.ledger.last_number
    caller.sellers(None)

    ledger = emulator.ledger
    assert ledger.count(surface="sellers") == 3
    assert ledger.count(surface="sellers", region="EU", status=403) == 1
    assert ledger.count(seller=demo.NORTHSTAR, status=200) == 2
    assert [entry.error for entry in ledger.calls(since=mark)] == ["Unauthorized"]
    with pytest.raises(TimeoutError):
        ledger.wait_for(4, surface="sellers", timeout=0.1)
    ledger.clear()
    assert len(ledger) == 0


def test_calls_to_no_address_are_recorded_too(emulator: RunningEmulator, caller: Caller) -> None:
    assert caller.get("/api.amazon.org/auth/o2/token").status_code == 404
    assert [entry.surface for entry in emulator.ledger] == ["unknown"]


# The world file ---------------------------------------------------------------------------------


def test_the_world_goes_on_after_a_restart(tmp_path: Path) -> None:
    world_file = tmp_path / "deep" / "world.json"
    with running_emulator(world_file=world_file) as emulator, requests.Session() as session:
        caller = Caller(emulator, session)
        tokens = caller.exchange(caller.spapi_code()).json()
        unused_code = caller.spapi_code()
        emulator.scenario("lost_marketplace", marketplace="CA")
        emulator.scenario("hybrid_app")
        emulator.advance_clock(120)

    with running_emulator(world_file=world_file) as emulator, requests.Session() as session:
        caller = Caller(emulator, session)
        refreshed = caller.refresh(tokens["refresh_token"])
        exchanged = caller.exchange(unused_code)
        participations = caller.sellers(tokens["access_token"])
        hybrid = query_of(caller.confirm())

        assert (refreshed.status_code, exchanged.status_code) == (200, 200)
        assert "A2EUQ1WTGCTBG2" not in participations.text
        assert "mws_auth_token" in hybrid
        assert 119 < emulator.clock.offset < 121
        assert emulator.world.sellers[demo.NORTHSTAR].revoke_grant() == 3


def test_the_world_file_is_whole_private_and_without_tokens(tmp_path: Path) -> None:
    world_file = tmp_path / "world.json"
    with running_emulator(world_file=world_file) as emulator, requests.Session() as session:
        caller = Caller(emulator, session)
        caller.exchange(caller.spapi_code())
        caller.exchange_ads(query_of(caller.allow())["code"])
        text = world_file.read_text()
        secrets = emulator.issued_secrets() | set(caller.client_secrets.values())

    assert json.loads(text)["version"] == 1
    assert len(secrets) >= 8
    assert not [secret for secret in secrets if secret in text]
    assert [path.name for path in tmp_path.iterdir()] == ["world.json"]
    assert stat.S_IMODE(world_file.stat().st_mode) == 0o600


def test_a_restart_takes_the_new_address_of_the_product(tmp_path: Path) -> None:
    world_file = tmp_path / "world.json"
    with running_emulator(world_file=world_file):
        pass

    with running_emulator(world_file=world_file, product_url="http://localhost:8123/") as emulator:
        uris = emulator.world.applications["spapi"].redirect_uris
        assert uris == ["http://localhost:8123/amazon/spapi/callback"]


# The server -------------------------------------------------------------------------------------


def test_64_threads_get_64_honest_answers(emulator: RunningEmulator) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    barrier = threading.Barrier(64)

    def work(_: int) -> list[int]:
        with requests.Session() as session:
            caller = Caller(emulator, session)
            barrier.wait()
            refreshed = [caller.refresh(refresh_token) for _ in range(3)]
            used = caller.sellers(refreshed[-1].json()["access_token"])
            return [*(reply.status_code for reply in refreshed), used.status_code]

    with ThreadPoolExecutor(64) as pool:
        results = list(pool.map(work, range(64)))

    assert Counter(status for result in results for status in result[:3]) == {200: 192}
    assert Counter(result[3] for result in results) == {200: 15, 429: 49}
    assert emulator.ledger.count() == 256


def test_one_code_in_many_threads_is_exchanged_once(
    emulator: RunningEmulator, caller: Caller
) -> None:
    code = caller.spapi_code()

    def exchange(_: int) -> int:
        with requests.Session() as session:
            return Caller(emulator, session).exchange(code).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(exchange, range(8))) == [200] + [400] * 7


def test_connections_are_kept_alive(emulator: RunningEmulator) -> None:
    host, port = urlsplit(emulator.url).netloc.split(":")
    request = b"GET /appstore/ HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        stream = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(request)
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert len(stream.read(length)) == length
        stream.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 1000001", b"413"),
        (b"Content-Length: -1", b"411"),
        (b"Content-Length: x", b"411"),
        (b"Transfer-Encoding: chunked", b"411"),
    ],
)
def test_bodies_without_a_sane_length_are_refused(
    emulator: RunningEmulator, head: bytes, status: bytes
) -> None:
    host, port = urlsplit(emulator.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /api.amazon.com/auth/o2/token HTTP/1.1\r\n" + head + b"\r\n\r\n")
        reply = connection.recv(65536)

    assert reply.split()[1] == status


def test_a_call_costs_less_than_two_milliseconds(emulator: RunningEmulator) -> None:
    refresh_token = emulator.world.authorize(demo.NORTHSTAR, "NA")
    with requests.Session() as session:
        caller = Caller(emulator, session)
        caller.refresh(refresh_token)

        started = time.thread_time(), time.process_time()
        for _ in range(200):
            caller.refresh(refresh_token)
        own, both = time.thread_time() - started[0], time.process_time() - started[1]

    # This thread is the client; what the others spent is the emulator's.
    assert (both - own) / 200 < 0.002


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_serves_and_stops_cleanly(tmp_path: Path, number: int) -> None:
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.amazon_emulator",
            "--port=0",
            "--product-url=http://localhost:8111",
            f"--world={tmp_path / 'world.json'}",
        ],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"SPAPI_CLIENT_SECRET": "another-secret", "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found is not None, process.communicate()

    page = requests.get(f"{found.group()}/_control/", timeout=5)
    token = requests.post(
        f"{found.group()}/api.amazon.com/auth/o2/token",
        data={
            "client_id": "amzn1.application-oa2-client.demo-spapi",
            "client_secret": "another-secret",
            "grant_type": "refresh_token",
            "refresh_token": "x",
        },
        timeout=5,
    )
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=5)

    assert "http://localhost:8111" in page.text
    assert (token.status_code, token.json()["error"]) == (400, "invalid_grant")
    assert (process.returncode, stdout, stderr) == (0, "Fake Amazon stopped\n", "")
    assert json.loads((tmp_path / "world.json").read_text())["sellers"]
