"""What no client of Django's can send: raw bytes to a real gunicorn (A19, A24, F8, F9)."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.test import Client

from connections.models import AuthorizationRequest, Connection
from sellerlegend.organizations.models import Organization
from tests import factories, trips
from tests.web import web
from tests.workers import database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.needs_postgresql]

PATIENCE_SECONDS = 20
# 501 and 505 are what HTTP itself calls a method or a version that a server does not know.
NOT_OURS = frozenset({501, 505})
TOKEN = "a" * 32


@dataclass(frozen=True)
class Server:
    port: int
    log: Path

    def send(self, request: bytes) -> bytes:
        """The whole answer; empty when the connection was closed without one."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as line:
            with suppress(OSError):  # closed while we were talking: there may be an answer
                line.sendall(request)
                line.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while part := line.recv(65_536):
                    answer += part
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with web(tmp_path, DATABASE_URL=database_url(), REDIS_URL="") as url:
        yield Server(urlsplit(url).port or 0, tmp_path / "web.log")


@pytest.fixture
def row(transactional_db: None) -> Connection:
    organization: Organization = factories.make_organization("Northstar Trading")
    return factories.make_waiting_connection(organization)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def get(target: bytes = b"/accounts/login/", *headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = [b"GET " + target + b" HTTP/" + version, *headers, b"Connection: close", b"", b""]
    return b"\r\n".join(lines)


def post(body: bytes, *headers: bytes, target: bytes = b"/accounts/login/") -> bytes:
    kind = b"Content-Type: application/x-www-form-urlencoded"
    csrf = b"Cookie: csrf=%b\r\nX-CSRFToken: %b" % (TOKEN.encode(), TOKEN.encode())
    length = b"Content-Length: %d" % len(body)
    head = get(target, HOST, kind, csrf, length, *headers).replace(b"GET ", b"POST ", 1)
    return head + body


HOST = b"Host: localhost"
RAW = {
    "NUL in the path": get(b"/o/\x00/connections/", HOST),
    "raw bytes in the path": get(b"/o/\xff\xfe\x80/connections/", HOST),
    "raw bytes in the query": get(b"/accounts/login/?next=\xff\x00\xed\xa0\x80", HOST),
    "percent-encoded NUL": get(b"/o/%00/connections/?since=%00", HOST),
    "half a percent sign": get(b"/o/%/connections/%zz?%=%%", HOST),
    "dots": get(b"/static/../../../../etc/passwd", HOST),
    "encoded dots": get(b"/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", HOST),
    "backslashes": get(b"\\\\evil.example\\x", HOST),
    "path parameters": get(b"/accounts/login/;jsessionid=1", HOST),
    "no path": get(b"", HOST),
    "asterisk": get(b"*", HOST),
    "absolute form": get(b"http://evil.example/accounts/login/", HOST),
    "absolute form, both hosts": get(b"http://evil.example/", b"Host: evil.example"),
    "no host": get(),
    "no host, old version": get(version=b"1.0"),
    "doubled host": get(b"/", HOST, b"Host: evil.example"),
    "doubled host, evil first": get(b"/", b"Host: evil.example", HOST),
    "host with a NUL": get(b"/", b"Host: localhost\x00.evil.example"),
    "host of another world": get(b"/", b"Host: evil.example"),
    "folded header": get(b"/", HOST, b"X-A: b\r\n c: d"),
    "bare carriage return": get(b"/", HOST, b"X-A: b\rHost: evil.example"),
    "space before the colon": get(b"/", HOST, b"Host : evil.example"),
    "underscored twin": get(b"/", HOST, b"X_FORWARDED_HOST: evil.example"),
    "64 KB header": get(b"/", HOST, b"X-A: " + b"a" * 65_536),
    "1,000 headers": get(b"/", HOST, *[b"X-%d: a" % number for number in range(1000)]),
    "100 KB query": get(b"/accounts/login/?a=" + b"a" * 102_400, HOST),
    "1 MB cookie": get(b"/accounts/login/", HOST, b"Cookie: session=" + b"a" * 1_048_576),
    "odd cookie": get(b"/accounts/login/", HOST, b'Cookie: session="\\000\xff; csrf==;;=;\x01'),
    "unknown version": get(b"/", HOST, version=b"9.9"),
    "unknown method": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no request at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "half a request": b"GET /accounts/lo",
    "3 MB form": post(b"login=" + b"a" * 3_145_728),
    "1,101 fields": post(b"&".join(b"f%d=1" % number for number in range(1101))),
    "NUL in a form": post(b"login=a%00b&password=%ed%a0%80&remember=%ff"),
    "form shorter than it says": post(b"login=a").replace(
        b"Content-Length: 7", b"Content-Length: 99"
    ),
    "negative length": post(b"").replace(b"Content-Length: 0", b"Content-Length: -1"),
    "two lengths": post(b"login=a", b"Content-Length: 0"),
    "length and chunks": post(b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "broken chunks": post(b"zz\r\nlogin\r\n").replace(
        b"Content-Length: 11", b"Transfer-Encoding: chunked"
    ),
    "endless multipart": post(b"--x\r\n" * 5000).replace(
        b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x"
    ),
}


def test_no_bytes_are_an_error_of_ours(server: Server) -> None:
    assert len(RAW) >= 40

    for name, request in RAW.items():
        began = time.monotonic()
        answer = server.send(request)
        status = status_of(answer)
        assert status < 500 or status in NOT_OURS, (name, answer[:300])
        assert not re.search(rb"(?i)\r\nlocation:[^\r]*evil", answer), name
        assert b"root:" not in answer, name
        assert time.monotonic() - began < PATIENCE_SECONDS, name
        assert status_of(server.send(get(b"/accounts/login/", HOST))) == 200, name

    # Django refuses hosts and bodies by an exception, and logs it under its security logger.
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if "Traceback" in line and "django.security" not in line] == []


REFUSED = {
    "64 KB header": {400, 431},
    "1,000 headers": {400, 431},
    "100 KB query": {400, 414},
    "1 MB cookie": {0, 400, 431},  # 0: closed before all of it was read
    "3 MB form": {400, 413},
    "1,101 fields": {400},
    "host of another world": {400},
    "absolute form, both hosts": {400},
    "host with a NUL": {400},
}


def test_what_is_too_much_or_not_ours_is_refused(server: Server) -> None:
    for name, statuses in REFUSED.items():
        assert status_of(server.send(RAW[name])) in statuses, name


def test_no_bytes_change_where_amazon_sends_the_browser(server: Server, row: Connection) -> None:
    browser = trips.sign_in(factories.owner_of(row.organization))
    path = f"/o/{row.organization.slug}/connections/{row.pk}/authorize".encode()
    session = session_of(browser)

    for target, hosts in (
        (path, [HOST]),
        (b"http://evil.example" + path, [HOST]),
        (path, [HOST, b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example"]),
        (path, [HOST, b"Host: evil.example"]),
        (path, [b"Host: evil.example"]),
    ):
        request = post(b"", *hosts[1:], target=target).replace(HOST, hosts[0], 1)
        request = request.replace(b"Cookie: ", b"Cookie: " + session, 1)
        answer = server.send(request)
        if status_of(answer) == 400:
            continue
        assert status_of(answer) == 302, answer[:300]
        [location] = [
            line for line in answer.decode().splitlines() if line.lower().startswith("location:")
        ]
        query = parse_qs(urlsplit(location.partition(" ")[2]).query)
        assert query["redirect_uri"] == [settings.SPAPI_REDIRECT_URI]
        assert "evil" not in location
    assert AuthorizationRequest._base_manager.count() >= 2


def test_no_log_of_the_web_process_holds_a_code_or_a_state(server: Server) -> None:
    secret = "CANARY-OF-AN-ADDRESS"
    query = f"?state={secret}&spapi_oauth_code={secret}&code={secret}"

    for path in ("/amazon/spapi/callback", "/amazon/ads/callback", "/amazon/nowhere"):
        server.send(get(f"{path}{query}".encode(), HOST, f"Referer: /x{query}".encode()))
    server.send(get(f"/amazon/spapi/callback{query}\x00".encode(), HOST))

    log = server.log.read_text()
    assert "authorization_refused" in log
    assert secret not in log


def session_of(browser: Client) -> bytes:
    return f"session={browser.cookies[settings.SESSION_COOKIE_NAME].value}; ".encode()
