"""A person without a mouse: walks to a control, presses it, types, and keeps pictures.

A control that cannot be reached fails, and so does a page that scrolls sideways.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from django.utils import translation
from django.utils.translation import gettext, ngettext
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP
from tests.browser.screen import scrolls_sideways
from tests.demo.environment import CHECKOUT

PICTURES = CHECKOUT / "var" / "walks"
MOST_STEPS = 250
FOCUSED = "place => document.activeElement.matches(place)"


@dataclass(frozen=True)
class Look:
    name: str
    language: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return self.name


DESK = Look("desk", "en", {"locale": "en-US", "color_scheme": "light", "viewport": DESKTOP})
PHONE = Look(
    "phone",
    "de",
    {"locale": "de-DE", "color_scheme": "dark", "viewport": {"width": 360, "height": 740}},
)
LOOKS = (DESK, PHONE)


@dataclass(frozen=True)
class Keyboard:
    page: Page
    look: Look

    def walk_to(self, place: str, key: str = "Tab") -> None:
        """Press the key until the place has the focus."""
        for _ in range(MOST_STEPS):
            self.page.keyboard.press(key)
            if self.page.evaluate(FOCUSED, place):
                return
        raise AssertionError(f"{key} never reached {place}")

    def press(self, place: str, key: str = "Tab") -> None:
        self.walk_to(place, key)
        self.page.keyboard.press("Enter")

    def follow(self, place: str, key: str = "Tab") -> None:
        """Press what leads to another page."""
        self.walk_to(place, key)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def tick(self, place: str, key: str = "Tab") -> None:
        self.walk_to(place, key)
        self.page.keyboard.press("Space")

    def type_into(self, place: str, text: str, key: str = "Tab") -> None:
        """Instead of what stood there."""
        self.walk_to(place, key)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def choose(self, place: str, label: str, key: str = "Tab") -> None:
        """An option of a list, from one to the next."""
        self.walk_to(place, key)
        read = "document.activeElement.selectedOptions[0].label.trim()"
        self.page.keyboard.press("Home")
        for _ in range(MOST_STEPS):
            if self.page.evaluate(read).startswith(label):
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{label} is not in {place}")

    def pick(self, place: str, value: str, key: str = "Tab") -> None:
        """A radio button of a group, from one to the next."""
        self.walk_to(place, key)
        for _ in range(MOST_STEPS):
            if self.page.evaluate("document.activeElement.value") == value:
                self.page.keyboard.press("Space")
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{value} is not in {place}")

    def opens(self, place: str, key: str = "Tab") -> None:
        """Press what opens a pop-up."""
        self.press(place, key)
        expect(self.page.get_by_role("dialog")).to_be_visible()

    def keep(self, step: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        # Hiding the caret would leave a style in every field, which htmx may not carry over.
        self.page.screenshot(path=PICTURES / f"300-{self.look}-{step}.png", caret="initial")
        assert not scrolls_sideways(self.page), step

    # What the product says, in the language of the look --------------------------------------

    def said(self, text: str, **values: Any) -> str:
        with self.language():
            return gettext(text) % values if values else gettext(text)

    def counted(self, one: str, many: str, count: int, **values: Any) -> str:
        with self.language():
            return ngettext(one, many, count) % {"count": count, "counter": count, **values}

    def language(self) -> AbstractContextManager[None]:
        override: AbstractContextManager[None] = translation.override(self.look.language)
        return override
