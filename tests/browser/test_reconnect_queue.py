"""Three stores are reconnected one after another, by keyboard, with a wrong one and a break."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import LOOKS, objections_in
from tests.browser.amazon import Amazon, Seller
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.product import Product
from tests.browser.screen import (
    confirm_at_seller_central,
    connect,
    new_name,
    new_organization,
)

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]

BACK_DATE = """
UPDATE connections_spapigrant SET authorized_at = datetime('now', '-200 days')
WHERE connection_id IN (SELECT id FROM connections_connection WHERE selling_partner_id = ?)
"""


def give_past(product: Product, sellers: list[Seller]) -> None:
    """A consent of today is not renewed, and nobody can wait for half a year."""
    assert product.var_dir is not None
    with closing(sqlite3.connect(product.var_dir / "database.sqlite3", timeout=30)) as database:
        for seller in sellers:
            database.execute(BACK_DATE, [seller.seller_id])
        database.commit()


def press(page: Page, label: str, *, tries: int = 60) -> None:
    """Tab as far as the control with these words, and Enter."""
    for _ in range(tries):
        page.keyboard.press("Tab")
        words = page.evaluate("document.activeElement.innerText.trim().split('\\n')[0]")
        if words.startswith(label):
            with page.expect_navigation():
                page.keyboard.press("Enter")
            return
    raise AssertionError(f"Tab never reached {label}")


def turn(page: Page) -> str:
    return page.locator("#turn-title").inner_text()


def test_three_stores_by_keyboard(
    window: SignedIn, product: Product, amazon: Amazon, complaints: Complaints
) -> None:
    if product.var_dir is None:
        pytest.skip("the rows of a product that others started are not given a past")
    page = window(reduced_motion="reduce")
    new_organization(page, new_name("Queue"))
    list_url = page.url
    sellers = [amazon.add_seller(name, "US") for name in ("Aspen", "Birch", "Cedar")]
    for seller in sellers:
        connect(page, seller.name, "United States", seller.seller_id)
        page.get_by_role("button", name="Yes, keep it").click()
        expect(page.get_by_text("Is this right?")).to_have_count(0)
    give_past(product, sellers)
    aspen, birch, cedar = sellers

    # From the list to the queue.
    page.goto(list_url)
    press(page, "Reconnect one after another")
    press(page, "Consents that end in")
    expect(page.get_by_text("3 stores will be in your queue.")).to_be_visible()
    press(page, "Start the queue")
    assert turn(page) == "Aspen"

    # The first store.
    press(page, "Open Seller Central")
    confirm_at_seller_central(page, aspen.seller_id)
    page.wait_for_url("**/reconnect-queue")
    expect(page.locator("main").get_by_text("Aspen is reconnected.")).to_be_visible()
    expect(page.get_by_text("1 of 3 settled")).to_be_visible()
    expect(page.get_by_text("Sign out of Seller Central of Aspen first")).to_be_visible()
    assert turn(page) == "Birch"
    objections = {str(look): objections_in(page, look, complaints) for look in LOOKS}
    assert {look: found for look, found in objections.items() if found} == {}
    complaints.is_listening = True

    # The second: signed in as the first still, then as the right one.
    press(page, "Next store: open Seller Central")
    confirm_at_seller_central(page, aspen.seller_id)
    page.wait_for_url("**/reconnect-queue")
    expect(page.locator(".notice__title").first).to_have_text(
        "You signed in with another seller account"
    )
    assert turn(page) == "Birch"
    press(page, "Try again at Seller Central")
    confirm_at_seller_central(page, birch.seller_id)
    page.wait_for_url("**/reconnect-queue")
    expect(page.get_by_text("2 of 3 settled")).to_be_visible()

    # A break, and the end.
    press(page, "Stop for today")
    expect(page.get_by_text("Reconnect queue: 2 of 3 settled.")).to_be_visible()
    press(page, "Continue with the queue")
    assert turn(page) == "Cedar"
    press(page, "Next store: open Seller Central")
    confirm_at_seller_central(page, cedar.seller_id)
    page.wait_for_url("**/reconnect-queue?queue=*")
    expect(page.get_by_role("heading", level=2).first).to_have_text("This queue is over")
    expect(page.get_by_role("cell").filter(has_text="Reconnected")).to_have_count(3)
    objections = {str(look): objections_in(page, look, complaints) for look in LOOKS}
    assert {look: found for look, found in objections.items() if found} == {}
