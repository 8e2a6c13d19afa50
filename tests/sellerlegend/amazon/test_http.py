from __future__ import annotations

import math
import os
import socket
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sellerlegend.amazon import http
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import AmazonUnavailable
from sellerlegend.amazon.http import clean_request_id, clean_text, parse_json, post_form, send
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.transport import IDLE_SECONDS
from tests.sellerlegend.amazon.scripted_server import Answer, ScriptedServer, cut, drip, raw, reply
from tests.sellerlegend.amazon.ways import WAYS, Way, ask

CANARY = "Atza|canary"


def _get(way: Way, server: ScriptedServer, *, seconds: float = 5.0) -> http.Reply:
    return ask(way, f"{server.url}/path", seconds=seconds)


# What is sent ---------------------------------------------------------------------------------


def test_a_get_says_who_we_are_and_nothing_more(server: ScriptedServer) -> None:
    _get(WAYS["send"], server)

    [request] = server.requests
    assert request.line == "GET /path HTTP/1.1"
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": http.USER_AGENT,
        "accept": "application/json",
        "accept-encoding": "identity",
    }


def test_the_user_agent_has_amazons_form() -> None:
    name, _, attributes = http.USER_AGENT.partition(" ")

    assert name == "SellerLegend/1.0"
    assert attributes.startswith("(Language=Python/3.")
    assert attributes.endswith(")")
    assert len(http.USER_AGENT) < 500


def test_a_form_says_who_we_are_and_its_fields(server: ScriptedServer) -> None:
    fields: dict[str, str | Secret] = {"code": Secret("a+b &=|é~-._"), "plain": "text", "empty": ""}
    post_form(
        f"{server.url}/token?q=1",
        fields,
        endpoints=Endpoints.emulator(server.url),
        operation="op",
    )

    [request] = server.requests
    assert request.line == "POST /token?q=1 HTTP/1.1"
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": http.USER_AGENT,
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/x-www-form-urlencoded;charset=UTF-8",
        "content-length": str(len(request.body)),
    }
    assert request.body == "code=a%2Bb%20%26%3D%7C%C3%A9~-._&plain=text&empty="
    assert parse_qs(request.body, keep_blank_values=True) == {
        "code": ["a+b &=|é~-._"],
        "plain": ["text"],
        "empty": [""],
    }


def test_secrets_are_sent_as_they_are(server: ScriptedServer) -> None:
    send(
        "GET",
        f"{server.url}/profiles",
        endpoints=Endpoints.emulator(server.url),
        operation="op",
        params={"q": "a b"},
        headers={"x-amz-access-token": Secret(CANARY)},
    )

    [request] = server.requests
    assert request.line == "GET /profiles?q=a+b HTTP/1.1"
    assert request.headers["x-amz-access-token"] == CANARY


