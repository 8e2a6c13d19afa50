"""The table of query forms. `sql.Query` is semi-private: a Django that opens a form fails here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection as database
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.shortcuts import get_list_or_404, get_object_or_404
from django.utils import timezone

from connections.models import Connection, SpApiGrant
from marketplaces.models import MarketplaceAccount
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role
from sellerlegend.organizations.scoping import (
    ForeignOrganization,
    ScopedModel,
    ScopedQuerySet,
    UnscopedQuery,
    across_organizations,
)
from tests import factories

Form = Callable[[Connection], Any]

pytestmark = pytest.mark.django_db


def everything() -> QuerySet[Connection]:
    return Connection.objects.all()


def own(row: Connection) -> ScopedQuerySet[Connection]:
    return Connection.objects.for_organization(row.organization_id)


def twin(row: Connection) -> Connection:
    """A row of the same organization that is not stored yet."""
    return Connection(
        organization_id=row.organization_id,
        name="Twin",
        region=row.region,
        marketplace_id=row.marketplace_id,
    )


async def walked(rows: Any) -> list[Any]:
    return [row async for row in rows]


UNSCOPED: dict[str, Form] = {
    "get": lambda row: Connection.objects.get(pk=row.pk),
    "get_object_or_404": lambda row: get_object_or_404(Connection, pk=row.pk),
    "get_list_or_404": lambda row: get_list_or_404(Connection, pk=row.pk),
    "iteration": lambda row: list(everything()),
    "len": lambda row: len(everything()),
    "bool": lambda row: bool(everything()),
    "index": lambda row: everything()[0],
    "slice": lambda row: list(everything()[:1]),
    "membership test": lambda row: row in everything(),
    "repr": lambda row: repr(everything()),
    "exists": lambda row: Connection.objects.exists(),
    "exclude().exists()": lambda row: Connection.objects.exclude(name="x").exists(),
    "count": lambda row: Connection.objects.count(),
    "aggregate": lambda row: Connection.objects.aggregate(Count("pk")),
    "annotate": lambda row: list(Connection.objects.annotate(n=Count("marketplace_accounts"))),
    "update": lambda row: Connection.objects.update(name="x"),
    "filter().update()": lambda row: Connection.objects.filter(pk=row.pk).update(name="x"),
    "_update": lambda row: everything()._update([]),  # type: ignore[attr-defined]  # private
    "delete": lambda row: everything().delete(),
    "delete, fast path": lambda row: SpApiGrant.objects.filter(connection=row).delete(),
    "_raw_delete": lambda row: everything()._raw_delete("default"),
    "in_bulk": lambda row: Connection.objects.in_bulk([row.pk]),
    "iterator": lambda row: list(Connection.objects.iterator()),
    "values": lambda row: list(Connection.objects.values()),
    "values_list": lambda row: list(Connection.objects.values_list("pk", flat=True)),
    "only": lambda row: list(Connection.objects.only("name")),
    "distinct": lambda row: list(Connection.objects.distinct()),
    "order_by": lambda row: list(Connection.objects.order_by("name")),
    "reverse": lambda row: list(Connection.objects.reverse()),
    "extra": lambda row: list(Connection.objects.extra(where=["1=1"])),
    "using": lambda row: list(Connection.objects.using("default")),
    "select_related": lambda row: list(Connection.objects.select_related("organization")),
    "sub-query in filter()": lambda row: list(
        MarketplaceAccount.objects.for_organization(row.organization_id).filter(
            connection__in=everything()
        )
    ),
    "sub-query of an open model": lambda row: list(
        Organization.objects.filter(pk__in=Connection.objects.values("organization"))
    ),
    "Exists()": lambda row: list(
        Organization.objects.filter(Exists(Connection.objects.filter(organization=OuterRef("pk"))))
    ),
    "Subquery()": lambda row: list(
        Organization.objects.annotate(first=Subquery(Connection.objects.values("name")[:1]))
    ),
    "Prefetch()": lambda row: list(
        Organization.objects.prefetch_related(Prefetch("connections", everything()))
    ),
    "union": lambda row: list(everything().union(everything())),
    "union with a scoped one": lambda row: list(own(row).union(everything())),
    "intersection": lambda row: list(own(row).intersection(everything())),
    "difference": lambda row: list(own(row).difference(everything())),
    "|": lambda row: list(own(row) | everything()),
    "| the other way": lambda row: list(everything() | own(row)),
    "| of a slice": lambda row: list(own(row)[:1] | everything()),
    "| with a slice": lambda row: list(own(row) | everything()[:1]),
    "&": lambda row: list(own(row) & everything()),
    "^": lambda row: list(own(row) ^ everything()),
    "async iteration": lambda row: async_to_sync(walked)(everything()),
    "aget": lambda row: async_to_sync(everything().aget)(pk=row.pk),
    "acount": lambda row: async_to_sync(everything().acount)(),
    "create": lambda row: Connection.objects.create(organization_id=row.organization_id, name="x"),
    "acreate": lambda row: async_to_sync(everything().acreate)(name="x"),
    "get_or_create": lambda row: Connection.objects.get_or_create(pk=row.pk),
    "update_or_create": lambda row: Connection.objects.update_or_create(pk=row.pk),
    "bulk_create": lambda row: Connection.objects.bulk_create([twin(row)]),
    "bulk_create(update_conflicts)": lambda row: Connection.objects.bulk_create(
        [twin(row)], update_conflicts=True, update_fields=["name"], unique_fields=["id"]
    ),
    "bulk_update": lambda row: Connection.objects.bulk_update([row], ["name"]),
    "raw": lambda row: list(Connection.objects.raw("SELECT * FROM connections_connection")),
    "select_for_update": lambda row: list(Connection.objects.select_for_update()),
    "dates": lambda row: list(Connection.objects.dates("created_at", "day")),
    "datetimes": lambda row: list(Connection.objects.datetimes("created_at", "day")),
    "earliest": lambda row: Connection.objects.earliest("created_at"),
    "latest": lambda row: Connection.objects.latest("created_at"),
    "first": lambda row: Connection.objects.first(),
    "last": lambda row: Connection.objects.last(),
    "explain": lambda row: Connection.objects.filter(pk=row.pk).explain(),
    "contains": Connection.objects.contains,
    "| with an unguarded one": lambda row: own(row) | Connection._base_manager.all(),
    "update of none()": lambda row: Connection.objects.none().update(name="x"),
    "bulk_create of none()": lambda row: Connection.objects.none().bulk_create([twin(row)]),
    "a deep model": lambda row: SpApiGrant.objects.get(connection=row),
    "memberships": lambda row: list(Membership.objects.all()),
    "audit events": lambda row: list(AuditEvent.objects.filter(organization=None)),
}


def tenant_tables() -> list[str]:
    return [model._meta.db_table for model in our_models() if issubclass(model, ScopedModel)]


@contextmanager
def no_sql() -> Iterator[None]:
    """Nothing reaches a table that holds a tenant's data."""

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if any(table in sql for table in tenant_tables()):
            pytest.fail(f"SQL ran: {sql}")
        return execute(sql, *rest)

    with database.execute_wrapper(refuse):
        yield


