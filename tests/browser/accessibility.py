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
OPTIONS_OF_COLOURS = OPTIONS | {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
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
    """`is_recoloured`: the same page was looked at in the other scheme, so that what is left are
    the rules that colours decide."""

    size: ViewportSize
    scheme: Literal["light", "dark"]
    is_recoloured: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}, {self.size['width']} wide"


LOOKS = tuple(
    look for size in (DESK, PHONE) for look in (Look(size, "light"), Look(size, "dark", True))
)


def objections_in(page: Page, look: Look, complaints: Complaints) -> list[str]:
    """One line for each place on the page that breaks a rule in this look."""
    # A link only leads on: half a page, its styles on their way, is nobody's to judge.
    page.wait_for_load_state("load")
    page.set_viewport_size(look.size)
    page.emulate_media(color_scheme=look.scheme)
    found = ["scrolls sideways"] if scrolls_sideways(page) else []
    # axe measures with inline styles, which our policy refuses: it, not the page, is complained of.
    complaints.is_listening = False
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = OPTIONS_OF_COLOURS if look.is_recoloured else OPTIONS
    rules: list[dict[str, Any]] = page.evaluate(RUN, options)
    for rule in rules:
        found += [objection(rule["id"], node) for node in rule["nodes"]]
    return found


def objection(rule: str, node: dict[str, Any]) -> str:
    """With what axe measured and what stood in the way, for who was not there."""
    others = [related["html"][:80] for check in node["any"] for related in check["relatedNodes"]]
    return f"{rule}: {node['target']} {node['html'][:160]} {node['failureSummary']} {others}"
