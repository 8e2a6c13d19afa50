"""What is left of the catalogue's rows A12 to A24 beside the callbacks themselves: Amazon's words,
trips nobody finishes, a silent token endpoint, poisoned hosts, addresses that remember."""

from __future__ import annotations

import logging
import re
import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import services
from connections.models import AuthorizationRequest, Connection, Grant
from sellerlegend.organizations.models import Membership, Organization, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import nothing_changes
from tests.trips import Callback

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"


@pytest.fixture
def consented(amazon: RunningEmulator, browser: Client, waiting: Connection) -> Callback:
    return trips.confirm(trips.leave(browser, waiting), NORTHSTAR)


# Amazon's words (A16) ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<b>UNIQUE</b>" * 200,
        "UNIQUE\r\nSet-Cookie: a=b",
        "\N{RIGHT-TO-LEFT OVERRIDE}EUQINU",
    ],
)
def test_an_error_text_of_the_address_is_shown_and_kept_nowhere(
    amazon: RunningEmulator,
    browser: Client,
    consented: Callback,
    caplog: pytest.LogCaptureFixture,
    text: str,
) -> None:
    """Anybody can write an address: only the code `access_denied` is understood."""
    caplog.set_level(logging.DEBUG)
    hostile = consented.with_params(
        error="access_denied", error_description=text, error_uri=text, extra=text
    )

    response = browser.get(str(hostile), follow=True)

    page = response.content.decode()
    assert response.status_code == 200
    assert consented.trip.outcome == "declined"
    for fragment in ("alert(1)", "UNIQUE", "EUQINU", "error_description"):
        assert fragment not in page
        assert fragment not in consented.trip.outcome + caplog.text
        assert fragment not in str(list(AuthorizationRequest._base_manager.values()))


def test_a_trip_nobody_finished_is_over_after_the_next_sweep(
    browser: Client, consented: Callback
) -> None:
    trip = consented.trip
    past = timedelta(minutes=15)
    AuthorizationRequest._base_manager.filter(pk=trip.pk).update(
        created_at=trip.created_at - past, expires_at=trip.expires_at - past
    )

    services.sweep_abandoned()

    still_open = AuthorizationRequest._base_manager.filter(
        status=AuthorizationRequest.Status.OPEN,
        created_at__lt=timezone.now() - timedelta(minutes=10),
    )
    assert not still_open.exists()
    assert consented.trip.outcome == "expired"


# A silent token endpoint (A23) -------------------------------------------------------------


def test_a_token_endpoint_that_never_answers_costs_ten_seconds_and_one_call(
    amazon: RunningEmulator, browser: Client, organization: Organization, consented: Callback
) -> None:
    """Whether Amazon took the code is unknown: nothing is marked, starting again works."""
    known = factories.make_connection(organization, seller=BLUE_HARBOR)
    amazon.faults.add(surface="lwa", delay=30, times=1)
    began = time.monotonic()

    with nothing_changes(amazon, events=("authorization_ended",), ended=consented.trip, calls=1):
        ending = trips.come_back(browser, consented)

    assert time.monotonic() - began < 15
    assert ending == "amazon_unavailable"
    assert factories.grant_of(known).status == Grant.Status.ACTIVE
    row = Connection.objects.for_organization(organization).get(name="New store")
    again = trips.confirm(trips.leave(browser, row), NORTHSTAR)
    assert trips.come_back(browser, again) == "connected"


# Poisoned hosts (A19, F15) -----------------------------------------------------------------

POISONED = (
    {"HTTP_HOST": "evil.example"},
    {"HTTP_HOST": "evil.example:8000"},
    {"HTTP_HOST": "localhost:8000@evil.example"},
    {"HTTP_HOST": "localhost.evil.example"},
    {"HTTP_HOST": "localhost:8000, evil.example"},
    {"HTTP_HOST": "localhost:8000/evil.example"},
    {"HTTP_HOST": "localhost\r\nevil.example"},
    {"HTTP_HOST": "[::ffff:evil]"},
    {"HTTP_HOST": ""},
    {"HTTP_X_FORWARDED_HOST": "evil.example"},
    {"HTTP_X_HOST": "evil.example", "HTTP_X_FORWARDED_SERVER": "evil.example"},
    {"HTTP_FORWARDED": "for=evil;host=evil.example;proto=https"},
    {"HTTP_X_ORIGINAL_URL": "/evil", "HTTP_X_REWRITE_URL": "/evil"},
    {"HTTP_X_FORWARDED_PORT": "666", "HTTP_X_FORWARDED_PREFIX": "/evil"},
    {"SERVER_NAME": "evil.example", "SERVER_PORT": "666"},
)


@pytest.mark.parametrize("headers", POISONED)
def test_a_poisoned_host_is_refused_or_without_effect(
    amazon: RunningEmulator, browser: Client, waiting: Connection, headers: dict[str, Any]
) -> None:
    row = f"/o/{waiting.organization.slug}/connections/{waiting.pk}"

    started = browser.post(f"{row}/authorize", **headers)

    assert started.status_code in (302, 400)
    if started.status_code == 302:
        query = parse_qs(urlsplit(started.headers["Location"]).query)
        assert query["redirect_uri"] == ["http://localhost:8000/amazon/spapi/callback"]
        assert "evil" not in started.headers["Location"]


@pytest.mark.parametrize("headers", POISONED)
def test_no_page_repeats_a_poisoned_host(browser: Client, headers: dict[str, Any]) -> None:
    for page in (reverse("account_login"), reverse("home"), reverse("profile"), "/not-there"):
        response = browser.get(page, **headers)

        assert not re.search(rb"evil\.example|/evil", response.content)
        assert "evil" not in str(response.headers)


# Addresses remember (A24) ------------------------------------------------------------------


def test_where_a_trip_lands_neither_names_nor_passes_on_the_code(
    amazon: RunningEmulator, browser: Client, consented: Callback
) -> None:
    landing = browser.get(str(consented), follow=True)

    [(address, status)] = landing.redirect_chain
    page = landing.content.decode()
    assert status == 303
    assert landing.headers["Referrer-Policy"] == "same-origin"
    assert landing.headers["Cache-Control"] == "no-store"
    for value in (consented.params["state"], consented.params["spapi_oauth_code"]):
        assert value not in address
        assert value not in page
        assert value not in str(dict(browser.session))


def test_a_refused_callback_lands_without_them_too(
    amazon: RunningEmulator, consented: Callback
) -> None:
    stranger = trips.sign_in(factories.make_user())

    landing = stranger.get(str(consented), follow=True)

    [(address, status)] = landing.redirect_chain
    assert (status, landing.status_code) == (303, 400)
    assert landing.headers["Cache-Control"] == "no-store"
    for value in consented.params.values():
        assert value not in address + landing.content.decode()


# After leaving the organization (B12) ------------------------------------------------------


def test_a_removed_member_finds_nothing_new_on_an_old_outcome(
    amazon: RunningEmulator,
    browser: Client,
    member: User,
    organization: Organization,
    waiting: Connection,
    consented: Callback,
) -> None:
    trips.come_back(browser, consented.with_params(spapi_oauth_code=None))
    Membership.objects.for_organization(organization).filter(user=member).delete()
    Connection.objects.for_organization(organization).update(name="Renamed afterwards")

    page = browser.get(reverse("authorization_outcome", args=[consented.trip.reference]))

    assert "Renamed afterwards" not in page.content.decode()
    assert page.context["restart_url"] == reverse("home")
