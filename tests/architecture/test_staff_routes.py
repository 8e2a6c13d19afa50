"""Every route of the staff site × every kind of staff × method: no secret anywhere (B4, T3)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import models
from django.test import Client
from django.urls import get_resolver, reverse

from connections.models import Connection, SpApiGrant
from sellerlegend.organizations.models import AuditEvent, User
from sellerlegend.organizations.scoped_admin import SECRET_COLUMNS
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import leaves
from tests.architecture.test_route_matrix import Person, undone
from tests.nothing_changed import all_rows
from tests.signing_in import proved_seconds_ago, signed_in_freshly
from tests.staff import Shop, act, list_of, make_shop, make_support, page_of

pytestmark = pytest.mark.django_db

SELLER = "A1NORTHSTAR001"
# Django's admin takes every method but POST for a GET: one more is sent by support alone.
METHODS = ("GET", "POST")
MORE_METHODS = {"support": (*METHODS, "DELETE")}
# Whoever is signed in as staff may use these: none shows a row.
OPEN_TO_STAFF = frozenset({"index", "logout", "login", "jsi18n", "password_change", "app_list"})


@pytest.fixture
def shop() -> Shop:
    return make_shop(SELLER)


def make_viewer_of_one_table() -> User:
    """Staff who may view connections and nothing else."""
    user = factories.make_user(is_staff=True)
    group = Group.objects.create(name="Readers")
    group.permissions.add(Permission.objects.get(codename="view_connection"))
    user.groups.add(group)
    return user


STAFF: dict[str, Callable[[], User]] = {
    "customer": factories.make_user,
    "staff without permission": lambda: factories.make_user(is_staff=True),
    "staff who view one table": make_viewer_of_one_table,
    "support": make_support,
    "superuser": lambda: factories.make_user(is_staff=True, is_superuser=True),
}
every_staff = pytest.mark.parametrize("name", STAFF)


# Addresses ---------------------------------------------------------------------------------


def addresses(shop: Shop) -> Iterator[tuple[str, str]]:
    """Name of the route and its address, with the id of a row that exists and with another."""
    for namespace, pattern in leaves(get_resolver().url_patterns):
        if namespace != "admin" or pattern.name is None:
            continue
        wanted = pattern.pattern.converters or pattern.pattern.regex.groupindex
        for key in (key_of(pattern.name), str(uuid4())) if "object_id" in wanted else ("",):
            known = {"object_id": key, "app_label": "connections"}
            kwargs = {name: known[name] for name in wanted}
            yield pattern.name, reverse(f"admin:{pattern.name}", kwargs=kwargs)


def key_of(route: str) -> str:
    """A row that exists, of the table whose page it is."""
    for model in admin.site._registry:
        label = f"{model._meta.app_label}_{model._meta.model_name}_"
        row = model._base_manager.order_by("pk").first() if route.startswith(label) else None
        if row is not None:
            return str(row.pk)
    return "1"


def secret_columns() -> list[tuple[type[models.Model], str]]:
    return [
        (model, field.name)
        for model in admin.site._registry
        for field in model._meta.concrete_fields
        if field.name in SECRET_COLUMNS
    ]


def stored_secrets() -> set[str]:
    return {
        value
        for model, column in secret_columns()
        for value in model._base_manager.values_list(column, flat=True)
        if value
    }


# The matrix --------------------------------------------------------------------------------


@every_staff
@pytest.mark.usefixtures("plain_rendering")
def test_every_route_of_the_staff_site(name: str, shop: Shop, amazon: RunningEmulator) -> None:
    client = signed_in_freshly(STAFF[name]())
    secrets = stored_secrets()
    tried = 0

    methods = MORE_METHODS.get(name, METHODS)
    for (route, address), method in itertools.product(list(addresses(shop)), methods):
        cell = f"{name} {method} {address}"
        with undone(Person(client)):
            response: Any = client.generic(method, address)
        text = response.content.decode()
        tried += 1
        assert response.status_code < 500, cell
        assert [secret for secret in secrets if secret in text] == [], cell
        if route in OPEN_TO_STAFF:
            continue
        if name == "customer":
            assert response.status_code == 302, cell
        elif name == "staff without permission":
            assert response.status_code in (302, 403, 404, 405), cell
        elif name == "staff who view one table" and "connection_" not in route:
            assert response.status_code in (302, 400, 403, 404, 405), cell

    assert len(secrets) >= 7
    assert tried >= 80 * len(methods)


@every_staff
@pytest.mark.usefixtures("plain_rendering")
def test_what_staff_open_and_send_changes_nothing(name: str, shop: Shop) -> None:
    """Rows are changed by named actions and three switches, never by opening a page or sending
    an empty form; only what staff looked at is recorded."""
    client = signed_in_freshly(STAFF[name]())
    # A superuser's empty form is a real one: it would switch the person of the page off.
    methods = ["GET"] if name == "superuser" else MORE_METHODS.get(name, METHODS)
    before, known = all_rows(), AuditEvent._base_manager.count()

    for (route, address), method in itertools.product(list(addresses(shop)), methods):
        if route not in OPEN_TO_STAFF:
            client.generic(method, address)

    events = AuditEvent._base_manager.order_by("pk").values_list("code", flat=True)[known:]
    assert all_rows() == before
    assert set(events) <= {"staff_looked"}


# Changing wants a fresh proof --------------------------------------------------------------

# A session of four hours may look that long; what it says of itself an hour ago changes nothing.
AN_HOUR = 3600


def asked_for_proof(response: Any) -> bool:
    where = str(response.headers.get("Location", ""))
    return urlsplit(where).path == reverse("account_reauthenticate")


@pytest.mark.parametrize("name", ["support", "superuser"])
@pytest.mark.usefixtures("plain_rendering")
def test_an_old_session_looks_and_changes_nothing(name: str, shop: Shop) -> None:
    client = proved_seconds_ago(signed_in_freshly(STAFF[name]()), AN_HOUR, "password", "mfa")
    before = all_rows()
    tried = 0

    for route, address in addresses(shop):
        if route not in ("login", "logout"):
            assert asked_for_proof(client.post(address, {"is_staff": "on"})), address
            assert not asked_for_proof(client.get(address)), address
            tried += 1

    assert tried >= 80
    assert all_rows() == before
    assert client.post(reverse("admin:logout")).status_code == 200


def test_after_the_proof_one_is_back_at_the_form(shop: Shop) -> None:
    boss = STAFF["superuser"]()
    client = proved_seconds_ago(signed_in_freshly(boss), AN_HOUR, "password", "mfa")
    person = factories.make_user()
    page, fields = page_of(person), {"is_active": "on", "is_staff": "on"}

    asked = client.post(page, fields, headers={"Referer": f"http://testserver{page}"})

    where = asked.headers["Location"]
    assert parse_qs(urlsplit(where).query)["next"] == [page]
    assert "Nothing was changed yet." in client.get(where).content.decode()
    proved = client.post(where, {"password": factories.PASSWORD, "next": page})
    assert proved.headers["Location"] == page
    person.refresh_from_db()
    assert not person.is_staff
    client.post(page, fields)
    person.refresh_from_db()
    assert person.is_staff


@pytest.mark.parametrize("reason", [None, "asked by the seller"], ids=["asking", "confirmed"])
def test_an_old_session_ends_no_consent(shop: Shop, reason: str | None) -> None:
    client = proved_seconds_ago(signed_in_freshly(make_support()), AN_HOUR, "password", "mfa")
    before = all_rows()

    fields = {} if reason is None else {"reason": reason}
    answer = act(client, "require_reconnect", [shop.connection], **fields)

    assert asked_for_proof(answer)
    assert all_rows() == before


# Spelling a secret out by asking -----------------------------------------------------------


LOOKUPS = ("", "__startswith", "__contains", "__regex", "__gt", "__isnull")


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("superuser", [False, True], ids=["support", "superuser"])
def test_no_list_is_filtered_by_a_secret(shop: Shop, lookup: str, superuser: bool) -> None:
    user = factories.make_user(is_staff=True, is_superuser=True) if superuser else make_support()
    client = signed_in_freshly(user)
    columns = secret_columns()
    assert len(columns) >= 7

    for model, column in columns:
        for value in ("v", "False", "1"):
            response = client.get(list_of(model, **{column + lookup: value}))

            assert response.status_code == 400, (model, column)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (SpApiGrant, "organization__data_key__startswith"),
        (Connection, "organization__data_key__startswith"),
        (Connection, "spapi_grant__refresh_token__startswith"),
        (AuditEvent, "actor__password__startswith"),
        (AuditEvent, "organization__memberships__user__password__startswith"),
    ],
)
def test_no_list_is_filtered_by_a_secret_of_another_table(
    shop: Shop, model: type[Any], path: str
) -> None:
    response = signed_in_freshly(make_support()).get(list_of(model, **{path: "v"}))

    assert response.status_code == 400


def test_no_search_finds_a_row_by_its_secret(shop: Shop) -> None:
    client = signed_in_freshly(make_support())

    for model, column in secret_columns():
        for value in filter(None, model._base_manager.values_list(column, flat=True)):
            response = client.get(list_of(model), {"q": value})

            assert list(response.context["cl"].result_list) == [], (model, column)


def test_the_site_has_no_autocomplete_and_no_redirects_to_rows() -> None:
    """Nothing here uses them, and either answers for any table that somebody names."""
    names = {
        pattern.name
        for namespace, pattern in leaves(get_resolver().url_patterns)
        if namespace == "admin"
    }

    assert not names & {"autocomplete", "view_on_site"}
    assert [model for model, page in admin.site._registry.items() if page.autocomplete_fields] == []
    client = signed_in_freshly(factories.make_user(is_staff=True, is_superuser=True))
    for address in (
        "/admin/autocomplete/?app_label=organizations&model_name=user",
        "/admin/r/1/1/",
    ):
        assert client.get(address).status_code == 404


# Looking is recorded -----------------------------------------------------------------------


def test_who_looked_at_a_row_is_recorded(shop: Shop) -> None:
    user = make_support()
    client = signed_in_freshly(user)

    client.get(page_of(shop.connection))
    client.get(list_of(Connection))
    client.get(page_of(shop.account))

    events = AuditEvent._base_manager.filter(code="staff_looked").order_by("pk")
    assert [
        (event.actor, event.actor_kind, event.organization, event.subject_id, event.connection_id)
        for event in events
    ] == [
        (user, "staff", shop.organization, shop.connection.pk, shop.connection.pk),
        (user, "staff", shop.organization, shop.account.pk, shop.connection.pk),
    ]


def test_reading_the_record_does_not_make_it_grow(shop: Shop) -> None:
    client = signed_in_freshly(make_support())
    event = AuditEvent._base_manager.first()
    known = AuditEvent._base_manager.count()

    assert client.get(page_of(event)).status_code == 200
    assert AuditEvent._base_manager.count() == known


def test_who_may_not_look_leaves_no_record_of_having_looked(shop: Shop) -> None:
    client: Client = signed_in_freshly(factories.make_user(is_staff=True))

    assert client.get(page_of(shop.connection)).status_code == 403
    assert not AuditEvent._base_manager.filter(code="staff_looked").exists()
