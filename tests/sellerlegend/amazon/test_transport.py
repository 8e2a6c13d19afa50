from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sellerlegend.amazon import direct
from sellerlegend.amazon.errors import AmazonUnavailable
from sellerlegend.amazon.transport import Deadline, DeadlineAdapter, current, deadline
from tests.sellerlegend.amazon.scripted_server import ScriptedServer, drip, reply
from tests.sellerlegend.amazon.ways import Way, ask


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For 127.0.0.1, signed by itself; key and certificate in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedServer(tls=context) as running:
        yield running


def test_an_unknown_certificate_is_an_outage_even_if_the_environment_trusts_it(
    way: Way, tls_server: ScriptedServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate))

    with pytest.raises(AmazonUnavailable):
        ask(way, tls_server.url)

    assert tls_server.requests == []


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a real authority had signed it."""
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))


def test_a_certificate_of_another_name_is_an_outage_and_not_asked_again(
    way: Way, tls_server: ScriptedServer, trusted: None
) -> None:
    url = tls_server.url.replace("127.0.0.1", "localhost")

    with pytest.raises(AmazonUnavailable):
        ask(way, url)

    assert (tls_server.connections, tls_server.requests) == (1, [])


def test_who_never_lets_us_in_costs_three_seconds(way: Way) -> None:
    """A black hole: the queue of a listener is full, and the kernel drops what comes."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        url = f"http://127.0.0.1:{port}"
        started = time.monotonic()

        with pytest.raises(AmazonUnavailable):
            ask(way, url, seconds=20)

        assert 2.5 < time.monotonic() - started < 4.0


def test_a_trusted_certificate_is_served(
    way: Way, tls_server: ScriptedServer, trusted: None
) -> None:
    tls_server.answer = reply(200, {"over": "tls"})

    assert ask(way, tls_server.url).body == b'{"over": "tls"}'


def test_a_slow_drip_over_tls_ends_with_the_deadline(
    way: Way, tls_server: ScriptedServer, trusted: None
) -> None:
    tls_server.answer = drip(b"HTTP/1.1 200 OK\r\n", b"X")
    started = time.monotonic()

    with pytest.raises(AmazonUnavailable):
        ask(way, tls_server.url, seconds=0.5)

    assert time.monotonic() - started < 2.0


def test_a_server_that_accepts_and_never_greets_ends_with_the_deadline(
    way: Way, server: ScriptedServer
) -> None:
    started = time.monotonic()

    with pytest.raises(AmazonUnavailable):
        ask(way, server.url.replace("http", "https"), seconds=0.5)

    assert time.monotonic() - started < 2.0


def test_a_deadline_gives_what_is_left_and_then_nothing() -> None:
    clock = Deadline(60.0)
    over = Deadline(0.0)

    assert 59.0 < clock.remaining() <= 60.0
    assert clock.remaining(at_most=3.0) == 3.0
    with pytest.raises(TimeoutError):
        over.remaining()


def test_a_deadline_ends_no_later_than_the_one_around_it() -> None:
    with deadline(2.0):
        with deadline(60.0):
            assert current().remaining() <= 2.0
        with deadline(1.0):
            assert current().remaining() <= 1.0
        assert 1.0 < current().remaining() <= 2.0
    with deadline(60.0):
        assert current().remaining() > 59.0


def test_no_time_left_means_no_connection(way: Way, server: ScriptedServer) -> None:
    with pytest.raises(AmazonUnavailable):
        ask(way, server.url, seconds=0.0)

    assert server.connections == 0


def test_without_a_deadline_a_call_fails_instead_of_waiting(server: ScriptedServer) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", DeadlineAdapter())

        with pytest.raises(LookupError):
            session.get(server.url, timeout=1)
        with deadline(5.0):
            assert session.get(server.url, timeout=1).status_code == 200
    with pytest.raises(LookupError):
        direct.post(server.url, {}, b"", 10)
