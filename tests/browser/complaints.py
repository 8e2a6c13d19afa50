"""What a browser complains about: errors, warnings, violated policies."""

from __future__ import annotations

import re

from playwright.sync_api import ConsoleMessage, Page

# What chromium and htmx say about every answer of 400 and above, also about one that was provoked.
REFUSED_ANSWER = re.compile(
    r"(?:the server responded with a status of|Response Status Error Code) (\d{3})"
)


class Complaints:
    """`expected` holds the statuses that the test provokes; `is_listening` ends when the test
    itself does things to the page that no visitor does."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.expected: set[int] = set()
        self.is_listening = True

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"{page.url}: {error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        refused = REFUSED_ANSWER.search(message.text)
        if refused and int(refused.group(1)) in self.expected:
            return
        self._note(f"{message.type} at {message.location['url']}: {message.text}")

    def _note(self, complaint: str) -> None:
        if self.is_listening:
            self.heard.append(complaint)
