"""What staff see and may do, on every page of the staff site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from pytest_django import DjangoDbBlocker

from connections.client_link_models import ClientLink, ClientReminders
from connections.grouping_models import Client as AgencyClient
from connections.grouping_models import Reach, SavedView, Tag
from connections.health_models import CapabilityCheck, DataSetReport
from connections.import_models import ClientList, ImportedToken, TokenImport
from connections.models import AdsGrant, AuthorizationRequest, Connection, SpApiGrant
from connections.notice_models import Notice
from connections.queue_models import ReconnectItem, ReconnectQueue
from marketplaces.models import Marketplace, MarketplaceAccount
from ppc.models import AdsProfile, PpcLink
from sellerlegend.applications.models import ClientSecret
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import (
    AuditEvent,
    Invitation,
    Membership,
    Organization,
    Role,
    User,
)
from sellerlegend.organizations.scoped_admin import SECRET_COLUMNS
from tests import factories
from tests.nothing_changed import all_rows
from tests.staff import Shop, act, list_of, listed, make_shop, make_support, page_of, signed_in

pytestmark = pytest.mark.django_db

TABLES = (
    User,
    Organization,
    Membership,
    AuditEvent,
    Job,
    ClientSecret,
    Connection,
    SpApiGrant,
    AdsGrant,
    AuthorizationRequest,
    CapabilityCheck,
    DataSetReport,
    Notice,
    ClientLink,
    ClientReminders,
    Invitation,
    Tag,
    AgencyClient,
    SavedView,
    Reach,
    ReconnectQueue,
    ReconnectItem,
    TokenImport,
    ImportedToken,
    ClientList,
    Marketplace,
    MarketplaceAccount,
    AdsProfile,
    PpcLink,
)
SELLER = "A1NORTHSTAR001"
every_table = pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)


@pytest.fixture(scope="module")
def shop(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Shop]:
    """One for all: what a test changes of it is undone with the test."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_shop(SELLER, organization=factories.make_organization("Looked at"))
        transaction.set_rollback(True)


@pytest.fixture
def support(shop: Shop) -> Client:
    return signed_in(make_support())


def stored_secrets() -> set[str]:
    """Every value of every secret column, of all tables."""
    return {
        value
        for model in TABLES
        for field in model._meta.concrete_fields
        if field.name in SECRET_COLUMNS
        for value in model._base_manager.values_list(field.name, flat=True)
        if value
    }


def text_of(response: Any) -> str:
    assert response.status_code == 200, response
    return str(response.content.decode())


@every_table
def test_support_reads_every_list_and_row_and_no_secret(
    support: Client, shop: Shop, model: type[Any]
) -> None:
    secrets = stored_secrets()
    row = model._base_manager.first()

    text = text_of(support.get(list_of(model)))
    text += text_of(support.get(page_of(row)))
    text += text_of(support.get(page_of(row, "history")))

    assert len(secrets) >= 7
    assert [secret for secret in secrets if secret in text] == []
    assert re.findall(r"Atz[ar]\||v1\.\w+\.", text) == []


@every_table
def test_support_adds_changes_and_deletes_nothing(
    support: Client, shop: Shop, model: type[Any]
) -> None:
    row = model._base_manager.first()
    meta = model._meta

    added = support.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_add"))
    changed = support.post(page_of(row), {})
    deleted = support.post(page_of(row, "delete"), {"post": "yes"})

    assert (added.status_code, changed.status_code, deleted.status_code) == (403, 403, 403)
    assert model._base_manager.filter(pk=row.pk).exists()


@every_table
def test_a_superuser_neither_adds_nor_deletes(shop: Shop, model: type[Any]) -> None:
    client = signed_in(factories.make_user(is_staff=True, is_superuser=True))
    row = model._base_manager.first()
    meta = model._meta

    added = client.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_add"))
    deleted = client.post(page_of(row, "delete"), {"post": "yes"})

    assert (added.status_code, deleted.status_code) == (403, 403)