@pytest.fixture
def row() -> Connection:
    return factories.make_connection(factories.make_organization(), name="Ours")


@pytest.fixture
def foreign() -> Connection:
    return factories.make_connection(factories.make_organization(), name="Theirs")


@pytest.mark.parametrize("form", UNSCOPED.values(), ids=UNSCOPED)
def test_an_unscoped_query_raises_before_there_is_sql(form: Form, row: Connection) -> None:
    with no_sql(), pytest.raises(UnscopedQuery):
        form(row)


OTHERS: dict[str, Callable[[Connection, Connection], Any]] = {
    "create(organization=other)": lambda ours, theirs: own(ours).create(
        organization=theirs.organization, name="x", region="NA", marketplace_id=factories.US
    ),
    "create(organization_id=other)": lambda ours, theirs: own(ours).create(
        organization_id=theirs.organization_id, name="x", region="NA"
    ),
    "get_or_create(organization=other)": lambda ours, theirs: own(ours).get_or_create(
        name="x", defaults={"organization": theirs.organization, "region": "NA"}
    ),
    "create of a child of another": lambda ours, theirs: SpApiGrant.objects.for_organization(
        ours.organization_id
    ).create(connection=theirs, status="active"),
    "bulk_create of another's": lambda ours, theirs: own(ours).bulk_create([twin(theirs)]),
    "bulk_update of another's": lambda ours, theirs: own(ours).bulk_update([theirs], ["name"]),
    "update to another": lambda ours, theirs: own(ours).update(organization=theirs.organization),
    "update to another's id": lambda ours, theirs: own(ours).update(
        organization_id=theirs.organization_id
    ),
    "|": lambda ours, theirs: own(ours) | own(theirs),
    "&": lambda ours, theirs: own(ours) & own(theirs),
    "related create(organization=other)": lambda ours, theirs: ours.marketplace_accounts.create(
        organization=theirs.organization, marketplace_id=factories.US, is_participating=True
    ),
}


