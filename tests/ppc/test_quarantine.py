"""Quarantine is one for all processes, ends by a release alone, and is seen from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import DataError
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from sellerlegend.jobs.models import Job
from sellerlegend.monitoring import readiness
from sellerlegend.monitoring.gauges import quarantined
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, InstallationState
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.operators import run_command
from tests.signing_in import signed_in_freshly
from tests.threads import run_many

NORTHSTAR = "A1NORTHSTAR001"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_host(tmp_path: Path, settings: Settings) -> Iterator[None]:
    use_host(settings, tmp_path / "one")
    yield
    quarantine.forget()


def use_host(settings: Settings, folder: Path) -> None:
    """Another host, or a process with files of its own, on the same database."""
    folder.mkdir(exist_ok=True)
    settings.VAR_DIR = folder
    settings.DELETION_LOG = folder / "deletions.jsonl"
    quarantine.forget()


def run_for(beats: int) -> None:
    for _ in range(beats):
        quarantine.beat()


def put_back(**columns: Any) -> None:
    """An older copy of the row stands in the database."""
    InstallationState.objects.update(**columns)


def warnings() -> list[str]:
    ids = [str(message.id) for message in run_checks(databases=["default"])]
    return [name for name in ids if name in ("SL.W057", "SL.W058")]


# One for all, until it is released -------------------------------------------------------------


def test_who_sees_a_sign_tells_everybody(tmp_path: Path, settings: Settings) -> None:
    run_for(3)
    put_back(beats=1)
    assert quarantine.is_on()

    use_host(settings, tmp_path / "two")

    assert quarantine.is_on()
    assert quarantine.cause() == "older_than_this_host"
    run_for(5)
    assert InstallationState.objects.get().beats == 1
    [event] = AuditEvent._base_manager.filter(code="quarantine_began")
    assert (event.details, event.actor_kind) == ({"cause": "older_than_this_host"}, "worker")


def test_a_sign_that_goes_away_ends_nothing() -> None:
    run_for(3)
    put_back(beats=1)
    assert quarantine.cause() == "older_than_this_host"

    put_back(beats=9)

    assert quarantine.cause() == "older_than_this_host"


def test_a_release_from_any_host_holds_on_all(tmp_path: Path, settings: Settings) -> None:
    run_for(4)
    put_back(beats=1)
    assert quarantine.is_on()
    use_host(settings, tmp_path / "two")

    assert run_command("release_quarantine", "--yes", "--no-deletions-known").code == 0

    assert quarantine.cause() == ""
    use_host(settings, tmp_path / "one")
    assert quarantine.cause() == ""
    run_for(2)
    assert quarantine.cause() == ""
    assert InstallationState.objects.get().beats == 3


def test_a_copy_from_before_a_release_is_known_for_one() -> None:
    run_for(2)
    before = InstallationState.objects.values("installation", "beats").get()
    quarantine.begin(actor=COMMAND, reason="incident")
    quarantine.release(actor=COMMAND, ended_again=0)
    run_for(3)

    put_back(**before)

    assert quarantine.cause() == "older_than_this_host"


def test_the_file_stands_beside_the_deletion_log(tmp_path: Path, settings: Settings) -> None:
    """One folder for all containers, whatever VAR_DIR each of them has."""
    settings.VAR_DIR = tmp_path / "not shared"
    run_for(2)

    kept = json.loads((tmp_path / "one" / "installation.json").read_text())

    assert kept["beats"] == 2
    assert not (tmp_path / "not shared").exists()


def test_a_folder_that_takes_no_file_is_said_and_nothing_is_released(
    tmp_path: Path, settings: Settings
) -> None:
    quarantine.begin(actor=COMMAND, reason="incident")
    settings.DELETION_LOG = tmp_path / "nowhere" / "deletions.jsonl"

    run = run_command("release_quarantine", "--yes", "--no-deletions-known")

    assert (run.code, "Not released:" in run.err) == (1, True)
    assert quarantine.cause() == "ordered"


# The file, and the place -----------------------------------------------------------------------


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_many_sweeps_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    quarantine.beat()

    def sweep() -> None:
        for _ in range(20):
            quarantine.beat()
            assert quarantine.read_file()["beats"] > 0

    assert run_many(8, sweep) == [None] * 8

    assert [path.name for path in (tmp_path / "one").iterdir()] == ["installation.json"]
    assert quarantine.read_file()["beats"] <= InstallationState.objects.get().beats == 161
    assert quarantine.cause() == ""


def test_a_late_writer_does_not_count_back() -> None:
    run_for(2)
    late = InstallationState.objects.get()
    run_for(3)

    quarantine._keep_count(late)

    assert quarantine.read_file()["beats"] == 5


def test_a_place_that_could_not_be_told_at_first_is_written_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(quarantine, "where", lambda: "")
        run_for(1)
    assert InstallationState.objects.get().database == ""

    run_for(1)

    assert InstallationState.objects.get().database == quarantine.where()


@pytest.mark.needs_postgresql
def test_a_place_we_may_not_ask_for_is_unknown_and_another_fault_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A moment without the database must not pass for another one: that would last."""
    monkeypatch.setattr(quarantine, "WHERE", "SELECT no_such_function()")
    assert quarantine.where() == ""

    monkeypatch.setattr(quarantine, "WHERE", "SELECT 1 / 0")
    with pytest.raises(DataError):
        quarantine.where()


