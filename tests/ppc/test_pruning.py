"""`prune` by itself: a day's erasure without anybody's command, and what it must not do."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from connections import revisions
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from ppc import disconnecting, erasure, pruning
from ppc.disconnecting import Side
from ppc.proof import proofs_of
from sellerlegend.jobs import ledger, locks
from sellerlegend.jobs.models import NamedLock, Slot
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import owner_of
from tests.operators import run_command
from tests.threads import run_together
from tests.workers import open_office, wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_host(tmp_path: Path, settings: Settings) -> Iterator[None]:
    """Files of this host alone, and nothing remembered by the process."""
    settings.VAR_DIR = tmp_path
    settings.DELETION_LOG = tmp_path / "deletions.jsonl"
    quarantine.forget()
    yield
    quarantine.forget()


def ended_row(name: str, *, days: float, organization: Organization | None = None) -> Connection:
    """A row with both consents, disconnected so long ago."""
    row = factories.make_connection(organization or factories.make_organization(), name=name)
    account = factories.make_account(row, factories.US, onboarding="onboarded")
    grant = factories.make_ads_grant(row.organization)
    factories.make_link(account, factories.make_profile(grant, seller=row.selling_partner_id or ""))
    actor = Actor.person(owner_of(row.organization))
    disconnecting.disconnect(connection=row, sides=frozenset(Side), actor=actor)
    at = timezone.now() - timedelta(days=days)
    SpApiGrant._base_manager.filter(connection=row).update(status_changed_at=at)
    AdsGrant._base_manager.filter(pk=grant.pk).update(status_changed_at=at)
    return row


def deleted_organization(name: str) -> Organization:
    row = factories.make_connection(factories.make_organization(name))
    actor = Actor.person(owner_of(row.organization))
    erasure.delete_organization(organization=row.organization, actor=actor)
    return row.organization


def names() -> set[str]:
    return set(Connection._base_manager.values_list("name", flat=True))


def events(code: str) -> list[dict[str, Any]]:
    found = AuditEvent._base_manager.filter(code=code).order_by("at")
    return [event.details | {"actor": event.actor_kind} for event in found]


def slots(name: str = "prune") -> list[bool]:
    """Of each day's slot, or each hour's, whether it is finished."""
    rows = Slot.objects.filter(name=name).order_by("starts_at")
    return [finished is not None for finished in rows.values_list("finished_at", flat=True)]


# What goes, and what it leaves ----------------------------------------------------------------


def test_without_any_command_what_is_due_is_gone_after_the_days_slot() -> None:
    """DPP 1.7: within 30 days, without anybody who thinks of it."""
    ended_row("Due", days=30)
    ended_row("Young", days=29.9)
    gone = deleted_organization("Northstar Trading")

    ledger.sweep_in_turn()

    assert names() == {"Young"}
    assert AdsGrant._base_manager.count() == 1
    gone.refresh_from_db()
    assert (gone.name, gone.erased_at is not None) == ("", True)
    assert slots() == [True]
    receipts = events("erased")
    assert len(receipts) == 3
    assert {receipt["actor"] for receipt in receipts} == {"worker"}
    [told] = events("pruned")
    assert told["actor"] == "worker"
    assert told["failed"] == []
    assert told["removed"] == {
        "deleted_organizations": 1,
        "ended_connections": 1,
        "ended_ads_grants": 1,
    }


def test_a_row_whose_ppc_lives_is_kept_as_long() -> None:
    """And a while after PPC ended, too, as *Disconnect* says."""
    row = factories.make_connection(factories.make_organization(), name="Northstar")
    factories.put_to_use(factories.make_ads_grant(row.organization), row)
    actor = Actor.person(owner_of(row.organization))
    disconnecting.disconnect(connection=row, sides=frozenset({Side.SPAPI}), actor=actor)
    set_back(SpApiGrant, days=40)

    pruning.prune_in_turn()

    assert names() == {"Northstar"}
    found = proofs_of(row.organization_id, row.pk)
    assert found is not None
    assert [each.erased_on for each in found.found] == [None]
    assert AdsGrant._base_manager.get().status == Grant.Status.ACTIVE

    disconnecting.disconnect(connection=row, sides=frozenset({Side.PPC}), actor=actor)
    set_back(AdsGrant, days=29.9)
    assert erasure.overdue() == 0
    prune_again()
    assert names() == {"Northstar"}

    set_back(AdsGrant, days=30)
    prune_again()
    assert names() == set()


def set_back(model: type[SpApiGrant] | type[AdsGrant], *, days: float) -> None:
    model._base_manager.update(status_changed_at=timezone.now() - timedelta(days=days))


def prune_again() -> None:
    """On the next day."""
    Slot.objects.filter(name="prune").delete()
    pruning.prune_in_turn()


def test_a_day_is_pruned_once_and_the_next_day_again() -> None:
    for _ in range(2):  # the day's part, then the hour's
        ledger.sweep()
    ended_row("Due", days=30)
    ledger.sweep()
    assert names() == {"Due"}

    Slot.objects.filter(name="prune").update(starts_at=timezone.now() - timedelta(days=1))
    ledger.sweep()

    assert names() == set()
    assert slots() == [True, True]


def test_a_row_can_be_had_back_for_thirty_days_less_an_hour_and_goes_within_it() -> None:
    """Of a day whose run is done, too: Amazon wants it gone after the 30."""
    ended_row("Disconnected", days=29 + 22.9 / 24)
    for _ in range(2):  # the day's part, then the hour's
        ledger.sweep()
    assert (names(), slots(), slots("prune_hour")) == ({"Disconnected"}, [True], [True])

    for model in (SpApiGrant, AdsGrant):
        set_back(model, days=29 + 23.1 / 24)
    an_hour_later()
    ledger.sweep()

    assert names() == set()
    assert AdsGrant._base_manager.count() == 0
    assert {receipt["actor"] for receipt in events("erased")} == {"worker"}
    assert (slots(), slots("prune_hour")) == ([True], [True, True])


def an_hour_later() -> None:
    Slot.objects.filter(name="prune_hour").update(starts_at=timezone.now() - timedelta(hours=2))


def test_slots_of_the_week_before_are_forgotten() -> None:
    for days in (6, 9):
        at = timezone.now() - timedelta(days=days)
        Slot.objects.create(name="prune", starts_at=at, finished_at=at)

    pruning.prune_in_turn()

    assert slots() == [True, True]


def test_a_run_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    ended_row("Due", days=30)
    caplog.set_level(logging.INFO, logger="ppc.pruning")

    pruning.prune_in_turn()

    [line] = [record for record in caplog.records if record.message == "pruned"]
    facts = vars(line)
    assert (facts["rows"], facts["is_whole"], facts["ended_connections"]) == (2, True, 1)


def test_what_should_have_gone_is_counted() -> None:
    """What people could have back: an hour later, when Amazon's 30 days are over. Else a day."""
    ended_row("Due", days=29.99)
    assert erasure.overdue() == 0
    ended_row("Late", days=30.01)
    deleted = deleted_organization("Northstar Trading")
    assert erasure.overdue() == 2
    Organization.objects.filter(pk=deleted.pk).update(
        deleted_at=timezone.now() - timedelta(days=1, minutes=1)
    )

    assert erasure.overdue() == 3


