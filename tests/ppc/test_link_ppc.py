"""`link_ppc` does what a worker does, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from connections.models import Connection
from ppc import services
from ppc.models import PpcLink
from sellerlegend.jobs import tasks
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import NORTHSTAR, NORTHSTAR_LOGIN, PERSONAL_LOGIN
from tests.one_path import known_ids, left_by, without_new_ids
from tests.operators import run_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization("Northstar Trading"), seller=NORTHSTAR
    )


def consent(amazon: RunningEmulator, connection: Connection, login: str = NORTHSTAR_LOGIN) -> None:
    factories.make_ads_grant(
        connection.organization, refresh_token=amazon.world.authorize_ads(login)
    )


def started(connection: Connection) -> PpcLink:
    """Chosen by the owner, its job queued."""
    account = factories.make_account(connection)
    services.begin_linking(
        connection=connection,
        account_ids=[account.pk],
        actor=Actor.person(factories.owner_of(connection.organization)),
    )
    link: PpcLink = PpcLink._base_manager.get()
    return link


@pytest.mark.parametrize("login", [NORTHSTAR_LOGIN, PERSONAL_LOGIN])
@pytest.mark.parametrize("scenario", ["", "throttled", "revoked_grant"])
def test_a_task_and_the_command_leave_the_same_columns_and_events(
    amazon: RunningEmulator, connection: Connection, scenario: str, login: str
) -> None:
    consent(amazon, connection, login)
    started(connection)
    job = Job._base_manager.get()
    known = known_ids()
    if scenario:
        amazon.scenario(scenario)

    by_task = left_by(lambda: tasks.run_job(str(job.pk)))
    by_command = left_by(lambda: run_command("link_ppc"))

    assert without_new_ids(by_command, known) == without_new_ids(by_task, known)
    assert by_task["PpcLink"][0]["status"] in {"linked", "needs_attention", "working"}


def test_due_work_is_finished(amazon: RunningEmulator, connection: Connection) -> None:
    consent(amazon, connection)
    link = started(connection)

    run = run_command("link_ppc", "--json")

    assert run.code == 0
    assert [(line["id"], line["outcome"]) for line in run.objects] == [(str(link.pk), "done")]
    link.refresh_from_db()
    assert link.status == "linked"


def test_lost_work_is_queued_again_and_finished(
    amazon: RunningEmulator, connection: Connection
) -> None:
    consent(amazon, connection)
    started(connection)
    Job._base_manager.all().delete()

    assert run_command("link_ppc").code == 0
    assert PpcLink._base_manager.get().status == "linked"


def test_a_dry_run_changes_nothing(amazon: RunningEmulator, connection: Connection) -> None:
    consent(amazon, connection)
    started(connection)
    amazon.ledger.clear()

    run = run_command("link_ppc", "--dry-run")

    assert [line.split()[:2] for line in run.lines] == [["would", "link"]]
    assert amazon.ledger.calls() == []
    assert Job._base_manager.get().status == "queued"


def test_what_stopped_is_repeated_when_asked_for(
    amazon: RunningEmulator, connection: Connection
) -> None:
    link = factories.make_link(
        factories.make_account(connection), status="needs_attention", attention_reason="gave_up"
    )
    consent(amazon, connection, PERSONAL_LOGIN)

    refused = run_command("link_ppc", "--status", "needs_attention", "--json")
    consent(amazon, connection)
    linked = run_command("link_ppc", "--status", "needs_attention", "--json")

    assert (refused.code, refused.objects[0]["reason"]) == (3, "ads_nothing_listed")
    assert (linked.code, linked.objects[0]["outcome"]) == (0, "done")
    link.refresh_from_db()
    assert link.status == "linked"


def test_what_cannot_be_repeated_stays(connection: Connection) -> None:
    factories.make_link(
        factories.make_account(connection, is_participating=False),
        status="needs_attention",
        attention_reason="ads_no_profile",
    )

    run = run_command("link_ppc", "--status", "needs_attention", "--json")

    assert (run.code, run.objects[0]["reason"]) == (3, "ads_no_profile")
    assert not Job._base_manager.exists()


def test_work_that_is_not_due_is_left_alone(connection: Connection) -> None:
    started(connection)
    later = timezone.now() + timedelta(hours=1)
    Job._base_manager.update(status="waiting", next_attempt_at=later)

    assert run_command("link_ppc").lines == []
