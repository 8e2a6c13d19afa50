"""Events are written once, with who did what to which row, and are never changed."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.db import connection as database

from sellerlegend.organizations.audit import (
    REFERENCE_ALPHABET,
    REFERENCE_LENGTH,
    WORKER,
    Actor,
    new_reference,
    record_event,
)
from sellerlegend.organizations.models import AuditEvent, AuditEventImmutable
from sellerlegend.organizations.scoping import across_organizations
from tests import factories

pytestmark = pytest.mark.django_db


def test_an_event_names_actor_organization_subject_and_row() -> None:
    connection = factories.make_connection(factories.make_organization())
    account = factories.make_account(connection)
    person = factories.make_user()

    event = record_event(
        "something_happened", actor=Actor.staff(person), subject=account, reference="R", count=3
    )

    assert (event.actor_kind, event.actor) == ("staff", person)
    assert event.organization_id == connection.organization_id
    assert (event.subject_type, event.subject_id) == ("marketplaceaccount", account.pk)
    assert event.connection_id == connection.pk
    assert (event.reference, event.details) == ("R", {"count": 3})


def test_events_of_a_grant_and_a_link_are_found_under_their_connection() -> None:
    organization = factories.make_organization()
    connection = factories.make_connection(organization)
    link = factories.make_link(factories.make_account(connection))

    of_row = record_event("a", actor=WORKER, subject=connection)
    of_grant = record_event("b", actor=WORKER, subject=factories.grant_of(connection))
    of_link = record_event("c", actor=WORKER, subject=link)

    found = {event.connection_id for event in (of_row, of_grant, of_link)}
    assert found == {connection.pk}
    assert of_grant.organization_id == organization.pk


def test_an_event_may_belong_to_nobody() -> None:
    event = record_event("a", actor=WORKER)

    assert (event.organization_id, event.subject_id, event.subject_type) == (None, None, "")


def test_a_rolled_back_change_leaves_no_event() -> None:
    with transaction.atomic():
        record_event("never_happened", actor=WORKER)
        transaction.set_rollback(True)

    with across_organizations("test"):
        assert not AuditEvent.objects.filter(code="never_happened").exists()


def test_an_event_is_neither_changed_nor_deleted() -> None:
    event = record_event("a", actor=WORKER)
    event.code = "b"

    with pytest.raises(AuditEventImmutable):
        event.save()
    with pytest.raises(AuditEventImmutable):
        event.delete()


@pytest.mark.parametrize(
    ("column", "value"),
    [("code", "'b'"), ("details", "'{}'"), ("at", "CURRENT_TIMESTAMP"), ("subject_id", "NULL")],
)
def test_the_database_refuses_to_change_an_event(column: str, value: str) -> None:
    connection = factories.make_connection(factories.make_organization())
    record_event("a", actor=WORKER, subject=connection, count=1)

    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        database.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE organizations_auditevent SET {column} = {value}")


def test_deleting_people_and_organizations_keeps_their_events() -> None:
    organization = factories.make_organization()
    person = factories.make_member(organization)
    event = record_event("a", actor=Actor.person(person), organization=organization)

    person.delete()
    organization.delete()

    event.refresh_from_db()
    assert (event.actor_id, event.organization_id, event.code) == (None, None, "a")


def test_a_reference_can_be_read_over_the_phone() -> None:
    references = {new_reference() for _ in range(200)}

    assert len(references) == 200
    assert all(len(reference) == REFERENCE_LENGTH for reference in references)
    assert set("".join(references)) <= set(REFERENCE_ALPHABET)
    assert not set(REFERENCE_ALPHABET) & set("01AEIOUL")
