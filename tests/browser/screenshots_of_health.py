"""The pictures of what keeps connections alive: health, renewal, notices, endings.

Each is a page of the seeded demo, whose rows are of every age and in every trouble.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.screen import NORTHSTAR, row

NOTIFICATIONS = "/o/northstar-trading/notifications"
CALENDAR = "/o/northstar-trading/calendar"
MANAGE_APPS = "/sellercentral.amazon.com/apps/manage"
SELLER = "A1NORTHSTAR001"
# Notices are derived once a minute by the sweep.
NOTICES_MILLISECONDS = 150_000

Take = Callable[[Page, str], None]


def take_health(page: Page, amazon_url: str, take: Take) -> None:
    """Signed in, in the light; `take` keeps what is in the window under a name."""
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.goto(f"{NORTHSTAR}?show=attention")
    expect(row(page, "Oasis by Desert Rose")).to_be_visible()
    take(page, "health-attention")
    wait_for_notices(page)
    take(page, "notifications")
    page.goto(CALENDAR)
    take(page, "renewal-calendar")
    timeline_of(page, "Oasis by Desert Rose")
    take(page, "timeline")
    page.set_viewport_size({"width": 1280, "height": 800})
    disconnect_dialog(page, "Northstar Outdoors NA")
    take(page, "disconnect-dialog")
    page.set_viewport_size({"width": 1000, "height": 640})
    re_authorize(page, amazon_url)
    take(page, "login-uri")


def wait_for_notices(page: Page) -> None:
    page.goto(NOTIFICATIONS)
    waited = 0
    while page.get_by_text("Oasis by Desert Rose").count() == 0 and waited < NOTICES_MILLISECONDS:
        page.wait_for_timeout(5_000)
        waited += 5_000
        page.reload()
    expect(page.get_by_text("Oasis by Desert Rose").first).to_be_visible()


def timeline_of(page: Page, name: str) -> None:
    page.goto(NORTHSTAR)
    row(page, name).locator("summary").first.click()
    row(page, name).get_by_role("link", name="Timeline").click()
    page.wait_for_url("**/timeline")


def disconnect_dialog(page: Page, name: str) -> None:
    page.goto(NORTHSTAR)
    row(page, name).locator("summary").first.click()
    row(page, name).get_by_role("link", name=re.compile("^Disconnect")).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.mouse.move(0, 0)


def re_authorize(page: Page, amazon_url: str) -> None:
    """*Manage Your Apps* at the fake Amazon, up to our own question."""
    page.goto(f"{amazon_url}{MANAGE_APPS}")
    line = page.locator("tr", has_text=SELLER).first
    line.get_by_role("button", name="Re-Authorize").click()
    page.wait_for_url("**/amazon/spapi/**")
