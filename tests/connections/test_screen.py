from __future__ import annotations

import html
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.core.cache import caches
from django.db import connection as database
from django.template.loader import get_template
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, Settings

from connections import list_queries, revisions, screen, services
from connections.list_address import page_of
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.reader import Reader, present_hour
from connections.row_html import rendered_rows, storage_keys
from connections.rows import ConnectionRow
from connections.verification import SOON
from connections.words import Button, Cell, Sign
from marketplaces import services as marketplace_services
from marketplaces.models import Marketplace, MarketplaceAccount
from sellerlegend.amazon.regions import MARKETPLACES
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Organization, Role, User
from tests import factories, trips
from tests.factories import BRAZIL, CANADA, GERMANY, JAPAN, MEXICO, UK, US

pytestmark = pytest.mark.django_db

ADMIN = Reader("acme", "en", "UTC", "administer", "2026-11-23")
NOW = timezone.now()


@pytest.fixture(autouse=True)
def clock_of_the_module() -> Iterator[None]:
    """The words are computed from NOW, which a long run leaves behind."""
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.owner_of(organization))


def rows_of(organization: Organization, reader: Reader = ADMIN) -> list[ConnectionRow]:
    facts = list_queries.page_facts(organization.pk, 1)
    return screen.compose_rows(facts, reader=reader)


def row_of(connection: Connection, reader: Reader = ADMIN) -> ConnectionRow:
    facts = list_queries.some_facts(connection.organization_id, [connection.pk])
    return screen.compose_rows(facts, reader=reader)[0]


def change(connection: Connection, **columns: Any) -> None:
    """A fact of the past, written behind the services' back."""
    rows = Connection.objects.for_organization(connection.organization_id)
    rows.filter(pk=connection.pk).update(**columns)


def change_grant(connection: Connection, **columns: Any) -> None:
    grants = SpApiGrant.objects.for_organization(connection.organization_id)
    grants.filter(connection=connection).update(**columns)


def many_connections(organization: Organization, number: int) -> list[Connection]:
    """Rows with two marketplaces each, without the services' time."""
    rows = Connection.objects.for_organization(organization).bulk_create(
        [
            Connection(
                organization=organization,
                name=f"Store {place:03d}",
                region="NA",
                marketplace_id=US,
                selling_partner_id=f"AMANY{place:04d}",
                account_confirmed_at=NOW,
            )
            for place in range(number)
        ]
    )
    MarketplaceAccount.objects.for_organization(organization).bulk_create(
        [
            MarketplaceAccount(
                organization=organization,
                connection=row,
                marketplace_id=marketplace_id,
                is_participating=True,
            )
            for row in rows
            for marketplace_id in (US, CANADA)
        ]
    )
    return rows


def page_url(organization: Organization) -> str:
    return reverse("account_connections", args=[organization.slug])


def changes_url(organization: Organization, since: object) -> str:
    url = reverse("connection_changes", args=[organization.slug])
    return f"{url}?since={since}"


def revision_of(organization: Organization) -> int:
    organization.refresh_from_db()
    return organization.revision


