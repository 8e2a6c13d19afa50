"""Searching, filtering and ordering the list, and the counts beside each filter."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.http import QueryDict
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connections import facets, list_queries
from connections.facets import Counts
from connections.health import Health, moments
from connections.listing import MOST_TAGS, SORT_WORDS, Chosen
from connections.models import AdsGrant, Connection, SpApiGrant
from connections.narrowing import bounds, end_moments
from marketplaces.models import MarketplaceAccount
from sellerlegend.organizations.models import Membership, Organization, Role, User
from tests import factories, trips
from tests.factories import CANADA, US, make_client, make_tag

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UK = "A1F83G8C2ARO7P"


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Browser:
    return trips.sign_in(factories.owner_of(organization))


def row(organization: Organization, name: str, **facts: Any) -> Connection:
    connection = factories.make_connection(organization, name=name)
    if facts:
        grants = SpApiGrant.objects.for_organization(organization)
        grants.filter(connection=connection).update(**facts)
    return connection


def ending(organization: Organization, name: str, day: datetime, **facts: Any) -> Connection:
    return row(organization, name, authorized_at=day - 365 * DAY, **facts)


def names(organization: Organization, **parameters: Any) -> list[str]:
    chosen = Chosen.of(query_of(**parameters))
    reader = Membership.objects.for_organization(organization).get(role="owner")
    return [fact["name"] for fact in list_queries.chosen_facts(reader, 1, chosen)]


def query_of(**parameters: Any) -> QueryDict:
    sent = QueryDict(mutable=True)
    for name, value in parameters.items():
        for one in value if isinstance(value, list) else [value]:
            sent.appendlist(name, str(one))
    return sent


def counts(organization: Organization, **parameters: Any) -> Counts:
    chosen = Chosen.of(query_of(**parameters))
    at = moments() | end_moments(chosen.expiry)
    return facets.counted(chosen, list_queries.place_of(organization.pk, at))


def list_url(organization: Organization) -> str:
    return reverse("account_connections", args=[organization.slug])


# The address -------------------------------------------------------------------------------


def test_an_address_is_read_leniently_and_written_canonically() -> None:
    one = "6b1f2a3c-0000-4000-8000-000000000001"
    text = (
        f"page=3&tag=7&tag=2&tag=x&q=%20Blue%20%20Harbor&sort=-renew_by&client={one.upper()}"
        "&health=nonsense&expiry=2027-13&region=EU&side=ppc&show=attention"
    )

    chosen = Chosen.of(QueryDict(text))

    assert chosen.query == (
        f"q=Blue+Harbor&show=attention&side=ppc&region=EU&tag=2&tag=7&client={one}&sort=-renew_by"
    )
    assert Chosen.of(QueryDict(chosen.query)) == chosen


def test_a_side_alone_means_nothing() -> None:
    assert Chosen.of(QueryDict("side=ppc")).is_default
    assert Chosen.of(QueryDict("side=ppc&expiry=30")).without("expiry").is_default


def test_no_more_tags_than_a_query_can_carry() -> None:
    text = "&".join(f"tag={number}" for number in range(50))

    assert len(Chosen.of(QueryDict(text)).tag) == MOST_TAGS


@pytest.mark.parametrize("name", ["region", "marketplace", "client", "authorised", "expiry", "tag"])
@pytest.mark.parametrize("value", ["x", "'", "²", "-1", "99999999999999999999999", "2027-00"])
def test_a_value_nobody_knows_is_as_none(name: str, value: str) -> None:
    assert Chosen.of(QueryDict(f"{name}={value}")).is_default


# Search ------------------------------------------------------------------------------------


@pytest.fixture
def searched(organization: Organization) -> dict[str, Connection]:
    rows = {
        name: row(organization, name)
        for name in ("Blue Harbor", "Café 100%", "Juniper_Pine", "Nord")
    }
    Connection.objects.for_organization(organization).filter(pk=rows["Nord"].pk).update(
        selling_partner_id="A1NORTHSTAR001"
    )
    factories.make_account(rows["Juniper_Pine"], US)
    accounts = MarketplaceAccount.objects.for_organization(organization)
    accounts.filter(connection=rows["Juniper_Pine"]).update(store_name="Evergreen Outlet")
    make_tag(organization, "Holiday", rows["Nord"], rows["Blue Harbor"])
    make_client(organization, "Desert Rose GmbH", rows["Café 100%"])
    return rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("harbor", ["Blue Harbor"]),
        ("HARBOR blue", ["Blue Harbor"]),
        ("a1north", ["Nord"]),
        ("evergreen", ["Juniper_Pine"]),
        ("holiday", ["Blue Harbor", "Nord"]),
        ("holiday nord", ["Nord"]),
        ("gmbh", ["Café 100%"]),
        ("%", ["Café 100%"]),
        ("_", ["Juniper_Pine"]),
        ("\\", []),
        ("'; --", []),
        ("café", ["Café 100%"]),
    ],
)
def test_one_box_searches_names_ids_stores_tags_and_clients(
    organization: Organization, searched: dict[str, Connection], text: str, expected: list[str]
) -> None:
    assert names(organization, q=text) == expected


def test_a_query_that_was_prepared_looks_for_the_words_of_today(
    organization: Organization, searched: dict[str, Connection]
) -> None:
    """One form of choice, one statement, every time other values."""
    list_queries.chosen_query.cache_clear()

    assert names(organization, q="harbor") == ["Blue Harbor"]
    assert names(organization, q="%") == ["Café 100%"]
    assert names(organization, q="nord") == ["Nord"]
    assert list_queries.chosen_query.cache_info().misses == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CAFÉ", ["Café 100%"]),
        ("évora", ["Évora Casa"]),
        ("ÉVORA CASA", ["Évora Casa"]),
        ("женева", ["ЖЕНЕВА (Süd)"]),
        ("SÜD", ["Évora Casa", "ЖЕНЕВА (Süd)"]),
        ("lübeck", ["Évora Casa"]),
        ("ÖSTERREICH", ["Évora Casa"]),
        # Signs of a pattern are letters.
        ("(s", ["ЖЕНЕВА (Süd)"]),
        (".", []),
        ("c.sa", []),
        ("[a-z]", []),
    ],
)
def test_case_is_ignored_in_every_alphabet(
    organization: Organization, searched: dict[str, Connection], text: str, expected: list[str]
) -> None:
    evora = row(organization, "Évora Casa")
    row(organization, "ЖЕНЕВА (Süd)")
    factories.make_account(evora, US)
    accounts = MarketplaceAccount.objects.for_organization(organization)
    accounts.filter(connection=evora).update(store_name="LÜBECK Outlet")
    make_tag(organization, "süden", evora)
    make_client(organization, "Österreich AG", evora)

    assert names(organization, q=text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe", ["Café 100%"]),
        ("evora", ["Évora Casa"]),
        ("lubeck", ["Évora Casa"]),
        ("osterreich", ["Évora Casa"]),
        ("suden", ["Évora Casa"]),
        ("nörd", ["Nord"]),
        ("lodz", ["Łódź ΟΔΟΣ Straße が"]),
        ("οδός", ["Łódź ΟΔΟΣ Straße が"]),
        ("STRASSE", ["Łódź ΟΔΟΣ Straße が"]),
        ("straße", ["Łódź ΟΔΟΣ Straße が"]),
        # Two signs of one letter: with what macOS puts into file names.
        ("stra\u0301sse", ["Łódź ΟΔΟΣ Straße が"]),
        # Not an accent but another letter.
        ("が", ["Łódź ΟΔΟΣ Straße が"]),
        ("か", []),
    ],
)
def test_accents_are_ignored_on_both_sides(
    organization: Organization, searched: dict[str, Connection], text: str, expected: list[str]
) -> None:
    evora = row(organization, "Évora Casa")
    row(organization, "Łódź ΟΔΟΣ Straße が")
    factories.make_account(evora, US)
    accounts = MarketplaceAccount.objects.for_organization(organization)
    accounts.filter(connection=evora).update(store_name="LÜBECK Outlet")
    make_tag(organization, "süden", evora)
    make_client(organization, "Österreich AG", evora)

    assert names(organization, q=text) == expected


def test_another_organizations_words_are_not_searched(organization: Organization) -> None:
    other = factories.make_organization()
    theirs = row(other, "Theirs")
    make_tag(other, "Secret", theirs)
    make_client(other, "Hidden", theirs)
    row(organization, "Ours")

    for text in ("Theirs", "Secret", "Hidden"):
        assert names(organization, q=text) == []


# Filters -----------------------------------------------------------------------------------


def test_region_and_marketplace(organization: Organization) -> None:
    na, eu = row(organization, "NA"), row(organization, "EU")
    Connection.objects.for_organization(organization).filter(pk=eu.pk).update(region="EU")
    factories.make_account(na, US)
    factories.make_account(eu, UK)
    factories.make_account(na, CANADA)
    MarketplaceAccount.objects.for_organization(organization).filter(marketplace_id=CANADA).update(
        is_participating=False
    )

    assert names(organization, region="EU") == ["EU"]
    assert names(organization, marketplace=US) == ["NA"]
    assert names(organization, marketplace=CANADA) == []
    assert counts(organization)["region"] == {"NA": 1, "EU": 1}
    assert counts(organization)["marketplace"] == {US: 1, UK: 1}


def test_the_end_of_the_consent_in_a_window_or_a_month(organization: Organization) -> None:
    ending(organization, "over", NOW - DAY)
    ending(organization, "in 3", NOW + 3 * DAY)
    ending(organization, "in 20", NOW + 20 * DAY)
    ending(organization, "in 89", NOW + 89 * DAY)
    ending(organization, "march first", datetime(2027, 3, 1, tzinfo=UTC))
    ending(organization, "march last", datetime(2027, 3, 31, 23, 59, tzinfo=UTC))
    ending(organization, "april", datetime(2027, 4, 1, tzinfo=UTC))
    ending(organization, "gone", NOW + 5 * DAY, status="disconnected", refresh_token="")
    ending(organization, "revoked", NOW + 5 * DAY, status="invalid")
    # Its year is over by now, and was not when it was lost.
    lost_at = NOW - 5 * DAY
    ending(organization, "lost", NOW - DAY, status="invalid", status_changed_at=lost_at)
    factories.make_waiting_connection(organization, name="waits")

    assert names(organization, expiry="overdue") == ["over"]
    assert names(organization, expiry="7") == ["in 3"]
    assert names(organization, expiry="30") == ["in 20", "in 3"]
    assert names(organization, expiry="60") == ["in 20", "in 3"]
    assert names(organization, expiry="90") == ["in 20", "in 3", "in 89"]
    assert names(organization, expiry="2027-03") == ["march first", "march last"]
    assert names(organization, expiry="2027-12") == []
    found = counts(organization)
    assert found["window"] == {"overdue": 1, "7": 1, "30": 2, "60": 2, "90": 3}
    assert found["month"]["2027-03"] == 2
    assert found["month"]["2027-04"] == 1


def test_an_imported_consent_of_an_unknown_day_has_no_end(organization: Organization) -> None:
    imported = {"imported_at": NOW, "is_consent_dated": False}
    ending(organization, "unknown", NOW + 3 * DAY, **imported)
    ending(organization, "unknown and old", NOW - DAY, **imported)
    ending(organization, "in 3", NOW + 3 * DAY, imported_at=NOW)

    assert names(organization, expiry="7") == ["in 3"]
    assert names(organization, expiry="overdue") == []
    assert names(organization, expiry=f"{NOW + 3 * DAY:%Y-%m}") == ["in 3"]
    found = counts(organization)
    assert found["window"] == {"7": 1, "30": 1, "60": 1, "90": 1}
    assert found["month"] == {f"{NOW + 3 * DAY:%Y-%m}": 1}
    assert names(organization, sort="renew_by")[0] == "in 3"
    assert names(organization, sort="-renew_by")[0] == "in 3"


def test_a_month_is_the_readers(organization: Organization) -> None:
    """23:30 UTC is the next day in Berlin."""
    ending(organization, "late", datetime(2027, 3, 31, 23, 30, tzinfo=UTC))

    with timezone.override("Europe/Berlin"):
        assert names(organization, expiry="2027-03") == []
        assert names(organization, expiry="2027-04") == ["late"]
        assert counts(organization)["month"] == {"2027-04": 1}
    assert counts(organization)["month"] == {"2027-03": 1}


def test_the_last_month_of_a_year_ends_with_it() -> None:
    first, last = bounds("2026-12", NOW)

    assert (first, last) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_the_panel_says_whose_end_is_meant_without_a_side(organization: Organization) -> None:
    browser = trips.sign_in(factories.make_member(organization))

    page = browser.get(reverse("connection_filters", args=[organization.slug])).content.decode()

    words = "State of either, end of Selling Partner"
    assert f'<option value="">{words}</option>' in page


def test_a_side_says_which_consent_is_meant(organization: Organization) -> None:
    both, fed = row(organization, "spapi", status="invalid"), row(organization, "ppc")
    grant = factories.make_ads_grant(organization)
    profile = factories.make_profile(grant, seller=fed.selling_partner_id or "", marketplace_id=US)
    factories.make_link(factories.make_account(fed, US), profile)
    AdsGrant.objects.for_organization(organization).update(
        status="invalid", authorized_at=NOW - 10 * DAY
    )
    assert both.pk != fed.pk

    assert names(organization, health="revoked") == ["ppc", "spapi"]
    assert names(organization, health="revoked", side="spapi") == ["spapi"]
    assert names(organization, health="revoked", side="ppc") == ["ppc"]
    assert names(organization, show="attention", side="spapi") == ["spapi"]
    assert names(organization, show="attention", side="ppc") == ["ppc"]
    AdsGrant.objects.for_organization(organization).update(status="active")
    assert names(organization, expiry="2027-11", side="ppc") == ["ppc"]
    assert counts(organization, expiry="30", side="ppc")["month"] == {"2027-11": 1}


def test_tags_clients_and_who_authorised(organization: Organization) -> None:
    ada = factories.make_member(organization, Role.MEMBER)
    User.objects.filter(pk=ada.pk).update(name="Ada")
    a, b = row(organization, "A", authorized_by=ada), row(organization, "B", authorized_by=ada)
    c = row(organization, "C", authorized_by=None)
    row(organization, "D", authorized_by=None, is_by_client=True)
    hot, new = make_tag(organization, "hot", a, b), make_tag(organization, "new", b, c)
    acme = make_client(organization, "Acme Brands", a)

    assert names(organization, tag=hot.pk) == ["A", "B"]
    assert names(organization, tag=[hot.pk, new.pk]) == ["B"]
    assert names(organization, client=acme.pk) == ["A"]
    assert names(organization, client="none") == ["B", "C", "D"]
    assert names(organization, authorised=ada.pk) == ["A", "B"]
    assert names(organization, authorised="none") == ["C"]
    assert names(organization, authorised="link") == ["D"]
    found = counts(organization)
    assert found["tag"] == {str(hot.pk): 2, str(new.pk): 2}
    assert counts(organization, tag=hot.pk)["tag"] == {str(hot.pk): 2, str(new.pk): 1}
    assert sorted(found["client"].values()) == [1, 3]
    assert found["client"]["none"] == 3
    assert found["authorised"] == {str(ada.pk): 2, "none": 1, "link": 1}


def test_what_is_another_organizations_is_as_not_chosen(
    organization: Organization, browser: Browser
) -> None:
    row(organization, "Ours")
    other = factories.make_organization()
    theirs = row(other, "Theirs", authorized_by=factories.owner_of(other))
    foreign = [
        f"tag={make_tag(other, 'secret', theirs).pk}",
        f"client={make_client(other, 'Hidden', theirs).pk}",
        f"authorised={factories.owner_of(other).pk}",
    ]

    for query in foreign:
        for path in (list_url(organization), reverse("connection_filters", args=["acme"])):
            page = browser.get(f"{path}?{query}").content.decode()
            assert "secret" not in page
            assert "Hidden" not in page
            assert factories.owner_of(other).email not in page
            assert "Remove this filter" not in page
        assert shown(browser, f"{list_url(organization)}?{query}") == ["Ours"]


def shown(browser: Browser, path: str) -> list[str]:
    page = browser.get(path)
    assert page.status_code == 200
    found = re.findall(r'connection-account__name">([^<]+)<', page.content.decode())
    return [html.unescape(name) for name in found]


@pytest.mark.parametrize("sort", [name for name in SORT_WORDS if not name.startswith("-")])
def test_every_order_has_its_reverse_and_the_unknown_stands_last(
    organization: Organization, sort: str
) -> None:
    if f"-{sort}" not in SORT_WORDS:
        pytest.fail("no way back")
    ada, zoe = (factories.make_member(organization, Role.MEMBER) for _ in range(2))
    User.objects.filter(pk=ada.pk).update(name="ada")
    User.objects.filter(pk=zoe.pk).update(name="Zoe")
    for number, (name, who) in enumerate((("Alpha", ada), ("Beta", zoe))):
        moment = NOW - (2 - number) * DAY
        connection = row(
            organization,
            name,
            authorized_at=moment,
            authorized_by=who,
            verified_at=moment,
            last_success_at=moment,
            last_failure_at=moment,
        )
        make_client(organization, f"Client {name}", connection)
        rows = Connection.objects.for_organization(organization).filter(pk=connection.pk)
        rows.update(created_at=moment, region="NA" if number == 0 else "EU")
    rows = Connection.objects.for_organization(organization)

    up, down = names(organization, sort=sort), names(organization, sort=f"-{sort}")

    assert sorted(up) == ["Alpha", "Beta"]
    assert up == down[::-1]
    factories.make_waiting_connection(organization, name="waits")
    knows_all = sort in ("name", "region", "created")
    if not knows_all:
        assert names(organization, sort=sort)[-1] == "waits"
        assert names(organization, sort=f"-{sort}")[-1] == "waits"
    assert rows.count() == 3


# Counts ------------------------------------------------------------------------------------


def test_each_state_is_counted_as_it_would_be_shown(organization: Organization) -> None:
    row(organization, "fine")
    row(organization, "expired", authorized_at=NOW - 366 * DAY)
    row(organization, "revoked", status="invalid")
    ending(organization, "ends tomorrow", NOW + DAY, status="doubted")
    ending(organization, "lost", NOW - DAY, status="invalid", status_changed_at=NOW - 5 * DAY)
    both = row(organization, "both", status="invalid")
    grant = factories.make_ads_grant(organization)
    profile = factories.make_profile(grant, seller=both.selling_partner_id or "", marketplace_id=US)
    factories.make_link(factories.make_account(both, US), profile)
    AdsGrant.objects.for_organization(organization).update(status="invalid")
    factories.make_account(row(organization, "ads wait"), US)
    factories.make_waiting_connection(organization, name="waits")
    found = counts(organization)

    for state in Health:
        expected = len(names(organization, health=state.value))
        assert found["health"].get(state.value, 0) == expected, state
        for side in ("spapi", "ppc"):
            expected = len(names(organization, health=state.value, side=side))
            there = counts(organization, health=state.value, side=side)
            assert there["health"].get(state.value, 0) == expected, (state, side)
            assert there.get("found", {}).get("found", 0) == expected
    assert found["show"] == {"attention": len(names(organization, show="attention"))}
    assert found["all"] == {"all": 8}


def test_a_filter_is_counted_without_itself_and_with_the_others(
    organization: Organization,
) -> None:
    row(organization, "Shop one", status="invalid")
    row(organization, "Shop two")
    row(organization, "Other", status="invalid")

    found = counts(organization, q="shop", health="revoked")

    assert found["health"] == {"revoked": 1, "connected": 1}
    assert found["found"] == {"found": 1}
    assert found["region"] == {"NA": 1}


def test_the_counts_cost_the_same_statements_whatever_the_number_of_rows(
    organization: Organization,
) -> None:
    row(organization, "A")

    def queries() -> int:
        with CaptureQueriesContext(database) as sent:
            counts(organization, q="a", health="connected")
        return len(sent)

    assert queries() == 7
    for number in range(20):
        row(organization, f"A {number}")
    assert queries() == 7


# The page ----------------------------------------------------------------------------------


def test_every_account_that_ends_in_march_in_two_clicks(
    organization: Organization, browser: Browser
) -> None:
    ending(organization, "March one", datetime(2027, 3, 5, tzinfo=UTC))
    ending(organization, "June", datetime(2027, 6, 5, tzinfo=UTC))
    page = browser.get(list_url(organization)).content.decode()

    (panel_url,) = re.findall(r'<details class="filter-bar__more"[^>]* hx-get="([^"]+)"', page)
    panel = browser.get(panel_url, headers={"HX-Request": "true"}).content.decode()
    (march,) = re.findall(r'href="([^"]+)"[^>]*>March 2027', panel)

    assert shown(browser, html.unescape(march)) == ["March one"]


def test_each_chosen_filter_can_be_taken_back_alone(
    organization: Organization, browser: Browser
) -> None:
    one = row(organization, "Shop", status="invalid")
    hot = make_tag(organization, "hot", one)
    query = f"q=shop&health=revoked&region=NA&tag={hot.pk}&sort=-name"

    page = html.unescape(browser.get(f"{list_url(organization)}?{query}").content.decode())

    links = re.findall(r'class="filter-chip" href="[^"?]*\?([^"]*)"', page)
    assert links == [
        f"health=revoked&region=NA&tag={hot.pk}&sort=-name",
        f"q=shop&region=NA&tag={hot.pk}&sort=-name",
        f"q=shop&health=revoked&tag={hot.pk}&sort=-name",
        "q=shop&health=revoked&region=NA&sort=-name",
    ]
    assert "1 connection found" in page
    assert f'<a class="filter-chips__clear" href="{list_url(organization)}">' in page


def test_without_javascript_a_search_keeps_the_filters(
    organization: Organization, browser: Browser
) -> None:
    row(organization, "Shop", status="invalid")

    page = browser.get(f"{list_url(organization)}?health=revoked&region=NA").content.decode()

    (form,) = re.findall(r'<form class="filter-bar".*?</form>', page, re.DOTALL)
    assert '<input type="hidden" name="health" value="revoked">' in form
    assert '<input type="hidden" name="region" value="NA">' in form


def test_the_plain_list_asks_nothing_about_groups(
    organization: Organization, browser: Browser
) -> None:
    make_tag(organization, "hot", row(organization, "A"))
    browser.get(list_url(organization))

    with CaptureQueriesContext(database) as sent:
        browser.get(list_url(organization))

    asked = [query["sql"] for query in sent if "connections_client" in query["sql"]]
    assert len(asked) == 1  # the facts of the rows themselves
    assert not any("connections_savedview" in query["sql"] for query in sent)


@pytest.mark.parametrize(
    "query",
    ["q=row", "region=NA", "expiry=90", "client=none", "authorised=none", "sort=-renew_by"],
)
def test_a_narrowed_page_reads_its_rows_by_one_query(
    organization: Organization, browser: Browser, query: str
) -> None:
    for number in range(3):
        row(organization, f"Row {number}")
    browser.get(f"{list_url(organization)}?{query}")

    with CaptureQueriesContext(database) as sent:
        browser.get(f"{list_url(organization)}?{query}")

    facts = [one["sql"] for one in sent if "OVER ()" in one["sql"]]
    assert len(facts) == 1
    assert "LIMIT 25" in facts[0]
