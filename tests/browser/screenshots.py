"""`make screenshots`: the README's pictures, from the seeded demo as a first visitor sees it."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM_ARGUMENTS
from tests.browser.product import embedded_product, existing_product, running_already
from tests.browser.screen import NORTHSTAR, OWNER, selling_partner, sign_in
from tests.browser.screenshots_of_health import take_health
from tests.browser.screenshots_of_work import take_work
from tests.demo.environment import CHECKOUT
from tests.services import find_services

IMAGES = CHECKOUT / "docs" / "images"
MAX_BYTES = 250_000
# The pictures show the product, not the bar that every demo carries.
WITHOUT_BAR = ".emulator-bar { display: none }"


def main() -> int:
    with ExitStack() as stack:
        if running_already():
            product = existing_product(running_already())
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            product = stack.enter_context(embedded_product(Path(folder)))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=find_services().chromium.address, args=CHROMIUM_ARGUMENTS
        )
        IMAGES.mkdir(parents=True, exist_ok=True)
        take_all(browser, product.url, product.amazon_url)
        browser.close()
    too_big = [path.name for path in IMAGES.glob("*.png") if path.stat().st_size > MAX_BYTES]
    if too_big:
        print(f"Larger than {MAX_BYTES} bytes: {', '.join(too_big)}", file=sys.stderr)
    return 1 if too_big else 0


def take_all(browser: Browser, url: str, amazon_url: str) -> None:
    # The style that hides the bar is not the product's, so its policy must let it pass.
    context = browser.new_context(base_url=url, bypass_csp=True, reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, url, OWNER)
    page.set_viewport_size({"width": 1360, "height": 1200})
    page.goto(NORTHSTAR)
    expect(page.locator("#list-overview .overview__states")).to_be_visible()
    take(page, "connections-desktop")
    page.emulate_media(color_scheme="dark")
    take(page, "connections-dark")
    page.emulate_media(color_scheme="light")
    page.get_by_role("link", name="Short rows").click()
    expect(page.get_by_role("link", name="Full rows")).to_be_visible()
    expect(page.locator("#list-overview .overview__states")).to_be_visible()
    take(page, "connections-short")
    page.get_by_role("link", name="Full rows").click()
    expect(page.get_by_role("link", name="Short rows")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 800})
    selling_partner(page, "Northstar Outdoors EU").get_by_role("link", name="Continue").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Italy").check()
    dialog.get_by_label("Spain").check()
    page.mouse.move(0, 0)
    take(page, "continue-dialog")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(NORTHSTAR)
    take(page, "connections-phone")
    take_work(page, take)
    take_health(page, amazon_url, take)
    context.close()


def take(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, style=WITHOUT_BAR)
    print(f"{path.relative_to(CHECKOUT)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
