"""Which rows a bulk action is about."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import RequestFactory

from connections import selection
from connections.models import Connection, SpApiGrant
from sellerlegend.organizations.models import Membership, Organization
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Acme")


@pytest.fixture
def rows(organization: Organization) -> dict[str, Connection]:
    return {
        name: factories.make_connection(organization, name=name)
        for name in ("Cherry", "Apple", "Banana")
    }


def request_of(organization: Organization, method: str = "get", **parameters: Any) -> Any:
    request: Any = getattr(RequestFactory(), method)("/", parameters)
    memberships = Membership.objects.for_organization(organization)
    request.organization, request.membership = organization, memberships.get()
    return request


def names_of(rows: dict[str, Connection], ids: list[UUID]) -> list[str]:
    by_id = {row.pk: name for name, row in rows.items()}
    return [by_id[row_id] for row_id in ids]


@pytest.mark.parametrize("method", ["get", "post"])
def test_ticked_rows_come_in_the_order_of_the_list(
    organization: Organization, rows: dict[str, Connection], method: str
) -> None:
    ticked = [str(rows["Cherry"].pk), str(rows["Apple"].pk)]

    found = selection.selected(request_of(organization, method, row=ticked))

    assert names_of(rows, found) == ["Apple", "Cherry"]


def test_all_means_all_that_the_list_shows(
    organization: Organization, rows: dict[str, Connection]
) -> None:
    grants = SpApiGrant.objects.for_organization(organization)
    grants.exclude(connection=rows["Banana"]).update(status="invalid")

    found = selection.selection_of(request_of(organization, all="1", health="revoked"))

    assert names_of(rows, list(found.ids)) == ["Apple", "Cherry"]
    assert (found.asked, found.absent, found.words) == (2, 0, "2 connections")


def test_what_was_unticked_is_left_out_of_all(
    organization: Organization, rows: dict[str, Connection]
) -> None:
    """However long the list is; what is no row of the reader's leaves nothing out."""
    unticked = [str(rows["Banana"].pk), str(uuid4()), "no id"]

    found = selection.selection_of(request_of(organization, "post", all="1", but=unticked))

    assert names_of(rows, list(found.ids)) == ["Apple", "Cherry"]
    assert (found.asked, found.absent, found.words) == (2, 0, "2 connections")


def test_a_filter_does_not_drop_what_was_ticked(
    organization: Organization, rows: dict[str, Connection]
) -> None:
    """What was ticked stays chosen when it leaves the list meanwhile."""
    ticked = [str(rows["Apple"].pk)]

    found = selection.selected(request_of(organization, "post", row=ticked, health="revoked"))

    assert names_of(rows, found) == ["Apple"]


def test_what_is_not_there_for_the_reader_is_silently_absent(
    organization: Organization, rows: dict[str, Connection]
) -> None:
    foreign = factories.make_connection(factories.make_organization())
    ticked = [str(foreign.pk), str(uuid4()), "no id", str(rows["Apple"].pk)]

    found = selection.selection_of(request_of(organization, row=ticked))

    assert names_of(rows, list(found.ids)) == ["Apple"]
    assert found.words == "1 of 3 connections"
    assert found.fields == [("row", str(rows["Apple"].pk))]


def test_nothing_ticked_is_nothing(organization: Organization, rows: dict[str, Connection]) -> None:
    found = selection.selection_of(request_of(organization))

    assert (found.ids, found.asked) == ((), 0)


def test_at_most_a_thousand(
    organization: Organization,
    rows: dict[str, Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selection, "MOST_SELECTED", 2)
    ticked = [str(row.pk) for row in rows.values()]

    everything = selection.selection_of(request_of(organization, all="1"))
    some = selection.selection_of(request_of(organization, row=ticked))

    assert names_of(rows, list(everything.ids)) == ["Apple", "Banana"]
    assert (everything.asked, everything.absent) == (3, 1)
    assert names_of(rows, list(some.ids)) == ["Apple", "Cherry"]
    assert (some.asked, some.absent) == (3, 1)


def test_no_unticked_row_comes_back_in_because_they_are_many(
    organization: Organization,
    rows: dict[str, Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selection, "MOST_SELECTED", 1)
    unticked = [str(rows[name].pk) for name in ("Apple", "Banana")]

    found = selection.selection_of(request_of(organization, "post", all="1", but=unticked))

    assert names_of(rows, list(found.ids)) == ["Cherry"]
