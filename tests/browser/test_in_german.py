"""The new pages in German, where words are longest: axe finds nothing, and nothing scrolls
sideways at 320 pixels or with everything twice as large."""

from __future__ import annotations

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.browser.accessibility import DESK, PHONE, SMALL_PHONE, Look, objections_in
from tests.browser.complaints import Complaints
from tests.browser.conftest import SignedIn
from tests.browser.screen import NORTHSTAR, scrolls_sideways

pytestmark = [pytest.mark.needs_chromium, pytest.mark.one_product]

ORGANIZATION = NORTHSTAR.removesuffix("connections/")
PATHS = (
    NORTHSTAR,
    f"{NORTHSTAR}?show=attention&sort=renew_by",
    f"{NORTHSTAR}filters?region=EU",
    f"{NORTHSTAR}overview?health=revoked",
    f"{NORTHSTAR}views",
    f"{NORTHSTAR}views/save?q=a",
    f"{NORTHSTAR}check?all=1",
    f"{NORTHSTAR}tag?all=1",
    f"{NORTHSTAR}onboard?all=1",
    f"{NORTHSTAR}export?all=1",
    f"{NORTHSTAR}import/clients",
    f"{NORTHSTAR}import/tokens",
    f"{ORGANIZATION}client-links",
    f"{ORGANIZATION}reconnect-queue",
    f"{ORGANIZATION}reconnect-queue/add?pick=needed",
    f"{ORGANIZATION}authorisers",
    f"{ORGANIZATION}calendar",
    f"{ORGANIZATION}groups",
    f"{ORGANIZATION}people",
    f"{ORGANIZATION}people/invite",
    "/components",
)
# The other looks are seen in English.
LOOK = Look(PHONE, "dark")
# A desk of 1280 by 900 with everything twice as large.
TWICE_AS_LARGE: ViewportSize = {"width": DESK["width"] // 2, "height": DESK["height"] // 2}


def test_the_new_pages_are_accessible_and_fit(window: SignedIn, complaints: Complaints) -> None:
    page = window(locale="de-DE", reduced_motion="reduce")
    found: dict[str, list[str]] = {}
    for path in PATHS:
        complaints.is_listening = True
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("document.documentElement.lang") == "de", path
        found[f"{path}, {LOOK}"] = objections_in(page, LOOK, complaints)
        for size in (TWICE_AS_LARGE, SMALL_PHONE):
            page.set_viewport_size(size)
            if scrolls_sideways(page):
                found[f"{path}, {size['width']} wide"] = ["scrolls sideways"]

    assert {place: objections for place, objections in found.items() if objections} == {}


def test_the_components_in_forced_colours_and_in_print(
    window: SignedIn, complaints: Complaints
) -> None:
    page = window(forced_colors="active", reduced_motion="reduce")
    page.goto("/components")
    for component in (".timeline__event", ".table tbody tr", "progress", ".notice[role]", ".pill"):
        expect(page.locator(component).first).to_be_attached()

    assert objections_in(page, Look(DESK, "light"), complaints) == []
    borders = page.locator(".pill, .badge, .button--primary").evaluate_all(
        "found => found.filter((one) => getComputedStyle(one).borderTopWidth === '0px').length"
    )
    assert borders == 0, "without a background only a border tells where it is"
    page.emulate_media(media="print", forced_colors="none")
    for heading in page.get_by_role("heading", level=2).all():
        assert heading.is_visible()
    assert not scrolls_sideways(page)
