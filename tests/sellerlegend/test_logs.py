"""Log lines: JSON, one a line, and a net under what should never have been logged."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
import requests
from django.test import RequestFactory
from django.urls import get_resolver, reverse

from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.env import PROJECT_DIR
from sellerlegend.logs import JsonFormatter, redact
from tests.architecture.test_every_url import leaves
from tests.environment import DEMO_CREDENTIALS, development_environment
from tests.web import web
from tests.workers import wait_until

ID = UUID("11111111-1111-4111-8111-111111111111")


def line(message: str, *arguments: Any, exc_info: Any = None, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("here", logging.INFO, __file__, 1, message, arguments, exc_info)
    vars(record).update(extra)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_is_a_name_and_facts() -> None:
    found = line("grant_refreshed", grant=ID, attempts=3)

    assert found.pop("at").startswith("20")
    assert found == {
        "level": "INFO",
        "logger": "here",
        "event": "grant_refreshed",
        "grant": str(ID),
        "attempts": "3",
    }


SEALED = "v1.0a1b2c3d.AAECAwQFBgcICQoL.c2VhbGVkLXRleHQtdGhhdC1pcy1sb25nLWVub3VnaA"
TOKEN = "Q2h5cW9_c-8xZkp3b0ZqTm1QdEF2R2hVc0RrTGVYYXN"
HIDDEN = [
    "Atzr|IwEBIJ1b-2_x.y/z+Q==",
    "Atza|IwEBIJ1b-2_x.y/z+Q==",
    "Atzr%7CIwEBIJ1b-2_x%2By",
    DEMO_CREDENTIALS["SPAPI_CLIENT_SECRET"],
    "amzn1.oa2-cs.v1.0123abcdef",
    "amzn.mws.1234-5678-abcd",
    SEALED,
    f"/c/{TOKEN}",
    f"/calendar/{TOKEN}",
    f"/invitation/{TOKEN}",
    f"%2Finvitation%2F{TOKEN}",
    "/password/reset/key/1-d0ge2b-0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize("secret", HIDDEN)
def test_a_secret_is_hidden_wherever_it_stands(secret: str) -> None:
    try:
        raise ValueError(f"refused: {secret}")
    except ValueError:
        exc_info = sys.exc_info()

    found = line("a %s b %s", secret, secret, exc_info=exc_info, fact=f"<{secret}>")

    assert secret not in json.dumps(found)
    assert found["event"] == "a [redacted] b [redacted]"
    assert found["fact"] == "<[redacted]>"
    assert found["exception"].endswith("ValueError: refused: [redacted]")


@pytest.mark.parametrize(
    "text",
    [
        "GET /amazon/spapi/callback?state={0}&spapi_oauth_code={0}&selling_partner_id=A1",
        "GET /amazon/ads/callback?code={0}&scope=x&state={0}",
        "GET /amazon/spapi/login?amazon_state={0}&selling_partner_id=A1",
        "?next=%2Famazon%2Fads%2Fcallback%3Fcode%3D{0}%26state%3d{0}",
        "grant_type=refresh_token&refresh_token={0}&client_secret={0}",
        "code_verifier={0} mws_auth_token={0}",
        "CODE={0}",
        '{{"access_token":"{0}","refresh_token": "{0}"}}',
        "{{'code': '{0}', 'state': '{0}'}}",
    ],
)
def test_what_follows_a_telling_name_is_hidden(text: str) -> None:
    hidden = redact(text.format("ANbCdEfGhIjK123"))

    assert "ANbCdEfGhIjK123" not in hidden
    assert "[redacted]" in hidden


@pytest.mark.parametrize(
    "text",
    [
        "status_code=200 country_code=US",
        "exit code: 3",
        "amzn1.application-oa2-client.0123 amzn1.sp.solution.0123",
        "state machine",
        "GET /o/acme/connections?since=12",
        "v1.2.3",
        "POST /invitation/accept",
        "/c/ended/BCDFGH23",
        "/accounts/password/reset/key/done/",
    ],
)
def test_harmless_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


# What an address may name: rows, and what opens nothing without its browser's or person's session.
SHOWN = re.compile(r"slug|pk|(\w+_)?id|batch|reference|ticket|uidb36|app_label|url")


def addresses_with_a_secret() -> dict[str, str]:
    """Of the whole URL table: by the name of its route, filled with a token."""
    found = {}
    for namespace, pattern in leaves(get_resolver().url_patterns):
        names = pattern.pattern.converters or pattern.pattern.regex.groupindex
        if any(not SHOWN.fullmatch(name) for name in names):
            route = f"{namespace}:{pattern.name}" if namespace else str(pattern.name)
            kwargs = {name: "1" if SHOWN.fullmatch(name) else TOKEN for name in names}
            found[route] = reverse(route, kwargs=kwargs)
    return found


def test_every_address_that_is_a_secret_is_hidden() -> None:
    """A new parameter of an address is hidden, or SHOWN says that it opens nothing."""
    addresses = addresses_with_a_secret()

    assert addresses.keys() == {
        "account_reset_password_from_key",
        "calendar_feed",
        "client_link",
        "invitation_link",
    }
    for address in addresses.values():
        for text in (address, f"https://x.example{address}?a=b", f"?next={quote(address, '')}"):
            assert TOKEN in text
            assert TOKEN not in redact(text)


def test_what_the_vault_writes_is_hidden() -> None:
    organization = ID
    sealed = crypto.seal(
        Secret("short"),
        crypto.Place("table", "column", organization, ID),
        data_key=crypto.new_data_key(organization),
    )

    assert redact(f"row: {sealed}") == "row: [redacted]"
    assert redact(crypto.new_data_key(organization)) == "[redacted]"


@pytest.mark.parametrize("name", ["code", "state", "refresh_token", "client_secret"])
def test_a_field_with_a_telling_name_is_hidden_whatever_its_shape(name: str) -> None:
    assert line("event", **{name: "ANbCdEfGhIjK123"})[name] == "[redacted]"


def test_only_facts_are_written() -> None:
    """Django hands its request over, Celery the arguments of a task."""
    request = RequestFactory().get("/amazon/ads/callback?code=ANbCdEfGhIjK123")

    found = line("event", request=request, data={"args": ["x"]}, secret=Secret("x"), row=ID)

    assert set(found) == {"at", "level", "logger", "event", "row"}


def test_a_hostile_line_break_stays_inside_its_value() -> None:
    found = line("store %s", 'x"}\n{"level": "FORGED\u2028"}')

    assert found["level"] == "INFO"
    assert "FORGED" in found["event"]


def test_long_values_are_cut_after_they_were_redacted() -> None:
    found = line("x" * 1990 + "Atzr|" + "y" * 50, fact="z" * 9_000)

    assert "Atzr" not in found["event"]
    assert len(found["event"]) <= 2_000
    assert len(found["fact"]) == 500


def test_nobody_prints_around_the_formatter() -> None:
    """Django's default loggers have handlers of their own, with other formatters."""
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    ours = [
        one for one in loggers if one.name.split(".")[0] in ("django", "sellerlegend", "celery")
    ]

    handlers = [handler for one in ours for handler in one.handlers]
    assert [handler for handler in handlers if not isinstance(handler, logging.NullHandler)] == []
    assert [one.name for one in ours if not one.propagate] == []


