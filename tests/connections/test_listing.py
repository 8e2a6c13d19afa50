"""The list narrowed and ordered by its address, and the count of what needs a person."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connections import attention, health, list_queries, revisions, screen
from connections.health import Health
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.reader import Reader
from sellerlegend import alphabet
from sellerlegend.applications.models import ApplicationRole, LwaApplication
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.models import Organization, Role, User
from tests import factories, trips
from tests.factories import CANADA, US

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NOW = timezone.now()
READER = Reader("acme", "en", "UTC", "administer", "2026-11-23")


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


def row(organization: Organization, name: str, **facts: Any) -> Connection:
    connection = factories.make_connection(organization, name=name)
    if facts:
        grants = SpApiGrant.objects.for_organization(organization)
        grants.filter(connection=connection).update(**facts)
    return connection


def feed(
    connection: Connection, marketplace_id: str = US, link: str = "linked", **facts: Any
) -> None:
    """Link the row's marketplace through an Ads consent of its own."""
    grant = factories.make_ads_grant(connection.organization)
    profile = factories.make_profile(
        grant, seller=connection.selling_partner_id or "", marketplace_id=marketplace_id
    )
    reason = "ads_grant_invalid" if link == "needs_attention" else ""
    account = factories.make_account(connection, marketplace_id)
    factories.make_link(account, profile, status=link, attention_reason=reason)
    if facts:
        grants = AdsGrant.objects.for_organization(connection.organization_id)
        grants.filter(pk=grant.pk).update(**facts)


def list_url(organization: Organization) -> str:
    return reverse("account_connections", args=[organization.slug])


def names(browser: Client, organization: Organization, **parameters: Any) -> list[str]:
    page = browser.get(list_url(organization), parameters)
    assert page.status_code == 200
    found = re.findall(r'connection-account__name">([^<]+)<', page.content.decode())
    return [html.unescape(name) for name in found]


def words_of(page: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())


@pytest.fixture
def every_state(organization: Organization) -> dict[str, Connection]:
    """A row for each state, named after its Selling Partner and PPC side."""
    old = NOW - 2 * DAY
    rows = {
        "fine": row(organization, "fine"),
        "expiring": row(organization, "expiring", authorized_at=NOW - 330 * DAY),
        "expired": row(organization, "expired", authorized_at=NOW - 366 * DAY),
        # In its last week the end stands above what mends itself.
        "ends refused": row(
            organization, "ends refused", status="doubted", authorized_at=NOW - 364 * DAY
        ),
        "ends stale": row(
            organization, "ends stale", last_success_at=old, authorized_at=NOW - 364 * DAY
        ),
        "ends throttled": row(
            organization, "ends throttled", throttled_since=NOW, authorized_at=NOW - 330 * DAY
        ),
        "lost": row(
            organization,
            "lost",
            status="invalid",
            authorized_at=NOW - 400 * DAY,
            status_changed_at=NOW - 40 * DAY,
        ),
        "revoked": row(organization, "revoked", status="invalid"),
        "doubted": row(organization, "doubted", status="doubted"),
        "permission": row(organization, "permission", permission_missing_since=NOW),
        "throttled": row(organization, "throttled", throttled_since=NOW),
        "stale": row(organization, "stale", last_success_at=old),
        "gone": row(organization, "gone", status="disconnected", refresh_token=""),
        "ads revoked": row(organization, "ads revoked"),
        "ads both": row(organization, "ads both"),
        "ads ended": row(organization, "ads ended"),
        "ads waits": row(organization, "ads waits"),
    }
    rows["waits"] = factories.make_waiting_connection(organization, name="waits")
    feed(rows["ads revoked"], link="needs_attention", status="invalid")
    feed(rows["fine"])
    feed(rows["ads both"], US)
    feed(rows["ads both"], CANADA, throttled_since=NOW)
    feed(rows["ads ended"], link="unlinked")
    factories.make_account(rows["ads waits"], US)
    return rows


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("expiring", ["ends refused", "ends stale", "ends throttled", "expiring"]),
        ("expired", ["expired"]),
        ("revoked", ["ads revoked", "lost", "revoked"]),
        ("doubted", ["doubted"]),
        ("permission_missing", ["permission"]),
        ("throttled", ["ads both", "throttled"]),
        ("stale", ["stale"]),
        ("disconnected", ["ads ended", "gone"]),
        ("waiting", ["ads waits", "waits"]),
        ("incident", []),
        ("connected", ["ads both", "ads ended", "ads revoked", "ads waits", "fine"]),
    ],
)
def test_the_list_shows_the_rows_with_a_side_in_one_state(
    organization: Organization,
    browser: Client,
    every_state: dict[str, Connection],
    state: str,
    expected: list[str],
) -> None:

    assert names(browser, organization, health=state) == expected