def test_proxies_netrc_and_trust_stores_of_the_environment_are_ignored(
    way: Way, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")

    assert _get(way, server).status == 200

    assert "authorization" not in server.requests[0].headers


def test_cookies_are_not_carried_from_one_call_to_the_next(
    way: Way, server: ScriptedServer
) -> None:
    server.answer = reply(200, {}, Set_Cookie="session-id=1; Path=/")

    _get(way, server)
    _get(way, server)

    assert "cookie" not in server.requests[1].headers


def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(server: ScriptedServer) -> None:
    for value in (f"{CANARY}\r\nX-Evil: 1", f"{CANARY}\u20ac"):
        with pytest.raises(AmazonUnavailable) as caught:
            send(
                "GET",
                server.url,
                endpoints=Endpoints.emulator(server.url),
                operation="op",
                headers={"token": Secret(value)},
            )

        assert CANARY not in repr(caught.value)
        assert caught.value.__context__ is None
    assert server.requests == []


# What comes back ------------------------------------------------------------------------------


def test_any_whole_answer_is_returned(way: Way, server: ScriptedServer) -> None:
    server.answer = reply(418, b"\xff\x00", x_amzn_RequestId="req-1", Retry_After="7")

    assert _get(way, server) == http.Reply(418, b"\xff\x00", "req-1", 7.0, truncated=False)


def test_the_other_request_id_serves_when_there_is_only_that(
    way: Way, server: ScriptedServer
) -> None:
    server.answer = reply(200, {}, x_amz_rid="rid-1")

    assert _get(way, server).request_id == "rid-1"


def test_a_redirect_is_returned_and_not_followed(way: Way, server: ScriptedServer) -> None:
    server.answer = reply(302, "", Location=f"{server.url}/elsewhere")

    assert _get(way, server).status == 302
    assert len(server.requests) == 1


def test_a_compressed_body_is_not_opened(way: Way, server: ScriptedServer) -> None:
    import gzip

    packed = gzip.compress(b"0" * 1_000_000)
    server.answer = reply(200, packed, Content_Encoding="gzip")

    assert _get(way, server).body == packed


def test_no_more_than_ten_megabytes_are_read(way: Way, server: ScriptedServer) -> None:
    server.answer = reply(200, b"0" * (http.BODY_BYTES + 1_000_000))

    long = _get(way, server)

    assert (len(long.body), long.truncated) == (http.BODY_BYTES, True)


def test_exactly_ten_megabytes_are_a_whole_answer(way: Way, server: ScriptedServer) -> None:
    server.answer = reply(200, b"0" * http.BODY_BYTES)

    assert not _get(way, server).truncated


def test_a_reply_does_not_show_its_body() -> None:
    assert CANARY not in repr(http.Reply(200, CANARY.encode()))


# Trouble on the way ---------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        cut(b""),
        cut(b"HTTP/1.1 2"),
        cut(HEAD + b"Content-Length: 100\r\n\r\n{}"),
        cut(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        cut(b"220 smtp.example ready\r\n"),
        cut(HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n"),
        cut(HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n"),
    ],
    ids=["nothing", "half a line", "short body", "bad chunk", "not http", "long line", "many"],
)
def test_an_answer_that_is_not_whole_is_no_answer(
    way: Way, server: ScriptedServer, answer: Answer
) -> None:
    server.answer = answer

    with pytest.raises(AmazonUnavailable) as caught:
        _get(way, server)

    assert (caught.value.operation, caught.value.retry_after) == ("op", None)
    assert not caught.value.throttled


def test_a_closed_port_is_an_outage(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    url = f"http://127.0.0.1:{port}"
    with pytest.raises(AmazonUnavailable):
        ask(way, f"{url}/")

    [record] = [r for r in caplog.records if r.name == http.__name__]
    assert record.getMessage() == "amazon_unreachable"
    assert record.__dict__["operation"] == "op"
    assert record.__dict__["cause"] in ("ConnectionError", "ConnectionRefusedError")


def test_an_unknown_host_is_an_outage(way: Way) -> None:
    url = "http://amazon.invalid."
    with pytest.raises(AmazonUnavailable):
        ask(way, f"{url}/")


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"", b""),
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"0"),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n0\r\n"),
    ],
    ids=["silence", "headers", "body", "chunks"],
)
def test_a_slow_drip_ends_with_the_deadline(
    way: Way, server: ScriptedServer, answer: Answer
) -> None:
    server.answer = answer
    started = time.monotonic()

    with pytest.raises(AmazonUnavailable):
        _get(way, server, seconds=0.5)

    assert 0.4 < time.monotonic() - started < 2.0


def test_after_a_failure_the_next_call_uses_a_new_connection(
    way: Way, server: ScriptedServer
) -> None:
    server.answer = drip(HEAD + b"Content-Length: 1000\r\n\r\n", b"0")
    with pytest.raises(AmazonUnavailable):
        _get(way, server, seconds=0.2)
    server.answer = reply(200, {"fresh": True})

    assert _get(way, server).body == b'{"fresh": true}'


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            b"{}",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 204 None\r\n\r\n", b""),
        (HEAD + b"content-LENGTH:2\r\n\r\n{}", b"{}"),
        (HEAD + b"X: 1\r\n Content-Length: 7\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
    ],
    ids=["chunks", "continue", "no content", "any case", "folded"],
)
def test_the_end_of_an_answer_is_known_and_the_connection_serves_again(
    way: Way, server: ScriptedServer, head: bytes, body: bytes
) -> None:
    server.answer = raw(head)

    assert [_get(way, server).body for _ in range(2)] == [body, body]
    assert server.connections == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n\r\n", HEAD + b"Connection: close\r\n\r\n", HEAD + b"\r\n"]
)
def test_an_answer_may_end_with_its_connection(
    way: Way, server: ScriptedServer, head: bytes
) -> None:
    server.answer = cut(head + b"{}")

    assert [_get(way, server).body for _ in range(2)] == [b"{}", b"{}"]
    assert server.connections == 2


def test_a_connection_that_the_other_side_ended_is_not_used(
    way: Way, server: ScriptedServer
) -> None:
    """It ends between two calls, without a word: the second one is not lost."""
    _get(way, server)
    server.hang_up()

    assert _get(way, server).status == 200
    assert server.connections == 2


# Connections ----------------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + IDLE_SECONDS + 1)
    yield
    monkeypatch.undo()


def test_calls_in_a_row_share_a_connection(way: Way, server: ScriptedServer) -> None:
    _get(way, server)
    _get(way, server)

    assert (len(server.requests), server.connections) == (2, 1)


def test_a_connection_that_rested_is_not_trusted(
    way: Way, server: ScriptedServer, request: pytest.FixtureRequest
) -> None:
    _get(way, server)
    request.getfixturevalue("later")
    _get(way, server)

    assert server.connections == 2


def test_a_forked_process_does_not_share_its_parents_connection(
    way: Way, server: ScriptedServer
) -> None:
    _get(way, server)

    child = os.fork()
    if not child:
        status = 1
        try:
            _get(way, server)
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(ended) == 0
    assert (len(server.requests), server.connections) == (2, 2)