@pytest.mark.parametrize("name", ["urllib3", "kombu", "sp_api", "django.db.backends"])
def test_those_who_print_bodies_are_quiet_at_every_level(name: str) -> None:
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)


# Processes -------------------------------------------------------------------------------------

STOPPING = {"", "worker: Warm shutdown (MainProcess)"}


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Every line of a process, but for what Celery says when it is told to stop."""
    lines = [line for line in log.read_text().splitlines() if line not in STOPPING]
    return [json.loads(line) for line in lines]


def test_gunicorn_speaks_json_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    with web(tmp_path) as url:
        assert requests.get(f"{url}/healthz", timeout=10).status_code == 200
        # A request line that is none is logged as it came.
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
            line.sendall(f"GET /invitation/{TOKEN}\r\n\r\n".encode())
            assert b"400" in line.recv(100)

    events = [line["event"] for line in lines_of(tmp_path / "web.log")]
    [refused] = [event for event in events if event.startswith("Invalid request")]

    assert events[0].startswith("Starting gunicorn")
    assert any(event.startswith("Booting worker") for event in events)
    assert events[-1].startswith("Shutting down")
    assert "[redacted]" in refused
    assert TOKEN not in refused


def test_the_pool_of_a_worker_tells_of_a_killed_process_as_all_do() -> None:
    """Celery gives billiard's logger a handler and a format of its own, unless it has one."""
    script = (
        "from celery.utils.log import get_multiprocessing_logger;"
        "from sellerlegend.celery import app;"
        "app.log.setup(loglevel='INFO');"
        "get_multiprocessing_logger().error('Process %r exited', 'ForkPoolWorker-1')"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import django;django.setup();{script}"],
        cwd=PROJECT_DIR,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    [line] = map(json.loads, run.stderr.splitlines())
    assert line["level"] == "ERROR"
    assert line["event"] == "Process 'ForkPoolWorker-1' exited"


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_celery_prints_no_banner(tmp_path: Path, kind: str) -> None:
    [line] = [
        line.removeprefix(f"{kind}: ")
        for line in (PROJECT_DIR / "Procfile").read_text().splitlines()
        if line.startswith(f"{kind}: ")
    ]
    environment = os.environ | development_environment(
        DJANGO_SETTINGS_MODULE="sellerlegend.settings",
        DJANGO_SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
        TOKEN_ENCRYPTION_KEYS=os.environ["TOKEN_ENCRYPTION_KEYS"],
        VAR_DIR=str(tmp_path),
        PYTHONWARNINGS="ignore",  # who tests as root is warned of it
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {line}"],
            cwd=PROJECT_DIR,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        sign = {"worker": "ready.", "beat": "beat: Starting..."}[kind]
        wait_until(lambda: sign in log.read_text(), f"{kind}: {log}")
    finally:
        process.kill()
        process.wait()

    assert lines_of(log)
