"""No page shows a text that did not come from the catalogue. Each translation is put between ⟦ and
⟧ here; what stands outside of them was never translated, or before the reader was known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from sellerlegend.organizations.models import User
from tests.architecture.test_every_url import (
    ORGANIZATION_ROUTES,
    PERSONAL_ROUTES,
    Route,
    Scene,
    named,
    scene,
)
from tests.factories import owner_of
from tests.signing_in import signed_in_freshly

__all__ = ["scene"]

pytestmark = pytest.mark.django_db

LOOKED_AT = ("aria-label", "alt", "title", "placeholder", "data-label")
# Names and codes, the same in every language: of Amazon's, of ours, of what the tests made.
NAMES = re.compile(
    r"\b(SellerLegend|Amazon|Seller Central|Northstar|Maria|en_US)\b"
    r"|\b(Store|Client|tag|Brought|Listed) \d+\b|\b[0-9a-f]{8,}\b"
    r"|\b[\w.+-]+@[\w.-]+\b|https?://\S+|/\S+|\bA[0-9A-Z]{8,}\b|amzn\S+|SL-\d+"
    r"|\b[A-Z_]{2,}\d*\b|\b[A-Z0-9]{8}\b|\b(Nihongo|English|Deutsch)\b"
)
# allauth names this field after its variable.
ALLAUTHS = "Name"


# Its dates are numbers and signs.
MARKED = "ja"


def marked(text: str) -> str:
    return f"⟦{text}⟧"


@pytest.fixture
def marked_texts(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    # A language of its own: a process remembers the words of the others.
    settings.LANGUAGES = [(MARKED, "Nihongo")]
    trans: Any = translation._trans  # type: ignore[attr-defined]  # where Django's functions end
    monkeypatch.setattr(trans, "gettext", lambda message: marked(message) if message else "")
    monkeypatch.setattr(trans, "pgettext", lambda _context, message: marked(message))
    monkeypatch.setattr(trans, "ngettext", lambda one, many, n: marked(one if n == 1 else many))
    monkeypatch.setattr(
        trans, "npgettext", lambda _context, one, many, n: marked(one if n == 1 else many)
    )


class Texts(HTMLParser):
    """What a reader sees or hears of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Time zones go by the names of the IANA.
        is_zone = tag == "select" and dict(attrs).get("name") == "time_zone"
        if is_zone or tag in ("script", "style", "code", "pre"):
            self.skipped.append(tag)
        self.found += [value for name, value in attrs if name in LOOKED_AT and value]

    def handle_endtag(self, tag: str) -> None:
        if self.skipped and self.skipped[-1] == tag:
            self.skipped.pop()
        self.found.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.skipped:
            self.found.append(data)


def untranslated(page: str) -> Iterator[str]:
    texts = Texts()
    texts.feed(page)
    whole = "".join(texts.found)
    # The innermost marks first: a translated word stands inside a translated sentence.
    while whole != (whole := re.sub(r"⟦[^⟦⟧]*⟧", " ", whole)):
        pass
    for line in NAMES.sub(" ", whole).splitlines():
        if re.search(r"[A-Za-z]{2,}", line):
            yield line.strip()


def test_a_text_outside_of_the_catalogue_is_seen() -> None:
    page = '<p title="Bare">⟦Works with ⟦1 day⟧⟧</p><p>Not this</p><script>var name</script>'

    assert list(untranslated(page)) == ["Bare", "Not this"]


# Codes for programs, in no language.
DATA = ("connections_json",)
PAGES = tuple(
    route
    for route in (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES)
    if "GET" in route.methods and route.name not in DATA
)


@named(PAGES)
def test_every_text_of_a_page_comes_from_the_catalogue(
    route: Route, scene: Scene, client: Client, marked_texts: None
) -> None:
    person = owner_of(scene.organization)
    assert isinstance(person, User)
    User.objects.filter(pk=person.pk).update(language=MARKED)
    signed_in_freshly(person, client)

    response = client.get(scene.path(route), follow=True)

    found = set(untranslated(response.content.decode()))
    assert found - {ALLAUTHS} == set()


@pytest.mark.parametrize(
    "name", ["account_login", "account_signup", "account_reset_password", "amazon_codes"]
)
def test_every_text_of_a_page_for_everybody_comes_from_the_catalogue(
    name: str, client: Client, marked_texts: None
) -> None:
    response = client.get(reverse(name), headers={"Accept-Language": MARKED})

    assert list(untranslated(response.content.decode())) == []