# Seen from outside -----------------------------------------------------------------------------

SIGNS = [
    ("ordered", "ordered", "We have paused everything that asks Amazon"),
    ("another_database", "moved", "We restored a backup and check it first"),
    ("older_than_this_host", "older", "We restored a backup and check it first"),
]


def enter(cause: str) -> None:
    run_for(1)
    assert quarantine._begin(cause)
    quarantine.forget()


@pytest.mark.parametrize(("cause", "word", "banner"), SIGNS)
def test_it_is_named_wherever_one_looks(cause: str, word: str, banner: str) -> None:
    client = signed_in_freshly(factories.owner_of(factories.make_organization()))
    enter(cause)

    assert readiness.quarantine_word() == word
    assert {labels[0]: value for labels, value in quarantined()} == {
        "ordered": cause == "ordered",
        "another_database": cause == "another_database",
        "older_than_this_host": cause == "older_than_this_host",
    }
    assert warnings() == ["SL.W057"]
    quarantine.forget()
    # The first page of this process: nothing has looked before.
    assert banner in client.get(reverse("profile")).content.decode()


def test_it_takes_no_web_process_out() -> None:
    well = dict.fromkeys((*readiness.BEHIND_THE_DATABASE, readiness.BROKER), "ok")

    assert readiness.is_ready(well | {"quarantine": "moved"})
    assert not readiness.is_ready(well | {"quarantine": "unknown"})
    assert not readiness.is_ready(well | {"keys": "wrong"})


def test_without_it_nothing_is_said(client: Client) -> None:
    run_for(1)

    assert readiness.quarantine_word() == "ok"
    assert [value for _, value in quarantined()] == [False] * 3
    assert warnings() == []
    page = client.get(reverse("account_login")).content.decode()
    assert not any(banner in page for *_, banner in SIGNS)


@pytest.mark.parametrize("content", [None, "", '{"beats":', "[]"])
def test_a_file_that_is_gone_or_damaged_is_a_warning(content: str | None) -> None:
    run_for(1)
    quarantine.file().unlink()
    if content is not None:
        quarantine.file().write_text(content)

    assert warnings() == ["SL.W058"]

    run_for(1)
    assert warnings() == []


# What commands may do --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["rotate_client_secret"],
        ["rotate_client_secret", "--no-rotate", "--message-file", "message.json"],
        ["resync_tokens"],
        ["finalize_onboarding"],
        ["link_ppc"],
        ["prune", "--yes"],
    ],
)
def test_no_command_asks_amazon_erases_or_queues(
    command: list[str], amazon: RunningEmulator
) -> None:
    row = factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )
    factories.make_account(row)
    enter("another_database")
    jobs, events = Job._base_manager.count(), AuditEvent._base_manager.count()
    known = amazon.ledger.last_number

    run = run_command(*command)

    assert run.code == 1
    assert "In quarantine: another_database." in run.err
    assert (Job._base_manager.count(), AuditEvent._base_manager.count()) == (jobs, events)
    assert len(amazon.ledger.calls(since=known)) == 0


def test_looking_is_allowed() -> None:
    enter("another_database")

    assert run_command("resync_tokens", "--dry-run").code == 0
    assert run_command("rotate_encryption_keys").code == 0
