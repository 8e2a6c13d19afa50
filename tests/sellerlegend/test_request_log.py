"""One JSON line for each request, with the ids of whom and what it concerns, and no more."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.decorators import login_not_required
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.urls import get_resolver, reverse
from pytest_django import Settings

from marketplaces import services as marketplace_services
from sellerlegend import log_facts
from sellerlegend.jobs import ledger
from sellerlegend.logs import JsonFormatter
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import leaves
from tests.factories import make_connection, make_organization, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the product's own formatter writes during the test."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def requests_of(written: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "request"]


def test_a_forged_host_is_one_line(client: Client, written: io.StringIO) -> None:
    """Whoever likes sends one: a traceback for each would hide what failed."""
    response = client.get("/accounts/login/", headers={"Host": "evil.example"})

    assert response.status_code == 400
    [line] = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (line["event"], line["status"]) == ("request", "400")


def test_a_line_says_who_did_what_where(client: Client, written: io.StringIO) -> None:
    organization = make_organization("Northstar")
    row = make_connection(organization)
    owner = owner_of(organization)
    client.force_login(owner)

    response = client.get(reverse("connection_details", args=[organization.slug, row.pk]))

    (line,) = requests_of(written)
    assert response.headers["X-Request-ID"] == line["request_id"]
    assert (line["logger"], line["method"], line["status"]) == ("sellerlegend.access", "GET", "200")
    assert line["route"] == "connection_details"
    assert line["organization"] == str(organization.pk)
    assert line["connection"] == str(row.pk)
    assert line["user"] == str(owner.pk)
    assert float(line["ms"]) > 0
    assert organization.slug not in written.getvalue()
    assert owner.email not in written.getvalue()


def test_a_stranger_leaves_no_facts_of_the_request_before(
    client: Client, written: io.StringIO
) -> None:
    organization = make_organization()
    client.force_login(owner_of(organization))
    client.get(reverse("account_connections", args=[organization.slug]))
    Client().get(reverse("account_login"))

    first, second = requests_of(written)

    assert first["organization"] == str(organization.pk)
    assert first["request_id"] != second["request_id"]
    assert {"organization", "user", "connection"} & set(second) == set()


@pytest.mark.parametrize("name", ["spapi_callback", "ads_callback"])
def test_a_callback_is_logged_by_name_and_without_its_query(
    name: str, client: Client, written: io.StringIO
) -> None:
    sent = {"code": "ANcodeCODEcode", "spapi_oauth_code": "ANcodeCODEcode", "state": "stateSTATE1"}

    client.get(reverse(name), sent)

    (line,) = requests_of(written)
    assert line["route"] == name
    assert "ANcodeCODEcode" not in written.getvalue()
    assert "stateSTATE1" not in written.getvalue()
    assert "/amazon/" not in json.dumps(line)


TOKEN = "Q2h5cW9_c-8xZkp3b0ZqTm1QdEF2R2hVc0RrTGVYYXN"
SECRET_ROUTES = {
    "client_link": {"token": TOKEN},
    "calendar_feed": {"token": TOKEN},
    "invitation_link": {"token": TOKEN},
    "account_reset_password_from_key": {"uidb36": "1", "key": TOKEN},
}


@pytest.mark.parametrize("route", SECRET_ROUTES)
@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("broken"), 500), (OperationalError("away"), 503)]
)
def test_a_failure_at_an_address_that_is_a_secret_does_not_tell_it(
    route: str,
    error: Exception,
    status: int,
    client: Client,
    written: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Django writes the path of what failed."""

    @login_not_required
    def fail(_request: Any, **_parts: str) -> HttpResponse:
        raise error

    [pattern] = [one for _, one in leaves(get_resolver().url_patterns) if one.name == route]
    monkeypatch.setattr(pattern, "callback", fail)
    client.raise_request_exception = False

    answer = client.get(reverse(route, kwargs=SECRET_ROUTES[route]))

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    [told] = [line["event"] for line in lines if line["logger"] == "django.request"]
    assert answer.status_code == status
    assert "[redacted]" in told
    assert TOKEN not in written.getvalue()


