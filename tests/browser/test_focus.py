"""What has the focus is seen, and is reached in the order in which it is seen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignedIn
from tests.browser.pages import another_region, connect_ppc
from tests.browser.screen import NORTHSTAR
from tests.browser.test_ticks import TICKS

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

STEPS = 70
# A line holds high and low things beside each other.
SAME_LINE = 16
FOCUSED = """() => {
  const element = document.activeElement, box = element.getBoundingClientRect();
  const inside = (share, from, to) => from + share * (to - from);
  const isSeen = [0.1, 0.5, 0.9].some((down) => [0.1, 0.5, 0.9].some((across) => {
    const top = document.elementFromPoint(
      inside(across, box.left, box.right), inside(down, box.top, box.bottom));
    return top !== null && (element.contains(top) || top.contains(element) && top.matches("label"));
  }));
  return {
    name: element.id || element.textContent.trim().slice(0, 40) || element.name,
    isSeen, top: box.top + scrollY,
    isInDialog: element.closest("dialog") !== null,
    isPage: element.matches("body, main, .skip-link, [readonly]"),
  };
}"""


def walk(page: Page, key: str, steps: int = STEPS) -> list[dict[str, Any]]:
    """What has the focus after each press, as far as it is anything."""
    found = []
    for _ in range(steps):
        page.keyboard.press(key)
        found.append(page.evaluate(FOCUSED))
    return [one for one in found if not one["isPage"]]


def hidden(found: list[dict[str, Any]]) -> list[object]:
    return [one["name"] for one in found if not one["isSeen"]]


@pytest.mark.parametrize("size", [(640, 400), (320, 640), (320, 256)])
def test_the_answers_of_a_dialog_cover_no_field(window: SignedIn, size: tuple[int, int]) -> None:
    page = window(viewport={"width": size[0], "height": size[1]})
    for open_dialog in (another_region, connect_ppc):
        open_dialog(page)
        for key in ("Tab", "Shift+Tab"):
            found = [one for one in walk(page, key, 12) if one["isInDialog"]]
            assert len(found) > 4
            assert hidden(found) == [], key


@pytest.mark.parametrize("size", [(320, 256), (360, 640), (1440, 500)])
def test_the_bar_of_ticked_rows_covers_nothing_that_is_reached(
    window: SignedIn, size: tuple[int, int]
) -> None:
    page = window(locale="de-DE", viewport={"width": size[0], "height": size[1]})
    page.goto(NORTHSTAR)
    expect(page.locator("#list-overview .overview__states")).to_be_attached()
    tick = page.locator(TICKS).nth(3)
    tick.focus()
    tick.evaluate("tick => tick.scrollIntoView({ block: 'end' })")
    page.keyboard.press("Space")
    expect(tick).to_be_checked()
    page.wait_for_timeout(200)
    assert page.evaluate(FOCUSED)["isSeen"]
    bar = page.locator(".bulk-bar__actions").bounding_box()
    assert bar is not None
    assert bar["height"] <= 0.4 * size[1] + 1

    assert hidden(walk(page, "Shift+Tab")) == []
    assert hidden(walk(page, "Tab")) == []


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_the_list_is_walked_as_it_is_seen(window: SignedIn, width: int) -> None:
    page = window(viewport={"width": width, "height": 900})
    page.goto(NORTHSTAR)
    expect(page.locator("#list-overview .overview__states")).to_be_attached()

    found = walk(page, "Tab", 50)

    back = [
        (one["name"], following["name"])
        for one, following in pairwise(found)
        if following["top"] < one["top"] - SAME_LINE
    ]
    assert back == []
