"""The agency asks, and its client gives the consent on his phone, without a login."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import PHONE, SMALL_PHONE, Look, objections_in
from tests.browser.amazon import Amazon
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.pages import behind_password
from tests.browser.screen import (
    choose_action,
    confirm_at_seller_central,
    connect,
    new_name,
    new_organization,
    row,
    scrolls_sideways,
)

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.timeout(240),
    pytest.mark.one_product,
]


@pytest.fixture
def desk(window: SignedIn) -> Page:
    page = window()
    new_organization(page, new_name("Agency"))
    return page


@pytest.fixture
def phone(window: SignedIn) -> Page:
    return window("", viewport=PHONE, reduced_motion="reduce")


def is_fit_for_everybody(page: Page, complaints: Complaints) -> None:
    for scheme in ("light", "dark"):
        assert objections_in(page, Look(PHONE, scheme), complaints) == []
    complaints.is_listening = True
    page.set_viewport_size(SMALL_PHONE)
    assert not scrolls_sideways(page)
    page.set_viewport_size(PHONE)


def test_a_client_reconnects_exactly_his_row_on_a_phone(
    desk: Page, phone: Page, amazon: Amazon, complaints: Complaints
) -> None:
    seller = amazon.add_seller("Harbor Goods", "US")
    other = amazon.add_seller("Another Store", "US")
    connect(desk, "Harbor Goods", "United States", seller.seller_id)
    connect(desk, "Another Store", "United States", other.seller_id)
    row(desk, "Harbor Goods").get_by_role("button", name="Yes, keep it").click()
    list_url = desk.url.split("?")[0]

    # The agency makes the link.
    behind_password("/accounts/2fa/webauthn/")(desk)
    desk.goto(list_url)
    choose_action(desk, "Harbor Goods", "Ask the client by link")
    dialog = desk.get_by_role("dialog")
    dialog.get_by_label("Name of the client").fill("Maria")
    dialog.get_by_label("Your message").fill("Two minutes, please.")
    dialog.get_by_label("Days until the link expires").fill("7")
    dialog.get_by_role("button", name="Make the link").click()
    link = dialog.get_by_label("The link, shown this once").input_value()
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog.get_by_role("button", name="Copy").press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("Copied.")
    expect(dialog.get_by_role("button", name="Copy")).to_be_focused()
    assert desk.evaluate("navigator.clipboard.readText()") == link

    # The client opens it, first signed in to the wrong store.
    phone.goto(link)
    expect(phone.get_by_role("heading", level=1)).to_contain_text("asks you to renew the consent")
    expect(phone.get_by_role("main")).to_contain_text("Two minutes, please.")
    is_fit_for_everybody(phone, complaints)
    phone.get_by_role("button", name="Continue to Amazon").click()
    confirm_at_seller_central(phone, other.seller_id)
    heading = phone.get_by_role("heading", level=1)
    expect(heading).to_contain_text("You signed in with another seller account")
    expect(phone.get_by_role("main")).not_to_contain_text(seller.seller_id)
    is_fit_for_everybody(phone, complaints)

    # Then to the right one.
    phone.get_by_role("button", name="Try again").press("Enter")
    confirm_at_seller_central(phone, seller.seller_id)
    expect(heading).to_have_text("Thank you, that is done")
    expect(phone.locator("a[href]:not([hreflang])")).to_have_count(0)
    is_fit_for_everybody(phone, complaints)
    complaints.expected.add(410)
    phone.goto(link)
    expect(heading).to_have_text("This is done")

    # The agency sees whose consent it is, and that no other row has changed.
    desk.goto(list_url)
    expect(row(desk, "Harbor Goods")).to_contain_text(re.compile("Authorised by Maria on"))
    expect(row(desk, "Another Store")).not_to_contain_text("Maria")
    desk.locator("#list-menu > summary").click()
    desk.get_by_role("link", name="Links to clients").click()
    line = desk.get_by_role("row").filter(has_text="Harbor Goods")
    expect(line).to_contain_text("Consent given")
    expect(line).to_contain_text("Made by")
