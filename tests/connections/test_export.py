"""The list as CSV and XLSX: every cell, no formula, no secret, and the memory of one batch."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import export, export_files, list_queries
from connections.grouping_models import Client as Customer
from connections.grouping_models import Tag, Tagging
from connections.health_models import DataSetReport
from connections.listing import Chosen
from connections.models import Connection, SpApiGrant
from connections.reader import Reader
from marketplaces.models import MarketplaceAccount
from sellerlegend.organizations import limits
from sellerlegend.organizations.models import AuditEvent, Organization, Role, User
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import CANADA, US
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
GIVEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return signed_in_freshly(factories.owner_of(organization))


def url_of(organization: Organization) -> str:
    return reverse("connections_export", args=[organization.slug])


def table(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8")
    assert text.startswith("\ufeff")
    assert "\r\n" in text
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def exported(browser: Client, organization: Organization, **fields: Any) -> list[dict[str, str]]:
    return table(browser.post(url_of(organization), {"kind": "csv", **fields}))


def sheet(response: Any) -> str:
    assert response.status_code == 200
    with zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content))) as book:
        assert "xl/sharedStrings.xml" not in book.namelist()
        return book.read("xl/worksheets/sheet1.xml").decode()


def test_every_column_says_what_the_screen_knows(
    organization: Organization, browser: Client
) -> None:
    owner = factories.owner_of(organization)
    User.objects.filter(pk=owner.pk).update(name="Ada", time_zone="Europe/Berlin")
    row = factories.make_connection(organization, name="Northstar", seller="A1NORTHSTAR001")
    factories.make_account(row, US, onboarding=MarketplaceAccount.Onboarding.ONBOARDED)
    factories.make_account(row, CANADA)
    client = Customer.objects.for_organization(organization).create(name="Müller & Co")
    Connection.objects.for_organization(organization).filter(pk=row.pk).update(
        client=client, created_at=GIVEN
    )
    for name in ("toys", "priority"):
        tag = Tag.objects.for_organization(organization).create(name=name)
        Tagging.objects.for_organization(organization).create(connection=row, tag=tag)
    SpApiGrant.objects.for_organization(organization).update(
        authorized_at=GIVEN,
        verified_at=GIVEN + 2 * DAY,
        last_success_at=timezone.now(),
        last_failure_at=GIVEN + DAY,
        status_changed_at=GIVEN,
    )
    for name, days in (("orders", 5), ("finances", 4)):
        DataSetReport.objects.for_organization(organization).create(
            connection=row,
            data_set=name,
            percent=100,
            data_through=GIVEN + days * DAY,
            reported_at=GIVEN,
        )

    (found,) = exported(browser, organization)

    answered = found.pop("Last success")
    assert datetime.fromisoformat(answered).utcoffset() is not None
    assert found == {
        "Name": "Northstar",
        "Client": "Müller & Co",
        "Tags": "priority, toys",
        "Seller ID": "A1NORTHSTAR001",
        "Region": "NA",
        "Marketplaces onboarded": "United States",
        "Marketplaces not onboarded": "Canada",
        "Selling Partner": "Connected",
        "Selling Partner code": "connected",
        "Selling Partner since": "2026-03-01T13:00:00+01:00",
        "PPC": "Waiting for consent",
        "PPC code": "waiting",
        "Marketplaces with PPC": "",
        "Consent given": "2026-03-01T13:00:00+01:00",
        "Renew by": "2027-03-01T13:00:00+01:00",
        "Authorised by": "Ada",
        "Last verified": "2026-03-03T13:00:00+01:00",
        "Last failure": "2026-03-02T13:00:00+01:00",
        "Data complete up to": "2026-03-05T13:00:00+01:00",
        "Created": "2026-03-01T13:00:00+01:00",
    }


def test_a_row_that_waits_has_only_what_is_known(
    organization: Organization, browser: Client
) -> None:
    factories.make_waiting_connection(organization, name="New store")

    (found,) = exported(browser, organization)

    assert found["Selling Partner code"] == "waiting"
    assert {name for name, value in found.items() if value} == {
        "Name",
        "Region",
        "Selling Partner",
        "Selling Partner code",
        "Selling Partner since",
        "Created",
    }


def test_only_what_the_filter_shows_or_what_was_ticked(
    organization: Organization, browser: Client
) -> None:
    fine = factories.make_connection(organization, name="Fine")
    broken = factories.make_connection(organization, name="Broken")
    SpApiGrant.objects.for_organization(organization).filter(connection=broken).update(
        status="invalid"
    )
    stranger = factories.make_connection(factories.make_organization(), name="Theirs")

    all_rows = exported(browser, organization)
    narrowed = exported(browser, organization, all="1", health="revoked")
    ticked = exported(browser, organization, row=[str(fine.pk), str(stranger.pk), "no id"])

    assert [row["Name"] for row in all_rows] == ["Broken", "Fine"]
    assert [(row["Name"], row["Selling Partner code"]) for row in narrowed] == [
        ("Broken", "revoked")
    ]
    assert [row["Name"] for row in ticked] == ["Fine"]


def test_a_limited_member_exports_the_rows_in_reach_alone(
    organization: Organization, amazon: RunningEmulator
) -> None:
    """Whatever is asked for: all, a filter, ticked rows, or a row outside by its id."""
    inside = factories.make_connection(organization, name="Inside store")
    outside = factories.make_connection(organization, name="Outside store")
    member = factories.make_member(organization)
    factories.limit(member, organization, inside)
    browser = signed_in_freshly(member)
    both = [str(inside.pk), str(outside.pk)]

    asked: list[dict[str, Any]] = [{}, {"all": "1", "q": "store"}, {"row": both}]
    for fields in asked:
        assert [row["Name"] for row in exported(browser, organization, **fields)] == [
            "Inside store"
        ], fields
    events = AuditEvent.objects.for_organization(organization).filter(code="connections_exported")
    assert [event.details["rows"] for event in events] == [1, 1, 1]

    with nothing_changes(amazon, events=()):
        refused = browser.post(url_of(organization), {"kind": "csv", "row": str(outside.pk)})
    assert refused.status_code == 422
    assert "Outside store" not in refused.text
    assert events.count() == 3


def test_the_question_says_how_many_and_carries_the_choice(
    organization: Organization, browser: Client
) -> None:
    row = factories.make_connection(organization, name="Fine")
    broken = factories.make_connection(organization, name="Broken")
    SpApiGrant.objects.for_organization(organization).filter(connection=broken).update(
        status="invalid"
    )

    filtered = browser.get(url_of(organization), {"all": "1", "health": "revoked"})
    ticked = browser.get(url_of(organization), {"row": str(row.pk), "health": "revoked"})

    text = filtered.content.decode()
    assert "<strong>1 connection</strong>, 21 columns." in text
    assert "Only: Revoked, or new consent needed." in text
    assert '<input type="hidden" name="all" value="1">' in text
    assert '<input type="hidden" name="health" value="revoked">' in text
    assert "The rows that the list shows, each" in text
    assert f'<input type="hidden" name="row" value="{row.pk}">' in ticked.content.decode()
    assert "The connections that you ticked, each" in ticked.content.decode()
    assert "Only:" not in ticked.content.decode()


def test_what_was_unticked_of_all_stays_out_of_the_file(
    organization: Organization, browser: Client
) -> None:
    factories.make_connection(organization, name="Fine")
    unticked = factories.make_connection(organization, name="Unticked")
    chosen = {"all": "1", "but": str(unticked.pk)}

    asked = browser.get(url_of(organization), chosen)
    rows = exported(browser, organization, **chosen)

    assert "<strong>1 connection</strong>" in asked.text
    assert f'<input type="hidden" name="but" value="{unticked.pk}">' in asked.text
    assert [row["Name"] for row in rows] == ["Fine"]


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x","y")', "\u00a0=1", "  =cmd|' /C'!A0"],
)
def test_no_cell_starts_a_formula(name: str, organization: Organization, browser: Client) -> None:
    row = factories.make_connection(organization, name="Store")
    Connection.objects.for_organization(organization).filter(pk=row.pk).update(name=name)

    (found,) = exported(browser, organization)
    cells = sheet(browser.post(url_of(organization), {"kind": "xlsx"}))

    is_risky = name.strip(" ")[0] in "=+-@"
    assert found["Name"] == (f"'{name}" if is_risky else name)
    assert "<f>" not in cells
    assert 't="inlineStr"' in cells


@pytest.mark.parametrize("text", ["=a", "\t=a", "\r", "\n=a", " -1", "@a", "+a"])
def test_signs_that_spreadsheets_take_for_a_formula(text: str) -> None:
    assert export_files.starts_a_formula(text)
    assert not export_files.starts_a_formula(f"a{text}")


def test_a_workbook_holds_real_dates_in_the_readers_zone(
    organization: Organization, browser: Client
) -> None:
    User.objects.filter(pk=factories.owner_of(organization).pk).update(time_zone="Asia/Tokyo")
    row = factories.make_connection(organization, name="Store")
    Connection.objects.for_organization(organization).filter(pk=row.pk).update(created_at=GIVEN)

    cells = sheet(browser.post(url_of(organization), {"kind": "xlsx"}))

    # 46082 is the first of March 2026; nine in the evening of Tokyo.
    assert re.findall(r'<c r="U2" s="\d+"><v>([\d.]+)</v></c>', cells) == ["46082.875"]
    assert '<c r="A2" t="inlineStr"><is><t>Store</t></is></c>' in cells


def test_the_file_is_named_and_the_export_recorded(
    organization: Organization, browser: Client
) -> None:
    factories.make_connection(organization, name="Store")

    response = browser.post(
        url_of(organization), {"kind": "csv", "all": "1", "health": "connected", "sort": "renew_by"}
    )

    day = timezone.localdate()
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert (
        response.headers["Content-Disposition"]
        == f'attachment; filename="{organization.slug}-connections-{day:%Y-%m-%d}.csv"'
    )
    assert response.headers["Cache-Control"] == "no-store"
    event = AuditEvent._base_manager.get(code="connections_exported")
    assert event.organization_id == organization.pk
    assert event.details == {
        "rows": 1,
        "kind": "csv",
        "filter": "health=connected&sort=renew_by",
    }
    assert len(table(response)) == 1


def test_who_signed_in_long_ago_proves_it_first(
    organization: Organization, amazon: RunningEmulator
) -> None:
    factories.make_connection(organization)
    browser = signed_in_long_ago(factories.make_member(organization, Role.VIEWER))

    with nothing_changes(amazon, events=()):
        looked = browser.get(url_of(organization), {"all": "1"})
        sent = browser.post(url_of(organization), {"kind": "csv"})

    assert looked.status_code == sent.status_code == 302
    assert "reauthenticate" in sent.headers["Location"]


def test_a_viewer_takes_along_what_he_sees(organization: Organization) -> None:
    factories.make_connection(organization, name="Store")
    viewer = signed_in_freshly(factories.make_member(organization, Role.VIEWER))

    assert [row["Name"] for row in exported(viewer, organization)] == ["Store"]


def test_an_unknown_kind_and_no_rows_are_told(
    organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    with nothing_changes(amazon, events=()):
        nothing = browser.post(url_of(organization), {"kind": "csv"})
    factories.make_connection(organization)
    with nothing_changes(amazon, events=()):
        unknown = browser.post(url_of(organization), {"kind": "pdf"})

    assert nothing.status_code == unknown.status_code == 422
    assert "There is no row to export." in nothing.content.decode()
    assert "Choose a kind of file." in unknown.content.decode()


def test_exports_are_limited_for_each_person(organization: Organization, browser: Client) -> None:
    from connections.export_views import EXPORT

    factories.make_connection(organization)
    for _ in range(EXPORT.burst):
        limits.take((EXPORT, factories.owner_of(organization).pk.hex))

    assert browser.post(url_of(organization), {"kind": "csv"}).status_code == 429
    assert browser.get(url_of(organization)).status_code == 200


def many_rows(organization: Organization, count: int) -> None:
    now = timezone.now()
    rows = Connection.objects.for_organization(organization).bulk_create(
        [
            Connection(
                organization=organization,
                name=f"Store {number:05d}",
                region="NA",
                marketplace_id=US,
                selling_partner_id=f"A{number:013d}",
                account_confirmed_at=now,
            )
            for number in range(count)
        ]
    )
    SpApiGrant._base_manager.bulk_create(
        [
            SpApiGrant(
                connection=row,
                status="active",
                refresh_token="v1.x.x.x",
                authorized_at=now,
                last_success_at=now,
            )
            for row in rows
        ]
    )


def test_many_rows_come_in_order_in_pieces_and_cost_no_more_memory(
    organization: Organization, browser: Client
) -> None:
    many_rows(organization, 2_100)
    reader = Reader(organization.slug, "en", "UTC", "administer", "2026")
    ids = list(list_queries.chosen_rows(organization.pk, Chosen()).values_list("id", flat=True))

    def peak_of(count: int) -> int:
        tracemalloc.start()
        for _piece in export_files.csv_pieces(
            export.batches_of(organization.pk, ids[:count], reader)
        ):
            pass
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_of(200)  # what is prepared once
    few, many = peak_of(400), peak_of(2_100)
    response: Any = browser.post(url_of(organization), {"kind": "csv"})
    pieces = list(response.streaming_content)

    assert many < 1.5 * few
    assert len(pieces) == 1 + 11  # the header, and 200 rows each
    names = re.findall(r"Store \d{5}", b"".join(pieces).decode())
    assert names == [f"Store {number:05d}" for number in range(2_100)]


def test_what_fails_fails_before_the_first_byte(
    organization: Organization, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.make_connection(organization)
    browser.raise_request_exception = False

    def broken(*_args: Any) -> Any:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(list_queries, "marketplace_facts", broken)
    response = browser.post(url_of(organization), {"kind": "csv"})

    assert response.status_code == 500
    assert not AuditEvent._base_manager.filter(code="connections_exported").exists()