def test_the_filter_and_the_rows_never_disagree(
    organization: Organization, browser: Client, every_state: dict[str, Connection]
) -> None:
    shown = screen.compose_rows(list_queries.page_facts(organization.pk, 1), reader=READER)
    assert len(shown) == len(every_state)

    for state in Health:
        expected = [
            found.name
            for found in shown
            if state == found.spapi_health.state
            or (found.ppc_health is not None and state == found.ppc_health.state)
        ]
        assert names(browser, organization, health=state.value) == expected, state
    asking = [
        found.name
        for found in shown
        if found.spapi_health.needs_a_person
        or (found.ppc_health is not None and found.ppc_health.needs_a_person)
    ]
    assert names(browser, organization, show="attention") == asking
    assert attention.counted(organization.pk) == len(asking) == 9


@pytest.mark.parametrize("value", ["", "x", "CONNECTED", "'", "²"])
def test_a_value_nobody_knows_shows_the_whole_list(
    organization: Organization, browser: Client, value: str
) -> None:
    row(organization, "A")
    row(organization, "B", status="invalid")

    found = names(browser, organization, health=value, show=value, sort=value)

    assert found == ["A", "B"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["Alpha", "Beta", "Gamma", "waits"]),
        ("renew_by", ["Gamma", "Alpha", "Beta", "waits"]),
        ("last_success", ["Beta", "Gamma", "Alpha", "waits"]),
        ("last_failure", ["Alpha", "Beta", "Gamma", "waits"]),
        ("last_verified", ["Gamma", "Beta", "Alpha", "waits"]),
        ("authorised", ["Beta", "Alpha", "Gamma", "waits"]),
    ],
)
def test_the_list_stands_in_the_order_that_was_asked_for(
    organization: Organization, browser: Client, sort: str, expected: list[str]
) -> None:
    ada = factories.make_member(organization, Role.MEMBER)
    User.objects.filter(pk=ada.pk).update(name="ada")
    zoe = factories.make_member(organization, Role.MEMBER)
    User.objects.filter(pk=zoe.pk).update(name="Zoe")
    hour = timedelta(hours=1)
    row(
        organization,
        "Alpha",
        authorized_at=NOW - 20 * DAY,
        last_success_at=NOW,
        last_failure_at=NOW,
        verified_at=NOW,
        authorized_by=zoe,
    )
    row(
        organization,
        "Beta",
        authorized_at=NOW - 10 * DAY,
        last_success_at=NOW - 3 * hour,
        last_failure_at=NOW - hour,
        verified_at=NOW - hour,
        authorized_by=ada,
    )
    row(
        organization,
        "Gamma",
        authorized_at=NOW - 30 * DAY,
        last_success_at=NOW - hour,
        last_failure_at=None,
        verified_at=NOW - 2 * hour,
        authorized_by=None,
    )
    factories.make_waiting_connection(organization, name="waits")

    assert names(browser, organization, sort=sort) == expected


ABROAD = ["Ebro", "Éclair", "İstanbul", "Jade", "Zephyr"]


