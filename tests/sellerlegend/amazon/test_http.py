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

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sellerlegend.amazon import http
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import AmazonUnavailable
from sellerlegend.amazon.http import clean_request_id, clean_text, parse_json, send
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from tests.sellerlegend.amazon.scripted_server import Answer, ScriptedServer, cut, drip, raw, reply

CANARY = "Atza|canary"


def _get(server: ScriptedServer, *, seconds: float = 5.0) -> http.Reply:
    return send(
        "GET",
        f"{server.url}/path",
        endpoints=Endpoints.emulator(server.url),
        operation="op",
        seconds=seconds,
    )


# What is sent ---------------------------------------------------------------------------------


def test_a_get_says_who_we_are_and_nothing_more(server: ScriptedServer) -> None:
    _get(server)

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


def test_secrets_are_sent_as_they_are(server: ScriptedServer) -> None:
    send(
        "POST",
        f"{server.url}/token",
        endpoints=Endpoints.emulator(server.url),
        operation="op",
        params={"q": "a b"},
        headers={"x-amz-access-token": Secret(CANARY)},
        form={"code": Secret("a+b &=|é"), "plain": "text"},
    )

    [request] = server.requests
    assert request.line == "POST /token?q=a+b HTTP/1.1"
    assert request.headers["x-amz-access-token"] == CANARY
    assert request.headers["content-type"] == "application/x-www-form-urlencoded;charset=UTF-8"
    assert request.body == "code=a%2Bb+%26%3D%7C%C3%A9&plain=text"


