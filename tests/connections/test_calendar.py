"""T19: the days on which clocks change, leap days, ends of years, and clocks that disagree.

Notices before the end of a consent (30, 14, 7 and 1 days) come with the next issue; here is the day
they count from.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from connections import credentials
from connections.models import Connection
from marketplaces import services as marketplace_services
from sellerlegend.celery import app
from sellerlegend.jobs import ledger
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator

pytestmark = pytest.mark.django_db

SELLER = "A1NORTHSTAR001"
MOMENTS = [
    pytest.param("2026-03-08T09:59:30+00:00", id="Los Angeles springs forward"),
    pytest.param("2026-11-01T08:59:30+00:00", id="Los Angeles falls back"),
    pytest.param("2026-03-29T00:59:30+00:00", id="Berlin springs forward"),
    pytest.param("2026-10-25T00:59:30+00:00", id="Berlin falls back"),
    pytest.param("2026-10-03T15:59:30+00:00", id="Sydney springs forward"),
    pytest.param("2026-04-04T15:59:30+00:00", id="Sydney falls back"),
    pytest.param("2028-02-29T23:59:30+00:00", id="a leap day ends"),
    pytest.param("2027-12-31T23:59:30+00:00", id="a year ends"),
]
each_moment = pytest.mark.parametrize("moment", MOMENTS)


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    organization = factories.make_organization()
    token = amazon.world.authorize(SELLER, "NA")
    return factories.make_connection(organization, seller=SELLER, refresh_token=token)


@each_moment
def test_a_consent_ends_365_days_after_it_was_given_to_the_second(moment: str) -> None:
    given = datetime.fromisoformat(moment)
    with time_machine.travel(given, tick=False):
        row = factories.make_connection(factories.make_organization())

        grant = factories.grant_of(row)

        assert grant.authorized_at == given
        assert grant.reauthorize_by is not None
        assert grant.reauthorize_by - given == timedelta(days=365)
        assert grant.reauthorize_by.utcoffset() == timedelta(0)


@each_moment
def test_a_refresh_does_not_put_off_the_end_of_a_consent_and_a_new_one_does(
    amazon: RunningEmulator, moment: str
) -> None:
    now = datetime.fromisoformat(moment)
    with time_machine.travel(now - timedelta(days=100), tick=False) as clock:
        token = amazon.world.authorize(SELLER, "NA")
        row = factories.make_connection(
            factories.make_organization(), seller=SELLER, refresh_token=token
        )
        before = factories.grant_of(row).reauthorize_by
        clock.move_to(now)
        credentials.access_token(factories.grant_of(row), force=True)
        after_refresh = factories.grant_of(row).reauthorize_by
        factories.consent(row, refresh_token=amazon.world.authorize(SELLER, "NA"))
        after_consent = factories.grant_of(row).reauthorize_by

    assert before == after_refresh == now + timedelta(days=265)
    assert after_consent == now + timedelta(days=365)


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin", "Australia/Sydney"])
@each_moment
def test_a_wait_over_the_change_of_a_clock_is_as_long_as_it_was_told(
    connection: Connection, zone: str, moment: str
) -> None:
    """Also when the person who looks lives where the clock changes."""
    owner = factories.owner_of(connection.organization)
    start = datetime.fromisoformat(moment)
    type(owner).objects.filter(pk=owner.pk).update(time_zone=zone, password_set_at=start)
    with time_machine.travel(start, tick=False) as clock:
        job = marketplace_services.begin_reading(connection=connection)
        claim = ledger.claim(job.pk)
        assert claim is not None
        claim.wait(reason="amazon_throttled", retry_after=60, counted=False)
        page = reverse("account_connections", args=[connection.organization.slug])
        browser = Client()
        browser.force_login(owner)
        assert browser.get(page).status_code == 200
        clock.shift(59)
        assert ledger.claim(job.pk) is None
        clock.shift(1)
        assert ledger.claim(job.pk) is not None


@each_moment
def test_a_trip_over_the_change_of_a_clock_lasts_ten_minutes(
    amazon: RunningEmulator, moment: str
) -> None:
    with time_machine.travel(datetime.fromisoformat(moment), tick=False) as clock:
        organization = factories.make_organization()
        row = factories.make_waiting_connection(organization)
        browser = trips.sign_in(factories.owner_of(organization))
        first, second = (trips.confirm(trips.leave(browser, row), SELLER) for _ in range(2))
        amazon.faults.clear()
        clock.shift(599)
        # Amazon's own codes end after five minutes; ours is the state.
        in_time = trips.come_back(browser, first)
        clock.shift(2)
        too_late = trips.come_back(browser, second)

    assert in_time != "expired"
    assert too_late == "expired"


def test_the_schedule_knows_no_time_zone_but_utc() -> None:
    assert app.conf.timezone == "UTC"
    assert app.conf.enable_utc
    for entry in app.conf.beat_schedule.values():
        assert isinstance(entry["schedule"], int | float), "a span, not an hour of some clock"


@pytest.mark.parametrize("seconds", [-600, 600])
def test_a_clock_ten_minutes_off_amazons_stops_nothing(
    amazon: RunningEmulator, connection: Connection, seconds: int
) -> None:
    """D15: nothing we send or believe hangs on both clocks being equal."""
    amazon.advance_clock(seconds)
    fresh = amazon.world.authorize(SELLER, "NA")
    factories.consent(connection, refresh_token=fresh)

    job = marketplace_services.begin_reading(connection=connection)
    ledger.run(job.pk)

    job.refresh_from_db()
    assert job.status == "done"
    assert factories.grant_of(connection).status == "active"
    age = datetime.now(UTC) - factories.grant_of(connection).authorized_at
    assert abs(age) < timedelta(minutes=1)