@pytest.mark.parametrize("route", SECRET_ROUTES)
def test_a_forged_form_at_or_from_an_address_that_is_a_secret_does_not_tell_it(
    route: str, written: io.StringIO
) -> None:
    """Django writes the path, and the page that sent the form."""
    path = reverse(route, kwargs=SECRET_ROUTES[route])
    strict = Client(enforce_csrf_checks=True)

    for headers in ({}, {"Referer": f"https://other.example{path}"}):
        assert strict.post(path, secure=bool(headers), headers=headers).status_code == 403

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    bare, referred = [line["event"] for line in lines if line["logger"] == "django.security.csrf"]
    assert "[redacted]" in bare
    assert referred.count("[redacted]") == 2
    assert TOKEN not in written.getvalue()


@pytest.mark.parametrize(
    ("proxies", "given", "is_taken"),
    [
        (1, "0123456789abcdef", True),
        (1, "11111111-1111-4111-8111-111111111111", True),
        (0, "0123456789abcdef", False),
        (1, "short", False),
        (1, "x" * 65, False),
        (1, 'forged"} {"level": "ERROR', False),
        (1, "0123456789abcdef\x1b[31m", False),
        (1, "Atzr|0123456789abcdef", False),
        (1, "", False),
    ],
)
def test_a_request_id_is_taken_from_a_proxy_that_is_trusted(
    proxies: int,
    given: str,
    is_taken: bool,
    client: Client,
    settings: Settings,
    written: io.StringIO,
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies

    response = client.get(reverse("account_login"), headers={"X-Request-ID": given})

    (line,) = requests_of(written)
    assert line["request_id"] == response.headers["X-Request-ID"]
    assert (line["request_id"] == given) is is_taken
    assert 8 <= len(line["request_id"]) <= 64


def test_an_unknown_address_is_not_repeated(client: Client, written: io.StringIO) -> None:
    client.get(f"/no-such-page/{uuid4().hex}?x=secret-looking", headers={"User-Agent": "\r\nx" * 9})

    (line,) = requests_of(written)
    assert (line["route"], line["status"]) == ("unknown", "404")
    assert "no-such-page" not in written.getvalue()


def test_a_probe_that_is_well_is_quiet(client: Client, written: io.StringIO) -> None:
    client.get("/healthz")
    assert requests_of(written) == []

    client.post("/healthz")

    assert [line["status"] for line in requests_of(written)] == ["405"]


def test_facts_end_with_their_block(written: io.StringIO) -> None:
    organization, job = uuid4(), uuid4()
    with log_facts.about(organization=organization, connection=None):
        with log_facts.about(job=job):
            logging.getLogger("here").warning("inside")
        logging.getLogger("here").warning("between")
    logging.getLogger("here").warning("outside")

    inside, between, outside = map(json.loads, written.getvalue().splitlines())

    assert (inside["job"], inside["organization"]) == (str(job), str(organization))
    assert "job" not in between
    assert between["organization"] == str(organization)
    assert {"job", "organization", "connection"} & set(outside) == set()


def test_a_fact_cannot_forge_a_line(written: io.StringIO) -> None:
    with log_facts.about(route='x"}\n{"level": "FORGED"}\x1b[31m', state="ANcodeCODEcode"):
        logging.getLogger("here").warning("event")

    (line,) = map(json.loads, written.getvalue().splitlines())
    assert line["level"] == "WARNING"
    assert line["state"] == "[redacted]"
    assert "\x1b" not in written.getvalue()


def test_what_a_job_logs_names_the_job_and_whose_it_is(
    amazon: RunningEmulator, written: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="connections.credentials")
    seller = "A1NORTHSTAR001"
    row = make_connection(
        make_organization(), seller=seller, refresh_token=amazon.world.authorize(seller, "NA")
    )
    job = marketplace_services.begin_reading(connection=row)

    ledger.run(job.pk)
    logging.getLogger("here").warning("afterwards")

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    inside = [line for line in lines if line["event"] in ("job_started", "grant_refreshed")]
    assert len(inside) == 2
    for line in inside:
        assert line["job"] == str(job.pk)
        assert line["organization"] == str(row.organization_id)
        assert line["connection"] == str(row.pk)
    assert "job" not in lines[-1]
