"""What importers report: one service and one command with the same result, newest first."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import data_sets, list_queries, screen
from connections.data_sets import ReportRefused
from connections.health_models import DataSet, DataSetReport
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.reader import Reader
from connections.words import exact_day
from marketplaces.models import MarketplaceAccount
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.operators import run_command

pytestmark = pytest.mark.django_db

SELLER = "A1NORTHSTAR001"
HOUR = timedelta(hours=1)


@pytest.fixture
def row(organization: Organization) -> Connection:
    return factories.make_connection(organization, seller=SELLER)


def words(row: Connection, **changes: Any) -> dict[str, Any]:
    return {
        "organization": row.organization.slug,
        "seller_id": SELLER,
        "region": "NA",
        "data_set": "orders",
        "percent": 40,
        "reported_at": (timezone.now() - HOUR).isoformat(),
    } | changes


def take(row: Connection, **changes: Any) -> bool:
    return data_sets.report(data_sets.report_from(words(row, **changes)), actor=COMMAND)


def stored(row: Connection) -> list[dict[str, Any]]:
    reports = DataSetReport.objects.for_organization(row.organization_id)
    return list(
        reports.order_by("data_set").values(
            "connection_id", "data_set", "percent", "data_through", "delay_reason", "reported_at"
        )
    )


def events(row: Connection) -> list[dict[str, Any]]:
    found = AuditEvent.objects.for_organization(row.organization_id)
    return [event.details for event in found.filter(code="data_set_reported").order_by("pk")]


def revision(row: Connection) -> int:
    row.refresh_from_db()
    return row.revision


def page(browser: Client, row: Connection) -> str:
    url = reverse("connection_details", args=[row.organization.slug, row.pk])
    return browser.get(url).content.decode()


# The service -------------------------------------------------------------------------------


def test_a_report_is_stored_and_shows_the_row_anew(row: Connection) -> None:
    before = revision(row)
    through = timezone.now() - 2 * HOUR

    assert take(row, data_through=through.isoformat())

    (found,) = stored(row)
    assert (found["data_set"], found["percent"]) == ("orders", 40)
    assert found["data_through"] == through
    assert revision(row) > before


@pytest.mark.parametrize("age", [timedelta(0), timedelta(minutes=1), timedelta(days=2)])
def test_an_older_report_changes_nothing(row: Connection, age: timedelta) -> None:
    now = timezone.now()
    take(row, percent=80, reported_at=now.isoformat())
    before, shown = stored(row), revision(row)

    assert not take(row, percent=20, reported_at=(now - age).isoformat())

    assert stored(row) == before
    assert revision(row) == shown
    assert len(events(row)) == 1


def test_only_what_means_something_is_an_event(row: Connection) -> None:
    steps: list[tuple[int, str]] = [
        (10, ""),
        (50, ""),
        (60, "amazon_throttled"),
        (70, "amazon_throttled"),
        (80, ""),
        (100, ""),
        (100, ""),
    ]
    start = timezone.now() - 10 * HOUR
    for number, (percent, reason) in enumerate(steps):
        at = start + number * HOUR
        assert take(row, percent=percent, reason=reason, reported_at=at.isoformat())

    assert [(event["percent"], event["reason"]) for event in events(row)] == [
        (10, ""),
        (60, "amazon_throttled"),
        (80, ""),
        (100, ""),
    ]


REFUSALS = [
    ({"data_set": "weather"}, "unknown_data_set"),
    ({"percent": 101}, "percent_out_of_range"),
    ({"percent": -1}, "percent_out_of_range"),
    ({"percent": "many"}, "percent_is_no_number"),
    ({"percent": True}, "percent_is_no_number"),
    ({"percent": None}, "percent_is_no_number"),
    ({"reason": "the dog ate it"}, "unknown_reason"),
    ({"seller_id": "A1SOMEBODYELSE"}, "unknown_connection"),
    ({"seller_id": ""}, "unknown_connection"),
    ({"region": "EU"}, "unknown_connection"),
    ({"organization": "nobody"}, "unknown_connection"),
    ({"data_through": "yesterday"}, "time_is_not_iso_8601_with_offset"),
    ({"data_through": "2026-11-01T10:00:00"}, "time_is_not_iso_8601_with_offset"),
    ({"reported_at": "2026-13-01T10:00:00Z"}, "time_is_not_iso_8601_with_offset"),
    ({"reported_at": "0001-01-01T00:00:00Z"}, "time_is_before_amazon"),
    ({"data_through": "0001-01-01T00:00:00+14:00"}, "time_is_before_amazon"),
    ({"reported_at": "2099-01-01T10:00:00Z"}, "reported_in_the_future"),
    ({"data_through": "2099-01-01T10:00:00Z"}, "data_from_the_future"),
    ({"token": "x"}, "unknown_field"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSALS)
def test_what_cannot_be_right_is_refused(
    row: Connection, changes: dict[str, Any], code: str
) -> None:
    before = revision(row)

    with pytest.raises(ReportRefused) as refusal:
        take(row, **changes)

    assert refusal.value.code == code
    assert (stored(row), events(row), revision(row)) == ([], [], before)


def test_a_row_of_another_organization_is_not_found_under_this_one(row: Connection) -> None:
    other = factories.make_organization("Other")

    with pytest.raises(ReportRefused, match="unknown_connection"):
        take(row, organization=other.slug)

    assert stored(row) == []


# The command -------------------------------------------------------------------------------


def options(fields: dict[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in fields.items()]


def send(monkeypatch: pytest.MonkeyPatch, *lines: str) -> Any:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    return run_command("report_data_set", "--stdin", "--json")


def test_the_command_does_what_the_service_does(
    row: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = words(row, data_through=(timezone.now() - HOUR).isoformat(), reason="backlog")
    take(row, **fields)
    by_service, told = stored(row), events(row)

    results = []
    for entrance in ("options", "stdin"):
        DataSetReport.objects.for_organization(row.organization_id).delete()
        known = len(events(row))
        run = (
            run_command("report_data_set", *options(fields))
            if entrance == "options"
            else send(monkeypatch, json.dumps(fields))
        )
        results.append((run.code, stored(row), events(row)[known:]))

    assert results == [(0, by_service, told)] * 2


@pytest.mark.parametrize(("changes", "code"), REFUSALS)
def test_the_command_refuses_a_line_and_takes_the_others(
    row: Connection, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], code: str
) -> None:
    good = words(row, data_set="ads")

    run = send(monkeypatch, json.dumps(words(row, **changes)), "", json.dumps(good))

    assert run.code == 3
    assert [(line["outcome"], line["reason"]) for line in run.objects] == [
        ("failed", code),
        ("done", ""),
    ]
    assert [report["data_set"] for report in stored(row)] == ["ads"]


@pytest.mark.parametrize("line", ["not json", "[]", "12", '{"a":'])
def test_a_line_that_is_no_object_fails_alone(
    row: Connection, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    run = send(monkeypatch, line, json.dumps(words(row)))

    assert run.code == 3
    assert [entry["reason"] for entry in run.objects] == ["not_a_json_object", ""]
    assert len(stored(row)) == 1


def test_an_older_report_is_done_and_says_so(
    row: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = words(row, percent=90, reported_at=timezone.now().isoformat())

    run = send(monkeypatch, json.dumps(newer), json.dumps(words(row)))

    assert run.code == 0
    assert [entry["reason"] for entry in run.objects] == ["", "older_than_known"]
    assert stored(row)[0]["percent"] == 90


def test_a_dry_run_stores_nothing(row: Connection) -> None:
    run = run_command("report_data_set", "--dry-run", *options(words(row)))

    assert run.code == 0
    assert stored(row) == []


def test_what_is_missing_is_named(row: Connection) -> None:
    run = run_command("report_data_set", "--region", "NA", "--percent", 0)

    assert run.code == 2
    assert "--organization, --seller-id, --data-set" in run.err


def test_zero_percent_is_a_report(row: Connection) -> None:
    run = run_command("report_data_set", *options(words(row, percent=0)))

    assert run.code == 0
    assert stored(row)[0]["percent"] == 0


# The details -------------------------------------------------------------------------------


def test_the_details_say_when_nobody_reports(row: Connection, browser: Client) -> None:
    text = page(browser, row)

    assert text.count("Nobody reports about this data set yet.") == len(DataSet)


def test_the_details_show_percent_stamp_and_reason(row: Connection, browser: Client) -> None:
    through = (timezone.now() - 9 * HOUR).isoformat()
    take(row, percent=70, data_through=through, reason="amazon_throttled")

    text = page(browser, row)

    assert "70% imported, complete up to" in text
    assert "Delayed" in text
    assert "Amazon asks us to slow down; we continue by ourselves." in text
    assert text.count("Nobody reports about this data set yet.") == len(DataSet) - 1


@pytest.mark.parametrize("data_set", list(DataSet))
def test_data_that_is_late_is_shown_so_beyond_its_limit(row: Connection, data_set: DataSet) -> None:
    limit = data_sets.LATE_AFTER[data_set]

    def is_late(age: timedelta) -> bool:
        report = DataSetReport(data_set=data_set, percent=100, data_through=ago(age))
        return data_sets.is_late(report)

    assert [is_late(limit - HOUR), is_late(limit + HOUR)] == [False, True]


def ago(age: timedelta) -> datetime:
    return timezone.now() - age


def test_late_data_without_a_reason_says_that_there_is_none(
    row: Connection, browser: Client
) -> None:
    take(row, percent=100, data_through=ago(30 * HOUR).isoformat())

    assert "The import gave no reason for the delay." in page(browser, row)


def test_what_is_complete_and_in_time_has_no_reason_to_be_late(
    row: Connection, browser: Client
) -> None:
    now = timezone.now().isoformat()
    take(row, percent=99, data_through=now, reason="backlog")
    before = page(browser, row)
    take(row, percent=100, data_through=now, reason="backlog")

    reason = str(data_sets.DELAYS["backlog"])
    assert reason in before
    assert reason not in page(browser, row)


def test_an_importer_that_fell_silent_is_late(row: Connection) -> None:
    def report(age: timedelta) -> DataSetReport:
        return DataSetReport(data_set=DataSet.ORDERS, percent=40, reported_at=ago(age))

    assert not data_sets.is_late(report(HOUR))
    assert data_sets.is_late(report(60 * 24 * HOUR))


# The row -----------------------------------------------------------------------------------


def listed(browser: Client, row: Connection) -> str:
    url = reverse("account_connections", args=[row.organization.slug])
    return " ".join(browser.get(url).text.split())


@pytest.fixture
def flowing(row: Connection) -> Connection:
    """Both consents work, and PPC is linked."""
    grant = factories.make_ads_grant(row.organization)
    factories.put_to_use(grant, row)
    for model in (SpApiGrant, AdsGrant):
        model._base_manager.update(last_success_at=timezone.now())
    return row


YEAR_AGO: dict[str, Any] = {"percent": 100, "data_through": "2025-01-01T00:00:00Z"}


def test_a_green_row_says_which_data_comes_late(flowing: Connection, browser: Client) -> None:
    """The consent works, and that is all that its word says."""
    assert "Delayed" not in listed(browser, flowing)
    take(flowing, **YEAR_AGO)
    newer = (timezone.now() - timedelta(days=30)).isoformat()
    take(flowing, data_set="finances", percent=100, data_through=newer)
    take(flowing, data_set="listings", percent=100, data_through=timezone.now().isoformat())
    take(flowing, data_set="ads", percent=50, reason="backlog")

    page = listed(browser, flowing)

    assert "<span>Connected</span>" in page
    day = exact_day(datetime(2025, 1, 1, tzinfo=UTC))
    assert f"Delayed since {day}: Orders and Finances. The details say more." in page
    assert "Delayed: Amazon Ads. The details say more." in page


def test_late_data_is_said_beside_a_marketplace_that_was_joined(
    flowing: Connection, browser: Client
) -> None:
    take(flowing, **YEAR_AGO)
    account = MarketplaceAccount._base_manager.filter(connection=flowing)[0]
    account.onboarding = MarketplaceAccount.Onboarding.PENDING
    account.joined_at = timezone.now()
    account.save()

    page = listed(browser, flowing)

    day = exact_day(datetime(2025, 1, 1, tzinfo=UTC))
    assert "Press Continue to start onboarding. Delayed since " + day in page


def test_what_stops_the_data_is_said_alone(flowing: Connection, browser: Client) -> None:
    take(flowing, **YEAR_AGO)
    take(flowing, data_set="ads", **YEAR_AGO)
    assert "Delayed" in listed(browser, flowing)
    for model in (SpApiGrant, AdsGrant):
        model._base_manager.update(status="invalid", last_error_code="invalid_grant")
    take(flowing, data_set="finances", **YEAR_AGO)  # the row is shown anew

    page = listed(browser, flowing)

    assert "Amazon no longer accepts your consent" in page
    assert "Delayed" not in page


def test_no_importer_costs_no_query(
    flowing: Connection, browser: Client, django_assert_num_queries: Any
) -> None:
    facts = list_queries.some_facts(flowing.organization_id, [flowing.pk])
    reader = Reader("acme", "en", "UTC", "administer", "2026-11-23")
    screen.compose_rows(facts, reader=reader)
    with django_assert_num_queries(1):
        screen.compose_rows(facts, reader=reader)
    take(flowing, **YEAR_AGO)
    facts = list_queries.some_facts(flowing.organization_id, [flowing.pk])
    with django_assert_num_queries(2):
        screen.compose_rows(facts, reader=reader)
