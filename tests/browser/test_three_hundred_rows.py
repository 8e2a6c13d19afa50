"""Each task of many connections and of many people, in an organization of 300 rows: by keyboard
alone, on a desk in English and light, on a phone in German and dark. Pictures: var/walks."""

from __future__ import annotations

import csv
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.amazon import Amazon
from tests.browser.complaints import Complaints
from tests.browser.conftest import PATIENCE_MILLISECONDS, SignedIn
from tests.browser.keyboard import LOOKS, Keyboard, Look
from tests.browser.product import Product
from tests.browser.screen import confirm_at_seller_central
from tests.browser.test_people import LINK, found_in_mail
from tests.browser.three_hundred import ADMIN, LEAVER, OWNER, Agency, new_agency

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

ROWS_PER_PAGE = 25
# Each of 25 brands has as many rows. One of each of the first two waits for its first consent; all
# consents of the last one are well.
BRAND, QUEUE_BRAND, WELL, OF_A_BRAND = "Kestrel", "Willow", "Zephyr", 12
TAG = "Key account"
GUEST = "viewer@example.com"
# Until the worker has done what was asked, on a busy machine.
WORK_MILLISECONDS = 60_000
# The confirming button of a pop-up, and of a page.
CONFIRM, SUBMIT = "dialog .form-actions button.button--primary", "main form button[type=submit]"


@pytest.fixture(scope="module", params=LOOKS, ids=str)
def look(request: pytest.FixtureRequest) -> Look:
    chosen: Look = request.param
    return chosen


@pytest.fixture(scope="module")
def agency(
    look: Look, product: Product, chromium: Browser, cookies: Callable[[str], Any]
) -> Agency:
    """For one look alone: what the other one did is no part of its counts."""
    if product.var_dir is None:
        pytest.skip("a product that others started gets no rows of this test")
    context = chromium.new_context(base_url=product.url, storage_state=cookies(OWNER))
    agency = new_agency(context.new_page(), product)
    context.close()
    return agency


@pytest.fixture(scope="module")
def visit(
    look: Look, product: Product, chromium: Browser, cookies: Callable[[str], Any]
) -> Iterator[BrowserContext]:
    """Keeps the files of the pages for all tests of a look."""
    options = {"reduced_motion": "reduce", **look.options}
    context = chromium.new_context(base_url=product.url, storage_state=cookies(OWNER), **options)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    yield context
    context.close()


@pytest.fixture
def keyboard(
    look: Look, agency: Agency, visit: BrowserContext, complaints: Complaints
) -> Iterator[Keyboard]:
    """A tab of its own: ticks live as long as the tab."""
    page = visit.new_page()
    complaints.listen(page)
    yield Keyboard(page, look)
    page.close()


# The list ----------------------------------------------------------------------------------


def expect_found(keyboard: Keyboard, count: int) -> None:
    words = keyboard.counted("%(count)d connection found", "%(count)d connections found", count)
    expect(keyboard.page.locator("#list-count")).to_have_text(words)
    shown = keyboard.page.locator("tbody.connection-row")
    expect(shown).to_have_count(min(count, ROWS_PER_PAGE))


def expect_total(keyboard: Keyboard, count: int) -> None:
    expect(keyboard.page.locator("#view-all .filter-link__count")).to_have_text(str(count))


def search(keyboard: Keyboard, words: str) -> None:
    keyboard.type_into("#filter-q", words)
    with keyboard.page.expect_navigation():
        keyboard.page.keyboard.press("Enter")


def names(keyboard: Keyboard) -> list[str]:
    return keyboard.page.locator(".connection-account__name").all_inner_texts()


