"""Long lists of boxes to tick: all or none of them at once, and what is typed beside them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.accessibility import LOOKS, SMALL_PHONE, objections_in
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.pages import person_action
from tests.browser.screen import new_name, new_organization, scrolls_sideways

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]


def invitations(page: Page) -> None:
    """To ask the clients of three new rows, of which one has an address."""
    new_organization(page, new_name("Choices"))
    page.goto(f"{page.url}import/clients")
    page.locator("textarea").fill(
        "client,contact mail,store,marketplace\n"
        "Ada,ada@client.example,Aspen,US\nBob,,Birch,US\nCleo,,Cedar,US\n"
    )
    page.get_by_role("button", name="Look at it first").click()
    page.get_by_role("button", name="Carry out these rows").click()
    page.get_by_role("link", name="Invite these clients to connect").click()
    expect(page.get_by_role("group", name="Who is asked")).to_be_visible()


def boxes(page: Page) -> Locator:
    return page.locator("input[name=row]:checked")


def test_all_or_none_are_ticked_without_losing_what_was_typed(window: SignedIn) -> None:
    page = window()
    invitations(page)
    page.get_by_label("Email address for Birch").fill("bob@client.example")

    page.get_by_role("button", name="Tick none").press("Enter")
    expect(boxes(page)).to_have_count(0)
    page.get_by_role("button", name="Tick all").press("Enter")

    expect(boxes(page)).to_have_count(3)
    expect(page.get_by_label("Email address for Birch")).to_have_value("bob@client.example")


def test_an_address_is_typed_and_all_are_ticked_without_javascript(window: SignedIn) -> None:
    page = window(java_script_enabled=False)
    invitations(page)

    page.get_by_label("Email address for Birch").fill("bob@client.example")
    page.get_by_label("Your message").fill("It takes two minutes.")
    page.get_by_role("button", name="Tick none").click()
    expect(boxes(page)).to_have_count(0)
    page.get_by_role("button", name="Tick all").click()
    expect(boxes(page)).to_have_count(3)
    expect(page.get_by_label("Your message")).to_have_value("It takes two minutes.")
    page.get_by_label("Email address for Birch").press("Enter")

    expect(page.get_by_role("row", name="Birch")).to_contain_text("bob@client.example")
    expect(page.get_by_label("The link for the client of Cedar")).to_be_visible()


def test_the_form_with_addresses_and_a_mistake_is_accessible(
    window: SignedIn, complaints: Complaints
) -> None:
    complaints.expected.add(422)
    page = window(reduced_motion="reduce")
    invitations(page)
    page.get_by_label("Email address for Birch").fill("bob")
    page.get_by_role("button", name="Make the links").click()
    expect(page.get_by_label("Email address for Birch")).to_have_value("bob")

    found = {str(look): objections_in(page, look, complaints) for look in LOOKS}
    page.set_viewport_size(SMALL_PHONE)

    assert {look: words for look, words in found.items() if words} == {}
    assert not scrolls_sideways(page), "scrolls sideways at 320 pixels"


def reach_of_a_member(page: Page) -> Locator:
    person_action("Reach")(page)
    return page.get_by_role("dialog")


def test_the_lists_of_a_reach_are_narrowed_by_keyboard_and_keep_their_ticks(
    window: SignedIn,
) -> None:
    page = window()
    form = reach_of_a_member(page)
    rows = form.get_by_role("group", name="These connections")
    total = rows.get_by_role("checkbox").count()
    first, second = (rows.locator("li").nth(place).inner_text().strip() for place in (0, 1))
    ticked = rows.locator("input:checked").count()
    rows.get_by_label(first, exact=True).check()
    expect(rows.get_by_role("status")).to_have_text(f"{ticked + 1} of {total} ticked")

    search = form.get_by_label("Search the lists below")
    search.press_sequentially(second.upper())
    search.press("Enter")

    expect(form.get_by_label(first, exact=True)).to_be_checked()
    expect(form.get_by_label(second, exact=True)).to_be_visible()
    expect(form.locator("[data-narrow-shown]")).to_have_text(
        re.compile(rf"^Shown: {ticked + 2} of \d+ entries$")
    )
    search.fill("")
    expect(rows.get_by_role("checkbox")).to_have_count(total)
    expect(rows.get_by_label(first, exact=True)).to_be_checked()
    search.fill("no such thing")
    expect(form.locator("[data-narrow-shown]")).to_have_text("Nothing was found.")


def test_a_narrowed_reach_is_accessible(window: SignedIn, complaints: Complaints) -> None:
    page = window(reduced_motion="reduce")
    reach_of_a_member(page).get_by_label("Search the lists below").fill("no such thing")

    found = {str(look): objections_in(page, look, complaints) for look in LOOKS}
    page.set_viewport_size(SMALL_PHONE)

    assert {look: words for look, words in found.items() if words} == {}
    assert not scrolls_sideways(page), "scrolls sideways at 320 pixels"