def test_proxies_netrc_and_trust_stores_of_the_environment_are_ignored(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")

    assert _get(server).status == 200

    assert "authorization" not in server.requests[0].headers


def test_cookies_are_not_carried_from_one_call_to_the_next(server: ScriptedServer) -> None:
    server.answer = reply(200, {}, Set_Cookie="session-id=1; Path=/")

    _get(server)
    _get(server)

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


def test_any_whole_answer_is_returned(server: ScriptedServer) -> None:
    server.answer = reply(418, b"\xff\x00", x_amzn_RequestId="req-1", Retry_After="7")

    assert _get(server) == http.Reply(418, b"\xff\x00", "req-1", 7.0, truncated=False)


def test_the_other_request_id_serves_when_there_is_only_that(server: ScriptedServer) -> None:
    server.answer = reply(200, {}, x_amz_rid="rid-1")

    assert _get(server).request_id == "rid-1"


def test_a_redirect_is_returned_and_not_followed(server: ScriptedServer) -> None:
    server.answer = reply(302, "", Location=f"{server.url}/elsewhere")

    assert _get(server).status == 302
    assert len(server.requests) == 1


def test_a_compressed_body_is_not_opened(server: ScriptedServer) -> None:
    import gzip

    packed = gzip.compress(b"0" * 1_000_000)
    server.answer = reply(200, packed, Content_Encoding="gzip")

    assert _get(server).body == packed


def test_no_more_than_ten_megabytes_are_read(server: ScriptedServer) -> None:
    server.answer = reply(200, b"0" * (http.BODY_BYTES + 1_000_000))

    long = _get(server)

    assert (len(long.body), long.truncated) == (http.BODY_BYTES, True)


def test_exactly_ten_megabytes_are_a_whole_answer(server: ScriptedServer) -> None:
    server.answer = reply(200, b"0" * http.BODY_BYTES)

    assert not _get(server).truncated


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
def test_an_answer_that_is_not_whole_is_no_answer(server: ScriptedServer, answer: Answer) -> None:
    server.answer = answer

    with pytest.raises(AmazonUnavailable) as caught:
        _get(server)

    assert (caught.value.operation, caught.value.retry_after) == ("op", None)
    assert not caught.value.throttled


def test_a_closed_port_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    url = f"http://127.0.0.1:{port}"
    with pytest.raises(AmazonUnavailable):
        send("GET", f"{url}/", endpoints=Endpoints.emulator(url), operation="op")

    [record] = [r for r in caplog.records if r.name == http.__name__]
    assert record.getMessage() == "amazon_unreachable"
    assert (record.__dict__["operation"], record.__dict__["cause"]) == ("op", "ConnectionError")


def test_an_unknown_host_is_an_outage() -> None:
    url = "http://amazon.invalid."
    with pytest.raises(AmazonUnavailable):
        send("GET", f"{url}/", endpoints=Endpoints.emulator(url), operation="op", seconds=5.0)


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
def test_a_slow_drip_ends_with_the_deadline(server: ScriptedServer, answer: Answer) -> None:
    server.answer = answer
    started = time.monotonic()

    with pytest.raises(AmazonUnavailable):
        _get(server, seconds=0.5)

    assert 0.4 < time.monotonic() - started < 2.0


def test_after_a_failure_the_next_call_uses_a_new_connection(server: ScriptedServer) -> None:
    server.answer = drip(HEAD + b"Content-Length: 1000\r\n\r\n", b"0")
    with pytest.raises(AmazonUnavailable):
        _get(server, seconds=0.2)
    server.answer = reply(200, {"fresh": True})

    assert _get(server).body == b'{"fresh": true}'


# Connections ----------------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + http.IDLE_SECONDS + 1)
    yield
    monkeypatch.undo()


def test_calls_in_a_row_share_a_connection(server: ScriptedServer) -> None:
    _get(server)
    _get(server)

    assert (len(server.requests), server.connections) == (2, 1)


def test_a_connection_that_rested_is_not_trusted(
    server: ScriptedServer, request: pytest.FixtureRequest
) -> None:
    _get(server)
    request.getfixturevalue("later")
    _get(server)

    assert server.connections == 2


def test_a_forked_process_does_not_share_its_parents_connection(server: ScriptedServer) -> None:
    _get(server)

    child = os.fork()
    if not child:
        status = 1
        try:
            _get(server)
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
def test_retry_after_is_read(server: ScriptedServer, value: str, expected: float | None) -> None:
    server.answer = reply(429, "", Retry_After=value)

    assert _get(server).retry_after == expected


def test_retry_after_may_be_a_date(server: ScriptedServer) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=120)
    server.answer = reply(429, "", Retry_After=format_datetime(moment, usegmt=True))

    assert _get(server).retry_after == pytest.approx(120, abs=5)


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


def test_raw_bytes_after_an_answer_do_not_reach_the_next_call(server: ScriptedServer) -> None:
    server.answer = raw(HEAD + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n")
    first = _get(server)
    server.answer = reply(200, "[]")

    assert (first.body, _get(server).body) == (b"{}", b"[]")


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
def test_nothing_is_sent_anywhere_else(url: str) -> None:
    with pytest.raises(http.AddressNotAllowed) as refused:
        send("GET", url, endpoints=Endpoints.amazon(), operation="op")

    assert str(refused.value) == "op"


@pytest.mark.parametrize("path", ["", "/", "/api.amazon.com/auth/o2/token"])
def test_with_the_emulator_not_even_amazon_is_called(server: ScriptedServer, path: str) -> None:
    endpoints = Endpoints.emulator(server.url)
    port = int(server.url.rpartition(":")[2])

    for origin in ("https://api.amazon.com", f"http://127.0.0.1:{port + 1}", "http://127.0.0.1"):
        with pytest.raises(http.AddressNotAllowed):
            send("GET", f"{origin}{path}", endpoints=endpoints, operation="op")

    assert server.requests == []


def test_every_api_of_amazon_may_be_called() -> None:
    endpoints = Endpoints.amazon()
    apis = [endpoints.lwa_token()]
    for region in Region:
        apis += [f"{endpoints.spapi(region)}/x?y=1", f"{endpoints.ads_api(region)}/v2/profiles"]

    assert all(endpoints.may_be_called(url) for url in apis)
