"""Ticks of a list of many pages: they survive paging and *Back*, and end with their action."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import SignedIn
from tests.browser.pages import check_result
from tests.browser.screen import NORTHSTAR, new_name, new_organization, scrolls_sideways, sign_in
from tests.browser.test_list import press_until

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

ROWS, ON_A_PAGE = 120, 25
TICKS = ".connection-account__tick"


def many_rows(page: Page) -> str:
    """An organization of five pages, which wait for their consents. Leads to its list."""
    new_organization(page, new_name("Pages"))
    address = page.url
    page.goto(f"{address}import/clients")
    stores = "".join(f"Agency,Store {number:03},US\n" for number in range(ROWS))
    page.locator("textarea").fill(f"client,store,marketplace\n{stores}")
    page.get_by_role("button", name="Look at it first").click()
    page.get_by_role("button", name="Carry out these rows").click()
    expect(
        page.locator("main").get_by_text(f"{ROWS} new rows wait for their consents.")
    ).to_be_visible()
    page.goto(address)
    return address


def count(page: Page) -> Locator:
    return page.locator("[data-selected-count]")


def ticked(page: Page) -> Locator:
    return page.locator(f"{TICKS}:checked")


def tick_first(page: Page, number: int) -> None:
    for box in page.locator(TICKS).all()[:number]:
        box.check()


def pixels(box: Locator) -> bytes:
    return box.screenshot(animations="disabled")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_ticked_looks_so_in_forced_colours(window: SignedIn, scheme: str) -> None:
    page = window(forced_colors="active", color_scheme=scheme)
    page.goto(NORTHSTAR)
    row, whole, every = page.locator(TICKS).first, page.locator("#select-page"), "#select-all"
    page.mouse.move(0, 0)
    empty = pixels(row), pixels(whole), pixels(page.locator(every))

    row.check()
    expect(count(page)).to_have_text("1 selected")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    some = pixels(row), pixels(whole)
    page.locator(every).check()
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)

    assert some[0] != empty[0]
    assert some[1] != empty[1]
    assert pixels(page.locator(every)) != empty[2]
    assert pixels(whole) not in (empty[1], some[1])


def test_sixty_stores_of_five_pages_are_tagged_at_once(window: SignedIn) -> None:
    page = window()
    address = many_rows(page)
    page.locator("#select-page").check()
    expect(page.locator("#announcer")).to_have_text("25 selected")

    for number in (2, 3, 4):
        page.goto(f"{address}?page={number}")
        expect(ticked(page)).to_have_count(0)
        away = 25 + 5 * (number - 2)
        told = f"{away} selected, {away} of them not on this page"
        expect(page.locator("#announcer")).to_have_text(told)
        expect(page.locator("#bulk-2")).to_be_visible()
        tick_first(page, 5)
        told = f"{away + 5} selected, {away} of them not on this page"
        expect(count(page)).to_have_text(told)
        expect(page.locator("#announcer")).to_have_text(told)
    page.goto(f"{address}?page=5")
    page.locator("#select-page").check()
    expect(count(page)).to_have_text("60 selected, 40 of them not on this page")
    page.goto(f"{address}?q=Store+00")
    expect(ticked(page)).to_have_count(11)
    expect(page.locator("#announcer")).to_have_text(
        "11 connections found. 60 selected, 49 of them not on this page"
    )

    page.locator("#bulk-2").click()
    dialog = page.get_by_role("dialog", name="Tag connections")
    expect(dialog).to_contain_text("60 connections chosen.")
    dialog.get_by_label("New tag").fill("Mountain")
    dialog.get_by_role("button", name="Put the tag on").click()
    result = page.get_by_role("dialog", name="Tagged: Mountain")
    expect(result).to_contain_text("60 connections done.")
    page.keyboard.press("Escape")

    expect(count(page)).to_be_hidden()
    expect(ticked(page)).to_have_count(0)
    expect(page.locator("#select-page")).to_be_focused()
    page.goto(f"{address}?tag=&page=2")
    expect(ticked(page)).to_have_count(0)
    expect(count(page)).to_be_hidden()


def test_back_shows_what_is_ticked_and_what_can_be_done(window: SignedIn) -> None:
    page = window()
    address = many_rows(page)
    page.locator("#select-page").check()
    page.get_by_role("link", name="Next").click()
    expect(count(page)).to_have_text("25 selected, 25 of them not on this page")

    page.go_back()

    expect(ticked(page)).to_have_count(ON_A_PAGE)
    expect(count(page)).to_have_text("25 selected")
    expect(page.locator("#select-page")).to_be_checked()
    expect(page.locator("#bulk-2")).to_be_visible()

    page.locator("#select-all").check()
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**page=2")
    page.go_back()
    expect(ticked(page)).to_have_count(ON_A_PAGE)
    expect(count(page)).to_have_text(f"{ROWS} selected")
    expect(page.locator("#bulk-2")).to_be_visible()
    page.locator("#select-all").uncheck()
    expect(count(page)).to_have_text("25 selected")
    page.goto(f"{address}?page=2")
    expect(count(page)).to_have_text("25 selected, 25 of them not on this page")


def test_all_that_match_stay_ticked_on_every_page_but_what_is_unticked(window: SignedIn) -> None:
    page = window()
    address = many_rows(page)
    page.locator("#select-all").check()
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**page=2")
    expect(ticked(page)).to_have_count(ON_A_PAGE)
    expect(page.locator("#announcer")).to_have_text(f"{ROWS} selected")
    expect(page.locator("#bulk-2")).to_be_visible()

    page.locator(TICKS).first.uncheck()
    expect(page.locator("#announcer")).to_have_text(f"{ROWS - 1} selected")
    assert page.locator("#select-all").evaluate("box => box.checked && box.indeterminate")
    page.goto(f"{address}?page=3")
    expect(count(page)).to_have_text(f"{ROWS - 1} selected")
    page.locator("#bulk-2").click()
    dialog = page.get_by_role("dialog", name="Tag connections")
    expect(dialog).to_contain_text(f"{ROWS - 1} connections chosen.")
    page.keyboard.press("Escape")

    page.goto(f"{address}?q=Store+00")
    expect(page.locator("#bulk-2")).to_be_attached()
    expect(ticked(page)).to_have_count(0)
    page.goto(address)
    page.get_by_role("button", name="Clear the selection").click()
    expect(page.locator("#announcer")).to_have_text("Nothing is selected any more.")
    expect(ticked(page)).to_have_count(0)


@pytest.mark.parametrize("width", [320, 720, 1440])
def test_ticks_of_other_pages_are_cleared_by_keyboard(window: SignedIn, width: int) -> None:
    page = window(viewport={"width": width, "height": 800})
    address = many_rows(page)
    before = page.locator(".connections").bounding_box()
    tick_first(page, 1)
    page.goto(f"{address}?page=2")
    expect(count(page)).to_have_text("1 selected, not on this page")
    assert not scrolls_sideways(page)
    assert page.locator(".connections").bounding_box() == before

    press_until(page, "Tab", "[data-untick]")
    page.keyboard.press("Enter")

    expect(page.locator("#select-page")).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("Nothing is selected any more.")
    expect(count(page)).to_be_hidden()
    page.goto(address)
    expect(ticked(page)).to_have_count(0)


def test_a_closed_question_and_one_that_was_reloaded_leave_the_ticks(window: SignedIn) -> None:
    page = window()
    address = many_rows(page)
    tick_first(page, 2)
    page.goto(f"{address}?page=2")
    tick_first(page, 1)

    page.get_by_role("button", name="Reconnect queue the ticked connections").click()
    dialog = page.get_by_role("dialog", name="Reconnect one after another")
    expect(dialog).to_contain_text("Not for 3 connections")
    page.keyboard.press("Escape")
    expect(count(page)).to_have_text("3 selected, 2 of them not on this page")
    page.reload()

    expect(count(page)).to_have_text("3 selected, 2 of them not on this page")


def test_a_queue_that_was_started_has_taken_the_ticks(window: SignedIn) -> None:
    """Its result is a page and no pop-up."""
    page = window("admin@example.com")
    page.goto(NORTHSTAR)
    page.locator("#select-page").check()

    page.get_by_role("button", name="Reconnect queue the ticked connections").click()
    page.get_by_role("button", name="Start the queue").click()
    expect(page.locator("main").get_by_text("added to your queue.")).to_be_visible()
    page.get_by_role("link", name="End this queue, skip the rest").click()
    page.get_by_role("button", name="End this queue, skip the rest").click()
    page.goto(NORTHSTAR)

    expect(page.locator("#bulk-1")).to_be_attached()
    expect(ticked(page)).to_have_count(0)
    expect(count(page)).to_be_hidden()


def test_an_old_result_is_looked_at_without_losing_ticks(window: SignedIn) -> None:
    page = window("admin@example.com")
    page.goto(NORTHSTAR)
    check_result(page)
    result = page.url
    page.goto(NORTHSTAR)
    expect(ticked(page)).to_have_count(0)

    tick_first(page, 3)
    page.goto(result)
    page.goto(NORTHSTAR)

    expect(ticked(page)).to_have_count(3)
    expect(count(page)).to_have_text("3 selected")


def test_another_organization_and_another_session_never_see_old_ticks(window: SignedIn) -> None:
    page = window()
    address = many_rows(page)
    tick_first(page, 3)

    page.goto(NORTHSTAR)
    expect(page.locator("#bulk-1")).to_be_attached()
    expect(count(page)).to_be_hidden()
    assert page.locator("#selection input[name=row]").count() == 0

    page.goto(address)
    expect(count(page)).to_have_text("3 selected")
    kept = page.evaluate("sessionStorage.getItem('ticks')")
    again = window()
    again.add_init_script("sessionStorage.setItem('ticks', " + repr(kept) + ")")
    again.context.clear_cookies()
    sign_in(again, address.split("/o/")[0], "owner@example.com")
    again.goto(address)
    expect(again.locator("#bulk-1")).to_be_attached()
    expect(ticked(again)).to_have_count(0)
    expect(count(again)).to_be_hidden()


def test_no_more_is_ticked_than_goes_at_once(window: SignedIn) -> None:
    page = window()
    address = many_rows(page)
    page.evaluate("document.getElementById('selection').dataset.most = 7")

    page.locator("#select-page").click()

    expect(ticked(page)).to_have_count(7)
    expect(count(page)).to_have_text("7 selected (no more in one go)")
    page.goto(f"{address}?page=2")
    expect(count(page)).to_have_text("7 selected, 7 of them not on this page")
