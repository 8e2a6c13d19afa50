from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F, QuerySet
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from connections.models import Connection
from sellerlegend.organizations.scoping import UnscopedQuery
from sellerlegend.prepared import PreparedQuery, PreparedReturning, PreparedUpdate
from tests import factories

pytestmark = pytest.mark.django_db


def named(organization_id: UUID, name: str, above: int) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = Connection.objects.for_organization(organization_id)
    found = rows.filter(name=name, revision__gt=above, region="NA")
    return found.values("id", "name", "created_at", granted=F("spapi_grant__authorized_at"))


def everything(organization_id: UUID) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = Connection.objects.filter(organization_id=organization_id)
    return rows.values("id")


def test_each_run_binds_its_own_values(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    query = PreparedQuery(named, organization_id=UUID, name=str, above=int)
    ours, theirs = factories.make_organization(), factories.make_organization()
    for organization in (ours, theirs):
        for name in ("One", "Two"):
            factories.make_connection(organization, name=name)

    for organization in (ours, theirs):
        for name in ("One", "Two"):
            values: dict[str, Any] = {
                "organization_id": organization.pk,
                "name": name,
                "above": 0,
            }
            with django_assert_num_queries(1):
                found = query.rows(**values)

            assert found == list(named(**values))
            assert [row["name"] for row in found] == [name]
            assert query.rows(**values | {"above": 10**9}) == []


def test_a_query_without_a_scope_is_refused_before_it_is_sent(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    query = PreparedQuery(everything, organization_id=UUID)

    with django_assert_num_queries(0), pytest.raises(UnscopedQuery):
        query.rows(organization_id=factories.unknown_id())


def test_a_value_that_is_missing_is_refused_before_it_is_sent(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    query = PreparedQuery(named, organization_id=UUID, name=str, above=int)

    with django_assert_num_queries(0), pytest.raises(KeyError, match="organization_id"):
        query.rows(name="One", above=0)


def renamed(organization_id: UUID, day: date, at: datetime, name: str) -> Any:
    rows = Connection.objects.for_organization(organization_id)
    found = rows.filter(created_at__date__gte=day, created_at__lt=at, region="NA")
    return found, {"name": name}


def test_an_update_binds_its_own_values_and_gives_back_the_rows_as_they_are(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    kinds: dict[str, type] = {"organization_id": UUID, "day": date, "at": datetime, "name": str}
    update = PreparedUpdate(renamed, **kinds)
    returning = PreparedReturning(renamed, ("id", "name", "created_at"), **kinds)
    row = factories.make_connection(factories.make_organization(), name="One")
    later = timezone.now() + timedelta(hours=1)
    values = {"organization_id": row.organization_id, "day": later.date(), "at": later}
    days = {True: timedelta(days=2), False: timedelta(days=-2)}

    for is_found, back in days.items():
        day = later.date() - back
        for name in ("Two", "Three"):
            with django_assert_num_queries(2):
                assert update.run(**values | {"name": name, "day": day}) == int(is_found)
                found = returning.rows(**values | {"name": f"{name} again", "day": day})

            columns = Connection._base_manager.values("id", "name", "created_at")
            stored = columns.get(pk=row.pk)
            assert found == ([stored] if is_found else [])
            assert not is_found or stored["name"] == f"{name} again"
