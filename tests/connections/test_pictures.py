"""The overview counts what the list shows, leads to it, and keeps to its organization."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html import unescape

import pytest
import time_machine
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import pictures
from connections.list_json import page_of_list
from connections.listing import Chosen
from connections.models import Connection, SpApiGrant
from sellerlegend.organizations.models import Organization, Role
from tests import factories
from tests.factories import CANADA, US, make_account, make_connection, make_member

pytestmark = pytest.mark.django_db


def given(organization: Organization, days_ago: int, **columns: object) -> Connection:
    """A row whose consent was given so long ago."""
    row = make_connection(organization)
    grants = SpApiGrant.objects.for_organization(organization).filter(connection=row)
    grants.update(authorized_at=timezone.now() - timedelta(days=days_ago), **columns)
    return row


def page(client: Client, organization: Organization) -> str:
    client.force_login(make_member(organization, Role.VIEWER))
    response = client.get(reverse("connections_overview", args=[organization.slug]))
    assert response.status_code == 200
    return unescape(response.content.decode())


def test_each_state_is_counted_and_leads_to_its_rows(client: Client) -> None:
    organization = factories.make_organization("Acme")
    for days in (10, 20, 350):
        given(organization, days)
    factories.make_waiting_connection(organization)
    given(factories.make_organization("Other"), 400)

    text = page(client, organization)

    picture = text.split('aria-labelledby="picture-health"')[1].split("</section>")[0]
    line = r'href="([^"]+)">\s*<svg.*?</svg>\s*<span>([^<]+)</span> <strong>(\d+)'
    told = re.findall(line, picture, re.DOTALL)
    url = reverse("account_connections", args=[organization.slug])
    assert told == [
        (f"{url}?health=connected&side=spapi", "Connected", "2"),
        (f"{url}?health=expiring&side=spapi", "Expiring", "1"),
        (f"{url}?health=waiting&side=spapi", "Waiting for consent", "1"),
    ]
    for address, _word, count in told:
        listed = client.get(address).content.decode()
        assert len(re.findall(r'<tbody class="connection-row', listed)) == int(count)


@time_machine.travel("2027-01-31T12:00:00+00:00", tick=False)
def test_a_consent_counts_in_the_month_in_which_it_ends() -> None:
    organization = factories.make_organization("Acme")
    given(organization, 364)
    given(organization, 360)
    given(organization, 0)
    given(organization, 366)
    given(organization, 30, status="disconnected", refresh_token="")
    given(organization, 30, is_consent_dated=False, imported_at=timezone.now())

    found = pictures.renewals_by_month(Connection.objects.for_organization(organization))

    # Also the one that ended yesterday: the filter of this month shows it.
    assert found == {date(2027, 1, 1): 1, date(2027, 2, 1): 2, date(2028, 1, 1): 1}
    columns = pictures.columns_of(found, "/list")
    assert [(column.short, column.count) for column in columns if column.count] == [
        ("Jan", 1),
        ("Feb", 2),
        ("Jan", 1),
    ]
    assert columns[0].label == "January 2027"
    assert columns[1].url == "/list?expiry=2027-02&side=spapi"
    assert (columns[1].height, columns[-1].height) == (100, 50)
    reader = organization.memberships.get()
    for column in columns:
        chosen = Chosen.of(QueryDict(column.url.partition("?")[2]))
        assert page_of_list(reader, chosen, 1)["total"] == column.count


def test_onboarding_counts_marketplaces_in_which_the_seller_takes_part() -> None:
    organization = factories.make_organization("Acme")
    row = make_connection(organization)
    make_account(row, US, onboarding="onboarded", onboarded_at=timezone.now())
    make_account(row, CANADA)
    make_account(row, "A1AM78C64UM0Y8", is_participating=False)

    found = pictures.onboarding(Connection.objects.for_organization(organization))

    assert found == {"onboarded": 1, "pending": 1}


def test_the_parts_of_a_bar_fill_it() -> None:
    signs = pictures.health_signs()

    parts = pictures.segments_of(
        {"connected": 1, "revoked": 1, "waiting": 1}, pictures.HEALTHS, signs, "/list", "health"
    )

    assert [(part.x, part.width) for part in parts] == [
        (0.0, 333.33),
        (333.33, 333.33),
        (666.66, 333.33),
    ]


def test_an_organization_without_rows_is_told_so(client: Client) -> None:
    text = page(client, factories.make_organization("Empty"))

    assert "Nothing is connected yet." in text
    assert "No marketplace is known yet." in text


@pytest.mark.parametrize(("rows", "is_there"), [(9, False), (10, True)])
def test_the_list_loads_it_when_there_is_more_than_a_glance(
    client: Client, rows: int, is_there: bool
) -> None:
    organization = factories.make_organization("Acme")
    for _ in range(rows):
        make_connection(organization)
    client.force_login(make_member(organization, Role.VIEWER))

    text = client.get(reverse("account_connections", args=[organization.slug])).content.decode()

    overview = reverse("connections_overview", args=[organization.slug])
    assert (f'hx-get="{overview}"' in text) is is_there
    assert f'href="{overview}"' in text
