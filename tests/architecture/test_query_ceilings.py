"""T21: a list with many rows costs as many queries as a list with few.

The screen itself, with one row and with two hundred: `tests/connections/test_screen.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections import client_lists
from connections.client_table import checked_list
from connections.grouping_models import SavedView
from connections.import_models import ClientList, ImportedToken
from connections.models import Connection
from connections.queue_models import ReconnectItem, ReconnectQueue
from marketplaces import services as marketplace_services
from ppc import disconnecting, removing
from ppc.disconnecting import Side
from ppc.models import PpcLink
from sellerlegend.organizations.audit import COMMAND, Actor, record_events
from sellerlegend.organizations.models import Organization, Role, User
from tests import client_trips, factories
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import ORGANIZATION_ROUTES
from tests.architecture.test_route_matrix import Ids
from tests.factories import BRAZIL, CANADA, MEXICO, US
from tests.signing_in import proved_seconds_ago
from tests.staff import signed_in
from tests.trees import Tree, ids_of, make_tree

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


# A process asks for these every few seconds, whichever page comes then.
REMEMBERED = ("organizations_installationstate", "jobs_incident")


def queries(client: Client, path: str) -> int:
    assert client.get(path).status_code == 200, path  # whatever is kept after the first time
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200, path
    asked = [query["sql"] for query in captured.captured_queries]
    return sum(not any(f'FROM "{table}"' in sql for table in REMEMBERED) for sql in asked)


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


# Every page of an organization, with all of the list chosen where a page asks about rows.
PAGES = tuple(route for route in ORGANIZATION_ROUTES if "GET" in route.methods)
EVERYTHING = "all=1&month=all"


def paths_of(tree: Tree) -> list[str]:
    own = Ids("own", ids_of(tree))
    return [f"{own.path(route)}?{EVERYTHING}" for route in PAGES]


def add_people_and_what_they_made(tree: Tree, count: int) -> None:
    """Each has given consents, asked a client and removed a row; all else is the owner's."""
    organization, owner = tree.organization, factories.owner_of(tree.organization)
    queues = ReconnectQueue.objects.for_organization(organization)
    queue, _is_new = queues.get_or_create(organization=organization, user=owner)
    items = ReconnectItem.objects.for_organization(organization)
    views = SavedView.objects.for_organization(organization)
    for number in range(items.count(), items.count() + count):
        person = factories.make_member(organization)
        row, asked, gone = (row_of(person, organization) for _ in range(3))
        account = factories.make_account(row)
        grant = factories.make_ads_grant(organization, user=person, asked_for=row)
        factories.make_link(
            account, factories.make_profile(grant, seller=row.selling_partner_id or "")
        )
        factories.make_notice(row)
        client_trips.ask(row, maker=person)
        client_trips.ask(asked)
        factories.make_invitation(organization)
        views.create(user=owner, name=f"View {number}", query="q=store")
        items.create(queue=queue, connection=row, position=number)
        remove(gone, person)


def row_of(person: User, organization: Organization) -> Connection:
    number = uuid4().hex.upper()
    row = factories.make_waiting_connection(organization)
    return factories.consent(
        row, seller=f"A{number[:13]}", refresh_token=f"Atzr|{number}", owner=person
    )


def remove(row: Connection, person: User) -> None:
    actor = Actor.person(person)
    disconnecting.disconnect(connection=row, sides=frozenset({Side.SPAPI}), actor=actor)
    removing.remove(connection=row, actor=actor)


def add_to_the_row(tree: Tree, count: int, marketplaces: list[str]) -> None:
    """Below the one row: marketplaces, its history, a check of many and files with many lines."""
    organization, row = tree.organization, tree.connection
    links = PpcLink.objects.for_organization(organization).filter(account__connection=row)
    fed = links.select_related("profile__grant").first()
    grant = fed.profile.grant if fed else factories.make_ads_grant(organization, asked_for=row)
    for marketplace in marketplaces:
        account = factories.make_account(row, marketplace)
        seller = row.selling_partner_id or ""
        profile = factories.make_profile(grant, seller=seller, marketplace_id=marketplace)
        factories.make_link(account, profile)
    rows = list(Connection.objects.for_organization(organization)[:count])
    batch = {"batch": str(tree.batch), "sides": ["spapi"]}
    record_events("check_requested", actor=COMMAND, subjects=rows, **batch)
    record_events("connection_renamed", actor=COMMAND, subjects=[row] * count)
    ImportedToken.objects.for_organization(organization).bulk_create(
        ImportedToken(
            organization=organization,
            token_import=tree.token_import,
            line=count * 100 + number,
            name=store.name,
            status=ImportedToken.Status.REFUSED,
            connection=store,
        )
        for number, store in enumerate(rows)
    )
    text = "client name,store name,marketplace\n" + "".join(
        f"Client of {store.name},{store.name},US\n" for store in rows
    )
    lists = ClientList.objects.for_organization(organization)
    longer = client_lists.keep(
        organization=organization,
        lines=checked_list(text.encode(), organization.pk),
        actor=Actor.person(factories.owner_of(organization)),
    )
    lists.filter(pk=tree.client_list.pk).update(lines=longer.lines)


def test_no_page_of_an_organization_asks_once_for_each_row_or_member(
    amazon: RunningEmulator,
) -> None:
    tree = make_tree("Northstar")
    organization, owner = tree.organization, factories.owner_of(tree.organization)
    client = proved_seconds_ago(signed_in(owner), 0, "password", "mfa")
    add_stores(organization, 1)
    add_people_and_what_they_made(tree, 1)
    add_to_the_row(tree, 1, [CANADA])
    assert len(PAGES) >= 60

    def grow() -> None:
        add_stores(organization, 20)
        add_people_and_what_they_made(tree, 20)
        add_members(organization, MANY)
        add_to_the_row(tree, 41, [MEXICO, BRAZIL])

    found = measured(paths_of(tree), client, grow)

    assert {path: counts for path, counts in found.items() if counts[1] > counts[0]} == {}


NARROWED = (
    "q=store",
    "health=connected&side=ppc",
    "show=attention",
    "expiry=90&region=NA",
    f"marketplace={US}",
    "client=none&authorised=none&sort=-renew_by",
)


def test_a_narrowed_list_asks_no_more_for_many_rows() -> None:
    organization = factories.make_organization()
    client = signed_in(factories.owner_of(organization))
    add_stores(organization, 1)
    path = reverse("account_connections", args=[organization.slug])

    found = measured(
        [f"{path}?{query}" for query in NARROWED], client, lambda: add_stores(organization, 40)
    )

    # One more: rows to render where there was none.
    assert {path: counts for path, counts in found.items() if counts[1] > counts[0] + 1} == {}