def words_of(markup: str) -> str:
    """What a reader sees, hidden words included."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def shown_ids(page: Any) -> list[UUID]:
    found = re.findall(r'<tbody[^>]* id="connection-([0-9a-f-]{36})"', page.content.decode())
    return [uuid.UUID(value) for value in found]


def labels(buttons: tuple[Button, ...]) -> list[str]:
    return [button.label for button in buttons]


def lines_of(cell: Cell) -> list[tuple[str, str, bool]]:
    return [(line.name, line.sign.word, line.is_done) for line in cell.lines]


# States and their words --------------------------------------------------------------------


def test_a_row_without_consent_waits_and_offers_two_ways(organization: Organization) -> None:
    factories.make_waiting_connection(organization, name="New shop", marketplace_id=JAPAN)

    [row] = rows_of(organization)

    assert (row.name, row.selling_partner_id) == ("New shop", "")
    assert (row.region_name, row.region) == ("Far East", "FE")
    assert (row.authorized, row.consent_ends, row.mws) == ("", "", "")
    assert row.spapi.sign is not None
    assert row.spapi.sign.word == "Waiting for consent"
    assert row.spapi.button is not None
    assert row.spapi.button.label == "Resume"
    assert row.ppc == Cell(sign=None, lines=(), progress="", button=None)
    assert row.spapi.lines == ()
    assert labels(row.menu) == [
        "Ask the client by link",
        "Remove",
        "Tags and client",
        "Timeline",
        "Rename",
    ]
    assert not row.is_moving
    assert not row.asks_for_you


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, ("United States", "Pending", False)),
        ({"onboarding": "working"}, ("United States", "Working", False)),
        ({"onboarding": "onboarded"}, ("United States", "Onboarded", True)),
        ({"onboarding": "paused"}, ("United States", "Paused", False)),
        (
            {"onboarding": "needs_attention", "attention_reason": "not_listed"},
            ("United States", "Needs you", False),
        ),
    ],
)
def test_each_marketplace_says_its_state_in_a_word(
    organization: Organization, columns: dict[str, Any], words: tuple[str, str, bool]
) -> None:
    connection = factories.make_connection(organization)
    factories.make_account(connection, US, **columns)

    cell = row_of(connection).spapi

    assert lines_of(cell) == [words]


def test_a_marketplace_that_staff_switched_off_says_so(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    factories.make_account(connection, BRAZIL)
    Marketplace.objects.filter(pk=BRAZIL).update(is_supported=False)

    row = row_of(connection)

    assert lines_of(row.spapi) == [("Brazil", "Not supported yet", False)]
    assert row.spapi.sign is None
    assert row.spapi.button is None
    assert row.ppc.lines == ()


def test_stores_outside_amazon_stay_out_of_the_cells(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    account = factories.make_account(connection, US)
    MarketplaceAccount.objects.for_organization(organization).filter(pk=account.pk).update(
        marketplace_id="ANOTAMAZON00001"
    )

    assert row_of(connection).spapi.lines == ()


def test_marketplaces_stand_by_name(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    for marketplace_id in (US, MEXICO, CANADA, BRAZIL):
        factories.make_account(connection, marketplace_id)

    names = [line.name for line in row_of(connection).spapi.lines]

    assert names == ["Brazil", "Canada", "Mexico", "United States"]


@pytest.mark.parametrize(
    ("states", "sign", "progress", "button"),
    [
        (["pending", "pending"], "Pending", "0 of 2", "Continue"),
        (["onboarded", "pending"], "Pending", "1 of 2", "Continue"),
        (["onboarded", "working"], "Working", "1 of 2", None),
        (["onboarded", "onboarded"], "Started", "", None),
        (["onboarded", "paused"], "Started", "", None),
    ],
)
def test_the_cell_sums_its_marketplaces_up(
    organization: Organization, states: list[str], sign: str, progress: str, button: str | None
) -> None:
    connection = factories.make_connection(organization)
    for marketplace_id, state in zip((US, CANADA), states, strict=True):
        factories.make_account(connection, marketplace_id, onboarding=state)

    cell = row_of(connection).spapi

    assert cell.sign is not None
    assert cell.sign.word == sign
    assert cell.progress == progress
    assert (cell.button.label if cell.button else None) == button


def test_a_refused_marketplace_leads_before_one_at_work(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    factories.make_account(connection, US, onboarding="working")
    factories.make_account(
        connection, CANADA, onboarding="needs_attention", attention_reason="not_listed"
    )

    cell = row_of(connection).spapi

    assert cell.sign is not None
    assert cell.sign.word == "Needs you"


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        (None, "Pending"),
        ({}, "Pending"),
        ({"status": "working"}, "Working"),
        ({"status": "unlinked"}, "Unlinked"),
        ({"status": "needs_attention", "attention_reason": "ads_vendor_only"}, "Needs you"),
        ({"status": "needs_attention", "attention_reason": "ads_no_profile"}, "No Ads profile"),
    ],
)
def test_each_ppc_link_says_its_state_in_a_word(
    organization: Organization, columns: dict[str, Any] | None, word: str
) -> None:
    connection = factories.make_connection(organization)
    account = factories.make_account(connection, US)
    if columns is not None:
        factories.make_link(account, **columns)

    assert lines_of(row_of(connection).ppc) == [("United States", word, False)]


def test_ppc_is_connected_when_every_profile_is_linked(organization: Organization) -> None:
    connection = factories.make_connection(organization, seller="AACMESELLER1")
    grant = factories.make_ads_grant(organization)
    profile = factories.make_profile(grant, seller="AACMESELLER1")
    factories.make_link(factories.make_account(connection, US), profile)
    factories.make_link(
        factories.make_account(connection, CANADA),
        status="needs_attention",
        attention_reason="ads_no_profile",
    )

    cell = row_of(connection).ppc

    assert cell.sign is not None
    assert cell.sign.word == "Connected"
    assert lines_of(cell) == [
        ("Canada", "No Ads profile", False),
        ("United States", "Connected", True),
    ]


def test_what_waits_says_for_whom_and_until_when(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    account = factories.make_account(connection, US, onboarding="working")
    due = timezone.now().replace(hour=10, minute=42)
    for subject, reason in ((account, "amazon_unavailable"), (connection, "client_misconfigured")):
        Job.objects.for_organization(organization).create(
            kind=f"test.{reason}",
            subject_id=subject.pk,
            status=Job.Status.WAITING,
            waiting_reason=reason,
            next_attempt_at=due,
        )

    row = row_of(connection)

    assert lines_of(row.spapi) == [
        ("United States", "Waiting for Amazon, next try 10:42 AM", False)
    ]
    assert row.spapi.note == "Waiting for us, next try 10:42 AM"
    assert row.is_moving


def test_reading_the_marketplaces_is_said_and_moves(
    organization: Organization,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    connection = factories.make_connection(organization)
    marketplace_services.begin_reading(connection=connection)

    row = row_of(connection)

    assert row.spapi.note == "Reading the marketplaces from Amazon…"
    assert row.is_moving


@pytest.mark.parametrize(
    ("age", "sign"), [(10, None), (305, "Expiring"), (364, "Expiring"), (366, "Renewal overdue")]
)
def test_the_end_of_the_consent_is_told_in_time(
    organization: Organization, age: int, sign: str | None
) -> None:
    connection = factories.make_connection(organization)
    given = timezone.now() - timedelta(days=age)
    change_grant(connection, authorized_at=given, last_success_at=given)
    end = date_format(given + timedelta(days=365), "DATE_FORMAT")
    words = {
        10: f"Consent ends in 355 days, on {end}",
        305: f"Consent ends in 60 days, on {end}",
        364: f"Consent ends in 1 day, on {end}",
        366: f"Renewal was due on {end}",
    }

    row = row_of(connection)

    assert row.consent_ends == words[age]
    assert (row.consent_sign.word if row.consent_sign else None) == sign


def test_a_row_says_who_authorised_it_and_when(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    owner = factories.owner_of(organization)
    User.objects.filter(pk=owner.pk).update(name="Ada Benson")
    day = date_format(timezone.now(), "DATE_FORMAT")

    assert row_of(connection).authorized == f"Authorised by Ada Benson on {day}"


def test_a_row_survives_the_person_who_authorised_it(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    change_grant(connection, authorized_by=None)

    assert row_of(connection).authorized.startswith("Authorised by a deleted login on ")


def test_an_mws_token_is_masked_and_dated(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    change(connection, mws_auth_token_tail="9f3c", mws_auth_token_updated_at=timezone.now())
    day = date_format(timezone.now(), "DATE_FORMAT")

    page = words_of(browser.get(page_url(organization)).content.decode())

    assert f"amzn.mws.…9f3c Updated on {day}" in page
    assert "Amazon no longer issues it" not in page


def test_without_an_mws_token_the_cell_says_why(
    organization: Organization, browser: Client
) -> None:
    factories.make_connection(organization)

    page = words_of(browser.get(page_url(organization)).content.decode())

    assert "Amazon no longer issues it (ended April 2024)" in page


def test_a_fresh_consent_asks_whether_the_store_is_right(organization: Organization) -> None:
    connection = factories.make_connection(organization, seller="ASELLER1", confirmed=False)
    assert row_of(connection).question == "Connected Seller ID ASELLER1. Is this right?"
    factories.make_account(connection, US, store_name="Acme US")
    factories.make_account(connection, CANADA, store_name="Acme")

    row = row_of(connection)

    assert row.question == "Connected Acme, Acme US, Seller ID ASELLER1. Is this right?"
    assert labels(row.question_buttons) == ["Yes, keep it", "No, undo"]
    assert row.asks_for_you


def test_a_seller_that_stays_unproved_is_not_called_connected(organization: Organization) -> None:
    """The call that names the Seller ID came within minutes, and proved nothing."""
    connection = factories.make_connection(organization, seller="ASELLER1", confirmed=False)
    grants = SpApiGrant.objects.for_organization(organization)
    grants.update(authorized_at=timezone.now() - 2 * SOON - timedelta(seconds=1))
    claim = "Amazon has not confirmed the Seller ID ASELLER1 yet. Is this right?"
    assert row_of(connection).question == f"Connected. {claim}"
    factories.make_account(connection, US, store_name="Acme US")
    assert row_of(connection).question == f"Connected Acme US. {claim}"

    change(connection, seller_proved_at=timezone.now())

    assert row_of(connection).question == "Connected Acme US, Seller ID ASELLER1. Is this right?"


@pytest.mark.parametrize(
    ("grant", "row_columns", "title", "button"),
    [
        ({"status": "doubted"}, {}, "Amazon refused your consent, and we ask again", ""),
        ({"status": "invalid"}, {}, "Amazon no longer accepts your consent", "Reconnect"),
        (
            {"status": "disconnected", "refresh_token": ""},
            {},
            "Disconnected",
            "Reconnect",
        ),
        (
            {},
            {"reading_error": "unexpected_reply"},
            "Amazon answered in a way we do not understand",
            "Retry",
        ),
        ({}, {"reading_error": "permission_missing"}, "A permission is missing", "Reconnect"),
    ],
)
def test_what_stops_a_whole_row_has_a_title_and_one_next_step(
    organization: Organization,
    grant: dict[str, str],
    row_columns: dict[str, str],
    title: str,
    button: str,
) -> None:
    connection = factories.make_connection(organization)
    if grant:
        change_grant(connection, **grant)
    if row_columns:
        change(connection, **row_columns)

    row = row_of(connection)

    assert row.trouble is not None
    assert str(row.trouble.title) == title
    # What mends itself has no button.
    assert labels(row.trouble_buttons) == ([button] if button else [])


# Readers -----------------------------------------------------------------------------------


def test_rows_of_one_seller_stay_together_over_the_end_of_a_page(
    organization: Organization,
) -> None:
    for name, place in (("Zebra", US), ("Alpaca", GERMANY), ("Bee", JAPAN)):
        factories.make_connection(organization, name=name, marketplace_id=place, seller="AONE")
    factories.make_connection(organization, name="Bear", seller="ATWO")

    pages = [list_queries.page_facts(organization.pk, number, size=2) for number in (1, 2)]

    names = [[fact["name"] for fact in page] for page in pages]
    assert names == [["Zebra", "Alpaca"], ["Bee", "Bear"]]
    assert {fact["total"] for page in pages for fact in page} == {4}


@pytest.mark.parametrize(
    ("trouble", "is_asked", "leads"),
    [
        ({}, False, "Continue"),
        ({"status": "invalid"}, False, "Reconnect"),
        ({"status": "invalid"}, True, "Yes, keep it"),
    ],
)
def test_one_button_of_a_row_stands_out(
    organization: Organization, trouble: dict[str, str], is_asked: bool, leads: str
) -> None:
    connection = factories.make_connection(organization, name="Shop", confirmed=not is_asked)
    factories.make_account(connection, US)
    if trouble:
        change_grant(connection, **trouble)
    person = trips.sign_in(factories.make_member(organization, Role.ADMIN))

    page = person.get(page_url(organization)).content.decode()

    markup = page[page.index("<tbody") : page.index("</tbody>")]
    assert re.findall(r'button--primary"[^>]*>([^<]+)', markup) == [leads]


def test_marketplaces_in_one_state_share_a_line_and_what_needs_somebody_leads(
    organization: Organization,
) -> None:
    connection = factories.make_connection(organization)
    for place in (CANADA, MEXICO):
        factories.make_account(connection, place, onboarding="onboarded")
    factories.make_account(
        connection, US, onboarding="needs_attention", attention_reason="access_denied"
    )
    factories.make_account(connection, BRAZIL, is_participating=False)
    person = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    page = person.get(page_url(organization)).content.decode()

    cell = page[page.index('data-label="Selling Partner"') : page.index('data-label="PPC"')]
    assert [words_of(line) for line in re.findall(r'<li class="marketplaces .*?</li>', cell)] == [
        "United States Needs you",
        "Canada, Mexico Onboarded",
        "Brazil Not participating",
    ]
    assert re.findall(r"<strong[^>]*>([^<]+)", cell) == ["Canada, Mexico"]


def test_the_state_and_its_day_are_each_said_once(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    given = timezone.now() - timedelta(days=355)
    change_grant(connection, authorized_at=given, last_success_at=timezone.now())
    person = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    page = person.get(page_url(organization)).content.decode()

    row = words_of(page[page.index("<tbody") : page.index("</tbody>")])
    end = date_format(given + timedelta(days=365), "DATE_FORMAT")
    assert row.count("Expiring") == 1
    assert re.findall(r"Consent ends in 10 days, on|ends in 10 days", row) == [
        "Consent ends in 10 days, on"
    ]
    assert row.count(end) == 1


@pytest.mark.parametrize(
    ("role", "rights", "menu"),
    [
        (Role.VIEWER, "read", ["Timeline"]),
        (
            Role.MEMBER,
            "act",
            [
                "Reconnect",
                "Ask the client by link",
                "Connect another region",
                "Check now",
                "Tags and client",
                "Timeline",
            ],
        ),
        (
            Role.ADMIN,
            "administer",
            [
                "Reconnect",
                "Ask the client by link",
                "Connect another region",
                "Check now",
                "Tags and client",
                "Timeline",
                "Rename",
                "Disconnect",
            ],
        ),
    ],
)
def test_a_role_sees_the_buttons_it_may_press(
    organization: Organization, role: Role, rights: str, menu: list[str]
) -> None:
    connection = factories.make_connection(organization, name="Shop", confirmed=False)
    factories.make_account(connection, US)
    change_grant(connection, status="invalid")
    person = trips.sign_in(factories.make_member(organization, role))

    row = row_of(connection, Reader("acme", "en", "UTC", rights, "2026-11-23"))
    page = person.get(page_url(organization)).content.decode()

    assert labels(row.menu) == menu
    markup = page[page.index("<tbody") : page.index("</tbody>")]
    pressable = re.findall(r'<(?:a|button) [^>]*class="(?:button|menu__item)[^>]*>([^<]+)', markup)
    question = [] if rights == "read" else ["Yes, keep it", "No, undo", "Reconnect"]
    cells = [] if rights == "read" else ["Continue"]  # of PPC
    assert pressable == [*menu, *question, *cells]
    assert ("Add New Connection" in page) == (rights != "read")


@pytest.mark.parametrize("others", [False, True])
def test_a_marketplace_that_the_seller_left_has_no_green_word(
    organization: Organization, others: bool
) -> None:
    connection = factories.make_connection(organization)
    grant = factories.make_ads_grant(organization)
    AdsGrant.objects.for_organization(organization).update(last_success_at=timezone.now())
    profile = factories.make_profile(grant, seller=connection.selling_partner_id or "")
    places = [US, factories.CANADA] if others else [US]
    accounts = [
        factories.make_account(connection, place, onboarding="onboarded") for place in places
    ]
    for account in accounts:
        factories.make_link(account, profile)
    before = row_of(connection)
    type(accounts[0])._base_manager.filter(pk=accounts[0].pk).update(
        is_participating=False, lost_at=timezone.now()
    )

    row = row_of(connection)

    assert before.ppc.sign == Sign("Connected", "check-circle", "success")
    word = "Connected" if others else "Linked"
    assert row.ppc.sign is not None
    assert row.ppc.sign.word == word
    ppc = {line.code: line.sign for line in row.ppc.lines}
    spapi = {line.code: (line.sign, line.note) for line in row.spapi.lines}
    assert ppc["US"] == Sign("Linked", "link", "neutral")
    assert spapi["US"] == (Sign("Onboarded", "minus", "neutral"), "no longer participating")
    if others:
        assert ppc["CA"] == Sign("Connected", "check-circle", "success")
        assert spapi["CA"] == (Sign("Onboarded", "check-circle", "success"), "")


NO_MARKETPLACE = "Amazon lists no active marketplace for this seller in this region."


@pytest.mark.parametrize(
    ("grant", "note"),
    [
        ({}, f"{NO_MARKETPLACE} Check the account in Seller Central, then check again."),
        ({"authorized_at": timezone.now() - timedelta(days=330)}, NO_MARKETPLACE),
        ({"status": "invalid", "last_error_code": "reconnect_required"}, ""),
        ({"status": "invalid", "last_error_code": "invalid_grant"}, ""),
    ],
)
def test_a_row_without_a_marketplace_has_one_next_step(
    organization: Organization, grant: dict[str, Any], note: str
) -> None:
    """Where the consent itself has one, that is it."""
    connection = factories.make_connection(organization)
    change(connection, participations_read_at=timezone.now())
    change_grant(connection, last_success_at=timezone.now(), **grant)

    assert row_of(connection).spapi.note == note


@pytest.mark.parametrize(
    ("status", "label", "continues"), [("active", "Retry", True), ("invalid", "Reconnect", False)]
)
def test_nothing_is_begun_on_a_consent_that_does_not_work(
    organization: Organization, status: str, label: str, continues: bool
) -> None:
    connection = factories.make_connection(organization)
    account = factories.make_account(
        connection, US, onboarding="needs_attention", attention_reason="gave_up"
    )
    change_grant(connection, status=status)
    member = trips.sign_in(factories.make_member(organization))
    begin = reverse("marketplaces_onboard", args=[organization.slug, connection.pk])
    again = reverse("marketplaces_retry", args=[organization.slug, connection.pk, account.pk])

    details = member.get(
        reverse("connection_details", args=[organization.slug, connection.pk])
    ).text
    page = member.get(page_url(organization)).text
    told = member.post(again, follow=True).text

    assert (again in details) == (label == "Retry")
    assert (begin in page) == continues
    assert ("No consent that works: reconnect the account first" in told) != continues
    account.refresh_from_db()
    assert account.onboarding == ("working" if continues else "needs_attention")


def test_a_viewer_of_no_rows_is_told_who_can_add_one(organization: Organization) -> None:
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    page = words_of(viewer.get(page_url(organization)).content.decode())

    assert "No account is connected yet Your role here is to look." in page
    assert "Add New Connection" not in page


def test_an_empty_list_says_what_to_do(organization: Organization, browser: Client) -> None:
    page = words_of(browser.get(page_url(organization)).content.decode())

    assert "Connect your first Amazon account Give it a name, choose a marketplace" in page


def test_the_names_of_a_row_are_text_and_never_markup(
    organization: Organization, browser: Client
) -> None:
    factories.make_connection(organization, name="<b>O'Hara & Söhne</b>")

    page = browser.get(page_url(organization)).content.decode()

    assert "<b>O" not in page
    # The box, the name, the menu, the fold; a row without marketplaces has no other buttons.
    assert page.count("&lt;b&gt;O&#x27;Hara &amp; Söhne&lt;/b&gt;") == 5


def test_what_rows_share_carries_the_id_and_name_of_its_own_row(
    organization: Organization, browser: Client
) -> None:
    rows = [factories.make_connection(organization, name=name) for name in ("One", "Two")]

    page = browser.get(page_url(organization)).content.decode()

    for row, other in (rows, rows[::-1]):
        markup = page[page.index(f'id="connection-{row.pk}"') :]
        markup = markup[: markup.index("</tbody>")]
        assert str(other.pk) not in markup
        assert f" {other.name} " not in words_of(markup)
        assert f'id="menu-{row.pk}"' in markup
        assert f'id="details-{row.pk}"' in markup
        assert "00000000-0000-0000-0000" not in markup


def test_a_row_shows_its_moments_in_the_readers_time_zone(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    change_grant(connection, authorized_at=timezone.now().replace(hour=23, minute=30))
    tomorrow = timezone.now() + timedelta(days=1)

    with timezone.override("Asia/Tokyo"):
        row = row_of(connection)

    assert row.authorized.endswith(date_format(tomorrow, "DATE_FORMAT", use_l10n=True))


# Order and pages ---------------------------------------------------------------------------


def test_rows_stand_by_name_then_by_region_and_one_seller_together(
    organization: Organization,
) -> None:
    for name, marketplace_id, seller in (
        ("Zebra Japan", JAPAN, "AZEBRA1"),
        ("banana", US, "ABANANA1"),
        ("Apple Europe", UK, "AZEBRA1"),
        ("Cherry", US, "ACHERRY1"),
        ("apple", US, "AAPPLE1"),
        ("Zebra America", CANADA, "AZEBRA1"),
    ):
        factories.make_connection(
            organization, name=name, marketplace_id=marketplace_id, seller=seller
        )
    factories.make_waiting_connection(organization, name="Blueberry", marketplace_id=GERMANY)

    names = [row.name for row in rows_of(organization)]

    assert names == [
        "apple",
        "Zebra America",
        "Apple Europe",
        "Zebra Japan",
        "banana",
        "Blueberry",
        "Cherry",
    ]


def test_a_page_holds_twenty_five_rows(organization: Organization, browser: Client) -> None:
    rows = many_connections(organization, 60)
    expected = [row.pk for row in sorted(rows, key=lambda row: row.name)]

    pages = [browser.get(f"{page_url(organization)}?page={number}") for number in (1, 2, 3)]

    assert [shown_ids(page) for page in pages] == [expected[:25], expected[25:50], expected[50:]]
    assert "26–50 of 60" in words_of(pages[1].content.decode())


@pytest.mark.parametrize("number", ["0", "-1", "99", "x", "", "9" * 30, "١"])
def test_a_page_that_is_not_there_is_the_first(
    organization: Organization, browser: Client, number: str
) -> None:
    many_connections(organization, 26)

    page = browser.get(page_url(organization), {"page": number})

    assert page.status_code == 200
    assert len(shown_ids(page)) == 25


def test_another_organization_sees_none_of_it(organization: Organization) -> None:
    factories.make_connection(organization, name="Secret shop")
    other = factories.make_organization()
    stranger = trips.sign_in(factories.owner_of(other))

    own = stranger.get(page_url(other)).content.decode()
    foreign = stranger.get(page_url(organization))

    assert "Secret shop" not in own
    assert foreign.status_code == 404


# Queries -----------------------------------------------------------------------------------

# Session, person, membership, connections, the open reconnect queue, the switcher's organizations.
WARM_QUERIES = 6


class Queries(CaptureQueriesContext):
    """What was asked of our own tables. The embedded cache is a table too, and not counted."""

    def __init__(self) -> None:
        super().__init__(database)

    def __len__(self) -> int:
        sent = [query["sql"] for query in self.captured_queries]
        control = ("SAVEPOINT", "RELEASE")
        return sum("embedded_cache" not in sql and not sql.startswith(control) for sql in sent)


def stored_keys(organization: Organization) -> list[str]:
    reader = Reader(organization.slug, "en", "UTC", "administer", present_hour())
    return storage_keys(list_queries.page_facts(organization.pk, 1), reader)


@pytest.mark.parametrize("rows", [1, 200])
def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(
    organization: Organization,
    browser: Client,
    rows: int,
) -> None:
    many_connections(organization, rows)
    browser.get(page_url(organization))  # remembers the organization for the person
    caches["default"].delete_many(stored_keys(organization))

    with Queries() as cold_queries:
        cold = browser.get(page_url(organization))
    with Queries() as warm_queries:
        warm = browser.get(page_url(organization))

    # What is not stored asks for the marketplaces.
    assert (len(cold_queries), len(warm_queries)) == (WARM_QUERIES + 1, WARM_QUERIES)
    assert len(shown_ids(cold)) == min(rows, 25)
    assert shown_ids(warm) == shown_ids(cold)


def test_the_template_of_the_list_asks_the_database_nothing(organization: Organization) -> None:
    many_connections(organization, 3)
    facts = list_queries.page_facts(organization.pk, 1)
    composed = screen.compose_rows(facts, reader=ADMIN)

    with Queries() as queries:
        rows, moving = rendered_rows(facts, ADMIN, lambda _missing: composed)
        markup = get_template("connections/account_connections.html#list").render(
            {"rows": rows, "page": page_of(1, 3, 25), "organization": organization}
        )

    assert len(queries) == 0
    assert markup.count("<tbody") == 3
    assert not moving


# Stored HTML -------------------------------------------------------------------------------


def test_a_row_that_did_not_change_is_not_rendered_again(organization: Organization) -> None:
    connection = factories.make_connection(organization, name="Before")
    facts = list_queries.page_facts(organization.pk, 1)
    composed = screen.compose_rows(facts, reader=ADMIN)
    first, _ = rendered_rows(facts, ADMIN, lambda _missing: composed)

    def never(_missing: Any) -> list[ConnectionRow]:
        raise AssertionError("was stored")

    again, _ = rendered_rows(facts, ADMIN, never)

    assert again == first
    assert again[0].id == connection.pk


def test_a_change_gives_the_row_another_revision_and_fresh_html(
    organization: Organization, browser: Client
) -> None:
    changed = factories.make_connection(organization, name="Shop", confirmed=False)
    other = factories.make_connection(organization, name="Other")
    before = browser.get(page_url(organization)).content.decode()
    revision = changed.revision

    services.confirm_account(
        connection=changed, actor=Actor.person(factories.owner_of(organization))
    )
    after = browser.get(page_url(organization)).content.decode()

    changed.refresh_from_db()
    assert changed.revision > revision
    assert "Is this right?" in before
    assert "Is this right?" not in after
    assert Connection.objects.for_organization(organization).get(pk=other.pk).revision == (
        other.revision
    )


def test_every_kind_of_reader_has_html_of_its_own(organization: Organization) -> None:
    factories.make_connection(organization)
    facts = list_queries.page_facts(organization.pk, 1)
    readers = [
        ADMIN,
        Reader("acme", "de", "UTC", "administer", "2026-11-23"),
        Reader("acme", "en", "Europe/Berlin", "administer", "2026-11-23"),
        Reader("acme", "en", "UTC", "act", "2026-11-23"),
        Reader("acme", "en", "UTC", "read", "2026-11-23"),
        Reader("acme", "en", "UTC", "administer", "2026-11-24"),
    ]

    keys = {storage_keys(facts, reader)[0] for reader in readers}

    assert len(keys) == len(readers)


def test_the_reader_is_known_by_request(organization: Organization, browser: Client) -> None:
    owner = factories.owner_of(organization)
    User.objects.filter(pk=owner.pk).update(time_zone="Asia/Tokyo")
    factories.make_connection(organization)

    browser.get(page_url(organization))

    with timezone.override("Asia/Tokyo"), translation.override("en"):
        hour = present_hour()
    reader = Reader(organization.slug, "en", "Asia/Tokyo", "administer", hour)
    [key] = storage_keys(list_queries.page_facts(organization.pk, 1), reader)
    assert caches["default"].get(key) is not None


def test_a_name_that_looks_like_a_hole_stays_a_name(organization: Organization) -> None:
    for number in (1, 2):
        factories.make_connection(organization, name=str(UUID(int=number)))
    facts = list_queries.page_facts(organization.pk, 1)

    shown, _moves = rendered_rows(facts, ADMIN, partial(screen.compose_rows, reader=ADMIN))

    for row, fact in zip(shown, facts, strict=True):
        assert f'href="/o/acme/connections/{row.id}' in row.html
        assert row.html.count(fact["name"]) > 3


def test_words_of_one_language_do_not_reach_another(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    factories.make_account(connection, US)
    english = row_of(connection).spapi.lines[0]

    with translation.override("de"):
        german = row_of(connection, replace(ADMIN, language="de")).spapi.lines[0]

    assert english.sign.word == "Pending"
    assert german.sign.word == "Ausstehend"
    assert german is not english


def test_the_page_works_while_the_cache_is_down(
    organization: Organization,
    browser: Client,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection = factories.make_connection(organization, name="Shop")
    settings.CACHES = {
        "default": {
            "BACKEND": "sellerlegend.shared_cache.SharedCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "KEY_PREFIX": "down",
        }
    }

    page = browser.get(page_url(organization))

    assert shown_ids(page) == [connection.pk]
    # Asked once; what followed did not wait for it again.
    assert caplog.messages.count("cache_unavailable") == 1


# The poll ----------------------------------------------------------------------------------


def test_a_poll_that_finds_nothing_new_is_three_queries_and_no_body(
    organization: Organization,
    browser: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    factories.make_connection(organization)
    url = changes_url(organization, revision_of(organization))

    with django_assert_num_queries(3):
        reply = browser.get(url, headers={"HX-Request": "true"})

    assert (reply.status_code, reply.content) == (204, b"")


def test_a_poll_brings_the_changed_rows_and_no_others(
    organization: Organization, browser: Client
) -> None:
    changed = factories.make_connection(organization, name="Changed")
    factories.make_connection(organization, name="Quiet")
    since = revision_of(organization)
    revisions.touch(organization.pk, [changed.pk])

    reply = browser.get(changes_url(organization, since), headers={"HX-Request": "true"})

    assert reply.status_code == 200
    assert shown_ids(reply) == [changed.pk]
    assert 'hx-swap-oob="true"' in reply.content.decode()
    assert "connection-list" not in reply.content.decode()
    events = json.loads(reply.headers["HX-Trigger"])
    assert events["poll-state"] == {
        "moving": False,
        "revision": revision_of(organization),
        "attention": "No connection needs you, on Selling Partner or PPC",
    }
    assert "announce" not in events, "the page knows best what is new to its reader"


def test_a_poll_for_a_row_of_another_page_says_nothing_of_rows(
    organization: Organization, browser: Client
) -> None:
    for number in range(list_queries.ROWS_PER_PAGE):
        factories.make_connection(organization, name=f"A {number}")
    away = factories.make_connection(organization, name="Z away")
    since = revision_of(organization)
    revisions.touch(organization.pk, [away.pk])

    reply = browser.get(changes_url(organization, since), headers={"HX-Request": "true"})

    assert shown_ids(reply) == []
    assert "announce" not in json.loads(reply.headers["HX-Trigger"])


def answer_to(browser: Client, url: str, data: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The events of a row's answer under htmx, and its text."""
    reply = browser.post(url, data, headers={"HX-Request": "true"})
    return json.loads(reply.headers["HX-Trigger"]), html.unescape(reply.text)