@every_table
def test_a_list_needs_as_many_queries_for_many_rows_as_for_few(
    support: Client, shop: Shop, model: type[Any]
) -> None:
    support.get(list_of(model))
    with CaptureQueriesContext(
        database,
    ) as few:
        support.get(list_of(model))
    for number in range(3):
        make_shop(f"A{number}MORE")

    with CaptureQueriesContext(database) as many:
        support.get(list_of(model))

    assert len(many) == len(few)


@every_table
def test_staff_without_permissions_see_nothing(shop: Shop, model: type[Any]) -> None:
    client = signed_in(factories.make_user(is_staff=True))

    assert client.get(list_of(model)).status_code == 403


def test_customers_are_refused() -> None:
    client = signed_in(factories.make_user())

    response = client.get(reverse("admin:index"), follow=True)

    assert response.status_code == 403


def test_nobody_signs_in_at_the_staff_site_itself() -> None:
    response = Client().get(reverse("admin:index"), follow=True)

    assert response.redirect_chain[-1][0].startswith(reverse("account_login"))


def test_no_package_shows_second_factors_or_sessions() -> None:
    shown = {model._meta.label_lower for model in admin.site._registry}

    assert not shown & {"mfa.authenticator", "usersessions.usersession"}
    with pytest.raises(NoReverseMatch):
        reverse("admin:mfa_authenticator_changelist")


@every_table
def test_every_link_of_a_list_has_a_word(support: Client, shop: Shop, model: type[Any]) -> None:
    page = text_of(support.get(list_of(model)))

    assert re.findall(r"<a (?![^>]* title=)[^>]*>\s*</a>", page) == []


# Finding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [Connection, SpApiGrant, MarketplaceAccount, PpcLink, AuditEvent, AuthorizationRequest]
)
def test_a_seller_id_finds_its_rows_and_no_others(
    support: Client, shop: Shop, model: type[Any]
) -> None:
    make_shop("A2OTHER")

    found = listed(support, model, q=SELLER)

    assert found
    assert {row.organization_key() for row in found} == {shop.organization.pk}


@pytest.mark.parametrize(
    "model",
    [
        Membership,
        AuditEvent,
        Job,
        Connection,
        SpApiGrant,
        AdsGrant,
        AuthorizationRequest,
        MarketplaceAccount,
        AdsProfile,
        PpcLink,
        ClientLink,
        ClientReminders,
        Invitation,
        Tag,
        AgencyClient,
        SavedView,
        Reach,
        ReconnectQueue,
        ReconnectItem,
        TokenImport,
        ImportedToken,
        ClientList,
    ],
)
def test_an_organization_is_searched_and_filtered(
    support: Client, shop: Shop, model: type[Any]
) -> None:
    make_shop("A2OTHER")

    searched = listed(support, model, q=shop.organization.slug)
    filtered = listed(support, model, organization=shop.organization.slug)

    assert searched
    for found in (searched, filtered):
        assert {row.organization_key() for row in found} == {shop.organization.pk}


@pytest.mark.parametrize("model", [AuthorizationRequest, AuditEvent, Connection])
def test_a_reference_code_is_found_in_either_case(
    support: Client, shop: Shop, model: type[Any]
) -> None:
    make_shop("A2OTHER")

    found = listed(support, model, q=shop.trip.reference)

    assert len(found) == 1
    assert listed(support, model, q=shop.trip.reference.lower()) == found


@pytest.mark.parametrize(
    "model",
    [SpApiGrant, MarketplaceAccount, PpcLink, Job, AuditEvent, ClientLink, ReconnectItem, Reach],
)
def test_the_id_of_a_connection_finds_what_hangs_on_it(
    support: Client, shop: Shop, model: type[Any]
) -> None:
    make_shop("A2OTHER")

    found = listed(support, model, q=shop.connection.pk)

    assert found
    assert {row.organization_key() for row in found} == {shop.organization.pk}


def test_what_a_list_of_clients_holds_is_not_shown(support: Client, shop: Shop) -> None:
    found = ClientList._base_manager.get()
    assert "Listed" in str(found.lines)

    assert "Listed" not in text_of(support.get(page_of(found)))


