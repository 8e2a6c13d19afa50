"""What the proxy of docker-compose.yml passes on, refuses and says itself."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings as product
from django.test import RequestFactory
from pytest_django import Settings

from sellerlegend.middleware import ALWAYS
from sellerlegend.organizations.limits import client_address
from tests.own_nginx import SHIPPED, OwnNginx, lay_out, own_nginx, started
from tests.web import free_port
from tests.workers import wait_until

pytestmark = pytest.mark.needs_nginx

CANARY = "CANARY-OF-AN-ADDRESS"
OWN_ADDRESS = "127.0.0.1"
FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Protocol": "ssl",
    "Forwarded": "host=evil.example",
    "X-Request-ID": "0123456789abcdef",
    "Authorization": "Bearer guessed",
}


class Mirror(BaseHTTPRequestHandler):
    """Stands for the product: keeps what it is told."""

    server: Any

    def do_GET(self) -> None:
        self.server.told.append(self.headers)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        for name, value in self.server.says.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET

    def log_message(self, *_arguments: Any) -> None:
        """Nothing: the test looks at what was told."""


@pytest.fixture
def told() -> list[Message]:
    """The headers of each request that the server behind the proxy heard."""
    return []


@pytest.fixture
def says() -> dict[str, str]:
    """The headers that the server behind the proxy answers with."""
    return {"X-Frame-Options": "DENY"}


@pytest.fixture
def mirror(told: list[Message], says: dict[str, str]) -> Iterator[int]:
    server = ThreadingHTTPServer((OWN_ADDRESS, 0), Mirror)
    server.told = told  # type: ignore[attr-defined]  # read by its handler
    server.says = says  # type: ignore[attr-defined]  # the same
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(tmp_path: Path, mirror: int) -> Iterator[OwnNginx]:
    with own_nginx(tmp_path, mirror) as nginx:
        yield nginx


def ask(
    nginx: OwnNginx,
    target: str = "/",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, http.client.HTTPMessage, str]:
    line = http.client.HTTPConnection(OWN_ADDRESS, nginx.port, timeout=10)
    try:
        line.request(method, target, body=body, headers=headers or {})
        answer = line.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        line.close()


def test_the_shipped_files_are_a_configuration(tmp_path: Path) -> None:
    assert "test is successful" in lay_out(tmp_path, 9).check()


# What it passes on -------------------------------------------------------------------------


def test_what_a_client_says_of_itself_is_not_believed(
    proxy: OwnNginx, told: list[Message], settings: Settings
) -> None:
    status, answer, _ = ask(proxy, headers=FORGED)

    [heard] = told
    assert status == 200
    assert heard["X-Forwarded-For"] == f"{FORGED['X-Forwarded-For']}, {OWN_ADDRESS}"
    assert heard["X-Forwarded-Proto"] == "http"
    assert heard["Host"] == f"{OWN_ADDRESS}:{proxy.port}"
    assert heard["X-Forwarded-Host"] is heard["Forwarded"] is None
    assert heard["X-Forwarded-Ssl"] is heard["X-Forwarded-Protocol"] is None
    assert re.fullmatch(r"[0-9a-f]{32}", heard["X-Request-ID"])
    assert heard["Authorization"] == FORGED["Authorization"]
    # The number of proxies that docker-compose.yml tells the product is that of this one.
    settings.TRUSTED_PROXY_COUNT = 1
    request = RequestFactory().get("/", headers={"X-Forwarded-For": heard["X-Forwarded-For"]})
    assert client_address(request) == OWN_ADDRESS
    assert answer["Server"] == "nginx"
    assert answer.get_all("X-Frame-Options") == ["DENY"]


@pytest.mark.parametrize(("said", "passed_on"), [("https", "https"), ("javascript", "http")])
def test_a_proxy_before_this_one_may_end_tls(
    said: str, passed_on: str, proxy: OwnNginx, told: list[Message]
) -> None:
    ask(proxy, headers={"X-Forwarded-Proto": said})

    assert told[0]["X-Forwarded-Proto"] == passed_on


@pytest.mark.parametrize("target", ["/metrics", "//metrics", "/%6detrics", "/a/../metrics"])
def test_nobody_outside_has_the_numbers(target: str, proxy: OwnNginx, told: list[Message]) -> None:
    ask(proxy, target, headers=FORGED)

    assert told[0]["Authorization"] is None


def test_a_body_may_be_as_large_as_the_product_takes(proxy: OwnNginx, told: list[Message]) -> None:
    limit = product.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert limit is not None

    assert ask(proxy, method="POST", body=b"a" * limit)[0] == 200
    assert len(told) == 1
    assert ask(proxy, method="POST", headers={"Content-Length": str(limit + 1)})[0] == 413
    assert len(told) == 1


def test_an_address_may_be_as_long_as_gunicorn_takes(proxy: OwnNginx, told: list[Message]) -> None:
    longest = "/" + "a" * 3998

    assert ask(proxy, longest)[0] == 200
    assert ask(proxy, longest + "a")[0] == 414
    assert len(told) == 1
    assert len(f"OPTIONS {longest} HTTP/1.1\r\n") < 4094


# What an answer carries in any case --------------------------------------------------------

HSTS = "max-age=31536000; includeSubDomains; preload"
GUARDS = {
    **ALWAYS,
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Strict-Transport-Security": HSTS,
}


def test_the_headers_of_the_product_are_its_own(proxy: OwnNginx, says: dict[str, str]) -> None:
    says.update(dict.fromkeys((*GUARDS, "X-Request-ID"), "its own"))

    _, answer, _ = ask(proxy, headers={"X-Forwarded-Proto": "https"})

    for name in says:
        assert answer.get_all(name) == ["its own"], name


@pytest.fixture
def bare_gunicorn(tmp_path: Path) -> Iterator[int]:
    """gunicorn as it is: what it refuses itself, no application hears of."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "wsgiref.simple_server:demo_app"]
    command += [f"--bind={OWN_ADDRESS}:{port}", "--worker-class=gthread", "--no-control-socket"]
    with (tmp_path / "gunicorn.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(port), f"gunicorn: {log.name}")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((OWN_ADDRESS, port), 1):
        return True
    return False


ONLY_GUNICORN_REFUSES = {
    "too many headers": ("GET", "/", {f"X-{number}": "a" for number in range(120)}, 431),
    "a header that nginx just takes": ("GET", "/", {"X": "a" * 8186}, 431),
    "a control sign": ("GET", "/", {"X": "a\x01b"}, 400),
    "a method of two letters": ("GE", "/", {}, 400),
    "a method of twenty-one letters": ("A" * 21, "/", {}, 400),
}


@pytest.mark.parametrize("name", ONLY_GUNICORN_REFUSES)
def test_what_gunicorn_refuses_has_the_headers_too(
    name: str, tmp_path: Path, bare_gunicorn: int
) -> None:
    method, target, headers, expected = ONLY_GUNICORN_REFUSES[name]
    (tmp_path / "nginx").mkdir()
    with own_nginx(tmp_path / "nginx", bare_gunicorn) as nginx:
        told = headers | {"X-Forwarded-Proto": "https"}
        status, answer, body = ask(nginx, target, method=method, headers=told)
        _, plain, _ = ask(nginx, target, method=method, headers=headers)

    assert status == expected
    assert "<h1>" in body
    for header, value in GUARDS.items():
        assert answer.get_all(header) == [value], header
    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-ID"])
    assert plain["Strict-Transport-Security"] is None


# What it says itself -----------------------------------------------------------------------


@contextmanager
def deaf_server() -> Iterator[int]:
    """Takes no connection any more: those that it has room for are taken."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((OWN_ADDRESS, 0))
        server.listen(0)
        port: int = server.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((OWN_ADDRESS, port))
        yield port


def refusals(nginx: OwnNginx) -> dict[int, tuple[http.client.HTTPMessage, str]]:
    """What nginx answers by itself, whether the product is there or not."""
    too_much = str(product.DATA_UPLOAD_MAX_MEMORY_SIZE or 0) + "0"
    answers = [
        ask(nginx, "/?a=%zz" + CANARY, headers={"Cookie": "a" * 9000}),
        ask(nginx, "/proxy-errors/502.html"),
        ask(nginx, method="TRACE"),
        ask(nginx, f"/?code={CANARY}", method="POST", headers={"Content-Length": too_much}),
        ask(nginx, "/" + CANARY * 300),
        ask(nginx, "/" + "a" * 9000),
    ]
    assert [status for status, _, _ in answers] == [400, 404, 405, 413, 414, 414]
    return {status: (headers, body) for status, headers, body in answers}


def assert_a_page_of_ours(status: int, headers: http.client.HTTPMessage, body: str) -> None:
    """In plain words, with a next step and the reference of the log, and with our headers."""
    assert f'<p class="code">{status}</p>' in body
    assert '<html lang="en">' in body
    [title], [heading] = re.findall("<title>(.+)</title>", body), re.findall("<h1>(.+)</h1>", body)
    assert title == heading
    assert '<a href="/">Go to the start page</a>' in body
    assert f"<span>{headers['X-Request-ID']}</span>" in body
    assert not [word for word in ("nginx", "gunicorn", "<!--#", CANARY) if word in body]
    for name, value in ALWAYS.items():
        assert headers.get_all(name) == [value], name
    assert headers.get_all("Cache-Control") == ["no-store"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Server"] == "nginx"


def test_what_it_refuses_is_told_on_a_page_of_ours(proxy: OwnNginx, told: list[Message]) -> None:
    for status, (headers, body) in refusals(proxy).items():
        assert_a_page_of_ours(status, headers, body)
        assert headers["Retry-After"] is None
    assert told == []

    status, headers, body = ask(proxy, "/proxy-errors/page.css")
    assert (status, headers["Content-Type"]) == (200, "text/css")
    for name, value in ALWAYS.items():
        assert headers.get_all(name) == [value], name
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert ask(proxy, "/proxy-errors/page.css", headers={"Range": "bytes=99999-"})[0] == 200
    assert body == (SHIPPED / "errors" / "page.css").read_text()


def test_while_the_product_is_away_people_are_told(tmp_path: Path) -> None:
    with own_nginx(tmp_path, free_port()) as nginx:
        status, headers, body = ask(nginx, headers={"X-Forwarded-Proto": "https"})

    assert status == 502
    assert_a_page_of_ours(status, headers, body)
    assert "Try again in half a minute" in body
    assert headers["Retry-After"] == "30"
    assert headers["Strict-Transport-Security"] == HSTS


def test_while_the_product_is_stuck_people_are_told(tmp_path: Path) -> None:
    with deaf_server() as port, own_nginx(tmp_path, port) as nginx:
        status, headers, body = ask(nginx)

    assert status == 504
    assert_a_page_of_ours(status, headers, body)
    assert "look at the page again before you repeat it" in body
    assert headers["Retry-After"] == "30"
    assert headers["Strict-Transport-Security"] is None


def test_no_log_holds_an_address(tmp_path: Path, mirror: int) -> None:
    secrets = {"Referer": f"https://x.example/{CANARY}", "User-Agent": CANARY}
    target = f"/invitation/{CANARY}?state={CANARY}&spapi_oauth_code={CANARY}"

    for port, status in ((mirror, 200), (free_port(), 502)):
        folder = tmp_path / str(status)
        folder.mkdir()
        with own_nginx(folder, port) as nginx:
            assert ask(nginx, target, headers=secrets)[0] == status
            large = ask(nginx, target, method="POST", body=b"a" * 200_000, headers=secrets)
            assert large[0] == status
            refusals(nginx)
        assert f'"status": "{status}"' in nginx.log
        assert '"status": "413"' in nginx.log
        assert CANARY not in nginx.log


# TLS ---------------------------------------------------------------------------------------


def write_certificate(folder: Path) -> None:
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_tls_may_end_here(tmp_path: Path, mirror: int, told: list[Message]) -> None:
    nginx, port = lay_out(tmp_path, mirror), free_port()
    text = (SHIPPED / "tls.conf").read_text()
    assert text.count("listen 8443 ssl;") == 1
    text = text.replace("listen 8443 ssl;", f"listen {OWN_ADDRESS}:{port} ssl;")
    (tmp_path / "tls" / "tls.conf").write_text(text)
    write_certificate(tmp_path / "certificates")
    trust = ssl.create_default_context(cafile=str(tmp_path / "certificates" / "fullchain.pem"))

    with started(nginx):
        line = http.client.HTTPSConnection("localhost", port, timeout=10, context=trust)
        line.request("GET", "/", headers={"X-Forwarded-Proto": "http"})
        answer = line.getresponse()
        answer.read()
        line.close()
        plain = http.client.HTTPConnection(OWN_ADDRESS, port, timeout=10)
        plain.request("GET", "/")
        refusal = plain.getresponse()
        assert_a_page_of_ours(refusal.status, refusal.headers, refusal.read().decode())
        plain.close()

    assert (answer.status, refusal.status) == (200, 400)
    assert told[0]["X-Forwarded-Proto"] == "https"


def test_tls_is_new_enough_for_amazon() -> None:
    text = (SHIPPED / "tls.conf").read_text()

    assert re.findall(r"^ssl_protocols (.+);$", text, re.MULTILINE) == ["TLSv1.2 TLSv1.3"]