@pytest.mark.parametrize("form", OTHERS.values(), ids=OTHERS)
def test_a_scope_does_not_reach_into_another_organization(
    form: Callable[[Connection, Connection], Any], row: Connection, foreign: Connection
) -> None:
    with pytest.raises(ForeignOrganization):
        form(row, foreign)

    row.refresh_from_db()
    foreign.refresh_from_db()
    assert (row.name, foreign.name) == ("Ours", "Theirs")
    assert row.organization_id != foreign.organization_id


def test_update_or_create_does_not_move_a_row_to_another_organization(
    row: Connection, foreign: Connection
) -> None:
    with pytest.raises(ForeignOrganization):
        own(row).update_or_create(pk=row.pk, defaults={"organization": foreign.organization})

    row.refresh_from_db()
    assert row.organization_id != foreign.organization_id


# What is allowed ---------------------------------------------------------------------------


def accounts(row: Connection) -> ScopedQuerySet[MarketplaceAccount]:
    return MarketplaceAccount.objects.for_organization(row.organization_id)


def saved(row: Connection) -> str:
    row.name = "Renamed"
    row.save()
    row.refresh_from_db()
    return row.name


def locked(row: Connection) -> int:
    return len(own(row).select_for_update())


LEGITIMATE: dict[str, tuple[Form, Any]] = {
    "get": (lambda row: own(row).get(pk=row.pk).name, "Ours"),
    "for_organization(organization)": (
        lambda row: Connection.objects.for_organization(row.organization).count(),
        1,
    ),
    "get_object_or_404": (lambda row: get_object_or_404(own(row), pk=row.pk).name, "Ours"),
    "exists": (lambda row: own(row).exists(), True),
    "count": (lambda row: own(row).count(), 1),
    "aggregate": (lambda row: own(row).aggregate(n=Count("pk")), {"n": 1}),
    "values_list": (lambda row: list(own(row).values_list("name", flat=True)), ["Ours"]),
    "slice": (lambda row: [one.name for one in own(row)[:5]], ["Ours"]),
    "in_bulk": (lambda row: list(own(row).in_bulk()), lambda row: [row.pk]),
    "iterator": (lambda row: len(list(own(row).iterator())), 1),
    "async iteration": (
        lambda row: [one.name for one in async_to_sync(walked)(own(row))],
        ["Ours"],
    ),
    "update": (lambda row: own(row).update(revision=F("revision") + 1), 1),
    "delete": (lambda row: own(row).filter(pk=row.pk).delete()[1]["connections.Connection"], 1),
    "row locks": (locked, 1),
    "create": (
        lambda row: own(row).create(name="x", region="NA", marketplace_id="y").organization,
        lambda row: row.organization,
    ),
    "get_or_create": (
        lambda row: own(row).get_or_create(name="New", region="NA")[0].organization_id,
        lambda row: row.organization_id,
    ),
    "update_or_create": (
        lambda row: own(row).update_or_create(pk=row.pk, defaults={"name": "New"})[1],
        False,
    ),
    "bulk_create": (lambda row: len(own(row).bulk_create([twin(row)])), 1),
    "bulk_update": (lambda row: own(row).bulk_update([row], ["name"]), 1),
    "deep path": (
        lambda row: SpApiGrant.objects.for_organization(row.organization_id).count(),
        1,
    ),
    "deep update": (
        lambda row: SpApiGrant.objects.for_organization(row.organization_id).update(refusals=7),
        1,
    ),
    "deep delete": (
        lambda row: SpApiGrant.objects.for_organization(row.organization_id).delete()[0],
        1,
    ),
    "|": (lambda row: (own(row).filter(name="x") | own(row)).count(), 1),
    "&": (lambda row: (own(row).filter(name="x") & own(row)).count(), 0),
    "^": (lambda row: (own(row).filter(name="x") ^ own(row)).count(), 1),
    "| of a slice": (lambda row: [one.name for one in own(row)[:1] | own(row)[:2]], ["Ours"]),
    "| with none()": (lambda row: (Connection.objects.none() | own(row)).count(), 1),
    "union": (lambda row: own(row).union(own(row)).count(), 1),
    "sub-query": (lambda row: accounts(row).filter(connection__in=own(row)).count(), 0),
    "Exists()": (
        lambda row: (
            own(row).filter(Exists(accounts(row).filter(connection=OuterRef("pk")))).exists()
        ),
        False,
    ),
    "Q over relations": (lambda row: own(row).filter(~Q(spapi_grant=None)).count(), 1),
    "related manager": (lambda row: row.organization.connections.count(), 1),
    "related manager, filtered": (lambda row: row.marketplace_accounts.filter(name="x").count(), 0),
    "related create": (
        lambda row: (
            row.marketplace_accounts.create(
                organization=row.organization, marketplace_id="x", is_participating=True
            ).connection
        ),
        lambda row: row,
    ),
    "prefetch": (
        lambda row: len(
            own(row).prefetch_related("marketplace_accounts")[0].marketplace_accounts.all()
        ),
        0,
    ),
    "prefetch over organizations": (
        lambda row: [
            len(one.connections.all())
            for one in Organization.objects.filter(pk=row.organization_id).prefetch_related(
                "connections"
            )
        ],
        [1],
    ),
    "Prefetch() of a scoped one": (
        lambda row: len(own(row).prefetch_related(Prefetch("marketplace_accounts", accounts(row)))),
        1,
    ),
    "forward foreign key": (
        lambda row: own(row).get().organization.pk,
        lambda row: row.organization_id,
    ),
    "reverse one to one": (lambda row: row.spapi_grant.status, "active"),
    "full_clean": (lambda row: row.full_clean(), None),
    "save": (saved, "Renamed"),
    "row.delete() with cascade": (
        lambda row: row.delete()[1],
        {"connections.SpApiGrant": 1, "connections.Connection": 1},
    ),
    "none()": (lambda row: list(Connection.objects.none()), []),
    "a person's memberships": (
        lambda row: [
            one.organization_id
            for one in Membership.objects.for_user(factories.owner_of(row.organization))
        ],
        lambda row: [row.organization_id],
    ),
}


