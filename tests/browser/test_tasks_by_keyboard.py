"""The tasks that no other walk makes, by keyboard alone, on a desk in English and on a dark phone
in German. Their pictures stay in var/walks."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, SignedIn
from tests.browser.screen import NORTHSTAR, scrolls_sideways
from tests.browser.test_list import press_until
from tests.demo.environment import CHECKOUT

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

PICTURES = CHECKOUT / "var" / "walks"
DESK = {"locale": "en-US", "color_scheme": "light", "viewport": DESKTOP}
PHONE = {"locale": "de-DE", "color_scheme": "dark", "viewport": {"width": 360, "height": 740}}
# On a list of one page: the number beside the choice is what the list shows.
ROWS_PER_PAGE = 25


def keep(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")
    assert not scrolls_sideways(page), name


def ends_in_a_month(page: Page, look: str) -> None:
    """Two presses from the list: the filters, the month."""
    page.goto(NORTHSTAR)
    press_until(page, "Tab", "#filter-more > summary")
    page.keyboard.press("Enter")
    expect(page.locator(".filter-links a").first).to_be_visible()
    press_until(page, "Tab", ".filter-links a")
    count = int(page.locator(".filter-links a .filter-link__count").first.inner_text())
    page.keyboard.press("Enter")
    page.wait_for_url("**/connections/?expiry=20*")
    expect(page.locator("tbody.connection-row")).to_have_count(min(count, ROWS_PER_PAGE))
    keep(page, f"{look}-ends-in-a-month")


def a_state_of_the_bar(page: Page, look: str) -> None:
    page.goto(NORTHSTAR)
    expect(page.locator(".state-link").first).to_be_attached()
    press_until(page, "Tab", ".state-link")
    count = int(page.locator(".state-link strong").first.inner_text())
    page.keyboard.press("Enter")
    page.wait_for_url("**/connections/?health=*")
    expect(page.locator("tbody.connection-row")).to_have_count(min(count, ROWS_PER_PAGE))
    expect(page.locator(".state-link[aria-current]")).to_have_count(1)
    keep(page, f"{look}-a-state")


def a_bulk_action(page: Page, look: str, action: str) -> None:
    """As far as its question; leaving it gives the focus back."""
    button = f".bulk-bar button[formaction$='/{action}']"
    page.goto(NORTHSTAR)
    press_until(page, "Tab", "#select-page")
    # The ticks of the action before are still there: its question was closed.
    if not page.locator("#select-page").is_checked():
        page.keyboard.press("Space")
    press_until(page, "Tab", button)
    expect(page.locator(button)).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        is_inside = page.evaluate(
            "document.activeElement === document.body"
            " || document.getElementById('dialog').contains(document.activeElement)"
        )
        assert is_inside, "the focus has left the pop-up"
    keep(page, f"{look}-{action}")
    page.keyboard.press("Escape")
    expect(page.locator(button)).to_be_focused()


@pytest.mark.parametrize(("look", "options"), [("desk", DESK), ("phone", PHONE)])
def test_the_tasks(window: SignedIn, look: str, options: dict[str, Any]) -> None:
    page = window(reduced_motion="reduce", **options)

    ends_in_a_month(page, look)
    a_state_of_the_bar(page, look)
    for action in ("check", "onboard", "export"):
        a_bulk_action(page, look, action)
