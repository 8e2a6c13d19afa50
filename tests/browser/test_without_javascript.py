"""The same tasks with JavaScript switched off: every pop-up is a page, every action a form."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.amazon import Amazon
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.screen import (
    add_connection,
    allow_at_amazon_ads,
    choose_action,
    confirm_at_seller_central,
    new_name,
    new_organization,
    ppc,
    row,
    selling_partner,
)

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]

PATIENCE_SECONDS = 30


def reload_until(page: Page, name: str, column: str, word: str) -> None:
    """Without JavaScript a person presses reload."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    found = row(page, name).locator(f'td[data-label="{column}"]').get_by_text(word, exact=True)
    while not found.count():
        assert time.monotonic() < deadline, f"{word} was never shown"
        page.wait_for_timeout(300)
        page.reload()


def test_a_seller_is_connected_onboarded_and_linked(window: SignedIn, amazon: Amazon) -> None:
    seller = amazon.add_seller("Plain Paper", "US", "CA")
    login = amazon.add_ads_login(seller, "US", "CA")
    page = window(java_script_enabled=False)
    new_organization(page, new_name("Plain"))

    add_connection(page, "Plain Paper", "United States")
    confirm_at_seller_central(page, seller.seller_id)
    reload_until(page, "Plain Paper", "Selling Partner", "Canada, United States")
    page.get_by_role("button", name="Yes, keep it").click()
    expect(row(page, "Plain Paper")).not_to_contain_text("Is this right?")

    selling_partner(page, "Plain Paper").get_by_role("link", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Onboard marketplaces of Plain Paper")
    page.get_by_label("Canada").check()
    page.get_by_role("button", name="Start Now").click()
    expect(page.get_by_text("2 marketplaces started.")).to_be_visible()
    reload_until(page, "Plain Paper", "Selling Partner", "Started")

    ppc(page, "Plain Paper").get_by_role("link", name="Continue").click()
    page.get_by_role("button", name="Connect PPC").click()
    allow_at_amazon_ads(page, login)
    reload_until(page, "Plain Paper", "PPC", "Connected")
    expect(ppc(page, "Plain Paper").locator("strong")).to_have_text(["Canada, United States"])

    row(page, "Plain Paper").locator("summary", has_text="Details").click()
    row(page, "Plain Paper").get_by_role("link", name="Stores, currencies").click()
    expect(page.get_by_role("cell", name="Currency: CAD")).to_be_visible()


def test_a_row_is_renamed_resumed_and_removed(window: SignedIn, complaints: Complaints) -> None:
    complaints.expected.add(422)
    page = window(java_script_enabled=False)
    new_organization(page, new_name("Plain"))
    list_url = page.url
    add_connection(page, "Abandoned", "Japan")
    page.goto(list_url)

    choose_action(page, "Abandoned", "Rename")
    page.get_by_label("Name", exact=True).fill("  ")
    page.get_by_role("button", name="Rename").click()
    expect(page).to_have_title(re.compile("^Error: Rename Abandoned · Plain"))
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("Not forgotten")
    page.get_by_role("button", name="Rename").click()
    selling_partner(page, "Not forgotten").get_by_role("link", name="Resume").click()
    page.get_by_role("button", name="Continue to Seller Central").click()
    expect(page.get_by_label("Selling account")).to_be_visible()
    page.goto(list_url)
    choose_action(page, "Not forgotten", "Remove")
    page.get_by_role("button", name="Remove").click()

    expect(page.get_by_text("Not forgotten was removed.")).to_be_visible()
