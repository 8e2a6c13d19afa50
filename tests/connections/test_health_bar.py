"""The bar above the list counts it by state, once, and the poll keeps it in step."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from connections import revisions
from connections.models import Connection, SpApiGrant
from sellerlegend.organizations.models import Organization, Role
from tests import factories

pytestmark = pytest.mark.django_db

STATE = re.compile(
    r'id="state-(\w+)" href="([^"]+)"([^>]*)>.*?</svg>\s*([^<]+?) <strong>(\d+)</strong>', re.DOTALL
)


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def browser(client: Client, organization: Organization) -> Client:
    client.force_login(factories.make_member(organization, Role.VIEWER))
    return client


def row(organization: Organization, name: str, **grant: object) -> Connection:
    connection = factories.make_connection(organization, name=name)
    SpApiGrant.objects.for_organization(organization).filter(connection=connection).update(**grant)
    return connection


def strip(browser: Client, organization: Organization, query: str = "") -> str:
    url = reverse("connection_overview", args=[organization.slug])
    answer = browser.get(f"{url}{query}", headers={"HX-Request": "true"})
    return unescape(answer.content.decode())


def states(text: str) -> list[tuple[str, str]]:
    return [(key, count) for key, _, _, _, count in STATE.findall(text)]


def test_each_row_is_counted_once_and_each_number_leads_to_its_rows(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Works")
    row(organization, "Lost", status="invalid")
    factories.make_waiting_connection(organization)

    text = strip(browser, organization)

    assert states(text) == [("connected", "1"), ("revoked", "1"), ("waiting", "1")]
    assert re.findall(r'All <span class="filter-link__count">(\d+)', text) == ["3"]
    assert "State on Selling Partner alone" in text
    widths = re.findall(r'<rect [^>]*width="([\d.]+)"', text)
    assert [float(width) for width in widths] == [333.33, 333.33, 333.33]
    for _key, url, _, _, count in STATE.findall(text):
        listed = browser.get(url).content.decode()
        assert len(re.findall(r'<tbody class="connection-row', listed)) == int(count)


def test_the_side_that_is_chosen_is_counted(organization: Organization, browser: Client) -> None:
    row(organization, "Works")
    factories.make_account(row(organization, "Sells"), factories.US)

    text = strip(browser, organization, "?health=revoked&side=ppc")

    assert "State on PPC alone" in text
    assert states(text) == [("waiting", "1"), ("revoked", "0")]
    (chosen,) = [found for found in STATE.findall(text) if "aria-current" in found[2]]
    assert chosen[0] == "revoked"
    assert [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', text)] == [1000]


def test_what_else_is_chosen_counts_too(organization: Organization, browser: Client) -> None:
    row(organization, "Works")
    row(organization, "Lost", status="invalid")

    text = strip(browser, organization, "?q=lost")

    assert states(text) == [("revoked", "1")]
    assert "?q=lost&health=revoked&side=spapi" in text


def test_the_poll_brings_the_bar_with_the_rows_and_says_it_once(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Works")
    turned = row(organization, "Turned")
    organization.refresh_from_db()
    since = organization.revision
    SpApiGrant.objects.for_organization(organization).filter(connection=turned).update(
        status="invalid"
    )
    revisions.touch(organization.pk, [turned.pk])

    url = reverse("connection_changes", args=[organization.slug])
    reply = browser.get(url, {"since": since}, headers={"HX-Request": "true"})

    text = unescape(reply.content.decode())
    assert text.count('hx-swap-oob="innerHTML:#list-overview"') == 1
    assert states(text) == [("connected", "1"), ("revoked", "1")]
    said = json.loads(reply.headers["HX-Trigger"])["announce"]["message"]
    assert said == "Updated: Turned. 1 connection needs you, on Selling Partner or PPC."


def test_a_narrowed_list_keeps_its_own_bar(organization: Organization, browser: Client) -> None:
    row(organization, "Works")
    turned = row(organization, "Turned", status="invalid")
    organization.refresh_from_db()
    since = organization.revision
    revisions.touch(organization.pk, [turned.pk])

    url = reverse("connection_changes", args=[organization.slug])
    reply = browser.get(f"{url}?q=works&since={since}", headers={"HX-Request": "true"})

    assert states(unescape(reply.content.decode())) == [("connected", "1")]


def test_the_pictures_below_the_list_do_not_count_it_again(
    organization: Organization, browser: Client
) -> None:
    row(organization, "Works")
    url = reverse("connections_overview", args=[organization.slug])

    below = browser.get(url, headers={"HX-Request": "true"}).content.decode()
    alone = browser.get(url).content.decode()

    assert "picture-health" not in below
    assert "picture-renewals" in below
    assert "picture-health" in alone