@pytest.mark.parametrize("sort", ["name", "client", "authorised"])
def test_accents_and_case_do_not_count_in_the_order(
    organization: Organization, browser: Client, sort: str
) -> None:
    for name in ("Zephyr", "İstanbul", "Éclair", "Jade", "Ebro"):
        giver = factories.make_member(organization, Role.MEMBER)
        User.objects.filter(pk=giver.pk).update(name=name)
        factories.make_client(organization, name, row(organization, name, authorized_by=giver))
    row(organization, "zoo", authorized_by=None)

    assert names(browser, organization, sort=sort) == [*ABROAD, "zoo"]
    backwards = ABROAD[::-1]
    expected = ["zoo", *backwards] if sort == "name" else [*backwards, "zoo"]
    assert names(browser, organization, sort=f"-{sort}") == expected


def test_a_database_without_unicodes_order_still_shows_the_list(
    organization: Organization, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL can be built without ICU."""
    monkeypatch.setattr(alphabet, "knows_collation", lambda alias: False)
    row(organization, "beta")
    row(organization, "Alpha")
    list_queries.page_query.cache_clear()

    assert names(browser, organization) == ["Alpha", "beta"]

    list_queries.page_query.cache_clear()


def test_a_disconnected_consent_has_no_day_to_renew_by(
    organization: Organization, browser: Client
) -> None:
    row(
        organization,
        "A gone",
        status="disconnected",
        refresh_token="",
        authorized_at=NOW - 300 * DAY,
    )
    row(organization, "B living")

    assert names(browser, organization, sort="renew_by") == ["B living", "A gone"]


def test_another_organizations_troubles_count_for_nobody_else(
    organization: Organization, browser: Client
) -> None:
    row(organization, "ours")
    stranger = row(factories.make_organization(), "theirs", status="invalid")
    feed(stranger)
    AdsGrant.objects.for_organization(stranger.organization_id).update(status="invalid")

    assert names(browser, organization, show="attention") == []
    assert attention.counted(organization.pk) == 0
    assert attention.counted(stranger.organization_id) == 1


def test_pages_and_the_poll_keep_what_was_chosen(
    organization: Organization, browser: Client
) -> None:
    for number in range(27):
        row(organization, f"Row {number:02d}", status="invalid")

    page = browser.get(f"{list_url(organization)}?show=attention&sort=renew_by&page=2")

    text = html.unescape(page.content.decode())
    assert "26–27 of 27" in words_of(page)
    assert 'href="?show=attention&sort=renew_by&page=1"' in text
    poll = f"{list_url(organization)}changes?show=attention&sort=renew_by&page=2"
    assert f'data-poll-url="{poll}"' in text


def test_a_poll_of_a_narrowed_list_brings_it_whole(
    organization: Organization, browser: Client
) -> None:
    mended = row(organization, "Mended", status="invalid")
    row(organization, "Still", status="invalid")
    organization.refresh_from_db()
    since = organization.revision
    grants = SpApiGrant.objects.for_organization(organization).filter(connection=mended)
    grants.update(status="active")
    revisions.touch(organization.pk, [mended.pk])

    url = reverse("connection_changes", args=[organization.slug])
    reply = browser.get(f"{url}?show=attention&since={since}", headers={"HX-Request": "true"})

    text = reply.content.decode()
    assert 'hx-swap-oob="outerHTML:#connection-list"' in text
    assert re.findall(r'connection-account__name">([^<]+)<', text) == ["Still"]
    assert "since=" not in text


def test_after_an_action_the_list_is_as_it_was_seen(
    organization: Organization, browser: Client
) -> None:
    """Without JavaScript, too: the way back leads to the same filters and page."""
    shop = row(organization, "Shop", status="invalid")
    rename = reverse("connection_rename", args=[organization.slug, shop.pk])
    browser.get(list_url(organization), {"health": "revoked", "q": "ä b", "nonsense": "1"})

    narrowed = browser.post(rename, {"name": "Shop ä b"})
    browser.get(list_url(organization))
    plain = browser.post(rename, {"name": "Shop"})

    seen = f"{list_url(organization)}?q=%C3%A4+b&health=revoked#connection-{shop.pk}"
    assert narrowed.headers["Location"] == seen
    assert plain.headers["Location"] == f"{list_url(organization)}#connection-{shop.pk}"


@pytest.mark.parametrize("value", ["x", "health=nonsense", "q=%0d%0aSet-Cookie:a", "\x7f", "%ff"])
def test_the_way_back_is_read_as_an_address(
    organization: Organization, browser: Client, value: str
) -> None:
    shop = row(organization, "Shop")
    browser.cookies["connections_seen"] = value

    answer = browser.post(
        reverse("connection_rename", args=[organization.slug, shop.pk]), {"name": "New"}
    )

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"{list_url(organization)}")
    assert "\r" not in answer.headers["Location"]


def test_short_rows_are_the_browsers_choice_for_all_lists(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Shop")
    assert "connections--short" not in browser.get(list_url(organization)).text

    answer = browser.get(list_url(organization), {"rows": "short", "q": "shop", "page": "2"})

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{list_url(organization)}?q=shop&page=2"
    cookie = answer.cookies["connections_rows"]
    assert (cookie.value, cookie["httponly"], cookie["path"]) == ("short", True, "/")
    page = browser.get(list_url(organization), {"q": "shop"}).text
    assert 'class="connections connections--short"' in page
    assert f'href="{list_url(organization)}?q=shop&amp;rows=full">Full rows</a>' in page
    changes = reverse("connection_changes", args=[organization.slug])
    narrowed = browser.get(f"{changes}?q=shop&since=0", headers={"HX-Request": "true"})
    assert "connections--short" in narrowed.text
    browser.get(list_url(organization), {"rows": "full"})
    assert "connections--short" not in browser.get(list_url(organization)).text


@pytest.mark.parametrize("value", ["", "tall", "short;", "\x00"])
def test_rows_of_no_known_height_are_full(
    organization: Organization, browser: Client, value: str
) -> None:
    row(organization, "Shop")
    browser.cookies["connections_rows"] = value

    page = browser.get(list_url(organization), {"rows": value})

    assert page.status_code == 200
    assert "connections_rows" not in page.cookies
    assert "connections--short" not in page.text


def test_nothing_found_says_so_and_leads_back(organization: Organization, browser: Client) -> None:
    row(organization, "Shop")

    page = browser.get(list_url(organization), {"health": "revoked"})

    assert "No connection matches" in words_of(page)
    assert "Revoked, or new consent needed Remove this filter Clear all" in words_of(page)
    assert "Connect your first Amazon account" not in words_of(page)


@pytest.mark.parametrize(
    "parameters",
    [
        {"show": "attention"},
        {"health": "connected"},
        {"health": "waiting"},
        {"sort": "authorised"},
        {"show": "attention", "health": "revoked", "sort": "last_failure"},
    ],
)
def test_a_narrowed_list_costs_the_same_with_many_rows(
    organization: Organization, browser: Client, parameters: dict[str, str]
) -> None:
    def queries() -> int:
        browser.get(list_url(organization), parameters)
        with CaptureQueriesContext(database) as sent:
            browser.get(list_url(organization), parameters)
        return sum("embedded_cache" not in query["sql"] for query in sent.captured_queries)

    feed(row(organization, "Row"))
    few = queries()
    for number in range(30):
        feed(row(organization, f"Row {number}", status="invalid"))

    assert queries() <= few + 1  # rows to render where there was none


# The count ---------------------------------------------------------------------------------


def test_the_banner_and_the_menu_count_and_lead_to_the_rows(
    organization: Organization, browser: Client
) -> None:
    row(organization, "A", status="invalid")
    row(organization, "B", authorized_at=NOW - 330 * DAY)
    row(organization, "C", throttled_since=NOW)

    page = browser.get(list_url(organization))

    text = page.content.decode()
    assert "2 connections need you, on Selling Partner or PPC. Show only those" in words_of(page)
    assert text.count(f'href="{list_url(organization)}?show=attention"') == 2
    words = "2 connections need you, on Selling Partner or PPC"
    assert text.count(f'<span class="visually-hidden">{words}</span>') == 2
    assert text.count(f'<span aria-hidden="true" title="{words}">2</span>') == 2


def test_the_filtered_list_has_no_banner_about_itself(
    organization: Organization, browser: Client
) -> None:
    row(organization, "A", status="invalid")

    page = browser.get(list_url(organization), {"show": "attention"})

    assert "Show only those" not in words_of(page)
    assert "1 connection needs you" in words_of(page)


def test_where_all_is_well_nothing_is_counted(organization: Organization, browser: Client) -> None:
    row(organization, "A")

    page = browser.get(list_url(organization)).content.decode()

    assert "badge" not in page
    assert "attention-banner tone" not in page
    assert 'id="attention-banner"' in page


def test_other_pages_count_too(organization: Organization, browser: Client) -> None:
    row(organization, "A", status="invalid")
    browser.get(list_url(organization))

    for name, slug in (("organization_settings", [organization.slug]), ("profile", [])):
        assert "1 connection needs you" in words_of(browser.get(reverse(name, args=slug))), name


def test_a_poll_keeps_the_count_in_step(organization: Organization, browser: Client) -> None:
    connection = row(organization, "A")
    organization.refresh_from_db()
    since = organization.revision
    SpApiGrant.objects.for_organization(organization).update(status="invalid")
    revisions.touch(organization.pk, [connection.pk])

    url = reverse("connection_changes", args=[organization.slug])
    reply = browser.get(url, {"since": since}, headers={"HX-Request": "true"}).content.decode()

    assert '<div id="attention-banner" hx-swap-oob="true">' in reply
    assert '<span id="attention-menu" hx-swap-oob="true">' in reply
    assert '<span id="attention-entry" hx-swap-oob="true">' in reply
    # The banner, and each badge with its words and their hint.
    assert reply.count("1 connection needs you") == 5


def test_the_count_is_asked_once_for_each_revision(organization: Organization) -> None:
    connection = row(organization, "A", status="invalid")
    organization.refresh_from_db()
    cache.clear()

    with CaptureQueriesContext(database) as first:
        found = attention.attention_of(organization.pk, organization.revision)
    with CaptureQueriesContext(database) as again:
        attention.attention_of(organization.pk, organization.revision)
    revisions.touch(organization.pk, [connection.pk])
    organization.refresh_from_db()
    with CaptureQueriesContext(database) as later:
        attention.attention_of(organization.pk, organization.revision)

    def counts(sent: CaptureQueriesContext) -> int:
        return sum("connections_connection" in query["sql"] for query in sent.captured_queries)

    assert found.count == 1
    assert [counts(first), counts(again), counts(later)] == [1, 0, 1]


def test_the_count_of_a_query_is_that_of_the_states(
    organization: Organization, every_state: dict[str, Connection]
) -> None:
    rows = attention.needing(organization.pk, **health.moments())

    assert attention.counted(organization.pk) == rows.count()


# Stored rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", ["ads", "lwa"])
def test_an_incident_shows_at_once_on_rows_that_did_not_change(
    organization: Organization, browser: Client, surface: str
) -> None:
    connection = row(organization, "Shop")
    feed(connection, last_failure_at=NOW + DAY, last_failure_code="amazon_unavailable")
    before = words_of(browser.get(list_url(organization)))

    incident = Incident.objects.create(surface=surface)
    during = words_of(browser.get(list_url(organization)))
    Incident.objects.filter(pk=incident.pk).update(closed_at=timezone.now())
    after = words_of(browser.get(list_url(organization)))

    assert "It meets many advertisers at once." in during
    assert "It meets many advertisers at once." not in before
    assert "It meets many advertisers at once." not in after
    assert "Amazon Ads has a problem" not in during


def test_a_new_role_shows_at_once_on_rows_that_did_not_change(
    organization: Organization, browser: Client
) -> None:
    feed(row(organization, "Shop"))
    browser.get(list_url(organization))

    ApplicationRole.objects.create(application=LwaApplication.ADS, name="Reporting")

    assert "A permission of Amazon Ads is missing" in words_of(browser.get(list_url(organization)))
