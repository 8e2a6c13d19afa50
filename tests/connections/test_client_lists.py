"""Clients and their stores from a file: what each row would do, and what it did."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from connections import client_lists, client_table, export, export_files, retention, services
from connections.client_table import checked_list
from connections.grouping_models import Client, Tag, Tagging
from connections.import_models import RESULTS_KEPT, ClientList
from connections.models import Connection
from connections.reader import Reader
from connections.uploaded_tables import titles_of
from ppc import erasure
from sellerlegend.organizations.audit import WORKER, Actor
from sellerlegend.organizations.models import AuditEvent, Organization, Role
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import nothing_changes

pytestmark = pytest.mark.django_db

HEADER = (
    "Client name",
    "Contact name",
    "Contact mail",
    "Store name",
    "Marketplace",
    "Seller ID",
    "Tags",
)


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Agency")


@pytest.fixture
def browser(organization: Organization) -> Browser:
    return trips.sign_in(factories.make_member(organization, Role.ADMIN))


def table(*rows: tuple[str, ...]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([HEADER, *rows])
    return text.getvalue()


def line(
    client: str = "Acme",
    contact: str = "",
    mail: str = "",
    store: str = "",
    place: str = "",
    seller: str = "",
    tags: str = "",
) -> tuple[str, ...]:
    return (client, contact, mail, store, place, seller, tags)


def new_url(organization: Organization) -> str:
    return reverse("client_list_new", args=[organization.slug])


def page_url(found: ClientList) -> str:
    return reverse("client_list", args=[found.organization.slug, found.pk])


def bring(browser: Browser, organization: Organization, *rows: tuple[str, ...]) -> ClientList:
    answer = browser.post(new_url(organization), {"text": table(*rows)})
    assert answer.status_code == 303
    newest: ClientList = ClientList.objects.for_organization(organization).latest("created_at")
    assert answer.headers["Location"] == page_url(newest)
    return newest


def confirm(browser: Browser, found: ClientList) -> list[tuple[str, str]]:
    assert browser.post(page_url(found), {"action": "confirm"}).status_code == 303
    found.refresh_from_db()
    return [(each.problem, each.outcome) for each in client_lists.lines_of(found)]


def plans(organization: Organization, *rows: tuple[str, ...]) -> list[str]:
    lines = checked_list(table(*rows).encode(), organization.pk)
    return [each.problem or each.plan for each in lines]


def words_of(page: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())


def rows_by_name(organization: Organization) -> dict[str, Connection]:
    rows = Connection.objects.for_organization(organization).select_related("client")
    return {row.name: row for row in rows}


def tags_of(row: Connection) -> set[str]:
    taggings = Tagging.objects.for_organization(row.organization_id).filter(connection=row)
    return set(taggings.values_list("tag__name", flat=True))


def test_clients_rows_and_tags_come_from_one_list(
    organization: Organization, browser: Browser, amazon: RunningEmulator
) -> None:
    known = factories.make_connection(organization, name="Known", seller="A1KNOWN")
    Tag.objects.for_organization(organization).create(name="Toys")
    found = bring(
        browser,
        organization,
        line("Acme", "Ada", "ada@acme.example", "Acme US", "US", "A9ACME", "toys | new"),
        line("acme", store="Acme DE", place="DE"),
        line("Bolt", mail="bob@bolt.example", store="anything", place="NA", seller="A1KNOWN"),
        line("Cargo", "Cleo"),
    )
    looked = words_of(browser.get(page_url(found)))
    assert "4 rows can be carried out. Nothing is changed yet." in looked
    assert not Client.objects.for_organization(organization).exists()

    asked_before = amazon.ledger.last_number

    results = confirm(browser, found)

    assert amazon.ledger.last_number == asked_before
    assert results == [("", "create"), ("", "create"), ("", "assign"), ("", "client")]
    clients = {each.name: each for each in Client.objects.for_organization(organization)}
    assert set(clients) == {"Acme", "Bolt", "Cargo"}
    assert (clients["Acme"].contact_name, clients["Acme"].contact_email) == (
        "Ada",
        "ada@acme.example",
    )
    rows = rows_by_name(organization)
    assert set(rows) == {"Known", "Acme US", "Acme DE"}
    assert {name: row.client and row.client.name for name, row in rows.items()} == {
        "Known": "Bolt",
        "Acme US": "Acme",
        "Acme DE": "Acme",
    }
    assert rows["Known"].pk == known.pk
    assert rows["Acme US"].waits_for_consent
    assert rows["Acme US"].expected_selling_partner_id == "A9ACME"
    assert rows["Acme DE"].region == "EU"
    assert tags_of(rows["Acme US"]) == {"Toys", "new"}
    told = words_of(browser.get(page_url(found)))
    assert "4 rows are done. 2 new rows wait for their consents." in told


def test_confirm_returns_what_it_did_row_by_row(organization: Organization) -> None:
    actor = Actor.person(factories.owner_of(organization))
    lines = checked_list(
        table(line(store="Store", place="US"), line(client=""), line("Bare")).encode(),
        organization.pk,
    )
    kept = client_lists.keep(organization=organization, lines=lines, actor=actor)

    results = client_lists.confirm(client_list=kept, actor=actor)

    assert [(each.line, each.client.name, each.is_new) for each in results] == [
        (2, "Acme", True),
        (4, "Bare", False),
    ]
    assert results[0].connection is not None
    assert results[0].connection.name == "Store"
    assert client_lists.confirm(client_list=kept, actor=actor) == []
    assert Connection.objects.for_organization(organization).count() == 1


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (line("", store="S"), "client_missing"),
        (line("\u200b"), "client_missing"),
        (line("x" * 81), "client_too_long"),
        (line(contact="x" * 151), "contact_too_long"),
        (line(mail="not a mail"), "mail_malformed"),
        (line(mail="a@b.example\nBcc: x@y.example"), "mail_malformed"),
        (line(tags="x" * 41), "tag_too_long"),
        (line(tags="|".join(map(str, range(11)))), "too_many_tags"),
        (line(store="S"), "place_missing"),
        (line(place="US"), "name_missing"),
        (line(store="S", place="Mars"), "place_unknown"),
        (line(store="S", place="US", seller="A-1"), "seller_malformed"),
        (line(store="S" * 81, place="US"), "name_too_long"),
        (line(), "client"),
        (line(store="S", place="US"), "create"),
        (line("=cmd()", store="=1+1", place="US"), "create"),
    ],
)
def test_the_plan_or_the_problem_of_a_row(
    row: tuple[str, ...], problem: str, organization: Organization
) -> None:
    assert plans(organization, row) == [problem]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("reader", ["en", "de"])
def test_the_columns_that_the_page_names_are_read_whoever_reads(
    language: str, reader: str, organization: Organization, browser: Browser
) -> None:
    with translation.override(language):
        page = words_of(browser.get(new_url(organization), headers={"accept-language": language}))
        named = titles_of(client_table.COLUMNS)
    assert f": {named}." in page
    header = ";".join(f"  {name.upper()} " for name in named.split(", "))
    text = f"{header}\nAcme;Ada;ada@acme.example;Acme DE;DE;EU;A3FHEXAMPLEYWS;toys|new\n"

    answer = browser.post(
        new_url(organization), {"text": text}, headers={"accept-language": reader}
    )

    assert answer.status_code == 303
    (found,) = ClientList.objects.for_organization(organization)
    (read,) = client_lists.lines_of(found)
    assert (read.client, read.contact, read.mail) == ("Acme", "Ada", "ada@acme.example")
    assert (read.store, read.region, read.seller) == ("Acme DE", "EU", "A3FHEXAMPLEYWS")
    assert (read.tags, read.plan) == (("toys", "new"), "create")


def test_our_own_export_in_german_is_read(organization: Organization) -> None:
    row = factories.make_connection(organization, name="Acme DE", seller="A1KNOWN")
    row.client = Client.objects.for_organization(organization).create(name="Acme")
    row.save()
    reader = Reader(organization.slug, "de", "UTC", "administer", "2026")
    with translation.override("de"):
        batches = export.batches_of(organization.pk, [row.pk], reader)
        data = "".join(export_files.csv_pieces(batches)).encode()
    assert data.decode("utf-8-sig").startswith("Name,Kunde,Schlagwörter,Verkäufer-ID,Region,")

    (read,) = checked_list(data, organization.pk)

    assert (read.client, read.store, read.seller) == ("Acme", "Acme DE", "A1KNOWN")
    assert (read.plan, read.connection) == ("as_it_is", str(row.pk))


def test_an_unknown_header_is_told_what_is_known_in_the_readers_language(
    organization: Organization, browser: Browser, amazon: RunningEmulator
) -> None:
    with nothing_changes(amazon, events=()):
        answer = browser.post(
            new_url(organization), {"text": "Firma;Laden\nA;B\n"}, headers={"accept-language": "de"}
        )

    assert answer.status_code == 422
    assert (
        "Nicht gefunden: Kundenname. Spalten, die wir kennen: Kundenname, Name der Kontaktperson, "
        "E-Mail der Kontaktperson, Shop-Name, Marktplatz, Region, Verkäufer-ID, Schlagwörter."
    ) in words_of(answer)


def test_rows_that_are_here(organization: Organization) -> None:
    acme = Client.objects.for_organization(organization).create(name="Acme")
    factories.make_connection(organization, name="Mine", seller="A1")
    taken = factories.make_connection(organization, name="Others", seller="A2")
    Connection.objects.for_organization(organization).filter(pk=taken.pk).update(client=acme)

    assert plans(
        organization,
        line("Bolt", store="mine", place="US"),
        line("Bolt", store="Others", place="US"),
    ) == ["assign", "other_client"]
    assert plans(organization, line("acme", store="Others", place="US")) == ["as_it_is"]
    assert plans(organization, line("acme", store="Others", place="US", tags="x")) == ["tag"]
    assert plans(organization, line(store="Mine", place="DE")) == ["place_differs"]
    assert plans(organization, line(store="Mine", place="US", seller="A7")) == ["name_taken"]
    assert (
        plans(organization, line(store="S", place="US"), line("B", store="s", place="DE"))
        == ["name_twice"] * 2
    )
    assert (
        plans(
            organization,
            line(store="S", place="US", seller="A8"),
            line("B", store="T", place="CA", seller="A8"),
        )
        == ["twice_in_the_file"] * 2
    )


def test_a_seller_that_is_here_needs_no_name(organization: Organization, browser: Browser) -> None:
    row = factories.make_connection(organization, name="Mine", seller="A1")

    found = bring(
        browser,
        organization,
        line("Bolt", place="US", seller="A1", tags="x"),
        line("Bolt", place="DE", seller="A1"),
        line("Bolt", place="US", seller="A2"),
    )

    assert "Mine A1 North America" in words_of(browser.get(page_url(found)))
    assert confirm(browser, found) == [("", "assign"), ("name_missing", ""), ("name_missing", "")]
    assert rows_by_name(organization)["Mine"].client_id is not None
    assert tags_of(row) == {"x"}
    assert Connection.objects.for_organization(organization).count() == 1


def test_a_row_that_says_what_is_so_already_changes_nothing(
    organization: Organization, browser: Browser
) -> None:
    factories.make_connection(organization, name="Mine", seller="A1")
    store = line("Bolt", store="Mine", place="US", tags="x")
    confirm(browser, bring(browser, organization, store))
    before = rows_by_name(organization)["Mine"].revision
    events = AuditEvent.objects.for_organization(organization).filter(code="connection_grouped")
    assert events.count() == 1

    found = bring(browser, organization, store)
    looked = words_of(browser.get(page_url(found)))
    results = confirm(browser, found)

    assert "The connection stays as it is." in looked
    assert results == [("", "as_it_is")]
    assert "The connection stayed as it was." in words_of(browser.get(page_url(found)))
    assert rows_by_name(organization)["Mine"].revision == before
    assert events.count() == 1


def test_columns_that_nobody_reads_are_named(organization: Organization, browser: Browser) -> None:
    text = "Client name,Phone,<b>Tier</b>,Store name,Marketplace,\nAcme,1,2,S,US,\n"

    page = browser.post(new_url(organization), {"text": text}, follow=True)

    assert (
        "These columns are not read, since we do not know their titles: “Phone”, "
        "“&lt;b&gt;Tier&lt;/b&gt;”."
    ) in page.content.decode()
    again = browser.post(new_url(organization), {"text": table(line())}, follow=True)
    assert "are not read" not in again.content.decode()


def test_the_look_says_whose_contact_is_set(organization: Organization, browser: Browser) -> None:
    """Its address is sent links from then on."""
    rows = Client.objects.for_organization(organization)
    rows.create(name="Bare")
    rows.create(name="Known", contact_email="kate@known.example")

    found = bring(
        browser,
        organization,
        line("Bare", mail="new@bare.example"),
        line("Known", mail="kate@known.example"),
        line("New", mail="n@new.example"),
    )

    words = words_of(browser.get(page_url(found)))
    assert (
        "The client is there already. new@bare.example becomes its contact, and is sent its links."
    ) in words
    assert words.count("The client is there already.") == 2
    assert words.count("Adds the client, without a store.") == 1
    assert confirm(browser, found) == [("", "known_client"), ("", "known_client"), ("", "client")]
    assert rows.get(name="Bare").contact_email == "new@bare.example"


DOUBT = (
    "badid does not look like a Seller ID: A followed by 12 or 13 capital letters and digits. "
    "Compare it with Seller Central."
)


def test_an_odd_seller_id_is_doubted_and_taken(
    organization: Organization, browser: Browser
) -> None:
    found = bring(
        browser,
        organization,
        line(store="One", place="US", seller="badid"),
        line(store="Two", place="US", seller="A3FHEXAMPLEYWS"),
        line(store="Three", place="US", seller="A3FHEXAMPLEYW"),
        line(store="Four", place="US"),
    )
    looked = words_of(browser.get(page_url(found)))

    assert looked.count(DOUBT) == looked.count("does not look like") == 1
    assert confirm(browser, found) == [("", "create")] * 4
    assert rows_by_name(organization)["One"].expected_selling_partner_id == "badid"
    assert "does not look like" not in words_of(browser.get(page_url(found)))


def test_a_row_that_is_said_again_counts_once(organization: Organization) -> None:
    said = line("Bolt", store="S", place="US", seller="A8")
    other_place = line("Bolt", store="S", place="CA", seller="A8")

    assert plans(organization, said, said, said) == ["create", "said_before", "said_before"]
    in_capitals = line("BOLT", store="s", place="us", seller="A8")
    assert plans(organization, said, in_capitals) == ["create", "said_before"]
    assert plans(organization, said, other_place) == ["twice_in_the_file"] * 2
    assert plans(organization, line("Bolt"), line("Bolt")) == ["client", "client"]


def test_a_contact_that_is_here_is_not_overwritten(
    organization: Organization, browser: Browser
) -> None:
    Client.objects.for_organization(organization).create(
        name="Acme", contact_email="old@acme.example"
    )
    found = bring(browser, organization, line(contact="New", mail="new@acme.example"))

    told = (
        "This client's contact is old@acme.example, and is sent its links. new@acme.example is not "
        "kept: change the contact under Tags and clients if it is the right one."
    )
    assert told in words_of(browser.get(page_url(found)))
    confirm(browser, found)
    assert told in words_of(browser.get(page_url(found)))

    client = Client.objects.for_organization(organization).get()
    assert (client.contact_name, client.contact_email) == ("", "old@acme.example")


def test_of_two_contacts_of_a_new_client_the_first_is_asked_and_the_other_is_told(
    organization: Organization, browser: Browser
) -> None:
    found = bring(
        browser,
        organization,
        line("Wëird", "Nobody yet", store="Before", place="DE"),
        line("Wëird", "Ann", "ann@weird.example", "First", "DE"),
        line("wëird", "Bob", "bob@weird.example", "Second", "FR"),
        line("WËIRD", "Ann", "ANN@weird.example", "Third", "IT"),
    )
    told = "This client's contact is ann@weird.example, and is sent its links. bob@weird.example is"

    assert words_of(browser.get(page_url(found))).count(told) == 1
    assert confirm(browser, found) == [("", "create")] * 4

    assert words_of(browser.get(page_url(found))).count("is not kept") == 1
    client = Client.objects.for_organization(organization).get()
    assert (client.contact_name, client.contact_email) == ("Ann", "ann@weird.example")


def test_a_list_that_an_older_release_kept_can_be_read(
    organization: Organization, browser: Browser
) -> None:
    found = bring(browser, organization, line("Acme"))
    (stored,) = found.lines
    del stored["kept_contact"]
    ClientList.objects.for_organization(organization).update(
        lines=[stored | {"keeps_contact": True}]
    )

    assert confirm(browser, found) == [("", "client")]


@pytest.mark.parametrize(
    ("place", "region"),
    [
        ("Deutschland", "EU"),
        ("Vereinigtes Königreich", "EU"),
        ("USA", "NA"),
        ("Great Britain", "EU"),
        ("Nordamerika", "NA"),
        ("Ferner Osten", "FE"),
        ("Europe", "EU"),
        ("us-west-2", "FE"),
    ],
)
def test_a_place_is_called_as_our_pages_call_it_in_any_language(
    organization: Organization, place: str, region: str
) -> None:
    (read,) = checked_list(table(line(store="S", place=place)).encode(), organization.pk)

    assert (read.problem, read.plan, read.region) == ("", "create", region)


def test_a_tag_is_spelled_as_its_first_row_does(
    organization: Organization, browser: Browser
) -> None:
    found = bring(
        browser,
        organization,
        line(store="One", place="US", tags="VIP"),
        line(store="Two", place="US", tags="vip"),
    )
    confirm(browser, found)

    rows = rows_by_name(organization)
    assert (tags_of(rows["One"]), tags_of(rows["Two"])) == ({"VIP"}, {"VIP"})


def test_who_corrects_a_file_finds_the_row_by_its_store(organization: Organization) -> None:
    rows = (line(mail="no address", store="Lost Shop", place="DE"), line(client="", store="Other"))

    read = checked_list(table(*rows).encode(), organization.pk)

    assert [(each.problem, each.store) for each in read] == [
        ("mail_malformed", "Lost Shop"),
        ("client_missing", "Other"),
    ]


def test_files_of_one_minute_are_told_apart(organization: Organization, browser: Browser) -> None:
    bring(browser, organization, line("Acme"), line("Bolt"))
    confirm(browser, bring(browser, organization, line("Cargo")))

    said = words_of(browser.get(new_url(organization)))

    assert "1 row, the first of Cargo, confirmed" in said
    assert "2 rows, the first of Acme, not confirmed" in said


def test_what_changed_since_the_look_is_looked_at_again(
    organization: Organization, browser: Browser
) -> None:
    found = bring(
        browser,
        organization,
        line(store="Becomes taken", place="US", seller="A1"),
        line(store="Fine", place="US"),
    )
    factories.make_connection(organization, name="Becomes taken", seller="A2")

    assert confirm(browser, found) == [("name_taken", ""), ("", "create")]
    assert set(rows_by_name(organization)) == {"Becomes taken", "Fine"}


def test_rows_of_a_client_wait_as_long_as_it_takes(
    organization: Organization, browser: Browser
) -> None:
    found = bring(browser, organization, line(store="Planned", place="US"))
    confirm(browser, found)
    factories.make_waiting_connection(organization, name="Forgotten")
    Connection.objects.for_organization(organization).update(
        created_at=timezone.now() - timedelta(days=3)
    )

    assert services.remove_abandoned_rows() == 1
    assert set(rows_by_name(organization)) == {"Planned"}


def test_what_was_pasted_stays_to_be_mended(
    organization: Organization, browser: Browser, amazon: RunningEmulator
) -> None:
    with nothing_changes(amazon, events=()):
        answer = browser.post(new_url(organization), {"text": "firm;place\nAcme & Sons;US"})

    assert answer.status_code == 422
    assert "firm;place\nAcme &amp; Sons;US</textarea>" in answer.content.decode()


def test_a_table_of_tokens_on_the_wrong_page_is_not_given_back(
    organization: Organization, browser: Browser, amazon: RunningEmulator
) -> None:
    with nothing_changes(amazon, events=()):
        answer = browser.post(
            new_url(organization), {"text": "name;refresh token\nAcme;Atzr|IwEBIA-of-somebody"}
        )

    assert answer.status_code == 422
    assert "IwEBIA" not in answer.content.decode()
    assert "Acme" not in answer.content.decode()


def test_what_was_carried_out_is_said_once(organization: Organization, browser: Browser) -> None:
    found = bring(browser, organization, line("Acme"))

    page = browser.post(page_url(found), {"action": "confirm"}, follow=True).text

    assert page.count('role="status"') == browser.get(page_url(found)).text.count('role="status"')
    assert "1 row is done." in page


def test_a_list_can_be_discarded_until_it_is_confirmed(
    organization: Organization, browser: Browser, amazon: RunningEmulator
) -> None:
    found = bring(browser, organization, line(store="S", place="US"))
    assert browser.post(page_url(found), {"action": "discard"}).status_code == 303
    assert browser.get(page_url(found)).status_code == 404

    again = bring(browser, organization, line(store="S", place="US"))
    confirm(browser, again)
    with nothing_changes(amazon, events=()):
        answer = browser.post(page_url(again), {"action": "discard"})
    assert answer.status_code == 422


def test_the_record_says_who_did_it(organization: Organization, browser: Browser) -> None:
    found = bring(browser, organization, line(store="S", place="US"), line("Bare"))
    confirm(browser, found)

    events = AuditEvent.objects.for_organization(organization)
    event = events.get(code="client_list_confirmed")
    assert event.details == {"created": 1, "rows": 2}
    assert event.actor is not None
    assert events.get(code="connection_grouped").connection_id == (
        rows_by_name(organization)["S"].pk
    )


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_who_may_make_no_client_brings_no_list_of_them(
    organization: Organization, role: Role
) -> None:
    browser = trips.sign_in(factories.make_member(organization, role))

    assert browser.get(new_url(organization)).status_code == 403
    assert browser.post(new_url(organization), {"text": table(line())}).status_code == 403
    assert not ClientList.objects.for_organization(organization).exists()


def test_lists_go_after_two_weeks_and_with_the_organization(
    organization: Organization, browser: Browser
) -> None:
    bring(browser, organization, line())
    bring(browser, organization, line("Bolt"))
    oldest = ClientList.objects.for_organization(organization).earliest("created_at")
    ClientList.objects.for_organization(organization).filter(pk=oldest.pk).update(
        created_at=timezone.now() - RESULTS_KEPT - timedelta(seconds=1)
    )
    rule = next(rule for rule in retention.rules() if rule.name == "client_lists")

    assert sum(rule.steps()) == 1
    erasure.delete_organization(organization=organization, actor=WORKER)
    erasure.erase_organization(organization, actor=WORKER)
    assert not ClientList.objects.for_organization(organization).exists()


def test_five_hundred_rows_take_few_statements_each(
    organization: Organization, browser: Browser
) -> None:
    def statements(count: int) -> int:
        rows = [line(f"Client {n}", store=f"Store {count} {n}", place="US") for n in range(count)]
        found = bring(browser, organization, *rows)
        with CaptureQueriesContext(database) as sent:
            confirm(browser, found)
        return len(sent.captured_queries)

    few, many = statements(10), statements(30)
    assert (many - few) / 20 < 15
