"""The tasks of a long list by keyboard alone: search, tick, tag, filter, save, check."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignedIn
from tests.browser.screen import add_connection, new_name, new_organization, row

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

NAMES = ("Alpine Mugs", "Baltic Lamps", "Alpine Tents")


def waiting_rows(page: Page) -> None:
    new_organization(page, new_name("Agency"))
    address = page.url
    for name in NAMES:
        add_connection(page, name, "United States")
        page.goto(address)


def press_until(page: Page, key: str, place: str) -> None:
    """As somebody does who walks to it: a place that cannot be reached fails."""
    for _ in range(40):
        page.keyboard.press(key)
        if page.evaluate("place => document.activeElement.matches(place)", place):
            return
    raise AssertionError(f"{key} never reached {place}")


def test_search_tag_and_filter_by_keyboard(window: SignedIn) -> None:
    page = window()
    waiting_rows(page)

    press_until(page, "Tab", "#filter-q")
    page.keyboard.type("alpine")
    page.keyboard.press("Enter")
    expect(page.locator("#list-count")).to_have_text("2 connections found")
    expect(page.locator("#announcer")).to_have_text("2 connections found")
    expect(row(page, "Baltic Lamps")).to_have_count(0)

    press_until(page, "Tab", "#select-page")
    page.keyboard.press("Space")
    expect(page.locator("#announcer")).to_have_text("2 selected")
    press_until(page, "Tab", "#bulk-2")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Tag connections")
    expect(dialog).to_contain_text("For 2 connections")
    press_until(page, "Tab", "#bulk-new-tag")
    page.keyboard.type("Mountain")
    press_until(page, "Tab", "button[value=add]")
    page.keyboard.press("Enter")
    result = page.get_by_role("dialog", name="Tagged: Mountain")
    expect(result.get_by_text("Tagged", exact=True)).to_have_count(2)
    page.keyboard.press("Escape")

    expect(page.locator("#select-page")).to_be_focused()
    expect(row(page, "Alpine Mugs").get_by_text("Mountain")).to_be_visible()
    expect(row(page, "Alpine Mugs").locator(".connection-account__tick")).not_to_be_checked()

    press_until(page, "Shift+Tab", "#filter-more > summary")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Mountain (2)")).to_be_visible()
    press_until(page, "Tab", "input[name=tag]")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Tag: Mountain Remove this filter")).to_be_visible()
    press_until(page, "Tab", "#save-view")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Save this view")).to_be_visible()
    press_until(page, "Tab", "dialog input[name=name]")
    page.keyboard.type("In the mountains")
    page.keyboard.press("Enter")
    view = page.get_by_role("link", name="In the mountains")
    expect(view).to_have_attribute("aria-current", "true")


def test_all_that_match_without_javascript(window: SignedIn) -> None:
    page = window(java_script_enabled=False)
    waiting_rows(page)
    page.get_by_label("Search").fill("alpine")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#list-count")).to_have_text("2 connections found")

    page.get_by_label("All 2 that match").check()
    page.get_by_role("button", name="Tag the ticked connections").click()
    page.get_by_label("New tag").fill("Mountain")
    page.get_by_role("button", name="Put the tag on").click()
    page.get_by_role("link", name="Back to the list").last.click()

    expect(page.locator("#list-count")).to_have_text("2 connections found")
    expect(row(page, "Alpine Tents").get_by_text("Mountain")).to_be_visible()
    page.get_by_text("Filters", exact=True).click()
    page.get_by_role("link", name="All filters, with the number of connections").click()
    expect(page.get_by_label("Mountain (2)")).to_be_visible()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#list-count")).to_have_text("2 connections found")
