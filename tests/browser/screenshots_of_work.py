"""The pictures of work on many rows: several at once, one after another, and by the client."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.pages import bulk, client_page
from tests.browser.screen import NORTHSTAR

QUEUE = "/o/northstar-trading/reconnect-queue/add?pick=needed"

Take = Callable[[Page, str], None]


def take_work(page: Page, take: Take) -> None:
    """Signed in, in the light."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(NORTHSTAR)
    expect(page.locator("#list-overview .overview__states")).to_be_visible()
    bulk("Check now")(page)
    page.mouse.move(0, 0)
    take(page, "bulk-check")
    page.goto(QUEUE)
    take(page, "reconnect-queue")
    page.set_viewport_size({"width": 390, "height": 844})
    client_page(page)
    take(page, "client-page")
