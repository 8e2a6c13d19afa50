"""Tokens of another tool, from the list to the connection, with the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.amazon import Amazon
from tests.browser.conftest import SignedIn
from tests.browser.pages import behind_password
from tests.browser.screen import new_name, new_organization, row

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]


def tab_to(page: Page, words: str) -> None:
    """Tab through the page as far as the link, button or field with these words."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim()"
        )
        if focused.startswith(words):
            return
    raise AssertionError(f"Tab never reached {words}")


def test_a_token_is_imported_by_keyboard_and_survives_a_closed_tab(
    window: SignedIn, amazon: Amazon
) -> None:
    seller = amazon.add_seller("Moved Here", "US")
    token = amazon.consent_elsewhere(seller, "NA")
    page = window()
    behind_password("/accounts/2fa/webauthn/")(page)
    new_organization(page, new_name("Import"))
    listed = page.url

    tab_to(page, "More")
    page.keyboard.press("Enter")
    tab_to(page, "Import refresh tokens")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Import refresh tokens")).to_be_visible()
    tab_to(page, "or paste the table")
    page.keyboard.insert_text(
        "name,marketplace,seller id,refresh token\n"
        f"Moved Here,US,{seller.seller_id},{token}\nSpoiled,US,A1,not a token\n"
    )
    tab_to(page, "Look at it first")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 row can be imported.")).to_be_visible()
    assert token not in page.content()
    tab_to(page, "Import these rows")
    page.keyboard.press("Enter")
    # It has been asked for; the work has not ended.
    expect(page.get_by_role("button", name="Import these rows")).to_have_count(0)
    results = page.url
    page.close()

    again = window()
    again.goto(results)
    expect(again.get_by_text("1 row was imported.")).to_be_visible()
    expect(again.get_by_text("Amazon confirmed the Seller ID.")).to_be_visible()
    again.goto(listed)
    expect(row(again, "Moved Here")).to_contain_text(seller.seller_id)
    expect(row(again, "Moved Here")).to_contain_text("End of the consent unknown")