def test_a_queue_leads_to_its_rows_and_a_file_to_its_tokens(support: Client, shop: Shop) -> None:
    for holder, parts in ((ReconnectQueue, ReconnectItem), (TokenImport, ImportedToken)):
        row = holder._base_manager.get()
        url = reverse(f"admin:connections_{parts._meta.model_name}_changelist")

        assert f"{url}?q={row.pk}" in text_of(support.get(page_of(row)))
        assert len(listed(support, parts, q=row.pk)) == 1


def test_states_are_filtered(support: Client, shop: Shop) -> None:
    waiting = factories.make_waiting_connection(shop.organization)

    assert listed(support, Connection, consent="none") == [waiting]
    assert listed(support, Connection, consent="active") == [shop.connection]
    assert listed(support, Connection, marketplaces="attention") == [shop.connection]
    assert listed(support, MarketplaceAccount, onboarding__exact="needs_attention") == [
        shop.account
    ]
    assert listed(support, Job, status__exact="dead") == []


def test_a_row_leads_to_everything_that_hangs_on_it(support: Client, shop: Shop) -> None:
    text = text_of(support.get(page_of(shop.connection)))

    assert f"{reverse('admin:jobs_job_changelist')}?q={shop.connection.pk}" in text


# Crafted input -----------------------------------------------------------------------------


REGISTERED: list[Any] = sorted(admin.site._registry, key=str)
every_list = pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)


@pytest.fixture
def superuser(shop: Shop) -> Client:
    return signed_in(factories.make_user(is_staff=True, is_superuser=True))


def names_in_the_address(model: type[Any]) -> list[str]:
    """Of every filter of the list, and of every column of the table."""
    filters: Any = admin.site.get_model_admin(model).list_filter
    plain = [one[0] if isinstance(one, list | tuple) else one for one in filters]
    named = [one if isinstance(one, str) else one.parameter_name for one in plain]
    return [*named, *(field.name for field in model._meta.concrete_fields)]


@every_list
def test_a_list_cannot_be_narrowed_by_what_no_text_holds(
    superuser: Client, model: type[Any]
) -> None:
    before = all_rows()

    for name in names_in_the_address(model):
        for lookup in ("", "__exact", "__icontains", "__in"):
            response = superuser.get(list_of(model, **{f"{name}{lookup}": "%00"}))
            assert response.status_code == 302, name
            assert response.headers["Location"] == f"{list_of(model)}e=1"

    assert superuser.get(f"{list_of(model)}e=1").status_code == 200
    assert all_rows() == before


@every_list
def test_a_list_is_not_narrowed_by_a_value_that_does_not_fit(
    superuser: Client, model: type[Any]
) -> None:
    unfit = ("__range=x", "__range=1,2,3", "__year=-1", "__year=99999999999999999999")

    for name in names_in_the_address(model):
        for narrowed in unfit:
            response = superuser.get(f"{list_of(model)}{name}{narrowed}")
            assert response.status_code < 500, (name, narrowed)
        for pattern in ("__regex=[", "__iregex=(a%2B)%2B$"):
            response = superuser.get(f"{list_of(model)}{name}{pattern}")
            assert response.status_code in (302, 400), (name, pattern)


@every_list
def test_an_action_on_what_is_no_row_does_nothing(superuser: Client, model: type[Any]) -> None:
    page: Any = superuser.get(list_of(model))
    names = admin.site.get_model_admin(model).get_actions(page.wsgi_request)
    before = all_rows()

    for name in names:
        for chosen in ("notuuid", "\0", "99999999999999999999999", "-1"):
            for step in ({"index": "0"}, {"confirmed": "yes", "reason": "because"}):
                data = {"action": name, "_selected_action": [chosen]} | step
                response = superuser.post(list_of(model), data)
                assert response.status_code in (200, 302), (name, chosen)

    assert all_rows() == before