# Bounded, one at a time, and taken up again ----------------------------------------------------


def test_one_sweep_does_a_bounded_part_and_the_next_ones_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("One", "Two"):
        ended_row(name, days=30)
    monkeypatch.setattr(pruning, "SECONDS", 0.0)  # one step each time

    left = []
    for _ in range(5):
        pruning.prune_in_turn()
        left.append((Connection._base_manager.count(), AdsGrant._base_manager.count(), slots()[0]))

    assert left == [(1, 2, False), (0, 2, False), (0, 1, False), (0, 0, False), (0, 0, True)]
    assert sum(sum(told["removed"].values()) for told in events("pruned")) == 4


def test_while_somebody_else_is_at_it_nothing_is_done() -> None:
    """Also an operator's command: they share the lock."""
    ended_row("Due", days=30)
    with locks.hold("prune"):
        assert pruning.prune_in_turn() == 0
    assert names() == {"Due"}
    assert slots() == []

    assert pruning.prune_in_turn() == 2


HANGS_AT_THE_SECOND = """
import time, django
django.setup()
from ppc import erasure, pruning
erase, seen = erasure.drop_row, []
def drop_row(*row):
    seen.append(row)
    if len(seen) == 2:
        print("second", flush=True)
        time.sleep(60)
    erase(*row)
erasure.drop_row = drop_row
pruning.prune_in_turn()
"""


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_killed_run_is_continued(amazon: RunningEmulator, tmp_path: Path) -> None:
    for name in ("One", "Two", "Three"):
        ended_row(name, days=30)
    with open_office("filesystem", amazon.url, tmp_path) as office:
        process = office.run_python(HANGS_AT_THE_SECOND)
        assert process.stdout is not None
        assert process.stdout.readline() == "second\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    wait_until(lambda: Connection._base_manager.count() == 2, "end of the killed transaction")
    assert len(events("erased")) == 1  # whole, with its receipt; the second not at all
    assert slots() == [False]
    assert pruning.prune_in_turn() == 0  # the dead one still holds the lock

    NamedLock.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    ledger.sweep()

    assert names() == set()
    assert slots() == [True]
    assert len(events("erased")) == 6
    assert NamedLock.objects.get(name="prune").holder is None


