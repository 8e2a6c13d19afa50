"""What the list weighs on its way, and how many round trips come before its first paint."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from tests import factories
from tests.factories import CANADA, US, make_account, make_connection

pytestmark = pytest.mark.django_db

HTML_BYTES, STYLES_AND_SCRIPTS_BYTES = 40_000, 60_000
ROWS = 25
STYLESHEET = re.compile(r'<link rel="stylesheet" href="/static/([^"]+)"')
PRELOADED = re.compile(r'<link rel="preload"\s+as="style"\s+href="/static/([^"]+)"')
SCRIPT = re.compile(r'<script([^>]*) src="/static/([^"]+)"([^>]*)>')
IMPORT = re.compile(r'@import url\("([^"]+)"\)')


@pytest.fixture
def page(client: Client) -> str:
    organization = factories.make_organization()
    for number in range(ROWS):
        row = make_connection(organization, name=f"Store {number}")
        make_account(row, US)
        make_account(row, CANADA)
    client.force_login(factories.owner_of(organization))
    answer = client.get(reverse("account_connections", args=[organization.slug]))
    assert answer.content.decode().count('<tbody class="connection-row') == ROWS
    return answer.content.decode()


def file_of(name: str) -> Path:
    found = finders.find(name)
    assert isinstance(found, str), name
    return Path(found)


def compressed(content: bytes) -> int:
    return len(gzip.compress(content, 6))


def test_the_list_and_all_it_loads_are_light(page: str) -> None:
    styles = STYLESHEET.findall(page) + PRELOADED.findall(page)
    scripts = [name for _, name, _ in SCRIPT.findall(page)]
    files = [file_of(name).read_bytes() for name in styles + scripts]

    weights = {"html": compressed(page.encode()), "files": sum(map(compressed, files))}

    assert len(styles) == 5
    assert len(scripts) == 9
    assert weights["html"] <= HTML_BYTES, weights
    assert weights["files"] <= STYLES_AND_SCRIPTS_BYTES, weights


def test_two_round_trips_come_before_the_first_paint(page: str) -> None:
    """The page, then its styles, all at once: what a style imports is known from the page, and no
    script is waited for."""
    imported = [
        (Path(name).parent / url).as_posix()
        for name in STYLESHEET.findall(page)
        for url in IMPORT.findall(file_of(name).read_text())
    ]

    assert imported == ["css/../vendor/pico/pico.min.css"]
    assert PRELOADED.findall(page) == ["vendor/pico/pico.min.css"]
    for before, name, after in SCRIPT.findall(page):
        assert re.search(r'\bdefer\b|type="module"', before + after), name