@pytest.mark.parametrize(
    ("action", "data", "said"),
    [
        ("connection_confirm", {}, "Northstar is kept."),
        ("connection_rename", {"name": "Polaris"}, "The connection is called Polaris now."),
        ("connection_groups", {}, "Tags and client of Northstar are saved."),
        (
            "connection_read_again",
            {},
            "Amazon is asked for the marketplaces of Northstar again.",
        ),
        ("connection_check", {}, "The Selling Partner consent of Northstar is being checked."),
    ],
)
def test_an_action_on_a_row_is_said_in_words_and_the_fresh_row_alone_shows_it(
    organization: Organization, browser: Client, action: str, data: dict[str, str], said: str
) -> None:
    connection = factories.make_connection(organization, name="Northstar")
    url = reverse(action, args=[organization.slug, connection.pk])

    events, text = answer_to(browser, url, data)

    assert events["announce"] == {"message": said}
    assert "revision" not in events["poll-state"], "other rows may have changed since the page's"
    assert f'id="connection-{connection.pk}"' in text
    assert said not in text


def test_without_javascript_the_same_words_stand_above_the_list(
    organization: Organization, browser: Client
) -> None:
    connection = factories.make_connection(organization, name="Northstar")
    url = reverse("connection_confirm", args=[organization.slug, connection.pk])

    page = browser.post(url, follow=True).text

    assert "Northstar is kept." in page


