"""A row that just came from the server works at once: nobody's key press falls between."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.amazon import Amazon
from tests.browser.conftest import SignedIn
from tests.browser.screen import connect, new_name, new_organization, rename

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

# The earliest a person could press: before the browser does anything else.
CLICK_THE_FRESH_BUTTON = """() => {
  window.isSamePage = true;
  new MutationObserver((changes, observer) => {
    const fresh = changes.flatMap((change) => [...change.addedNodes])
      .map((node) => node.querySelector?.(".connection-cell a[hx-get]")).find(Boolean);
    if (!fresh) return;
    observer.disconnect();
    fresh.click();
  }).observe(document.body, { childList: true, subtree: true });
}"""


def test_a_fresh_button_opens_its_pop_up_however_soon_it_is_pressed(
    window: SignedIn, amazon: Amazon
) -> None:
    page = window()
    new_organization(page, new_name("Fresh"))
    seller = amazon.add_seller("Fresh Row", "US")
    connect(page, "Fresh Row", "United States", seller.seller_id)
    page.evaluate(CLICK_THE_FRESH_BUTTON)

    other = page.context.new_page()
    other.goto(page.url)
    rename(other, "Fresh Row", "Fresh Row renamed")

    expect(page.get_by_role("dialog", name="Onboard marketplaces of")).to_be_visible()
    assert page.evaluate("window.isSamePage")
