"""Nothing jumps while the list comes to its parts, in any of the windows and languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.screen import NORTHSTAR, scrolls_sideways

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

MOST_SHIFT = 0.01
SIZES = ((1440, 900), (1000, 900), (768, 1024), (360, 740))
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""


def shift_of(page: Page, path: str) -> float:
    page.goto(path)
    expect(page.locator("#list-overview .overview__states")).to_be_attached()
    pictures = page.locator(".pictures-place")
    if pictures.count():
        expect(pictures.locator(".pictures")).to_be_attached()
    page.wait_for_timeout(300)
    total: float = page.evaluate("window.shifts.reduce((sum, value) => sum + value, 0)")
    return total


@pytest.mark.parametrize("language", ["en-US", "de-DE"])
def test_nothing_jumps_while_counts_and_pictures_come(window: SignedIn, language: str) -> None:
    page = window(locale=language, reduced_motion="no-preference")
    page.add_init_script(WATCH_SHIFTS)
    found = {}
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for query in ("", "?show=attention"):
            shift = shift_of(page, NORTHSTAR + query)
            # A row that changed meanwhile may have grown: once more without it.
            if shift >= MOST_SHIFT:
                shift = shift_of(page, NORTHSTAR + query)
            found[f"{width} {query}"] = shift

    assert {place: shift for place, shift in found.items() if shift >= MOST_SHIFT} == {}


def test_reduced_motion_moves_nothing(window: SignedIn, complaints: Complaints) -> None:
    page = window(reduced_motion="reduce")
    page.goto(NORTHSTAR)
    expect(page.locator("#list-overview .overview__states")).to_be_attached()
    complaints.is_listening = False

    longest = page.evaluate(
        """() => Math.max(...[...document.querySelectorAll("*")].flatMap((element) => {
          const style = getComputedStyle(element);
          return (style.transitionDuration + "," + style.animationDuration)
            .split(",").map(parseFloat);
        }))"""
    )

    assert longest <= 0.001


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_menu_of_the_list_by_keyboard(window: SignedIn, scheme: str) -> None:
    """Opens with Enter, closes with Escape or by leaving it, and gives the focus back."""
    page = window(color_scheme=scheme, viewport={"width": 320, "height": 640})
    page.goto(NORTHSTAR)
    summary = page.locator("#list-menu > summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Links to clients")).to_be_in_viewport()
    assert not scrolls_sideways(page)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Renewal calendar")).to_be_focused()
    page.keyboard.press("Escape")
    expect(summary).to_be_focused()
    expect(page.get_by_role("link", name="Links to clients")).to_be_hidden()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("link", name="Links to clients")).to_be_hidden()


@pytest.mark.parametrize("menu", ["#list-menu", ".connection-account > .menu"])
def test_a_menu_at_the_foot_of_a_phone_is_seen_whole(window: SignedIn, menu: str) -> None:
    page = window(viewport={"width": 360, "height": 640})
    page.goto(NORTHSTAR)
    opener = page.locator(menu).first
    opener.evaluate("element => element.scrollIntoView({ block: 'end' })")

    opener.locator("summary").click()

    expect(opener.locator(".menu__panel")).to_be_in_viewport(ratio=1)