@pytest.mark.parametrize(("form", "expected"), LEGITIMATE.values(), ids=LEGITIMATE)
def test_a_legitimate_query_sees_its_organization_only(
    form: Form, expected: Any, row: Connection, foreign: Connection
) -> None:
    found = form(row)

    assert found == (expected(row) if callable(expected) else expected)
    assert own(foreign).get().name == "Theirs"


def test_a_scope_survives_every_copy_of_the_query(row: Connection, foreign: Connection) -> None:
    copies = own(row).filter(region="NA").exclude(name="x").order_by("name").distinct().all()

    assert [one.name for one in copies] == ["Ours"]


def test_a_foreign_row_is_not_found(row: Connection, foreign: Connection) -> None:
    assert own(row).filter(pk=foreign.pk).first() is None


def test_a_duplicate_is_a_validation_error_for_a_form_too(row: Connection) -> None:
    duplicate = twin(row)
    duplicate.name = "oURS"

    with pytest.raises(ValidationError, match="connection_name_once_per_organization"):
        duplicate.full_clean()


# Across organizations ----------------------------------------------------------------------


def test_across_organizations_sees_all_rows(row: Connection, foreign: Connection) -> None:
    with across_organizations("test"):
        names = set(Connection.objects.values_list("name", flat=True))
        both = own(row) | own(foreign)
        count = both.count()
        raw = len(list(Connection.objects.raw("SELECT * FROM connections_connection")))

    assert names == {"Ours", "Theirs"}
    assert count == raw == 2