def test_a_poll_brings_the_whole_list_when_rows_came_or_went(
    organization: Organization, browser: Client
) -> None:
    first = factories.make_connection(organization, name="A first")
    since = revision_of(organization)
    second = factories.make_waiting_connection(organization, name="B second")

    reply = browser.get(changes_url(organization, since), headers={"HX-Request": "true"})

    assert shown_ids(reply) == [first.pk, second.pk]
    assert 'hx-swap-oob="outerHTML:#connection-list"' in reply.content.decode()


@pytest.mark.parametrize("since", ["", "x", "-1", "9" * 40, "1.5", "²"])
def test_a_poll_from_nowhere_brings_the_list(
    organization: Organization, browser: Client, since: str
) -> None:
    connection = factories.make_connection(organization)

    reply = browser.get(changes_url(organization, since), headers={"HX-Request": "true"})

    assert shown_ids(reply) == [connection.pk]


def test_a_page_says_how_soon_to_ask_again(organization: Organization, browser: Client) -> None:
    connection = factories.make_connection(organization)
    factories.make_account(connection, US, onboarding="working")

    page = browser.get(page_url(organization)).content.decode()

    assert f'data-poll-revision="{revision_of(organization)}"' in page
    assert 'data-poll-moving="true"' in page


def test_every_known_marketplace_has_a_line(organization: Organization) -> None:
    for region, marketplace_id in (("NA", US), ("EU", UK), ("FE", JAPAN)):
        connection = factories.make_connection(organization, marketplace_id=marketplace_id)
        known = [m for m in MARKETPLACES.values() if m.region == region]
        for marketplace in known:
            factories.make_account(connection, marketplace.marketplace_id)

        names = [line.name for line in row_of(connection).spapi.lines]

        assert names == sorted(marketplace.name for marketplace in known)
