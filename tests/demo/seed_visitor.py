"""A person at the product, without a browser: signs in, fills in forms, reads the rows."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

import requests

from tests.demo.people import PASSWORD
from tests.demo.processes import DemoFailed

ANSWER_SECONDS = 15
WORK_SECONDS = 60
LOOK_AGAIN_SECONDS = 0.25

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
ROW = re.compile(r'<tbody[^>]* id="connection-([0-9a-f-]{36})".*?</tbody>', re.DOTALL)
NAME = re.compile(r'class="connection-account__name">([^<]*)<')
CHOICE = re.compile(
    r'<input type="checkbox"\s+name="account"\s+value="([^"]+)".*?choice__name">([^<]*)<', re.DOTALL
)
MOVING = re.compile(r'data-poll-moving="true"')

Fields = dict[str, str | list[str]]


@dataclass(frozen=True)
class Row:
    """One row of the screen as it was last read."""

    connection_id: str
    html: str


class Visitor:
    """Signed in to one organization. Raises DemoFailed with what a developer has to know."""

    def __init__(self, base_url: str, email: str, slug: str) -> None:
        self.base_url = base_url
        self.list_url = f"/o/{slug}/connections/"
        self.browser = requests.Session()
        credentials: Fields = {"login": email, "password": PASSWORD}
        self.post("/accounts/login/", credentials, doing=f"sign in as {email}")

    def get(self, path: str, *, doing: str) -> str:
        reply = self._send("GET", path, None, doing)
        if reply.status_code != 200:
            raise DemoFailed(f"The seed could not {doing}: {path} answered {reply.status_code}.")
        return reply.text

    def post(self, path: str, fields: Fields, *, doing: str) -> str:
        """Fill in and send the form at `path`; returns where it leads."""
        page = self.get(path, doing=doing)
        return self.send(path, fields, page=page, doing=doing)

    def send(self, path: str, fields: Fields, *, page: str, doing: str) -> str:
        """Send fields to `path` with the token of a page that was read before."""
        token = TOKEN.search(page)
        if token is None:
            raise DemoFailed(f"The seed could not {doing}: there is no form at {path}.")
        fields = {"csrfmiddlewaretoken": token.group(1), **fields}
        reply = self._send("POST", path, fields, doing)
        if not reply.is_redirect:
            raise DemoFailed(f"The seed could not {doing}: {path} answered {reply.status_code}.")
        return str(reply.headers["Location"])

    def consent(self, amazon_url: str, choice: Fields, *, doing: str) -> None:
        """Approve at the fake Amazon and come back through the callback."""
        reply = self._send("POST", amazon_url, choice, doing)
        back = reply.headers.get("Location", "")
        if not back.startswith(self.base_url):
            raise DemoFailed(f"The seed could not {doing}: the fake Amazon did not come back.")
        ended = self._send("GET", back, None, doing).headers.get("Location", "")
        if "connected=" not in ended:
            raise DemoFailed(f"The seed could not {doing}: the callback ended at {ended}.")

    def rows(self) -> dict[str, Row]:
        """By name. The seed stays on the first page."""
        page = self.get(self.list_url, doing="read the connections")
        found = {}
        for row in ROW.finditer(page):
            name = NAME.search(row.group(0))
            if name is not None:
                found[html.unescape(name.group(1))] = Row(row.group(1), row.group(0))
        return found

    def wait_until_calm(self, *, doing: str) -> None:
        """Until the worker has nothing left to do for these rows."""
        self._wait(lambda: MOVING.search(self.get(self.list_url, doing=doing)) is None, doing=doing)

    def choices(self, path: str, *, doing: str) -> dict[str, str]:
        """The boxes of a *Continue* pop-up: marketplace to value."""
        page = self.get(path, doing=doing)
        return {html.unescape(name): value for value, name in CHOICE.findall(page)}

    def _wait(self, is_done: Callable[[], bool], *, doing: str) -> None:
        deadline = time.monotonic() + WORK_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"The seed could not {doing}: the worker was not done after {WORK_SECONDS} s."
                )
            time.sleep(LOOK_AGAIN_SECONDS)

    def _send(self, method: str, path: str, fields: Fields | None, doing: str) -> requests.Response:
        try:
            return self.browser.request(
                method,
                urljoin(self.base_url, path),
                data=fields,
                timeout=ANSWER_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise DemoFailed(
                f"The seed could not {doing}: no answer from {urljoin(self.base_url, path)} "
                f"({type(error).__name__})."
            ) from None
