"""`prune`: what is kept for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.utils import timezone

from connections import departures
from connections.models import AuthorizationRequest, Connection
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND, record_event
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.operators import run_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization()


def ago(**span: float) -> Any:
    return timezone.now() - timedelta(**span)


def removed(run: Any) -> dict[str, int]:
    return {
        line["id"]: int(line["reason"].split()[0])
        for line in run.objects
        if not line["reason"].startswith("0 ")
    }


def trip_of(connection: Connection) -> AuthorizationRequest:
    departures.start_spapi_authorization(
        connection=connection,
        user=factories.owner_of(connection.organization),
        session=SessionStore(),
    )
    trip: AuthorizationRequest = AuthorizationRequest._base_manager.latest("created_at")
    return trip


def test_nothing_old_means_nothing_to_do(organization: Organization) -> None:
    trip_of(factories.make_waiting_connection(organization))
    events = AuditEvent._base_manager.count()

    run = run_command("prune", "--yes", "--json")

    assert run.code == 0
    assert removed(run) == {}
    assert AuditEvent._base_manager.count() == events


def test_a_row_that_waited_a_day_goes_by_the_sweeps_own_rule(organization: Organization) -> None:
    abandoned = factories.make_waiting_connection(organization, name="Old")
    factories.make_waiting_connection(organization, name="Young")
    connected = factories.make_connection(organization, name="Connected")
    Connection._base_manager.exclude(name="Young").update(created_at=ago(hours=25))

    run = run_command("prune", "--yes", "--json")

    assert removed(run) == {"abandoned_connections": 1}
    names = Connection._base_manager.order_by("name").values_list("name", flat=True)
    assert list(names) == [connected.name, "Young"]
    assert AuditEvent._base_manager.filter(
        code="connection_removed", subject_id=abandoned.pk
    ).exists()


def test_trips_end_after_ten_minutes_and_go_after_a_month(organization: Organization) -> None:
    connection = factories.make_connection(organization)
    old, overdue, fresh = (trip_of(connection) for _ in range(3))
    for trip, age in ((old, ago(days=31)), (overdue, ago(minutes=1))):
        AuthorizationRequest._base_manager.filter(pk=trip.pk).update(expires_at=age)

    run = run_command("prune", "--yes", "--json")

    assert removed(run) == {"overdue_trips": 2, "ended_trips": 1}
    left = dict(AuthorizationRequest._base_manager.values_list("pk", "status"))
    assert left == {overdue.pk: "expired", fresh.pk: "open"}
    assert AuditEvent._base_manager.filter(reference=old.reference).exists()


def test_finished_jobs_go_and_live_ones_stay(organization: Organization) -> None:
    ages = {"done": ago(days=8), "dead": ago(days=8), "queued": None, "recent": ago(days=6)}
    for name, finished_at in ages.items():
        job = ledger.enqueue(
            "ppc.link", organization=organization, subject_id=factories.unknown_id()
        )
        Job._base_manager.filter(pk=job.pk).update(
            status="done" if name == "recent" else name,
            finished_at=finished_at,
            created_at=ago(days=300),
        )

    run = run_command("prune", "--yes", "--json", "--job-days", 7)

    assert removed(run) == {"finished_jobs": 2}
    assert set(Job._base_manager.values_list("status", flat=True)) == {"queued", "done"}


def test_audit_events_stay_400_days(organization: Organization) -> None:
    for age in (401, 399):
        AuditEvent(
            code=f"aged_{age}", actor_kind="command", organization=organization, at=ago(days=age)
        ).save()

    run = run_command("prune", "--yes", "--json")

    assert removed(run) == {"audit_events": 1}
    assert not AuditEvent._base_manager.filter(code="aged_401").exists()
    assert AuditEvent._base_manager.filter(code="aged_399").exists()


def test_many_rows_go_in_batches(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connections.retention.BATCH", 2)
    for _ in range(5):
        record_event("aged", actor=COMMAND, organization=organization)
    old = [
        AuditEvent(code="older", actor_kind="command", at=ago(days=500 + day)) for day in range(5)
    ]
    for event in old:
        event.save()

    run = run_command("prune", "--yes", "--json")

    assert removed(run) == {"audit_events": 5}
    assert AuditEvent._base_manager.filter(code="aged").count() == 5


def test_the_removal_is_itself_written_down(organization: Organization) -> None:
    AuditEvent(code="aged", actor_kind="command", at=ago(days=401)).save()

    run_command("prune", "--yes")

    event = AuditEvent._base_manager.get(code="pruned")
    assert event.actor_kind == "command"
    assert event.details["removed"]["audit_events"] == 1


def test_a_dry_run_counts_and_removes_nothing(organization: Organization) -> None:
    AuditEvent(code="aged", actor_kind="command", at=ago(days=401)).save()
    before = AuditEvent._base_manager.count()

    run = run_command("prune", "--dry-run")

    assert "would prune audit_events rows=1" in run.lines
    assert AuditEvent._base_manager.count() == before


def test_without_yes_it_says_how_much_and_does_nothing(organization: Organization) -> None:
    """G15."""
    event = record_event("old", actor=COMMAND, organization=organization)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM organizations_auditevent WHERE id = %s", [event.pk])
    event.at = ago(days=500)
    AuditEvent._base_manager.bulk_create([event])

    run = run_command("prune")

    assert run.code == 1
    assert "would prune audit_events rows=1" in run.lines
    assert "Repeat it with --yes." in run.err
    assert AuditEvent._base_manager.filter(pk=event.pk).exists()
