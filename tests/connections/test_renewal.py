"""Renewing a consent: always possible, nothing lost, and the days without access are counted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from connections import storing
from connections.models import Connection, SpApiGrant
from connections.reader import Reader
from marketplaces.models import MarketplaceAccount
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.connections.test_screen import row_of
from tests.nothing_changed import nothing_changes
from tests.trips import Callback

pytestmark = pytest.mark.django_db

NORTHSTAR = "A1NORTHSTAR001"
DAY = timedelta(days=1)


@pytest.fixture
def row(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Northstar NA", seller=NORTHSTAR)


def change_grant(row: Connection, **columns: Any) -> None:
    SpApiGrant._base_manager.filter(connection=row).update(**columns)


def ago(days: float) -> datetime:
    return timezone.now() - days * DAY


def gap_events() -> list[AuditEvent]:
    return list(AuditEvent._base_manager.filter(code="access_gap").order_by("pk"))


def renew(row: Connection) -> SpApiGrant:
    factories.consent(row, refresh_token="Atzr|the-next-one")
    return factories.grant_of(row)


# Always there ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["active", "doubted", "invalid", "disconnected"])
def test_reconnect_is_always_in_the_menu(row: Connection, status: str) -> None:
    token = {"refresh_token": ""} if status == "disconnected" else {}
    change_grant(row, status=status, **token)

    shown = row_of(row, Reader("acme", "en", "UTC", "act", "2026-11-23"))

    assert "Reconnect" in [str(button.label) for button in shown.menu]


def test_a_renewal_keeps_id_name_choices_and_history(
    amazon: RunningEmulator, browser: Client, row: Connection
) -> None:
    account = factories.make_account(
        row, onboarding=MarketplaceAccount.Onboarding.ONBOARDED, store_name="The store"
    )
    grant = factories.grant_of(row)
    events = set(AuditEvent._base_manager.values_list("pk", flat=True))

    ending = trips.come_back(browser, trips.confirm(trips.leave(browser, row), NORTHSTAR))

    kept = Connection.objects.for_organization(row.organization).get()
    renewed = factories.grant_of(kept)
    account.refresh_from_db()
    assert ending == "reconnected"
    assert (kept.pk, kept.name, kept.account_confirmed_at) == (
        row.pk,
        row.name,
        row.account_confirmed_at,
    )
    assert (renewed.pk, renewed.version) == (grant.pk, grant.version + 1)
    assert renewed.fingerprint != grant.fingerprint
    assert (account.onboarding, account.store_name) == ("onboarded", "The store")
    assert events <= set(AuditEvent._base_manager.values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        ({"status": 200, "body": b"{}"}, "amazon_unavailable"),
        ({"status": 200, "body": b""}, "amazon_unavailable"),
        (
            {
                "status": 200,
                "body": b'{"access_token": "Atza|x", "refresh_token": "  ",'
                b' "token_type": "bearer", "expires_in": 3600}',
            },
            "unexpected_reply",
        ),
        ({"status": 200, "body": b"<html>Sorry</html>"}, "amazon_unavailable"),
        ({"status": 400, "body": b'{"error": "invalid_grant"}'}, "code_rejected"),
        ({"status": 401, "body": b'{"error": "invalid_client"}'}, "client_misconfigured"),
        ({"status": 500, "body": b""}, "amazon_unavailable"),
        ({"drop": True}, "amazon_unavailable"),
        ({"cut_after": 20}, "amazon_unavailable"),
    ],
    ids=["empty object", "empty", "blank", "html", "refused", "client", "500", "dropped", "cut"],
)
def test_a_blank_or_failed_reply_leaves_the_old_consent_as_it_is(
    amazon: RunningEmulator, browser: Client, row: Connection, fault: dict[str, Any], ending: str
) -> None:
    callback: Callback = trips.confirm(trips.leave(browser, row), NORTHSTAR)
    amazon.faults.add(surface="lwa", times=1, **fault)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=1):
        assert trips.come_back(browser, callback) == ending


# The days without access -------------------------------------------------------------------


def test_a_renewal_in_time_has_no_gap(row: Connection) -> None:
    grant = renew(row)

    assert (grant.gap_started_at, grant.gap_ended_at) == (None, None)
    assert gap_events() == []


@pytest.mark.parametrize(
    ("columns", "days", "cause"),
    [
        ({"status": "invalid", "first_refused_at": 10, "status_changed_at": 9}, 10, "invalid"),
        ({"status": "doubted", "first_refused_at": 2, "status_changed_at": 2}, 2, "doubted"),
        # Staff asked for a new consent: nobody was refused.
        ({"status": "invalid", "status_changed_at": 3}, 3, "invalid"),
        (
            {"status": "disconnected", "status_changed_at": 6, "refresh_token": ""},
            6,
            "disconnected",
        ),
        (
            {
                "status": "disconnected",
                "first_refused_at": 20,
                "status_changed_at": 6,
                "refresh_token": "",
            },
            20,
            "disconnected",
        ),
        # The year was over, and nobody has asked Amazon since.
        ({"authorized_at": 365 + 12, "last_success_at": 30}, 12, "expired"),
        ({"authorized_at": 365 + 12, "last_success_at": None}, 12, "expired"),
        # Amazon's refusals of an ended consent begin with our next call, not with its end.
        (
            {
                "authorized_at": 365 + 12,
                "last_success_at": 13,
                "status": "invalid",
                "first_refused_at": 11,
                "status_changed_at": 10,
            },
            12,
            "expired",
        ),
    ],
    ids=[
        "revoked",
        "doubted",
        "staff",
        "disconnected",
        "revoked first",
        "year",
        "year, unused",
        "year, then refused",
    ],
)
def test_a_renewal_ends_a_gap(
    row: Connection, member: User, columns: dict[str, Any], days: int, cause: str
) -> None:
    moments = {
        name: ago(value) if isinstance(value, int) else value for name, value in columns.items()
    }
    change_grant(row, **moments)

    grant = renew(row)

    [event] = gap_events()
    assert grant.status == "active"
    assert grant.gap_ended_at == grant.authorized_at
    assert grant.gap_started_at is not None
    assert (grant.gap_ended_at - grant.gap_started_at).days == days
    assert event.details == {
        "started_at": grant.gap_started_at.isoformat(),
        "ended_at": grant.gap_ended_at.isoformat(),
        "days": days,
        "cause": cause,
    }
    assert (event.connection_id, event.subject_id) == (row.pk, grant.pk)


def test_a_consent_that_worked_beyond_its_year_has_no_gap(row: Connection) -> None:
    change_grant(row, authorized_at=ago(365 + 12), last_success_at=ago(1))

    assert renew(row).gap_started_at is None
    assert gap_events() == []


def test_a_renewal_in_time_keeps_the_gap_before_it_and_the_next_gap_takes_its_place(
    row: Connection,
) -> None:
    change_grant(row, status="invalid", status_changed_at=ago(5))
    first = renew(row)
    assert first.gap_started_at is not None

    grant = renew(row)

    assert grant.version > first.version
    assert (grant.gap_started_at, grant.gap_ended_at) == (first.gap_started_at, first.gap_ended_at)
    assert len(gap_events()) == 1

    change_grant(row, status="invalid", status_changed_at=ago(2))

    later = renew(row).gap_started_at
    assert later is not None
    assert later > first.gap_started_at
    assert len(gap_events()) == 2


def store_and_fail(row: Connection, user: User) -> None:
    with transaction.atomic():
        storing.store_spapi_grant(
            connection=row, seller=NORTHSTAR, token=Secret("Atzr|new"), actor=Actor.person(user)
        )
        raise ZeroDivisionError


def test_the_gap_is_written_with_the_consent_or_not_at_all(row: Connection, member: User) -> None:
    change_grant(row, status="invalid", status_changed_at=ago(5))
    before = factories.grant_of(row)

    with pytest.raises(ZeroDivisionError):
        store_and_fail(row, member)

    after = factories.grant_of(row)
    assert (after.version, after.status, after.gap_started_at) == (before.version, "invalid", None)
    assert gap_events() == []


def test_a_reconnect_over_the_whole_way_records_the_gap(
    amazon: RunningEmulator, browser: Client, row: Connection
) -> None:
    change_grant(row, status="invalid", first_refused_at=ago(4), status_changed_at=ago(4))

    ending = trips.come_back(browser, trips.confirm(trips.leave(browser, row), NORTHSTAR))

    [event] = gap_events()
    assert ending == "reconnected"
    assert event.details["days"] == 4
    assert (event.actor_kind, event.organization) == ("person", row.organization)
