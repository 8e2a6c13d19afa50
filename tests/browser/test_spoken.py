"""What a screen reader is told after an action, and where its focus is then."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.amazon import Amazon
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.pages import check_result
from tests.browser.screen import (
    choose_action,
    connect,
    new_name,
    new_organization,
    rename,
    row,
    selling_partner,
)

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]

# All that the page's one live region was ever given to say.
LISTEN = """() => {
  window.said = [];
  const place = document.getElementById("announcer");
  new MutationObserver(() => {
    if (place.textContent) window.said.push(place.textContent);
  }).observe(place, { childList: true });
}"""
# The poll asks every 1.5 or 1.9 seconds.
A_POLL_LATER = 3_000


def said(page: Page) -> list[str]:
    """Since it was asked last. A busy machine may be slow, and the page then says so."""
    words: list[str] = page.evaluate("window.said.splice(0)")
    return [one for one in words if one != "This takes longer than usual."]


def store(page: Page, amazon: Amazon, name: str, *countries: str) -> Locator:
    new_organization(page, new_name("Spoken"))
    seller = amazon.add_seller(name, *countries)
    connect(page, name, "United States", seller.seller_id)
    page.wait_for_timeout(A_POLL_LATER)
    page.evaluate(LISTEN)
    return row(page, name)


def test_what_is_done_with_a_row_is_said_once_and_the_focus_stays_in_it(
    window: SignedIn, amazon: Amazon
) -> None:
    page = window()
    store_row = store(page, amazon, "Aurora", "US", "CA")
    actions = store_row.locator("summary", has_text="Actions")

    store_row.get_by_role("button", name="Yes, keep it").press("Enter")
    expect(actions).to_be_focused()
    page.wait_for_timeout(A_POLL_LATER)
    assert said(page) == ["Aurora is kept."]

    actions.press("Enter")
    store_row.get_by_role("button", name="Check now").press("Enter")
    expect(actions).to_be_focused()
    page.wait_for_timeout(A_POLL_LATER)
    expect(actions).to_be_focused()
    first, *later = said(page)
    assert first == "The Selling Partner consent of Aurora is being checked."
    assert set(later) <= {"Aurora NA: Selling Partner: Connected."}, "the end of it, if anything"


def test_all_marketplaces_are_started_and_one_is_paused_by_keyboard(
    window: SignedIn, amazon: Amazon
) -> None:
    page = window()
    store_row = store(page, amazon, "Borealis", "US")

    selling_partner(page, "Borealis").get_by_role("link", name="Continue").press("Enter")
    page.get_by_role("dialog").get_by_label("United States").check()
    page.get_by_role("dialog").get_by_role("button", name="Start Now").press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(store_row.locator("summary", has_text="Actions")).to_be_focused()
    expect(selling_partner(page, "Borealis").locator("strong")).to_have_text("United States")
    page.wait_for_timeout(A_POLL_LATER)
    first, *later = said(page)
    assert first == "1 marketplace started."
    assert len(later) == len(set(later)), later
    assert all(words.startswith("Borealis NA: Selling Partner: ") for words in later), later

    store_row.locator("summary", has_text="Details").press("Enter")
    store_row.get_by_role("button", name=re.compile("^Pause")).press("Enter")
    expect(store_row.get_by_role("button", name=re.compile("^Resume"))).to_be_focused()
    page.wait_for_timeout(A_POLL_LATER)
    expect(store_row.get_by_role("button", name=re.compile("^Resume"))).to_be_focused()
    assert said(page) == ["Paused. Nothing is imported for this marketplace until you resume it."]


def test_a_change_by_somebody_else_says_the_new_state_where_its_row_is_seen(
    window: SignedIn, amazon: Amazon
) -> None:
    page = window()
    store(page, amazon, "Corona", "US")
    narrowed, busy, other = (page.context.new_page() for _ in range(3))
    for another in (narrowed, busy, other):
        another.goto(page.url.split("#")[0])
    narrowed.goto(f"{page.url.split('?')[0]}?q=nothing+of+that+name")
    choose_action(busy, "Corona", "Rename")
    expect(busy.get_by_role("dialog")).to_be_visible()
    for another in (narrowed, busy):
        another.evaluate(LISTEN)

    choose_action(other, "Corona", "Disconnect")
    other.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
    expect(other.locator("#announcer")).to_contain_text("Corona was disconnected")
    for another in (page, busy):
        expect(selling_partner(another, "Corona")).to_contain_text("Disconnected")
    page.wait_for_timeout(A_POLL_LATER)

    told = "Corona NA: Selling Partner: Disconnected; PPC: Waiting for consent."
    assert said(page) == [told]
    assert said(narrowed) == []
    assert said(busy) == [], "an open dialog silences the page behind it"
    busy.keyboard.press("Escape")
    expect(busy.locator("#announcer")).to_have_text(told)


def test_a_slow_answer_keeps_its_words_while_others_change_its_row(
    window: SignedIn, amazon: Amazon
) -> None:
    page = window()
    store_row = store(page, amazon, "Delta", "US")
    other = page.context.new_page()
    other.goto(page.url.split("#")[0])
    held: list[Route] = []
    page.route("**/check", lambda route: held.append(route))  # noqa: PLW0108  # Playwright marks it

    store_row.locator("summary", has_text="Actions").press("Enter")
    with page.expect_request("**/check"):
        store_row.get_by_role("button", name="Check now").press("Enter")
    rename(other, "Delta", "Delta 2")
    page.wait_for_timeout(A_POLL_LATER)
    said(page)
    held[0].continue_()

    expect(row(page, "Delta 2")).to_be_visible()
    page.wait_for_timeout(A_POLL_LATER)
    assert "The Selling Partner consent of Delta 2 is being checked." in said(page)


def test_who_has_scrolled_on_is_not_taken_back_by_a_fresh_row(
    window: SignedIn, amazon: Amazon
) -> None:
    page = window()
    store_row = store(page, amazon, "Echo", "US")
    other = page.context.new_page()
    other.goto(page.url.split("#")[0])
    store_row.locator("summary", has_text="Actions").focus()
    page.evaluate("document.body.style.paddingBottom = '4000px'")
    page.evaluate("scrollTo(0, 2500)")

    rename(other, "Echo", "Echo 2")

    expect(row(page, "Echo 2")).to_be_attached()
    expect(row(page, "Echo 2").locator("summary", has_text="Actions")).to_be_focused()
    assert page.evaluate("scrollY") == 2500


def test_a_check_that_ends_leaves_the_focus_at_its_heading(window: SignedIn) -> None:
    page = window()
    check_result(page)
    page.wait_for_load_state()
    page.evaluate(
        """() => {
          const link = Object.assign(document.createElement("a"), { id: "show-again", href: "#" });
          document.getElementById("check-results").append(link);
          link.focus();
        }"""
    )

    page.evaluate("htmx.ajax('GET', location.pathname, '#check-results')")

    expect(page.locator("#show-again")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_failure_far_below_comes_into_sight(window: SignedIn, complaints: Complaints) -> None:
    complaints.expected.add(503)
    page = window()
    page.goto("/o/northstar-trading/connections/")
    page.route("**/rename", lambda route: route.fulfill(status=503))
    last = page.locator("tbody.connection-row").last
    last.locator("summary", has_text="Actions").click()
    last.get_by_role("link", name="Rename").click()

    expect(page.get_by_role("alert")).to_be_in_viewport()
    expect(last.locator("summary", has_text="Actions")).to_be_focused()
