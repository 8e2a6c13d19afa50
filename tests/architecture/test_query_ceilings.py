"""T21: a list with many rows costs as many queries as a list with few.

The screen itself, with one row and with two hundred: `tests/connections/test_screen.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from marketplaces import services as marketplace_services
from sellerlegend.organizations.models import Organization, Role
from tests import factories
from tests.factories import CANADA, US
from tests.staff import signed_in

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("plain_rendering"),
]

MANY = 200
LISTED = [
    model
    for model in apps.get_models()
    if model in admin.site._registry
    and model._meta.app_label
    in ("organizations", "connections", "marketplaces", "ppc", "jobs", "applications", "monitoring")
]


def add_stores(organization: Organization, count: int) -> None:
    """Rows with everything below them: consents, marketplaces, links, profiles, jobs, events."""
    grant = factories.make_ads_grant(organization)
    for _ in range(count):
        row = factories.make_connection(organization)
        factories.make_tag(organization, "", row)
        factories.make_client(organization, "", row)
        factories.make_account(row, CANADA)
        account = factories.make_account(row, US)
        profile = factories.make_profile(grant, seller=row.selling_partner_id or "")
        factories.make_link(account, profile)
        marketplace_services.begin_reading(connection=row)


def add_members(organization: Organization, count: int) -> None:
    for _ in range(count):
        factories.make_member(organization, Role.VIEWER)


def queries(client: Client, path: str) -> int:
    assert client.get(path).status_code == 200  # whatever is kept after the first time
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def measured(paths: list[str], client: Client, grow: Callable[[], None]) -> dict[str, list[int]]:
    before = {path: queries(client, path) for path in paths}
    grow()
    return {path: [before[path], queries(client, path)] for path in paths}


def test_no_list_of_the_staff_pages_asks_once_for_each_row() -> None:
    organization = factories.make_organization()
    client = signed_in(factories.make_user(is_staff=True, is_superuser=True))
    add_stores(organization, 2)
    paths = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in LISTED
    ]
    assert len(paths) >= 10

    def grow() -> None:
        add_stores(organization, MANY - 2)
        for _ in range(30):
            factories.make_organization()

    found = measured(paths, client, grow)

    assert {path: counts for path, counts in found.items() if counts[1] > counts[0]} == {}


@pytest.mark.parametrize(
    "name",
    [
        "organization_settings",
        "account_connections",
        "connection_filters",
        "connection_overview",
        "connection_groups_page",
    ],
)
def test_no_page_of_an_organization_asks_once_for_each_row_or_member(name: str) -> None:
    organization = factories.make_organization()
    client = signed_in(factories.owner_of(organization))
    add_stores(organization, 1)
    path = reverse(name, args=[organization.slug])

    def grow() -> None:
        add_stores(organization, 40)
        add_members(organization, MANY)

    (counts,) = measured([path], client, grow).values()

    assert counts[1] <= counts[0]


@pytest.mark.parametrize(
    "query",
    [
        "q=store",
        "health=connected&side=ppc",
        "show=attention",
        "expiry=90&region=NA",
        f"marketplace={US}",
        "client=none&authorised=none&sort=-renew_by",
    ],
)
def test_a_narrowed_list_asks_no_more_for_many_rows(query: str) -> None:
    organization = factories.make_organization()
    client = signed_in(factories.owner_of(organization))
    add_stores(organization, 1)
    path = f"{reverse('account_connections', args=[organization.slug])}?{query}"

    (counts,) = measured([path], client, lambda: add_stores(organization, 40)).values()

    assert counts[1] <= counts[0] + 1  # rows to render where there was none


@pytest.mark.parametrize("name", ["connections_check", "connections_tag", "connections_client"])
def test_a_question_about_all_rows_asks_no_more_for_many(name: str) -> None:
    organization = factories.make_organization()
    client = signed_in(factories.owner_of(organization))
    add_stores(organization, 1)
    path = f"{reverse(name, args=[organization.slug])}?all=1"

    (counts,) = measured([path], client, lambda: add_stores(organization, 40)).values()

    assert counts[1] <= counts[0]
