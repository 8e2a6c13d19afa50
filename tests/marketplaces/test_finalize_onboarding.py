"""`finalize_onboarding` does what a worker does, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from connections.models import Connection
from marketplaces import onboarding
from marketplaces.models import MarketplaceAccount
from sellerlegend.jobs import ledger, tasks
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import NORTHSTAR
from tests.one_path import known_ids, left_by, without_new_ids
from tests.operators import run_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization("Northstar Trading"),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


def started(connection: Connection, marketplace_id: str = factories.US) -> MarketplaceAccount:
    """Chosen by the owner, its job queued."""
    account = factories.make_account(connection, marketplace_id)
    onboarding.begin_onboarding(
        connection=connection,
        account_ids=[account.pk],
        actor=Actor.person(factories.owner_of(connection.organization)),
    )
    account.refresh_from_db()
    return account


@pytest.mark.parametrize("scenario", ["", "throttled", "revoked_grant", "outage"])
@pytest.mark.parametrize("marketplace_id", [factories.US, factories.BRAZIL])
def test_a_task_and_the_command_leave_the_same_columns_and_events(
    amazon: RunningEmulator, connection: Connection, scenario: str, marketplace_id: str
) -> None:
    started(connection, marketplace_id)
    job = Job._base_manager.get()
    known = known_ids()
    if scenario:
        amazon.scenario(scenario)

    by_task = left_by(lambda: tasks.run_job(str(job.pk)))
    by_command = left_by(lambda: run_command("finalize_onboarding"))

    assert without_new_ids(by_command, known) == without_new_ids(by_task, known)
    assert by_task["Job"][0]["attempts"] == (1 if by_task["Job"][0]["status"] == "done" else 0)


def test_due_work_is_finished(amazon: RunningEmulator, connection: Connection) -> None:
    account = started(connection)

    run = run_command("finalize_onboarding", "--json")

    assert run.code == 0
    assert run.objects == [
        {
            "action": "onboard",
            "dry_run": False,
            "id": str(account.pk),
            "organization": "northstar-trading",
            "seller_id": NORTHSTAR,
            "region": "NA",
            "marketplace": factories.US,
            "outcome": "done",
            "reason": "",
        }
    ]
    account.refresh_from_db()
    assert account.onboarding == "onboarded"


def test_lost_work_is_queued_again_and_finished(connection: Connection) -> None:
    account = factories.make_account(connection, onboarding="working")

    run = run_command("finalize_onboarding")

    assert run.code == 0
    account.refresh_from_db()
    assert account.onboarding == "onboarded"


def test_work_of_a_killed_worker_is_taken_back(connection: Connection) -> None:
    started(connection)
    ledger.claim(Job._base_manager.get().pk)
    Job._base_manager.update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    run = run_command("finalize_onboarding")

    assert run.code == 0
    assert Job._base_manager.get().attempts == 2


def test_work_that_is_not_due_or_in_other_hands_is_left_alone(connection: Connection) -> None:
    started(connection, factories.US)
    ledger.claim(Job._base_manager.get().pk)
    started(connection, factories.CANADA)
    waiting = Job._base_manager.filter(status="queued")
    waiting.update(status="waiting", next_attempt_at=timezone.now() + timedelta(hours=1))
    before = list(Job._base_manager.order_by("pk").values())

    run = run_command("finalize_onboarding")

    assert (run.code, run.lines) == (0, [])
    assert list(Job._base_manager.order_by("pk").values()) == before


def test_a_dry_run_changes_nothing(amazon: RunningEmulator, connection: Connection) -> None:
    started(connection)
    amazon.ledger.clear()
    events = AuditEvent._base_manager.count()

    run = run_command("finalize_onboarding", "--dry-run")

    assert len(run.lines) == 1
    assert run.lines[0].startswith("would onboard ")
    assert amazon.ledger.calls() == []
    assert AuditEvent._base_manager.count() == events
    assert Job._base_manager.get().status == "queued"


def test_what_stopped_is_repeated_when_asked_for(connection: Connection) -> None:
    owner = factories.owner_of(connection.organization)
    stuck = factories.make_account(
        connection, onboarding="needs_attention", attention_reason="gave_up", chosen_by=owner
    )
    hopeless = factories.make_account(
        connection,
        factories.BRAZIL,
        onboarding="needs_attention",
        attention_reason="not_participating",
        is_participating=False,
    )

    assert run_command("finalize_onboarding").lines == []
    run = run_command("finalize_onboarding", "--status", "needs_attention", "--json")

    assert run.code == 3
    ended = {line["id"]: (line["outcome"], line["reason"]) for line in run.objects}
    assert ended == {
        str(stuck.pk): ("done", ""),
        str(hopeless.pk): ("attention", "not_participating"),
    }
    stuck.refresh_from_db()
    assert stuck.chosen_by == owner
    codes = AuditEvent._base_manager.filter(subject_id=stuck.pk).order_by("pk")
    assert list(codes.values_list("code", "actor_kind")) == [
        ("onboarding_working", "command"),
        ("onboarding_onboarded", "worker"),
    ]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--organization", "northstar-trading"], 1),
        (["--organization", "other"], 0),
        (["--seller-id", NORTHSTAR], 1),
        (["--seller-id", "A2OTHER"], 0),
        (["--region", "NA"], 1),
        (["--region", "FE"], 0),
    ],
)
def test_the_scope_narrows(connection: Connection, options: list[str], count: int) -> None:
    factories.make_organization("Other")
    started(connection)

    assert len(run_command("finalize_onboarding", "--dry-run", *options).lines) == count


def test_a_worker_that_was_faster_is_watched_until_its_lease_ends(connection: Connection) -> None:
    started(connection)
    job = Job._base_manager.get()
    taken = ledger.claim(job.pk)
    assert taken is not None
    Job._base_manager.update(lease_expires_at=timezone.now() + timedelta(seconds=0.5))

    seen = ledger.run_here(job)

    assert seen.status == "running"
    with taken.finishing():
        pass
    assert ledger.run_here(job).status == "done"