def test_beside_what_is_no_row_the_rows_are_acted_on(support: Client, shop: Shop) -> None:
    data = {
        "action": "resync",
        "_selected_action": ["notuuid", str(shop.connection.pk), "\0"],
        "confirmed": "yes",
        "reason": "because",
    }

    assert support.post(list_of(Connection), data).status_code == 302

    event = AuditEvent._base_manager.get(code="resync_requested")
    assert event.connection_id == shop.connection.pk


# Acting ------------------------------------------------------------------------------------


def test_an_action_asks_for_a_reason_first(support: Client, shop: Shop) -> None:
    before = AuditEvent._base_manager.count()

    text = text_of(act(support, "resync", [shop.connection]))

    assert 'name="reason"' in text
    assert str(shop.connection) in text
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", text)
    assert AuditEvent._base_manager.count() == before


@pytest.mark.parametrize("reason", ["", "   ", "token Atzr|IwEBIJ-made-up", "x" * 201])
def test_a_reason_is_required_and_holds_no_token(support: Client, shop: Shop, reason: str) -> None:
    before = AuditEvent._base_manager.count()

    response = act(support, "resync", [shop.connection], reason=reason)

    assert response.status_code == 422
    assert AuditEvent._base_manager.count() == before


@pytest.mark.parametrize("name", ["resync", "retry", "require_reconnect"])
def test_without_its_permission_an_action_does_nothing(shop: Shop, name: str) -> None:
    user = factories.make_user(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_connection"))
    client = signed_in(user)
    before = AuditEvent._base_manager.count()

    page = text_of(client.get(list_of(Connection)))
    act(client, name, [shop.connection], reason="because")

    assert f'value="{name}"' not in page
    assert AuditEvent._base_manager.count() == before


def test_a_superuser_makes_somebody_staff_and_it_is_written_down() -> None:
    boss = factories.make_user(is_staff=True, is_superuser=True)
    person = factories.make_user()

    response = signed_in(boss).post(page_of(person), {"is_active": "on", "is_staff": "on"})

    assert response.status_code == 302
    person.refresh_from_db()
    assert person.is_staff
    assert person.check_password(factories.PASSWORD)
    event = AuditEvent._base_manager.get(code="person_changed")
    assert (event.actor, event.actor_kind) == (boss, "staff")
    assert event.details == {"changed": ["is_staff"]}


def test_the_only_owner_is_switched_off_only_by_who_knows_it(superuser: Client) -> None:
    """A stolen login has to be ended at once, whoever's it is."""
    left, shared = (factories.make_organization(name) for name in ("Left alone", "Shared"))
    owner = factories.owner_of(left)
    for role, person in ((Role.OWNER, owner), (Role.OWNER, factories.make_user())):
        Membership._base_manager.create(organization=shared, user=person, role=role)
    Membership._base_manager.create(
        organization=left, user=factories.make_user(is_active=False), role=Role.OWNER
    )
    before = all_rows()

    refused = superuser.post(page_of(owner), {"is_active": ""})

    told = " ".join(refused.text.split())
    assert "Nobody else who can sign in owns Left alone. Ask the customer" in told
    assert "Shared" not in told
    assert all_rows() == before
    assert not AuditEvent._base_manager.filter(code="person_changed").exists()

    done = superuser.post(page_of(owner), {"is_active": "", "leaves_nobody": "on"})

    assert done.status_code == 302
    owner.refresh_from_db()
    assert not owner.is_active
    assert AuditEvent._base_manager.get(code="person_changed").details == {"changed": ["is_active"]}


def test_who_owns_nothing_alone_is_switched_off_without_a_question(superuser: Client) -> None:
    organization = factories.make_organization()
    person = factories.make_member(organization, Role.ADMIN)

    assert superuser.post(page_of(person), {"is_active": ""}).status_code == 302
    assert superuser.post(page_of(person), {"is_active": "on"}).status_code == 302

    person.refresh_from_db()
    assert person.is_active


def test_support_does_not_make_itself_more(support: Client) -> None:
    user = User.objects.get(email="staff@example.com")

    response = support.post(page_of(user), {"is_active": "on", "is_staff": "on"})

    assert response.status_code == 403
