"""Tags and clients: made, given, shown, taken away."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from connections import groups
from connections.grouping_models import Client, Tag, Tagging
from connections.models import Connection
from sellerlegend.organizations.models import AuditEvent, Organization, Role
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import make_client, make_tag
from tests.nothing_changed import nothing_changes

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Browser:
    return trips.sign_in(factories.owner_of(organization))


@pytest.fixture
def row(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Shop")


def url(name: str, *ids: Any) -> str:
    return reverse(name, args=["acme", *ids])


def events(organization: Organization) -> list[tuple[str, dict[str, Any]]]:
    codes = ("tag_", "client_", "connection_tag", "connection_client")
    found = AuditEvent.objects.for_organization(organization).order_by("at", "pk")
    return [(one.code, one.details) for one in found if one.code.startswith(codes)]


def tags_of(row: Connection) -> list[str]:
    taggings = Tagging.objects.for_organization(row.organization_id).filter(connection=row)
    return sorted(taggings.values_list("tag__name", flat=True))


def list_text(browser: Browser) -> str:
    page = browser.get(url("account_connections")).content.decode()
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_a_row_gets_its_tags_and_client_in_one_form(
    organization: Organization, row: Connection, browser: Browser
) -> None:
    old, kept = make_tag(organization, "old", row), make_tag(organization, "kept", row)
    acme = make_client(organization, "Acme Brands")
    page = browser.get(url("connection_groups", row.pk)).content.decode()
    assert re.findall(r'value="(\d+)" checked', page) == [str(kept.pk), str(old.pk)]

    answer = browser.post(
        url("connection_groups", row.pk),
        {"tag": [str(kept.pk)], "new": " Brand  new ", "client": str(acme.pk)},
    )

    assert answer.status_code == 303
    assert tags_of(row) == ["Brand new", "kept"]
    row.refresh_from_db()
    assert row.client_id == acme.pk
    assert events(organization)[-3:] == [
        ("tag_created", {"new": "Brand new"}),
        ("connection_tagged", {"new": "Brand new, kept"}),
        ("connection_client_set", {"new": "Acme Brands"}),
    ]
    assert "Client: Acme Brands Brand new kept" in list_text(browser)


def test_the_same_again_changes_nothing(
    organization: Organization, row: Connection, browser: Browser
) -> None:
    tag, client = make_tag(organization, "hot", row), make_client(organization, "Acme", row)
    before = events(organization)

    browser.post(url("connection_groups", row.pk), {"tag": [str(tag.pk)], "client": str(client.pk)})

    assert events(organization) == before


def test_foreign_tags_and_clients_are_as_not_sent(
    organization: Organization, row: Connection, browser: Browser
) -> None:
    other = factories.make_organization()
    theirs, stranger = make_tag(other, "theirs"), make_client(other, "Stranger")

    browser.post(
        url("connection_groups", row.pk), {"tag": [str(theirs.pk)], "client": str(stranger.pk)}
    )
    browser.post(url("connections_tag"), {"row": str(row.pk), "which": str(theirs.pk), "do": "add"})
    browser.post(url("connections_client"), {"row": str(row.pk), "which": str(stranger.pk)})

    row.refresh_from_db()
    assert (tags_of(row), row.client_id) == ([], None)


@pytest.mark.parametrize("change", ["rename", "delete", "client"])
def test_a_change_of_a_group_is_seen_on_every_row_at_once(
    organization: Organization, row: Connection, browser: Browser, change: str
) -> None:
    tag, client = make_tag(organization, "hot", row), make_client(organization, "Before", row)
    assert "Client: Before hot" in list_text(browser)
    row.refresh_from_db()
    revision = row.revision

    if change == "rename":
        browser.post(url("tag_rename", tag.pk), {"name": "cold"})
        expected = "Client: Before cold"
    elif change == "delete":
        browser.post(url("tag_delete", tag.pk))
        expected = "Client: Before"
    else:
        browser.post(url("client_change", client.pk), {"name": "After"})
        expected = "Client: After hot"

    row.refresh_from_db()
    assert row.revision > revision
    assert expected in list_text(browser)
    assert ("hot" in list_text(browser)) == (change == "client")


def test_a_deleted_client_leaves_its_rows(
    organization: Organization, row: Connection, browser: Browser
) -> None:
    client = make_client(organization, "Gone", row)

    answer = browser.post(url("client_delete", client.pk))

    assert answer.status_code == 303
    row.refresh_from_db()
    assert row.client_id is None
    assert "Gone" not in list_text(browser).replace("The client Gone was deleted.", "")
    assert events(organization)[-1] == ("client_deleted", {"old": "Gone"})


def test_a_client_has_a_contact_that_no_event_repeats(
    organization: Organization, browser: Browser
) -> None:
    sent = {
        "name": "Acme Brands",
        "contact_name": "Carla Contact",
        "contact_email": "carla@example.com",
    }
    browser.post(url("client_new"), sent)
    client = Client.objects.for_organization(organization).get()
    browser.post(url("client_change", client.pk), sent | {"contact_email": "new@example.com"})

    client.refresh_from_db()
    assert (client.contact_name, client.contact_email) == ("Carla Contact", "new@example.com")
    assert events(organization) == [
        ("client_created", {"new": "Acme Brands"}),
        (
            "client_changed",
            {"old": "Acme Brands", "new": "Acme Brands", "columns": ["contact_email"]},
        ),
    ]
    page = browser.get(url("connection_groups_page")).content.decode()
    assert "Carla Contact · new@example.com" in page


@pytest.mark.parametrize(
    ("route", "sent"),
    [
        ("tag_new", {"name": "HOT"}),
        ("client_new", {"name": "acme"}),
        ("client_new", {"name": "x", "contact_email": "no address"}),
        ("tag_new", {"name": "x" * 41}),
        ("tag_new", {"name": "\u200b"}),
    ],
)
def test_a_mistake_comes_back_in_words(
    organization: Organization,
    browser: Browser,
    amazon: RunningEmulator,
    route: str,
    sent: dict[str, str],
) -> None:
    make_tag(organization, "hot")
    make_client(organization, "Acme")

    with nothing_changes(amazon, events=()):
        answer = browser.post(url(route), sent)

    assert answer.status_code == 422
    assert "field__error" in answer.content.decode()


def test_there_is_a_most(
    organization: Organization, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MOST_TAGS", 1)
    monkeypatch.setattr(groups, "MOST_CLIENTS", 0)
    make_tag(organization, "only")

    assert browser.post(url("tag_new"), {"name": "second"}).status_code == 422
    assert browser.post(url("client_new"), {"name": "first"}).status_code == 422
    assert Tag.objects.for_organization(organization).count() == 1
    assert Client.objects.for_organization(organization).count() == 0


def test_who_may_do_what(organization: Organization, row: Connection) -> None:
    tag, client = make_tag(organization, "hot"), make_client(organization, "Acme")
    member = trips.sign_in(factories.make_member(organization, Role.MEMBER))
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    assert member.post(url("tag_rename", tag.pk), {"name": "cold"}).status_code == 303
    assert member.get(url("tag_delete", tag.pk)).status_code == 403
    assert member.get(url("client_change", client.pk)).status_code == 403
    page = viewer.get(url("connection_groups_page")).content.decode()
    assert "cold" in page
    assert reverse("tag_new", args=["acme"]) not in page
    assert viewer.get(url("connection_groups", row.pk)).status_code == 403


# Many rows at once -------------------------------------------------------------------------


@pytest.fixture
def rows(organization: Organization) -> list[Connection]:
    return [factories.make_connection(organization, name=name) for name in ("A", "B", "C")]


def ids(rows: list[Connection]) -> list[str]:
    return [str(row.pk) for row in rows]


def test_a_tag_is_put_on_many_rows_and_taken_off(
    organization: Organization, rows: list[Connection], browser: Browser
) -> None:
    tag = make_tag(organization, "hot", rows[0])
    sent = {"row": ids(rows), "which": str(tag.pk)}

    page = browser.get(url("connections_tag"), {"row": ids(rows)}).content.decode()
    assert tags_of(rows[1]) == []
    put = browser.post(url("connections_tag"), sent | {"do": "add"}).content.decode()

    assert "For 3 connections" in page
    assert [tags_of(row) for row in rows] == [["hot"]] * 3
    assert said(put, "Tagged") == 2
    assert said(put, "Had it") == 1
    off = browser.post(url("connections_tag"), sent | {"do": "remove"}).content.decode()
    assert [tags_of(row) for row in rows] == [[]] * 3
    assert said(off, "Taken off") == 3
    codes = [code for code, _ in events(organization)]
    assert codes.count("connection_tag_added") == 3
    assert codes.count("connection_tag_removed") == 3


def test_a_new_tag_is_made_on_the_way(
    organization: Organization, rows: list[Connection], browser: Browser
) -> None:
    make_tag(organization, "Hot")
    sent = {"row": ids(rows[:1]), "do": "add"}

    browser.post(url("connections_tag"), sent | {"new": "hot"})
    browser.post(url("connections_tag"), sent | {"new": "Cold"})

    assert tags_of(rows[0]) == ["Cold", "Hot"]


def test_of_a_chosen_and_a_typed_tag_the_person_says_which(
    organization: Organization,
    rows: list[Connection],
    browser: Browser,
    amazon: RunningEmulator,
) -> None:
    tag = make_tag(organization, "hot")
    sent = {"row": ids(rows), "which": str(tag.pk), "new": "Cold", "do": "add"}

    with nothing_changes(amazon, events=()):
        asked = browser.post(url("connections_tag"), sent)

    assert asked.status_code == 422
    assert "You chose a tag and typed a new one." in asked.text
    assert re.search(rf'<option value="{tag.pk}"\s+selected>', asked.text)
    assert 'name="new" value="Cold"' in asked.text


def test_a_tag_that_was_deleted_under_the_pop_up_is_said_to_be_gone(
    organization: Organization,
    rows: list[Connection],
    browser: Browser,
    amazon: RunningEmulator,
) -> None:
    tag = make_tag(organization, "hot")
    sent = {"row": ids(rows), "which": str(tag.pk), "do": "add"}
    tag.delete()

    with nothing_changes(amazon, events=()):
        asked = browser.post(url("connections_tag"), sent)

    assert asked.status_code == 422
    assert "That tag is not there any more: somebody deleted it meanwhile." in asked.text


def test_a_client_for_all_that_match(
    organization: Organization, rows: list[Connection], browser: Browser
) -> None:
    acme = make_client(organization, "Acme Brands", rows[2])
    page = browser.get(url("connections_client"), {"all": "1", "client": "none"}).content.decode()
    chosen = re.findall(r'name="row" value="([^"]+)"', page)
    assert chosen == ids(rows[:2])

    result = browser.post(url("connections_client"), {"row": ids(rows), "which": str(acme.pk)})

    assert said(result.content.decode(), "Changed") == 2
    assert said(result.content.decode(), "Was so already") == 1
    owners = Connection.objects.for_organization(organization)
    assert set(owners.values_list("client_id", flat=True)) == {acme.pk}
    gone = browser.post(
        url("connections_client"), {"row": ids(rows), "which": str(factories.unknown_id())}
    )
    assert "somebody deleted it meanwhile" in gone.text
    assert "Choose a client." in browser.post(url("connections_client"), {"row": ids(rows)}).text
    browser.post(url("connections_client"), {"row": ids(rows), "which": "none"})
    assert set(owners.values_list("client_id", flat=True)) == {None}


def said(page: str, words: str) -> int:
    """How many rows of a result say it."""
    return len(re.findall(rf">\s*{words}\s*<", page))


@pytest.mark.parametrize("route", ["connections_tag", "connections_client"])
@pytest.mark.parametrize("sent", [{}, {"which": ""}, {"which": "x"}, {"which": "²"}])
def test_a_bulk_action_without_rows_or_choice_asks_again(
    organization: Organization,
    rows: list[Connection],
    browser: Browser,
    amazon: RunningEmulator,
    route: str,
    sent: dict[str, str],
) -> None:
    with nothing_changes(amazon, events=()):
        without_rows = browser.post(url(route), sent)
        without_choice = browser.post(url(route), sent | {"row": ids(rows)})

    assert without_rows.status_code == without_choice.status_code == 422
    assert "Tick at least one connection in the list first." in without_rows.content.decode()


def test_foreign_rows_are_left_out_and_said(
    organization: Organization, rows: list[Connection], browser: Browser
) -> None:
    tag = make_tag(organization, "hot")
    foreign = factories.make_connection(factories.make_organization())
    sent = {"row": ids([rows[0], foreign]), "which": str(tag.pk), "do": "add"}

    page = browser.get(url("connections_tag"), {"row": sent["row"]}).content.decode()
    browser.post(url("connections_tag"), sent)

    assert "1 of 2 connections chosen" in page
    assert tags_of(rows[0]) == ["hot"]
    assert tags_of(foreign) == []


def test_the_bar_shows_what_the_reader_may_do(
    organization: Organization, rows: list[Connection], browser: Browser
) -> None:
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    seen = browser.get(url("account_connections")).content.decode()
    looked = viewer.get(url("account_connections")).content.decode()

    for name in ("connections_check", "connections_tag", "connections_client"):
        assert f'formaction="{url(name)}"' in seen
        assert f'formaction="{url(name)}"' not in looked
    assert seen.count('form="selection"') == 3
    assert "All 3 that match" in seen