def test_search_by_name_seller_and_tag(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    page.goto(agency.list_path)
    expect_total(keyboard, agency.rows())
    expect(page.locator("tbody.connection-row")).to_have_count(ROWS_PER_PAGE)
    keyboard.keep("list")

    search(keyboard, BRAND.lower())
    expect_found(keyboard, OF_A_BRAND)
    assert all(name.startswith(BRAND) for name in names(keyboard))
    keyboard.keep("search-name")

    seller = agency.sellers()[7]
    search(keyboard, seller.lower())
    expect_found(keyboard, 1)
    expect(page.locator(".connection-account__id")).to_have_text(seller)
    keyboard.keep("search-seller")

    search(keyboard, TAG)
    expect_found(keyboard, agency.tagged(TAG))
    expect(page.locator(".connection-row .pill", has_text=TAG)).to_have_count(ROWS_PER_PAGE)
    keyboard.keep("search-tag")


def test_filter_order_pages_and_saved_views(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    europe = agency.names_backwards("EU")
    page.goto(agency.list_path)
    first = names(keyboard)[0]
    keyboard.choose("#filter-sort", keyboard.said("Name, Z to A"))
    keyboard.press("#filter-more > summary")
    expect(page.locator("#filter-region")).to_be_visible()
    keyboard.choose("#filter-region", keyboard.said("Europe"))
    keyboard.follow("#filter-panel button[type=submit]")
    expect_found(keyboard, len(europe))
    assert names(keyboard) == europe[:ROWS_PER_PAGE]
    expect(page.locator(".filter-chip")).to_have_text(re.compile(keyboard.said("Europe")))
    keyboard.keep("filter-and-order")

    keyboard.follow("a[rel=next]", "Shift+Tab")
    assert names(keyboard) == europe[ROWS_PER_PAGE : 2 * ROWS_PER_PAGE]
    place = {"first": 26, "last": 50, "total": len(europe)}
    words = keyboard.said("%(first)s–%(last)s of %(total)s", **place)
    expect(page.locator(".pagination p")).to_have_text(words)
    keyboard.keep("second-page")

    keyboard.opens("#save-view")
    keyboard.type_into("dialog input[name=name]", "Europe backwards")
    page.keyboard.press("Enter")
    view = page.locator(".overview__views .filter-link", has_text="Europe backwards")
    expect(view).to_have_attribute("aria-current", "true")
    keyboard.keep("saved-view")
    keyboard.follow("#view-all", "Shift+Tab")
    assert names(keyboard)[0] == first
    expect(view).not_to_have_attribute("aria-current", "true")
    keyboard.follow(".overview__views li:nth-child(2) a")
    assert names(keyboard) == europe[:ROWS_PER_PAGE]

    keyboard.follow("#manage-views")
    keyboard.opens(".link-list__item a[href*='rename']")
    keyboard.type_into("dialog input[name=name]", "Europe first")
    keyboard.follow(CONFIRM)
    expect(page.locator(".link-list__words")).to_have_text(["Europe first"])
    keyboard.keep("renamed-view")
    keyboard.opens(".link-list__item a[href*='delete']")
    keyboard.keep("delete-view")
    keyboard.follow("dialog .form-actions button.button--danger")
    expect(page.locator(".link-list__words")).to_have_count(0)
    page.goto(agency.list_path)
    expect(page.locator(".overview__views .filter-link")).to_have_count(1)


# Many rows at once -------------------------------------------------------------------------


def tick_page(keyboard: Keyboard, count: int) -> None:
    keyboard.tick("#select-page")
    expect_selected(keyboard, count)


def tick_all_that_match(keyboard: Keyboard, count: int) -> None:
    keyboard.tick("#select-all")
    expect_selected(keyboard, count)


def expect_selected(keyboard: Keyboard, count: int) -> None:
    words = keyboard.said("{count} selected").replace("{count}", str(count))
    expect(keyboard.page.locator("[data-selected-count]")).to_have_text(words)


def ask(keyboard: Keyboard, action: str, key: str = "Tab") -> None:
    keyboard.opens(f".bulk-bar button[formaction$='/{action}']", key)


def expect_to_go(keyboard: Keyboard, going: int, left: int = 0) -> None:
    """What the question says before anything is done."""
    words = [keyboard.counted("For %(counter)s connection", "For %(counter)s connections", going)]
    if left:
        one, many = "Not for %(counter)s connection", "Not for %(counter)s connections"
        words.append(keyboard.counted(one, many, left))
    expect(keyboard.page.locator("dialog details.disclosure summary")).to_have_text(words)


def told(keyboard: Keyboard, place: str) -> Counter[str]:
    """How many rows of the result say what."""
    words = keyboard.page.locator(f"{place} .status").all_inner_texts()
    return Counter(one.strip() for one in words)


def expect_told(keyboard: Keyboard, place: str, **expected: int) -> None:
    """Words in English, with _ for spaces."""
    signs = keyboard.page.locator(f"{place} .status")
    expect(signs).to_have_count(sum(expected.values()), timeout=WORK_MILLISECONDS)
    wanted = {keyboard.said(words.replace("_", " ")): n for words, n in expected.items()}
    assert told(keyboard, place) == wanted


def test_tag_all_that_match(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    page.goto(agency.list_path)
    tick_all_that_match(keyboard, agency.rows())
    ask(keyboard, "tag")
    expect_to_go(keyboard, agency.rows())
    keyboard.type_into("#bulk-new-tag", "Audit")
    keyboard.keep("tag-all")
    keyboard.press("dialog button[value=add]")
    expect_told(keyboard, "dialog", Tagged=agency.rows())
    keyboard.keep("tag-all-result")
    page.keyboard.press("Escape")
    expect(page.locator(".connection-row .pill", has_text="Audit")).to_have_count(ROWS_PER_PAGE)
    assert agency.tagged("Audit") == agency.rows()

    tick_all_that_match(keyboard, agency.rows())
    ask(keyboard, "tag")
    keyboard.choose("#bulk-tag", "Audit")
    keyboard.press("dialog button[value=remove]")
    expect_told(keyboard, "dialog", Taken_off=agency.rows())
    keyboard.keep("untag-all-result")
    page.keyboard.press("Escape")
    expect(page.locator(".connection-row .pill", has_text="Audit")).to_have_count(0)
    assert agency.tagged("Audit") == 0


def test_give_rows_to_a_new_client(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    page.goto(f"{agency.path}groups")
    keyboard.opens("#new-client")
    keyboard.type_into("dialog input[name=name]", "Aardvark Goods")
    keyboard.follow(CONFIRM)
    expect(page.locator(".group-list li").first).to_contain_text("Aardvark Goods")
    keyboard.keep("new-client")

    page.goto(f"{agency.list_path}?q={BRAND}")
    for place in (1, 2):
        keyboard.tick(f"tbody:nth-of-type({place}) .connection-account__tick")
    expect_selected(keyboard, 2)
    ask(keyboard, "client", "Shift+Tab")
    expect_to_go(keyboard, 2)
    keyboard.choose("#bulk-client", "Aardvark Goods")
    keyboard.keep("client")
    keyboard.press(CONFIRM)
    expect_told(keyboard, "dialog", Changed=2)
    keyboard.keep("client-result")
    page.keyboard.press("Escape")
    search(keyboard, "Aardvark")
    expect_found(keyboard, 2)


def test_check_now(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    page.goto(f"{agency.list_path}?q={BRAND}")
    tick_page(keyboard, OF_A_BRAND)
    ask(keyboard, "check")
    expect_to_go(keyboard, OF_A_BRAND - 1, left=1)
    waits = keyboard.said("Waits for its first consent")
    expect(page.locator("dialog details:last-of-type .bulk-lines__words")).to_have_text(waits)
    # Unfolded, the dialog alone moves: a list that does could not be reached in every browser.
    keyboard.press("dialog details:not([open]) summary")
    lists = page.locator("dialog .bulk-lines")
    assert lists.first.is_visible()
    assert lists.evaluate_all("all => all.every((one) => one.scrollHeight <= one.clientHeight)")
    keyboard.keep("check")
    keyboard.follow(CONFIRM)
    results = page.locator("#check-results")
    expect(results.locator("tbody tr")).to_have_count(OF_A_BRAND - 1)
    expect(results.locator(".bulk-lines li")).to_have_count(1)
    # As long as something moves it asks for what has happened since.
    expect(page.locator("#check-results[hx-get]")).to_have_count(0, timeout=WORK_MILLISECONDS)
    every = {"done": OF_A_BRAND - 1, "total": OF_A_BRAND - 1}
    expect(results).to_contain_text(keyboard.said("%(done)d of %(total)d checked", **every))
    states = [words.split()[0] for words in told(keyboard, "tbody td:nth-of-type(1)").elements()]
    known = {keyboard.said("Connected"), keyboard.said("Expiring").split()[0]}
    assert len(states) == OF_A_BRAND - 1
    assert set(states) <= known
    keyboard.keep("check-result")


def test_onboarding_survives_a_closed_tab(
    keyboard: Keyboard, agency: Agency, visit: BrowserContext
) -> None:
    page = keyboard.page
    pending = agency.pending_marketplaces(WELL)
    assert pending
    page.goto(f"{agency.list_path}?q={WELL}")
    tick_page(keyboard, OF_A_BRAND)
    ask(keyboard, "onboard")
    words = ("%(count)s marketplace will start.", "%(count)s marketplaces will start.")
    expect(page.locator("dialog strong")).to_have_text(keyboard.counted(*words, pending))
    keyboard.keep("onboard")
    keyboard.follow(CONFIRM)
    words = ("%(count)s marketplace started", "%(count)s marketplaces started")
    expect(page.locator("#results-title")).to_have_text(keyboard.counted(*words, pending))
    rows = page.locator("main tbody tr").count()
    expect_told(keyboard, "main tbody", Started=rows)
    keyboard.keep("onboard-result")
    page.close()

    again = Keyboard(visit.new_page(), keyboard.look)
    again.page.goto(f"{agency.list_path}?q={WELL}")
    lines = again.page.locator(f'td[data-label="{again.said("Selling Partner")}"] .marketplaces')
    done = again.page.locator(".marketplaces:not(.tone-success)").and_(lines)
    expect(done).to_have_count(0, timeout=WORK_MILLISECONDS)
    assert agency.pending_marketplaces(WELL) == 0
    again.keep("onboarded")
    again.page.close()


def download(keyboard: Keyboard, kind: str, key: str = "Tab") -> Path:
    keyboard.walk_to(f"dialog button[value={kind}]", key)
    with keyboard.page.expect_download() as started:
        keyboard.page.keyboard.press("Enter")
    return started.value.path()


def test_export_as_csv_and_for_excel(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    page.goto(agency.list_path)
    tick_all_that_match(keyboard, agency.rows())
    ask(keyboard, "export")
    rows = keyboard.counted("%(count)s connection", "%(count)s connections", agency.rows())
    expect(page.locator("dialog strong")).to_have_text(rows)
    keyboard.keep("export")

    table = list(csv.DictReader(download(keyboard, "csv").read_text("utf-8-sig").splitlines()))
    assert len(table) == agency.rows()
    sellers = [row[keyboard.said("Seller ID")] for row in table]
    assert sorted(filter(None, sellers)) == sorted(agency.sellers())
    with zipfile.ZipFile(download(keyboard, "xlsx", "Shift+Tab")) as workbook:
        sheet = workbook.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row") == agency.rows() + 1


# The reconnect queue -----------------------------------------------------------------------


def turn(keyboard: Keyboard) -> str:
    return keyboard.page.locator("#turn-title").inner_text()


def reconnect_present(keyboard: Keyboard) -> None:
    """The trip to Amazon and back."""
    page, name = keyboard.page, turn(keyboard)
    seller_id = page.locator("section[aria-labelledby=turn-title] dd").first.inner_text().strip()
    keyboard.follow("#open-seller-central")
    confirm_at_seller_central(page, seller_id)
    page.wait_for_url("**/reconnect-queue*")
    words = "%(name)s is reconnected. Its consent counts for another year."
    expect(page.locator("#notices")).to_contain_text(keyboard.said(words, name=name))


def expect_settled(keyboard: Keyboard, done: int, total: int) -> None:
    words = keyboard.said("%(done)d of %(total)d settled", done=done, total=total)
    expect(keyboard.page.locator("main")).to_contain_text(words)


def expect_queue_of(keyboard: Keyboard, count: int) -> None:
    one, many = (
        "%(count)s store will be in your queue.",
        "%(count)s stores will be in your queue.",
    )
    words = keyboard.counted(one, many, count)
    expect(keyboard.page.locator("form p strong").first).to_have_text(words)


def walk_skip_and_stop(keyboard: Keyboard, total: int) -> None:
    """One is reconnected, one put last, one skipped."""
    reconnect_present(keyboard)
    expect_settled(keyboard, 1, total)
    put_last = turn(keyboard)
    keyboard.follow("button[formaction$='/put-last']")
    skipped = turn(keyboard)
    keyboard.follow("button[formaction$='/skip']")
    assert len({put_last, skipped, turn(keyboard)}) == 3
    keyboard.keep("queue-skipped")
    resumed = turn(keyboard)
    keyboard.follow("#stop-for-today")
    expect_settled(keyboard, 1, total)
    keyboard.keep("queue-stopped")
    keyboard.follow("#continue-queue")
    assert turn(keyboard) == resumed
    expect_told(keyboard, "main table", Reconnected=1, Skipped=1, Waiting=total - 2)


def test_reconnect_queue(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    total = OF_A_BRAND - agency.without_consent(QUEUE_BRAND)
    page.goto(f"{agency.list_path}?q={QUEUE_BRAND}")
    tick_page(keyboard, OF_A_BRAND)
    ask(keyboard, "add")
    expect_queue_of(keyboard, total)
    expect_to_go(keyboard, total, left=OF_A_BRAND - total)
    keyboard.keep("queue-question")
    keyboard.follow(CONFIRM)
    keyboard.keep("queue")
    walk_skip_and_stop(keyboard, total)

    keyboard.follow("#send-as-links")
    keyboard.keep("queue-links")
    keyboard.follow("main .form-actions button[type=submit]", "Shift+Tab")
    expect_told(keyboard, "main table", Copy_the_link=total - 2)
    expect(page.locator("main table input[readonly]")).to_have_count(total - 2)
    keyboard.keep("queue-links-result")
    keyboard.follow("main .button-group a.button--primary", "Shift+Tab")
    keyboard.follow("form[action$='/finish'] button")
    results = {"Reconnected": 1, "Skipped": 1, "Link_to_copy_and_hand_over": total - 2}
    expect_told(keyboard, "main table", **results)
    expect(page.locator("#summary-title")).to_have_text(keyboard.said("This queue is over"))
    keyboard.keep("queue-over")


def from_menu(keyboard: Keyboard, page_name: str) -> None:
    """From the list, by its menu."""
    keyboard.press("#list-menu > summary")
    keyboard.follow(f"#list-menu a[href$='/{page_name}']")


def remove(keyboard: Keyboard, member: str, name: str) -> None:
    keyboard.opens(f"a[href$='/people/{member}/remove']")
    keyboard.keep("remove")
    keyboard.follow("dialog .form-actions button[type=submit]")
    gone = keyboard.said("%(who)s has no access any more.", who=name)
    expect(keyboard.page.locator("#notices")).to_contain_text(gone)


def test_the_consents_of_a_leaver_are_replaced(keyboard: Keyboard, agency: Agency) -> None:
    page, person = keyboard.page, agency.person(LEAVER)
    given = agency.consents_of(LEAVER)
    page.goto(f"{agency.path}people")
    remove(keyboard, agency.member(LEAVER), "Mia Member")
    assert agency.member(LEAVER) == ""

    page.goto(agency.list_path)
    from_menu(keyboard, "authorisers")
    keyboard.keep("authorisers")
    keyboard.follow(f"main a[href='?person={person}']")
    expect(page.locator("section[aria-labelledby=stores-title] tbody tr")).to_have_count(given)
    keyboard.keep("authorised-by-one")
    keyboard.follow("#walk-them")
    expect_queue_of(keyboard, given)
    keyboard.keep("leaver-question")
    keyboard.follow("main .form-actions button[type=submit]")
    reconnect_present(keyboard)
    expect_settled(keyboard, 1, given)
    assert agency.consents_of(LEAVER) == given - 1
    keyboard.keep("leaver-queue")
    keyboard.opens("#end-queue", "Shift+Tab")
    keyboard.follow("dialog .form-actions button[type=submit]")
    expect_told(keyboard, "main table", Reconnected=1, Skipped=given - 1)
    keyboard.keep("leaver-over")


# Files -------------------------------------------------------------------------------------


def bring(keyboard: Keyboard, agency: Agency, page_name: str, file: Path) -> None:
    keyboard.page.goto(agency.list_path)
    from_menu(keyboard, page_name)
    keyboard.walk_to("input[type=file]")
    keyboard.page.locator("input[type=file]").set_input_files(file)
    keyboard.follow(SUBMIT)


def expect_status(keyboard: Keyboard, one: str, many: str, count: int) -> None:
    place = keyboard.page.locator("main [role=status] strong")
    words = keyboard.counted(one, many, count)
    expect(place).to_have_text(words, timeout=WORK_MILLISECONDS)


def test_refresh_tokens_by_file(
    keyboard: Keyboard, agency: Agency, amazon: Amazon, tmp_path: Path
) -> None:
    sellers = [amazon.add_seller(name, "US") for name in ("Moved One", "Moved Two")]
    lines = [f"{s.name},US,{s.seller_id},{amazon.consent_elsewhere(s, 'NA')}" for s in sellers]
    file = tmp_path / "tokens.csv"
    head, spoiled = "name,marketplace,seller id,refresh token", "Spoiled,US,A1,not a token"
    file.write_text("\n".join([head, *lines, spoiled]))
    bring(keyboard, agency, "import/tokens", file)
    expect_status(keyboard, *READY_TO_IMPORT, 2)
    expect_told(keyboard, "#import-results", Ready=2, Cannot_be_imported=1)
    keyboard.keep("tokens")
    keyboard.press("button[value=confirm]")
    expect_status(keyboard, *IMPORTED, 2)
    expect_told(keyboard, "#import-results", Imported=2, Cannot_be_imported=1)
    keyboard.keep("tokens-result")
    keyboard.page.goto(f"{agency.list_path}?q=Moved")
    expect_found(keyboard, 2)


READY_TO_IMPORT = ("%(count)s row can be imported.", "%(count)s rows can be imported.")
IMPORTED = ("%(count)s row was imported.", "%(count)s rows were imported.")
CAN_BE_DONE = ("%(count)s row can be carried out.", "%(count)s rows can be carried out.")
DONE = ("%(count)s row is done.", "%(count)s rows are done.")
CLIENT_LIST = """client name,contact mail,store name,seller id,marketplace,tags
Foxglove Ltd,,{},{},{},Autumn
Nova Labs,nova@example.com,Nova US,,US,Autumn|Toys
Nova Labs,nova@example.com,Nova UK,,GB,Autumn
,,Nobody's,,US,
"""


def test_clients_by_file_are_invited(keyboard: Keyboard, agency: Agency, tmp_path: Path) -> None:
    page = keyboard.page
    file = tmp_path / "clients.csv"
    file.write_text(CLIENT_LIST.format(*agency.store_of_client("Foxglove Ltd")))
    bring(keyboard, agency, "import/clients", file)
    expect_status(keyboard, *CAN_BE_DONE, 3)
    expect_told(keyboard, "main table", Ready=3, Left_out=1)
    keyboard.keep("clients")
    keyboard.follow("button[value=confirm]")
    expect_status(keyboard, *DONE, 3)
    expect_told(keyboard, "main table", Done=3, Left_out=1)
    assert agency.tagged("Autumn") == 3
    keyboard.keep("clients-result")

    keyboard.follow("#invite-clients")
    expect(page.locator("main input[name=row]:checked")).to_have_count(2)
    keyboard.keep("invitations")
    keyboard.follow("main .form-actions button[type=submit]")
    expect_told(keyboard, "main table", The_link_is_being_sent=2)
    keyboard.keep("invitations-result")


# Links to clients --------------------------------------------------------------------------


def make_link(keyboard: Keyboard, client: str) -> str:
    page = keyboard.page
    keyboard.press(".connection-account__menu > summary")
    keyboard.opens(".connection-account__menu a[href$='/ask-client']")
    keyboard.type_into("dialog input[name=recipient_name]", client)
    keyboard.keep("ask-client")
    keyboard.press(CONFIRM)
    expect(page.locator("#client-link-url")).to_be_visible()
    return page.locator("#client-link-url").input_value()


def test_link_to_a_client(
    keyboard: Keyboard, agency: Agency, window: SignedIn, complaints: Complaints
) -> None:
    page = keyboard.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{agency.list_path}?q={agency.sellers()[-1]}")
    link = make_link(keyboard, "Maria")
    keyboard.press("dialog [data-copy]")
    expect(page.locator("dialog [role=status]")).to_have_text(keyboard.said("Copied."))
    assert page.evaluate("navigator.clipboard.readText()") == link
    keyboard.keep("client-link")
    keyboard.follow("dialog .form-actions a")
    line = "main tbody tr:has(form[action$='/again']):first-child"
    expect_told(keyboard, line, To_hand_over=1)
    client = window("", **keyboard.look.options)
    client.goto(link)
    page.reload()
    expect_told(keyboard, line, Opened=1)
    keyboard.keep("client-link-opened")

    keyboard.follow(f"{line} form[action$='/again'] button")
    anew = page.locator("#client-link-url").input_value()
    assert anew != link
    keyboard.keep("client-link-again")
    complaints.expected.add(410)
    client.goto(link)
    expect(client.locator("main button")).to_have_count(0)
    keyboard.follow("main .form-actions a")
    keyboard.opens(f"{line} a[href$='/revoke']")
    keyboard.keep("client-link-end")
    keyboard.follow("dialog .form-actions button[type=submit]")
    assert told(keyboard, "main tbody")[keyboard.said("Ended")] == 2
    client.goto(anew)
    expect(client.locator("main button")).to_have_count(0)
    keyboard.keep("client-link-ended")


# People ------------------------------------------------------------------------------------


def invite(keyboard: Keyboard, agency: Agency) -> None:
    keyboard.page.goto(f"{agency.path}people")
    keyboard.opens("#invite")
    keyboard.type_into("dialog input[name=email]", GUEST)
    keyboard.pick("dialog input[name=role]", "viewer")
    keyboard.keep("invite")
    keyboard.follow(CONFIRM)
    words = "The invitation is on its way to %(email)s. Its link works for %(days)d days."
    sent = keyboard.said(words, email=GUEST, days=7)
    expect(keyboard.page.locator("#notices")).to_contain_text(sent)


def join(guest: Keyboard, product: Product) -> None:
    guest.page.goto(found_in_mail(product, GUEST, LINK))
    guest.keep("invitation")
    guest.follow("form[action$='/invitation/accept'] button")


def change_role(keyboard: Keyboard, member: str) -> None:
    page = keyboard.page
    keyboard.opens(f"a[href$='/people/{member}/role']")
    keyboard.pick("dialog input[name=role]", "member")
    keyboard.keep("role")
    keyboard.follow(CONFIRM)
    expect_role(page, GUEST, keyboard.said("Member"))


def expect_role(page: Page, email: str, role: str) -> None:
    line = page.get_by_role("row").filter(has_text=email)
    expect(line.locator(".pill")).to_have_text(role)


def limit(keyboard: Keyboard, member: str, words: str, ticks: list[str]) -> None:
    """To some of what these words find among all tags, clients and connections."""
    keyboard.opens(f"a[href$='/people/{member}/reach']")
    keyboard.pick("dialog input[name=sees]", "some")
    keyboard.type_into("#narrow-words", words)
    for tick in ticks:
        keyboard.tick(f"dialog input{tick}")
    keyboard.keep("reach")
    keyboard.follow(CONFIRM)
    saved = keyboard.said("Saved. It counts from this person's next click on.")
    expect(keyboard.page.locator("#notices")).to_contain_text(saved)


def test_invite_change_limit_and_remove(
    keyboard: Keyboard, agency: Agency, window: SignedIn, product: Product, complaints: Complaints
) -> None:
    invite(keyboard, agency)
    guest = Keyboard(window(GUEST, reduced_motion="reduce", **keyboard.look.options), keyboard.look)
    join(guest, product)
    member = agency.member(GUEST)
    keyboard.page.reload()
    change_role(keyboard, member)

    tag = f"[name=tags][value='{agency.tag(TAG)}']"
    limit(keyboard, member, TAG, [tag])
    guest.page.goto(agency.list_path)
    expect_total(guest, agency.tagged(TAG))
    guest.keep("sees-a-tag")
    rows = agency.rows_called(f"{BRAND} Toys")
    ticks = [tag, *(f"[name=connections][value='{row}']" for row in rows)]
    limit(keyboard, member, f"{BRAND} Toys", ticks)
    guest.page.reload()
    expect(guest.page.locator("tbody.connection-row")).to_have_count(len(rows))
    guest.keep("sees-some-rows")

    # An open list would ask for changes meanwhile, and complain before its page is asked for.
    guest.page.goto("about:blank")
    remove(keyboard, member, "Victor Viewer")
    complaints.expected.add(404)
    answer = guest.page.goto(agency.list_path)
    assert answer is not None
    assert answer.status == 404


def test_transfer_of_the_ownership(keyboard: Keyboard, agency: Agency) -> None:
    page = keyboard.page
    page.goto(f"{agency.path}people")
    keyboard.opens("a[href$='/people/transfer']", "Shift+Tab")
    keyboard.pick("dialog input[name=member]", agency.member(ADMIN))
    keyboard.keep("transfer")
    keyboard.follow("dialog .form-actions button[type=submit]")
    expect_role(page, ADMIN, keyboard.said("Owner"))
    expect_role(page, OWNER, keyboard.said("Admin"))
    keyboard.keep("transferred")
