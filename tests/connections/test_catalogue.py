"""The catalogue of errors, its page, its page of the docs, and Amazon's own codes."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import translation

from connections import amazon_codes, catalogue, reasons
from connections.catalogue import Entry
from connections.health_reasons import HEALTH
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator

CODE = re.compile(r"SL-[1-6]\d\d")
ENTRIES: list[Entry] = [entry for section in catalogue.sections() for entry in section.entries]


def words_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# The table ---------------------------------------------------------------------------------


def test_every_failure_has_one_number_and_every_number_a_failure() -> None:
    assert catalogue.OUTCOME_NUMBERS.keys() == catalogue.OUTCOMES.keys()
    assert catalogue.REASON_NUMBERS.keys() == catalogue.REASONS.keys()
    assert catalogue.PAGE_NUMBERS.keys() == catalogue.PAGES.keys()
    assert catalogue.AMAZON_WHO.keys() == amazon_codes.CODES.keys()


def test_every_entry_is_in_one_section_and_complete() -> None:
    count = sum(
        len(table)
        for table in (
            catalogue.OUTCOMES,
            catalogue.REASONS,
            catalogue.PAGES,
            catalogue.IMPORTS,
            amazon_codes.CODES,
        )
    )
    codes = [entry.code for entry in ENTRIES]

    assert len(codes) == len(set(codes)) == count
    for entry in ENTRIES:
        assert CODE.fullmatch(entry.code) or entry.code in amazon_codes.CODES
        assert str(entry.words.title)
        assert str(entry.words.meaning)
        assert str(entry.words.next_step)
        assert str(entry.who.words)


def test_numbers_that_people_may_have_written_down_stay() -> None:
    """A published number is never given to another failure."""
    known = {
        "SL-100": reasons.REFUSED,
        "SL-103": reasons.OUTCOMES["code_rejected"],
        "SL-107": reasons.OUTCOMES["wrong_account"],
        "SL-207": reasons.REASONS["grant_invalid"],
        "SL-307": reasons.REASONS["ads_grant_invalid"],
        "SL-404": catalogue.PAGES["not_found"],
    }

    assert {code: entry_of(code).words for code in known} == known


def entry_of(code: str) -> Entry:
    [entry] = [entry for entry in ENTRIES if entry.code == code]
    return entry


def test_what_nobody_knows_has_the_neutral_entry() -> None:
    assert catalogue.outcome_entry("no such outcome").words == reasons.REFUSED
    assert catalogue.reason_entry("no such reason").words == reasons.UNKNOWN


@pytest.mark.parametrize(
    ("template", "page"),
    [
        ("400", "bad_request"),
        ("403", "permission_denied"),
        ("403_csrf", "csrf_failure"),
        ("errors/outside_of_reach", "outside_of_reach"),
        ("404", "not_found"),
        ("405", "wrong_method"),
        ("429", "too_many"),
        ("500", "server_error"),
        ("503", "unavailable"),
        ("errors/not_ended", "not_ended"),
        ("errors/too_many", "too_many"),
    ],
)
def test_an_error_page_names_its_own_entry(template: str, page: str) -> None:
    text = (settings.BASE_DIR / f"templates/{template}.html").read_text()

    assert CODE.findall(text) == [catalogue.page_entry(page).code]


# The pages ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_page_lists_every_entry_under_its_anchor(client: Client) -> None:
    response = client.get(reverse("error_catalogue"))

    page = response.content.decode()
    assert re.findall(r'<section [^>]*id="([\w-]+)"', page) == [e.anchor for e in ENTRIES]
    for entry in ENTRIES:
        assert str(entry.who.words).replace("'", "&#x27;") in page


@pytest.mark.django_db
def test_the_page_of_a_missing_page_leads_to_its_entry(client: Client) -> None:
    client.force_login(factories.make_user())

    page = client.get("/no/such/page").content.decode()
    notice = client.get("/no/such/page", headers={"HX-Request": "true"}).content.decode()

    for text in (page, notice):
        assert 'href="/help/errors#SL-404"' in text


@pytest.mark.django_db
def test_the_end_of_a_trip_shows_its_code_and_the_way_to_its_entry(
    amazon: RunningEmulator,
) -> None:
    organization = factories.make_organization()
    row = factories.make_connection(organization, seller="A1NORTHSTAR001")
    browser = trips.sign_in(factories.owner_of(organization))
    callback = trips.confirm(trips.leave(browser, row), "A2BLUEHARBOR02")

    page = browser.get(str(callback), follow=True).content.decode()

    assert 'href="/help/errors#SL-107"' in page
    assert f'href="{reverse("amazon_codes")}"' in page
    assert callback.trip.reference in page


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["connection_new", "connection_authorize"])
def test_before_leaving_for_amazon_its_codes_are_one_click_away(name: str) -> None:
    row = factories.make_waiting_connection(factories.make_organization())
    browser = trips.sign_in(factories.owner_of(row.organization))
    ids = [row.pk] if name == "connection_authorize" else []

    page = browser.get(reverse(name, args=[row.organization.slug, *ids])).content.decode()

    assert f'href="{reverse("amazon_codes")}"' in page


# The page of the docs ----------------------------------------------------------------------


def test_who_need_not_do_anything_has_nothing_to_do() -> None:
    for section in catalogue.sections():
        for entry in section.entries:
            if "need not" in str(entry.who.words):
                assert str(entry.words.next_step).startswith("Nothing to do"), entry.code


def test_the_page_of_the_docs_is_in_step() -> None:
    out = StringIO()
    with translation.override("de"):  # always English, whoever runs it
        call_command("error_catalogue", stdout=out)

    written = (Path(settings.BASE_DIR) / "docs/errors.md").read_text(encoding="utf-8")

    assert written == out.getvalue(), "run: python manage.py error_catalogue --write"
    assert re.findall(r'<a id="([\w-]+)">', written) == [entry.anchor for entry in ENTRIES]


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "errors.md"
    monkeypatch.setattr("connections.management.commands.error_catalogue.PAGE", page)

    call_command("error_catalogue", "--write")

    assert page.read_text(encoding="utf-8") == catalogue.markdown()


# Amazon's own codes ------------------------------------------------------------------------


def test_the_codes_of_the_issue_are_there() -> None:
    assert set(amazon_codes.CODES) == {
        "MD1000",
        "MD5101",
        "MD5110",
        "MD9100",
        "SPDC8143",
        "SPSA0404",
        "CONSENT_LIMIT_REACHED",
        "NOT_PERMITTED",
    }


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("MD1000", "MD1000"),
        ("  md 5101 ", "MD5101"),
        ("Error code: SPDC8143.", "SPDC8143"),
        ("spsa-0404", "SPSA0404"),
        ("consent limit reached", "CONSENT_LIMIT_REACHED"),
        ("CONSENT_LIMIT_REACHED", "CONSENT_LIMIT_REACHED"),
        ("You do not have permissions to view this page", "NOT_PERMITTED"),
        ("not permitted", "NOT_PERMITTED"),
        ("MD1001", ""),
        ("", ""),
        ("\x00", ""),
        ("x" * 10_000, ""),
    ],
)
def test_a_code_is_found_as_people_type_it(typed: str, code: str) -> None:
    assert amazon_codes.code_in(typed) == code


@pytest.mark.django_db
@pytest.mark.parametrize("code", sorted(amazon_codes.CODES))
def test_a_code_leads_to_its_entry(client: Client, code: str) -> None:
    typed = code if code != amazon_codes.NOT_PERMITTED else "You do not have permissions"

    page = words_of(client.get(reverse("amazon_codes"), {"code": typed}))

    entry = catalogue.amazon_entry(code)
    first = page.index(code if code in page else typed)
    for words in (entry.words.title, entry.words.next_step):
        assert str(words).replace("'", "&#x27;") in page[first:]
    assert page.count(str(entry.words.title).replace("'", "&#x27;")) == 1
    assert "We do not know this code." not in page


@pytest.mark.django_db
def test_an_unknown_code_has_a_helpful_answer_and_is_no_markup(client: Client) -> None:
    response = client.get(reverse("amazon_codes"), {"code": "<script>XY1</script>"})

    assert response.status_code == 200
    assert "We do not know this code." in words_of(response)
    assert "write to support with the code" in words_of(response)
    assert b"<script>XY1" not in response.content


@pytest.mark.django_db
def test_what_amazons_pages_say_is_explained(client: Client, amazon: RunningEmulator) -> None:
    """Every code that the fake Amazon shows has an entry here."""
    text = "".join(
        path.read_text()
        for path in (settings.BASE_DIR / "tests/amazon_emulator").glob("seller_central.py")
    )

    shown = set(re.findall(r'"((?:MD|SPDC|SPSA)\d{4}|CONSENT_LIMIT_REACHED)"', text))

    assert len(shown) == 7
    assert shown <= set(amazon_codes.CODES)


@pytest.mark.parametrize("words", [reasons.REASONS["disconnected"], HEALTH["health_disconnected"]])
def test_a_disconnected_row_is_not_said_to_go_while_its_ppc_lives(words: reasons.Reason) -> None:
    assert str(words.next_step).endswith("the row is erased, unless its PPC is still connected.")
