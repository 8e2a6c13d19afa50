"""What axe-core objects to: WCAG 2.2 up to AA and axe's best practices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, ViewportSize

from tests.browser.complaints import Complaints
from tests.browser.screen import scrolls_sideways

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {
    "runOnly": {"type": "tag", "values": TAGS},
    "resultTypes": ["violations"],
    "reporter": "no-passes",
}
# Behind an open pop-up everything is inert, and was looked at without it.
RUN = """options => axe
    .run(document.querySelector("dialog[open]") ?? document, options)
    .then(results => results.violations)"""
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
SMALL_PHONE: ViewportSize = {"width": 320, "height": 640}


@dataclass(frozen=True)
class Look:
    size: ViewportSize
    scheme: Literal["light", "dark"]

    def __str__(self) -> str:
        return f"{self.scheme}, {self.size['width']} wide"


LOOKS = tuple(Look(size, scheme) for size in (DESK, PHONE) for scheme in ("light", "dark"))


def objections_in(page: Page, look: Look, complaints: Complaints) -> list[str]:
    """One line for each place on the page that breaks a rule in this look."""
    page.set_viewport_size(look.size)
    page.emulate_media(color_scheme=look.scheme)
    found = ["scrolls sideways"] if scrolls_sideways(page) else []
    # axe measures with inline styles, which our policy refuses: it, not the page, is complained of.
    complaints.is_listening = False
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    rules: list[dict[str, Any]] = page.evaluate(RUN, OPTIONS)
    for rule in rules:
        found += [f"{rule['id']}: {node['target']} {node['html'][:160]}" for node in rule["nodes"]]
    return found