def test_a_killed_runs_lock_ends_by_itself_within_a_minute() -> None:
    with locks.hold("prune", lease=pruning.LEASE):
        held = NamedLock.objects.get(name="prune")
    assert held.lease_expires_at is not None
    assert held.lease_expires_at <= timezone.now() + timedelta(minutes=1)


def test_a_row_that_cannot_be_erased_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ended_row("Poison", days=31), ended_row("Due", days=30)
    drop_row = disconnecting.drop_row

    def refuse(organization_id: Any, connection_id: Any) -> None:
        if connection_id == first.pk:
            raise ValueError("poison")
        drop_row(organization_id, connection_id)

    monkeypatch.setattr(erasure, "drop_row", refuse)

    pruning.prune_in_turn()

    assert names() == {"Poison"}
    assert AdsGrant._base_manager.count() == 0
    [told] = events("pruned")
    assert told["failed"] == ["ended_connections"]
    assert told["removed"] == {"ended_connections": 1, "ended_ads_grants": 2}
    assert second.organization_id != first.organization_id
    assert slots() == [True]  # tried again tomorrow, and counted as overdue meanwhile


def test_who_reconnects_while_the_list_is_made_keeps_the_row() -> None:
    due = ended_row("Due", days=30)
    steps = {rule.name: rule for rule in erasure.rules(COMMAND)}["ended_connections"].steps()
    other = ended_row("Other", days=31)

    assert next(steps) == 1  # the list is made now, and holds both
    assert names() == {"Due"}
    SpApiGrant._base_manager.filter(connection=due).update(
        status=Grant.Status.ACTIVE, refresh_token="v1.tests.sealed"
    )

    assert sum(steps) == 0
    assert names() == {"Due"}
    assert other.name not in names()


def somebody_waits_for_us() -> bool:
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks "
            "WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rule", ["ended_connections", "ended_ads_grants"])
def test_a_consent_that_commits_while_prune_waits_for_the_lock_stays(rule: str) -> None:
    """The callback holds the organization's lock; what prune read before that is out of date."""
    due = ended_row("Due", days=30)
    ads = AdsGrant._base_manager.get()
    locked = threading.Event()

    def reconnect() -> None:
        with transaction.atomic():
            revisions.touch_all(due.organization_id)
            given = {"status": Grant.Status.ACTIVE, "refresh_token": "v1.tests.sealed"}
            SpApiGrant._base_manager.filter(connection=due).update(**given)
            AdsGrant._base_manager.filter(pk=ads.pk).update(**given)
            locked.set()
            wait_until(somebody_waits_for_us, "prune waits for the organization")

    def prune() -> int:
        assert locked.wait(10)
        return sum({found.name: found for found in erasure.rules(COMMAND)}[rule].steps())

    assert run_together(reconnect, prune) == [None, 0]
    assert names() == {"Due"}
    assert factories.grant_of(due).status == Grant.Status.ACTIVE
    assert AdsGrant._base_manager.get().status == Grant.Status.ACTIVE
    assert events("erased") == []


# When it must not ------------------------------------------------------------------------------


def test_a_quarantined_installation_prunes_nothing() -> None:
    ended_row("Due", days=30)
    quarantine.begin(actor=COMMAND, reason="restored")

    with_events = AuditEvent._base_manager.count()
    ledger.sweep()
    by_hand = run_command("prune", "--yes")

    assert names() == {"Due"}
    assert slots() == []
    assert AuditEvent._base_manager.count() == with_events
    assert by_hand.code == 1
    assert "In quarantine: ordered." in by_hand.err

    quarantine.release(actor=COMMAND, ended_again=0)
    ledger.sweep()
    assert names() == set()


@pytest.mark.parametrize("days", [-40, 40])
def test_a_clock_that_is_wrong_makes_nothing_old(days: int) -> None:
    ended_row("Young", days=1)

    with time_machine.travel(timezone.now() + timedelta(days=days)):
        assert pruning.prune_in_turn() == 0

    assert names() == {"Young"}
    assert slots() == []
