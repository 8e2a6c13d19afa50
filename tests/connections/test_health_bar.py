"""The bar above the list counts it by state, once, and the poll keeps it in step."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import list_queries, notices, revisions, screen
from connections.export import COLUMNS, Beside
from connections.models import Connection, SpApiGrant
from connections.reader import Reader
from connections.refusals import RECONNECT_REQUIRED
from sellerlegend.organizations.models import Organization, Role
from tests import factories

READER = Reader("acme", "en", "UTC", "read", "2026-11-23")
BESIDE = Beside({}, {}, {})

pytestmark = pytest.mark.django_db

STATE = re.compile(
    r'id="state-(\w+)" href="([^"]+)"([^>]*)>.*?</svg>\s*([^<]+?) <strong>(\d+)</strong>', re.DOTALL
)


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(client: Client, organization: Organization) -> Client:
    client.force_login(factories.make_member(organization, Role.VIEWER))
    return client


def row(organization: Organization, name: str, **grant: object) -> Connection:
    connection = factories.make_connection(organization, name=name)
    SpApiGrant.objects.for_organization(organization).filter(connection=connection).update(**grant)
    return connection


def strip(browser: Client, organization: Organization, query: str = "") -> str:
    url = reverse("connection_overview", args=[organization.slug])
    answer = browser.get(f"{url}{query}", headers={"HX-Request": "true"})
    return unescape(answer.content.decode())


def overdue(organization: Organization, answered: timedelta) -> Connection:
    """Its year is over since yesterday; Amazon answered so long ago."""
    now = timezone.now()
    return row(
        organization,
        "Overdue",
        authorized_at=now - timedelta(days=366),
        last_success_at=now - answered,
    )


def words_of_pages(browser: Client, organization: Organization, row: Connection) -> dict[str, str]:
    """Of a row that is alone, by place."""
    slug = organization.slug
    listed = reverse("account_connections", args=[slug])
    pages = {
        "row": listed,
        "filters": reverse("connection_filters", args=[slug]),
        "chips": f"{listed}?health=expired&expiry=overdue",
        "details": reverse("connection_details", args=[slug, row.pk]),
        "overview": reverse("connections_overview", args=[slug]),
        "notices": reverse("notifications", args=[slug]),
    }
    told = {place: unescape(browser.get(url).content.decode()) for place, url in pages.items()}
    return told | {"bar": strip(browser, organization)}


def states(text: str) -> list[tuple[str, str]]:
    return [(key, count) for key, _, _, _, count in STATE.findall(text)]


def test_each_row_is_counted_once_and_each_number_leads_to_its_rows(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Works")
    row(organization, "Lost", status="invalid")
    factories.make_waiting_connection(organization)

    text = strip(browser, organization)

    assert states(text) == [("connected", "1"), ("revoked", "1"), ("waiting", "1")]
    assert re.findall(r'All <span class="filter-link__count">(\d+)', text) == ["3"]
    assert "State on Selling Partner alone" in text
    widths = re.findall(r'<rect [^>]*width="([\d.]+)"', text)
    assert [float(width) for width in widths] == [333.33, 333.33, 333.33]
    for _key, url, _, _, count in STATE.findall(text):
        listed = browser.get(url).content.decode()
        assert len(re.findall(r'<tbody class="connection-row', listed)) == int(count)


def test_the_side_that_is_chosen_is_counted(organization: Organization, browser: Client) -> None:
    row(organization, "Works")
    factories.make_account(row(organization, "Sells"), factories.US)

    text = strip(browser, organization, "?health=revoked&side=ppc")

    assert "State on PPC alone" in text
    assert states(text) == [("waiting", "1"), ("revoked", "0")]
    (chosen,) = [found for found in STATE.findall(text) if "aria-current" in found[2]]
    assert chosen[0] == "revoked"
    assert [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', text)] == [1000]


@pytest.mark.parametrize(
    "answered", [pytest.param(timedelta(), id="still"), pytest.param(timedelta(days=9), id="not")]
)
def test_a_consent_whose_year_is_over_has_one_word_in_every_place(
    organization: Organization, browser: Client, answered: timedelta
) -> None:
    """Whether Amazon still answers it is the reason's to say, not the state's."""
    connection = overdue(organization, answered)
    notices.derive(timezone.now())
    facts = list_queries.some_facts(organization.pk, [connection.pk])
    (line,) = screen.compose_rows(facts, reader=READER)

    told = words_of_pages(browser, organization, connection)

    assert {place for place, text in told.items() if "Renewal overdue" not in text} == set()
    wrong = re.compile(r"Expired\b|Consent ended|Consent expired|consent has ended")
    assert {place: wrong.findall(text) for place, text in told.items() if wrong.search(text)} == {}
    assert re.findall(r"Renewal overdue \(1\)", told["filters"]) == ["Renewal overdue (1)"] * 2
    (column,) = (one for one in COLUMNS if str(one.title) == "Selling Partner")
    assert column.of(facts[0], line, BESIDE) == "Renewal overdue"


def test_the_number_of_a_state_names_both_words_of_its_rows(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Lost", status="invalid")
    row(organization, "Stopped", status="invalid", last_error_code=RECONNECT_REQUIRED)
    url = reverse("account_connections", args=[organization.slug])

    listed = unescape(browser.get(f"{url}?health=revoked&side=spapi").content.decode())
    bar = strip(browser, organization)
    filters = browser.get(reverse("connection_filters", args=[organization.slug]))

    both = "Revoked, or new consent needed"
    assert {word for word in ("Revoked<", "New consent needed<") if word in listed} == {
        "Revoked<",
        "New consent needed<",
    }
    assert [(word, count) for _, _, _, word, count in STATE.findall(bar)] == [(both, "2")]
    assert f"{both} (2)" in filters.content.decode()
    assert both in listed  # the chip of what is chosen


def test_what_else_is_chosen_counts_too(organization: Organization, browser: Client) -> None:
    row(organization, "Works")
    row(organization, "Lost", status="invalid")

    text = strip(browser, organization, "?q=lost")

    assert states(text) == [("revoked", "1")]
    assert "?q=lost&health=revoked&side=spapi" in text


def test_the_poll_brings_the_bar_with_the_rows_and_says_it_once(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Works")
    turned = row(organization, "Turned")
    organization.refresh_from_db()
    since = organization.revision
    SpApiGrant.objects.for_organization(organization).filter(connection=turned).update(
        status="invalid"
    )
    revisions.touch(organization.pk, [turned.pk])

    url = reverse("connection_changes", args=[organization.slug])
    reply = browser.get(url, {"since": since}, headers={"HX-Request": "true"})

    text = unescape(reply.content.decode())
    assert text.count('hx-swap-oob="innerHTML:#list-overview"') == 1
    assert states(text) == [("connected", "1"), ("revoked", "1")]
    state = json.loads(reply.headers["HX-Trigger"])["poll-state"]
    assert state["attention"] == "1 connection needs you, on Selling Partner or PPC"


def test_a_narrowed_list_keeps_its_own_bar(organization: Organization, browser: Client) -> None:
    row(organization, "Works")
    turned = row(organization, "Turned", status="invalid")
    organization.refresh_from_db()
    since = organization.revision
    revisions.touch(organization.pk, [turned.pk])

    url = reverse("connection_changes", args=[organization.slug])
    reply = browser.get(f"{url}?q=works&since={since}", headers={"HX-Request": "true"})

    assert states(unescape(reply.content.decode())) == [("connected", "1")]


def test_the_pictures_below_the_list_do_not_count_it_again(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Works")
    url = reverse("connections_overview", args=[organization.slug])

    below = browser.get(url, headers={"HX-Request": "true"}).content.decode()
    alone = browser.get(url).content.decode()

    assert "picture-health" not in below
    assert "picture-renewals" in below
    assert "picture-health" in alone