def test_across_organizations_ends_with_its_block(row: Connection) -> None:
    with across_organizations("test"):
        lazy = Connection.objects.filter(name="Ours")

    with no_sql(), pytest.raises(UnscopedQuery):
        list(lazy)


def test_across_organizations_ends_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), across_organizations("test"):
        raise ZeroDivisionError

    with pytest.raises(UnscopedQuery):
        Connection.objects.count()


def test_across_organizations_nests() -> None:
    with across_organizations("outer"):
        with across_organizations("inner"):
            pass
        assert Connection.objects.count() == 0


def test_across_organizations_wants_a_reason() -> None:
    with pytest.raises(ValueError, match="say why"), across_organizations(""):
        pass


# Which models ------------------------------------------------------------------------------

# Rows that belong to no organization, or are one. Everything else is scoped.
OPEN_MODELS = {
    "applications.ApplicationRole",
    "applications.ClientSecret",
    "applications.SecretNotice",
    "organizations.Allowance",
    "jobs.Breaker",
    "jobs.CallWindow",
    "jobs.Incident",
    "jobs.NamedLock",
    "jobs.RateBucket",
    "jobs.Slot",
    "marketplaces.Marketplace",
    "organizations.Organization",
    "organizations.PastPassword",
    "organizations.StaffNotice",
    "organizations.User",
    "organizations.User_groups",
    "organizations.User_user_permissions",
    "organizations.InstallationState",
    "organizations.VaultKey",
}
OUR_APPS = ("organizations", "jobs", "applications", "connections", "marketplaces", "ppc")


def our_models() -> list[Any]:
    models = apps.get_models(include_auto_created=True)
    return [model for model in models if model._meta.app_label in OUR_APPS]


def test_every_model_with_a_tenants_data_is_scoped() -> None:
    unscoped = {model._meta.label for model in our_models() if not issubclass(model, ScopedModel)}

    assert unscoped == OPEN_MODELS


def test_nobody_else_refers_to_an_organization() -> None:
    """Whoever has a foreign key to a scoped row or to an organization holds a tenant's data."""
    holders = {
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if field.is_relation
        and (field.many_to_one or (field.one_to_one and field.concrete))
        and (field.related_model is Organization or is_scoped(field.related_model))
        and not issubclass(model, ScopedModel)
    }

    # A person's last organization is checked against the memberships at every use.
    assert holders == {"organizations.User"}


def is_scoped(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, ScopedModel)


@pytest.mark.parametrize(
    "model", [m for m in our_models() if issubclass(m, ScopedModel)], ids=lambda m: m.__name__
)
def test_the_path_of_a_scoped_model_ends_at_an_organization(model: Any) -> None:
    here = model
    for name in model.organization_path.split("__"):
        here = here._meta.get_field(name).related_model

    assert here is Organization
    assert isinstance(model._default_manager.all(), ScopedQuerySet)
    with pytest.raises(UnscopedQuery):
        model._default_manager.count()


def test_a_row_knows_its_organization_without_a_query(row: Connection) -> None:
    account = factories.make_account(row)

    with no_sql():
        assert account.organization_key() == account.owner_id() == row.organization_id


def test_a_row_without_an_organization_has_no_owner() -> None:
    event = AuditEvent(code="x", at=timezone.now())

    assert event.organization_key() is None
    with pytest.raises(ForeignOrganization):
        event.owner_id()


def test_a_membership_is_created_in_its_own_organization_only(
    row: Connection, foreign: Connection
) -> None:
    person = factories.make_user()

    with pytest.raises(ForeignOrganization):
        Membership.objects.for_organization(row.organization_id).create(
            user=person, organization=foreign.organization, role=Role.OWNER
        )

    assert not Membership.objects.for_user(person).exists()
