"""A second web process beside the demo's: production settings, https, no Amazon credentials."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.browser.product import Product, free_ports
from tests.demo.environment import CHECKOUT
from tests.environment import DEMO_CREDENTIALS, development_environment

START_SECONDS = 30


@contextlib.contextmanager
def production_web(product: Product) -> Iterator[str]:
    """Its address. It shares database and keys with the embedded demo."""
    assert product.var_dir is not None
    port, _ = free_ports()
    url = f"https://localhost:{port}"
    environment = production_environment(product.var_dir, url)
    manage("collectstatic", "--noinput", "--verbosity=0", environment=environment)
    certificate = make_certificate(product.var_dir)
    command = [sys.executable, "-m", "gunicorn", "sellerlegend.wsgi:application"]
    command += [f"--bind=127.0.0.1:{port}", "--worker-class=gthread", "--threads=4"]
    command += [f"--certfile={certificate}", f"--keyfile={certificate}", "--no-control-socket"]
    with (product.var_dir / "production.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until_it_answers(url, process, certificate)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def production_environment(var_dir: Path, url: str) -> dict[str, str]:
    keys = dict(line.split("=", 1) for line in (var_dir / "demo.env").read_text().splitlines())
    without_credentials = dict.fromkeys(DEMO_CREDENTIALS, "")
    return {
        **os.environ,
        **development_environment(
            **keys,
            **without_credentials,
            DJANGO_DEBUG="false",
            PUBLIC_BASE_URL=url,
            VAR_DIR=str(var_dir),
            DATABASE_URL="",
            REDIS_URL="",
        ),
        "DJANGO_SETTINGS_MODULE": "sellerlegend.settings",
    }


def manage(*arguments: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", *arguments]
    subprocess.run(command, cwd=CHECKOUT, env=environment, check=True)


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes], certificate: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "the web process stopped; see production.log"
        assert time.monotonic() < deadline, f"no answer from {url}"
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"{url}/accounts/login/", timeout=5, verify=str(certificate))
            return
        time.sleep(0.2)