# Retry-After ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("2.5", 2.5),
        ("-3", 0.0),
        ("999999", 3600.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 21 Oct 9999 07:28:00 GMT", 3600.0),
    ],
)
def test_retry_after_is_read(
    way: Way, server: ScriptedServer, value: str, expected: float | None
) -> None:
    server.answer = reply(429, "", Retry_After=value)

    assert _get(way, server).retry_after == expected


def test_retry_after_may_be_a_date(way: Way, server: ScriptedServer) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=120)
    server.answer = reply(429, "", Retry_After=format_datetime(moment, usegmt=True))

    assert _get(way, server).retry_after == pytest.approx(120, abs=5)


# Reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5a8b9c0d-1e2f-4a3b", "5a8b9c0d-1e2f-4a3b"),
        ("a" * 129, ""),
        ("<script>", ""),
        (CANARY, ""),
        ("", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_only_a_plain_request_id_is_kept(value: object, expected: str) -> None:
    assert clean_request_id(value) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<html>",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"\xff\xfe",
        b'{"a": 1} trailing',
        b"[" * 100_000,
        b"null",
    ],
)
def test_what_is_not_strict_json_is_nothing(body: bytes) -> None:
    assert parse_json(body) is None


def test_of_equal_keys_the_last_counts() -> None:
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}


def test_whole_numbers_are_exact() -> None:
    assert parse_json(b"[1152921504606846977]") == [1152921504606846977]


def test_an_absurd_number_does_not_spoil_its_neighbours() -> None:
    assert parse_json(b'[{"id": ' + b"9" * 5000 + b"}, 7]") == [{"id": math.inf}, 7]


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("Northstar Outdoors", "Northstar Outdoors"),
        ("  a\t\r\n b\x07c  ", "a b c"),
        ("nul\x00l", "nul\ufffdl"),
        ("half\ud83d", "half\ufffd"),
        ("evil\u202etxt.exe\u2066x\u2069", "eviltxt.exex"),
        ("cafe\u0301", "caf\u00e9"),
        ("<script>{{7*7}}", "<script>{{7*7}}"),
        ("ストア 🍵", "ストア 🍵"),
        ("", ""),
    ],
)
def test_text_is_cleaned(dirty: str, clean: str) -> None:
    assert clean_text(dirty, 40) == clean


def test_text_is_cut_without_a_trailing_space() -> None:
    assert clean_text("ab cd", 3) == "ab"
    assert len(clean_text("x" * 10_000_000, 255)) == 255


@given(st.text(st.characters(codec=None, categories=None)), st.integers(1, 20))
def test_clean_text_stays_clean(value: str, length: int) -> None:
    cleaned = clean_text(value, length)

    assert clean_text(cleaned, length) == cleaned
    assert len(cleaned) <= length
    assert unicodedata.is_normalized("NFC", cleaned)
    cleaned.encode()


def test_raw_bytes_after_an_answer_do_not_reach_the_next_call(
    way: Way, server: ScriptedServer
) -> None:
    server.answer = raw(HEAD + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n")
    first = _get(way, server)
    server.answer = reply(200, "[]")

    assert (first.body, _get(way, server).body) == (b"{}", b"[]")


# Only Amazon's own hosts (ASVS 15.3.2) -------------------------------------------------------

ELSEWHERE = [
    "https://evil.example/auth/o2/token",
    "https://api.amazon.com.evil.example/auth/o2/token",
    "https://api.amazon.com@evil.example/",
    "https://evil.example/api.amazon.com/",
    "http://api.amazon.com/auth/o2/token",
    "https://api.amazon.com:8443/auth/o2/token",
    "https://169.254.169.254/latest/meta-data/",
    "https://sellercentral.amazon.com/apps/authorize/consent",
    "//api.amazon.com/",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nothing_is_sent_anywhere_else(way: Way, url: str) -> None:
    with pytest.raises(http.AddressNotAllowed) as refused:
        way(url, endpoints=Endpoints.amazon(), operation="op")

    assert str(refused.value) == "op"


@pytest.mark.parametrize("path", ["", "/", "/api.amazon.com/auth/o2/token"])
def test_with_the_emulator_not_even_amazon_is_called(
    way: Way, server: ScriptedServer, path: str
) -> None:
    endpoints = Endpoints.emulator(server.url)
    port = int(server.url.rpartition(":")[2])

    for origin in ("https://api.amazon.com", f"http://127.0.0.1:{port + 1}", "http://127.0.0.1"):
        with pytest.raises(http.AddressNotAllowed):
            way(f"{origin}{path}", endpoints=endpoints, operation="op")

    assert server.requests == []


def test_every_api_of_amazon_may_be_called() -> None:
    endpoints = Endpoints.amazon()
    apis = [endpoints.lwa_token()]
    for region in Region:
        apis += [f"{endpoints.spapi(region)}/x?y=1", f"{endpoints.ads_api(region)}/v2/profiles"]

    assert all(endpoints.may_be_called(url) for url in apis)
