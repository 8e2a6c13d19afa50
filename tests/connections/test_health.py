"""Every state of health from its facts, and which one wins where several hold."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections import health
from connections.health import Health
from connections.models import ADS_YEAR_RULE_SINCE, AdsGrant, Connection, SpApiGrant
from sellerlegend.applications.models import ApplicationRole, LwaApplication
from sellerlegend.jobs.models import Incident
from tests import factories

pytestmark = pytest.mark.django_db

NOW = datetime.fromisoformat("2027-11-26T12:00:00+00:00")
DAY = timedelta(days=1)
FRESH: dict[str, Any] = {"authorized_at": NOW - DAY, "last_success_at": NOW - DAY / 24}


def state_of(row: Connection) -> str:
    rows = Connection.objects.for_organization(row.organization_id).filter(pk=row.pk)
    state = health.health_of(
        LwaApplication.SPAPI, health.moments(NOW), prefix="spapi_grant__", region="region"
    )
    return str(rows.annotate(state=state).values_list("state", flat=True)[0])


def ads_state_of(grant: AdsGrant) -> str:
    grants = AdsGrant.objects.for_organization(grant.organization_id).filter(pk=grant.pk)
    state = health.health_of(LwaApplication.ADS, health.moments(NOW))
    return str(grants.annotate(state=state).values_list("state", flat=True)[0])


def make_row(**facts: Any) -> Connection:
    row = factories.make_connection(factories.make_organization())
    SpApiGrant.objects.for_organization(row.organization_id).update(**(FRESH | facts))
    return row


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Health.CONNECTED),
        ({"authorized_at": NOW - 305 * DAY}, Health.CONNECTED),
        ({"authorized_at": NOW - 305 * DAY - DAY / 24}, Health.EXPIRING),
        ({"authorized_at": NOW - 365 * DAY + DAY / 24}, Health.EXPIRING),
        ({"authorized_at": NOW - 365 * DAY - DAY / 24}, Health.EXPIRED),
        ({"last_success_at": NOW - timedelta(hours=35)}, Health.CONNECTED),
        ({"last_success_at": NOW - timedelta(hours=37)}, Health.STALE),
        ({"last_success_at": None}, Health.STALE),
        ({"throttled_since": NOW}, Health.THROTTLED),
        ({"permission_missing_since": NOW}, Health.PERMISSION_MISSING),
        ({"status": "doubted"}, Health.DOUBTED),
        ({"status": "invalid"}, Health.REVOKED),
        (
            {"status": "invalid", "authorized_at": NOW - 366 * DAY, "status_changed_at": NOW},
            Health.EXPIRED,
        ),
        ({"status": "disconnected", "refresh_token": ""}, Health.DISCONNECTED),
    ],
)
def test_each_state_follows_from_its_facts(facts: dict[str, Any], expected: Health) -> None:
    assert state_of(make_row(**facts)) == expected


def test_a_row_without_a_consent_waits_for_it() -> None:
    row = factories.make_waiting_connection(factories.make_organization())

    assert state_of(row) == Health.WAITING


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"status": "invalid", "last_success_at": None}, Health.REVOKED),
        ({"status": "doubted", "throttled_since": NOW}, Health.DOUBTED),
        ({"permission_missing_since": NOW, "throttled_since": NOW}, Health.PERMISSION_MISSING),
        ({"throttled_since": NOW, "last_success_at": None}, Health.STALE),
        (
            {"throttled_since": NOW - 5 * DAY, "last_success_at": NOW - 5 * DAY},
            Health.STALE,
        ),
        ({"last_success_at": None, "authorized_at": NOW - 357 * DAY}, Health.STALE),
        ({"status": "doubted", "authorized_at": NOW - 357 * DAY}, Health.DOUBTED),
        ({"throttled_since": NOW, "authorized_at": NOW - 306 * DAY}, Health.EXPIRING),
        ({"last_success_at": None, "authorized_at": NOW - 359 * DAY}, Health.EXPIRING),
        ({"status": "doubted", "authorized_at": NOW - 359 * DAY}, Health.EXPIRING),
        (
            {"permission_missing_since": NOW, "authorized_at": NOW - 359 * DAY},
            Health.PERMISSION_MISSING,
        ),
        # Without an end nothing comes first.
        (
            {
                "status": "doubted",
                "authorized_at": NOW - 364 * DAY,
                "is_consent_dated": False,
                "imported_at": NOW - 364 * DAY,
            },
            Health.DOUBTED,
        ),
        (
            {"status": "disconnected", "refresh_token": "", "authorized_at": NOW - 400 * DAY},
            Health.DISCONNECTED,
        ),
    ],
)
def test_the_worse_state_wins(facts: dict[str, Any], expected: Health) -> None:
    assert state_of(make_row(**facts)) == expected


@pytest.mark.parametrize("is_dated", [True, False])
def test_what_was_lost_within_its_year_stays_so_when_the_year_is_over(is_dated: bool) -> None:
    lost = make_row(
        status="invalid",
        authorized_at=NOW - 400 * DAY,
        status_changed_at=NOW - 36 * DAY,
        is_consent_dated=is_dated,
        imported_at=NOW - 400 * DAY,
    )

    assert state_of(lost) == Health.REVOKED


@pytest.mark.parametrize(
    ("days", "expected"), [(357, Health.INCIDENT), (359, Health.EXPIRING), (366, Health.EXPIRED)]
)
def test_in_its_last_week_the_end_stands_above_an_incident(days: int, expected: Health) -> None:
    failure = {"last_failure_at": NOW, "last_failure_code": "amazon_unavailable"}
    row = make_row(authorized_at=NOW - days * DAY, **failure)
    Incident.objects.create(surface="lwa")

    assert state_of(row) == expected


def test_a_role_that_is_newer_than_the_consent_is_missing_from_it() -> None:
    old, new = make_row(authorized_at=NOW - 3 * DAY), make_row(authorized_at=NOW - DAY)
    ApplicationRole.objects.create(
        application=LwaApplication.SPAPI, name="Brand Analytics", added_at=NOW - 2 * DAY
    )

    assert state_of(old) == Health.PERMISSION_MISSING
    assert state_of(new) == Health.CONNECTED


@pytest.mark.parametrize(
    ("incident", "expected"),
    [
        ({"surface": "lwa"}, Health.INCIDENT),
        ({"surface": "sellers", "region": "NA"}, Health.INCIDENT),
        ({"surface": "sellers", "region": "EU"}, Health.CONNECTED),
        ({"surface": "ads", "region": "NA"}, Health.CONNECTED),
        ({"surface": "lwa", "closed_at": NOW}, Health.CONNECTED),
    ],
)
def test_an_incident_shows_on_rows_whose_own_call_failed(
    incident: dict[str, Any], expected: Health
) -> None:
    failed = make_row(last_failure_at=NOW, last_failure_code="amazon_unavailable")
    untouched = make_row()
    Incident.objects.create(**incident)

    assert state_of(failed) == expected
    assert state_of(untouched) == Health.CONNECTED


@pytest.mark.parametrize(
    ("code", "before", "expected"),
    [
        ("amazon_unavailable", 9, Health.INCIDENT),
        ("amazon_throttled", 0, Health.INCIDENT),
        ("unexpected_reply", 0, Health.INCIDENT),
        ("amazon_unavailable", 11, Health.PERMISSION_MISSING),
        ("permission_missing", 0, Health.PERMISSION_MISSING),
    ],
)
def test_an_incident_hides_no_failure_that_is_not_its_own(
    code: str, before: int, expected: Health
) -> None:
    row = make_row(
        permission_missing_since=NOW - 9 * DAY,
        last_failure_at=NOW - timedelta(minutes=before),
        last_failure_code=code,
    )
    Incident.objects.create(surface="lwa", opened_at=NOW)

    assert state_of(row) == expected


def test_an_ads_consent_from_before_the_rule_never_ends() -> None:
    grant = factories.make_ads_grant(factories.make_organization())
    grants = AdsGrant.objects.for_organization(grant.organization_id)
    grants.update(authorized_at=ADS_YEAR_RULE_SINCE - DAY, last_success_at=NOW)
    grant.refresh_from_db()

    assert grant.reauthorize_by is None
    assert ads_state_of(grant) == Health.CONNECTED

    grants.update(authorized_at=ADS_YEAR_RULE_SINCE)
    grant.refresh_from_db()

    assert grant.reauthorize_by == ADS_YEAR_RULE_SINCE + timedelta(days=365)
    assert ads_state_of(grant) == Health.EXPIRED


def test_the_worst_of_several_consents_speaks() -> None:
    assert health.worst(["connected", "stale", "revoked"]) == Health.REVOKED
    assert health.worst(["connected", "doubted", "expiring"]) == Health.EXPIRING
    assert health.worst(["connected", "disconnected"]) == Health.CONNECTED
    assert health.worst([]) == Health.WAITING
    assert sorted(health.SEVERITY) == sorted(Health)


def test_a_fresh_consent_is_connected() -> None:
    row = factories.make_connection(factories.make_organization())
    rows = Connection.objects.for_organization(row.organization_id)
    state = health.health_of(
        LwaApplication.SPAPI, health.moments(timezone.now()), prefix="spapi_grant__"
    )

    assert list(rows.annotate(state=state).values_list("state", flat=True)) == ["connected"]
