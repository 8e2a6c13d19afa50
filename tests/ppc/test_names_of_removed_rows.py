"""Names and Seller IDs in the record outlast the row they belong to by four weeks (DPP 1.7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections import services
from connections.models import Connection
from ppc import disconnecting, erasure, removing
from ppc.disconnecting import Side
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.operators import run_command

pytestmark = pytest.mark.django_db

NAME = "Blue Harbor Goods"


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization()


@pytest.fixture
def actor(organization: Organization) -> Actor:
    return Actor.person(factories.owner_of(organization))


def undone(organization: Organization, actor: Actor) -> Connection:
    row = factories.make_waiting_connection(organization, name=NAME)
    row = factories.consent(row, seller="A1BLUEHARBOR01", refresh_token="Atzr|made-up-to-undo")
    services.undo_connection(connection=row, actor=actor)
    return row


def removed(organization: Organization, actor: Actor) -> Connection:
    row = factories.make_connection(organization, name="Another name")
    services.rename_connection(connection=row, name=NAME, actor=actor)
    disconnecting.disconnect(connection=row, sides=frozenset(Side), actor=actor)
    removing.remove(connection=row, actor=actor)
    disconnecting.drop_row(row.organization_id, row.pk)  # as removing once did
    return row


def withdrawn(organization: Organization, actor: Actor) -> Connection:
    row = factories.make_waiting_connection(organization, name=NAME)
    services.remove_waiting_connection(connection=row, actor=actor)
    return row


def aged(days: float) -> None:
    """The record refuses changes: its events are written anew, as old ones."""
    events = list(AuditEvent._base_manager.all())
    AuditEvent._base_manager.all().delete()
    for event in events:
        event.at -= timedelta(days=days)
    AuditEvent._base_manager.bulk_create(events)


def record() -> list[dict[str, Any]]:
    return list(AuditEvent._base_manager.order_by("pk").values_list("details", flat=True))


@pytest.mark.parametrize("end", [undone, removed, withdrawn])
def test_names_go_four_weeks_after_the_row(
    end: Any, organization: Organization, actor: Actor
) -> None:
    row = end(organization, actor)
    assert not Connection._base_manager.filter(pk=row.pk).exists()
    aged(27.9)
    run_command("prune", "--yes")
    assert NAME in str(record())
    before = AuditEvent._base_manager.values_list("pk", "code", "at", "connection_id", "subject_id")
    kept = list(before.order_by("pk"))

    aged(0.2)
    assert run_command("prune", "--yes").code == 0

    assert NAME not in str(record())
    assert "A1BLUEHARBOR01" not in str(record())
    assert "Another name" not in str(record())
    now = {event[0]: event for event in before}
    for pk, code, at, connection_id, subject_id in kept:
        moved = at - timedelta(days=0.2)
        assert now[pk] == (pk, code, moved, connection_id, subject_id)
    assert erasure.keyed_hash(NAME) in str(record())


def test_there_is_a_receipt_and_a_second_run_does_nothing(
    organization: Organization, actor: Actor
) -> None:
    undone(organization, actor)
    withdrawn(factories.make_organization(), actor)
    aged(29.1)
    assert erasure.overdue() == 4

    run = run_command("prune", "--yes")

    assert "prune names_of_removed_rows rows=4 done (4 rows)" in run.lines
    receipts = AuditEvent._base_manager.filter(code="erased").order_by("pk")
    assert [receipt.details["events_without_names"] for receipt in receipts] == [2, 2]
    assert {receipt.organization_id for receipt in receipts} > {organization.pk}
    count = AuditEvent._base_manager.count()
    assert run_command("prune", "--yes").code == 0
    assert AuditEvent._base_manager.count() == count
    assert erasure.overdue() == 0


def test_a_living_row_keeps_its_names(organization: Organization, actor: Actor) -> None:
    row = factories.make_connection(organization, name=NAME)
    services.rename_connection(connection=row, name="New name", actor=actor)
    aged(200)

    assert run_command("prune", "--yes").code == 0

    assert NAME in str(record())
    assert "New name" in str(record())


def test_batches_are_small_and_come_to_an_end(
    organization: Organization, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        undone(organization, actor)
    aged(29)
    monkeypatch.setattr(erasure, "BATCH", 2)

    rules = {rule.name: rule for rule in erasure.rules(COMMAND)}

    assert list(rules["names_of_removed_rows"].steps()) == [2, 2, 2]


def test_empty_names_are_no_names(organization: Organization) -> None:
    AuditEvent(
        code="connection_removed",
        actor_kind="command",
        organization=organization,
        connection_id=factories.unknown_id(),
        details={"name": "", "old": None, "reason": "kept"},
        at=timezone.now() - timedelta(days=40),
    ).save()

    assert erasure.hide_names_of_removed_rows(COMMAND) == 0
