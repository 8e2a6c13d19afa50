"""A restored backup calls nobody until staff confirm, and what was ended stays ended (G9, T17)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from connections.credentials import access_token
from connections.models import Connection, Grant
from connections.verdicts import Quarantined, verdict
from marketplaces import services as marketplace_services
from ppc import disconnecting, erasure, restoring
from ppc.disconnecting import Side
from sellerlegend import deletions
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, InstallationState, Organization, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import owner_of
from tests.operators import run_command
from tests.signing_in import signed_in_freshly
from tests.workers import database_url, open_office

NORTHSTAR = "A1NORTHSTAR001"
NONE_KNOWN = "--no-deletions-known"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_host(tmp_path: Path, settings: Settings) -> Iterator[None]:
    """Files of this host alone, and nothing remembered by the process."""
    settings.VAR_DIR = tmp_path
    settings.DELETION_LOG = tmp_path / "deletions.jsonl"
    quarantine.forget()
    yield
    quarantine.forget()


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    return connected(amazon)


def connected(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


def lines(settings: Settings) -> list[dict[str, Any]]:
    return list(deletions.read(Path(settings.DELETION_LOG)))


# The three signs ---------------------------------------------------------------------------


def test_a_running_installation_is_not_in_quarantine() -> None:
    assert quarantine.cause() == ""
    quarantine.beat()
    quarantine.beat()

    assert quarantine.cause() == ""
    assert InstallationState.objects.get().beats == 2


def test_data_that_lives_in_another_database_was_restored() -> None:
    quarantine.beat()
    InstallationState.objects.update(database="7000000000000000000/16384")

    assert quarantine.cause() == "another_database"  # also where the place cannot be told


def test_data_older_than_this_host_remembers_was_restored() -> None:
    for _ in range(3):
        quarantine.beat()
    InstallationState.objects.update(beats=2)

    assert quarantine.cause() == "older_than_this_host"
    quarantine.beat()
    assert quarantine.cause() == "older_than_this_host"


def test_another_installations_file_says_nothing() -> None:
    for _ in range(3):
        quarantine.beat()
    InstallationState.objects.update(beats=0, installation=uuid.uuid4())

    assert quarantine.cause() == ""


# While it lasts ----------------------------------------------------------------------------


def test_nothing_is_claimed_and_no_consent_used(amazon: RunningEmulator, row: Connection) -> None:
    marketplace_services.begin_reading(connection=row)
    job = Job.objects.for_organization(row.organization_id).get()
    assert run_command("quarantine", "--reason", "restored by hand").code == 0
    known = amazon.ledger.last_number

    assert ledger.run(job.pk) is False
    ledger.sweep()
    assert ledger.drain("interactive") == 0
    with pytest.raises(Quarantined) as refusal:
        access_token(factories.grant_of(row))

    decided = verdict(refusal.value, job)
    assert (decided.reason, decided.waits) == ("quarantined", True)
    assert factories.grant_of(row).status == Grant.Status.ACTIVE
    assert len(amazon.ledger.calls(since=known)) == 0
    assert AuditEvent._base_manager.get(code="quarantine_began").details == {
        "reason": "restored by hand"
    }

    assert run_command("release_quarantine", NONE_KNOWN).code == 1
    assert quarantine.cause() == "ordered"
    assert run_command("release_quarantine", NONE_KNOWN, "--yes").code == 0
    assert ledger.drain("interactive") == 1
    assert len(amazon.ledger.calls(since=known)) > 0


def test_a_consent_that_comes_back_is_not_exchanged(
    amazon: RunningEmulator, client: Client
) -> None:
    waiting = factories.make_waiting_connection(factories.make_organization())
    client.force_login(owner_of(waiting.organization))
    callback = trips.confirm(trips.leave(client, waiting), NORTHSTAR)
    quarantine.begin(actor=COMMAND, reason="test")
    known = amazon.ledger.last_number

    assert trips.come_back(client, callback) == "quarantined"

    assert len(amazon.ledger.calls(since=known)) == 0
    page = client.get(reverse("account_connections", args=[waiting.organization.slug]))
    assert "We have paused everything that asks Amazon" in page.content.decode()


def test_a_missing_key_is_said_before_anything_else(row: Connection, settings: Settings) -> None:
    quarantine.begin(actor=COMMAND, reason="test")
    settings.TOKEN_ENCRYPTION_KEYS = {"other": b"o" * 32}

    run = run_command("release_quarantine", "--yes")

    assert run.code == 1
    assert "Keys that are not loaded: tests." in run.err
    assert quarantine.cause() == "ordered"


def test_without_quarantine_there_is_nothing_to_release() -> None:
    assert run_command("release_quarantine", "--yes").code == 1


# The log beside the database ---------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_ends_is_noted_with_ids_alone(row: Connection, settings: Settings) -> None:
    grant = factories.grant_of(row)
    actor = Actor.person(owner_of(row.organization))

    disconnecting.disconnect(connection=row, sides=frozenset(Side), actor=actor)
    erasure.delete_organization(organization=row.organization, actor=actor)

    noted = [(line["kind"], line["id"], line.get("version")) for line in lines(settings)]
    assert noted == [
        ("spapi_grant", str(grant.pk), 1),
        ("organization", str(row.organization_id), None),
    ]
    assert NORTHSTAR not in Path(settings.DELETION_LOG).read_text()
    assert Path(settings.DELETION_LOG).stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_hides_no_other(settings: Settings) -> None:
    for number in range(2):
        deletions.append({"kind": "organization", "id": str(number)})
    with Path(settings.DELETION_LOG).open("a") as log:
        log.write('{"kind": "organ')

    assert [line["id"] for line in lines(settings)] == ["0", "1"]


def test_a_consent_given_anew_after_its_end_is_let_be(row: Connection, settings: Settings) -> None:
    grant = factories.grant_of(row)
    deletions.append({"kind": "spapi_grant", "id": str(grant.pk), "version": grant.version})
    assert [item.id for item in restoring.resurrected([Path(settings.DELETION_LOG)])] == [grant.pk]

    factories.consent(row, refresh_token="Atzr|given-anew")

    assert restoring.resurrected([Path(settings.DELETION_LOG)]) == []


def log_line(settings: Settings, **facts: Any) -> None:
    deletions.append({"at": "2026-01-01T00:00:00+00:00", "note": "a"} | facts)


@pytest.mark.parametrize("arguments", [[], ["--deletions", "nowhere/typo.jsonl"]])
def test_a_log_that_is_not_there_is_not_an_empty_one(arguments: list[str], row: Connection) -> None:
    quarantine.begin(actor=COMMAND, reason="test")

    run = run_command("release_quarantine", "--yes", *arguments)

    assert run.code == 1
    assert "cannot be read. Without it nobody knows what was ended since the backup" in run.err
    assert "Released." not in run.err
    assert quarantine.cause() == "ordered"
    assert factories.grant_of(row).status == Grant.Status.ACTIVE


def test_one_of_two_logs_that_is_not_there_stops_the_release(settings: Settings) -> None:
    quarantine.begin(actor=COMMAND, reason="test")
    log_line(settings, kind="organization", id=str(uuid.uuid4()))
    known = settings.DELETION_LOG

    run = run_command("release_quarantine", "--yes", "--deletions", known, "--deletions", "typo")

    assert (run.code, quarantine.cause()) == (1, "ordered")


def test_each_log_is_told_with_its_lines_and_its_newest_date(
    row: Connection, settings: Settings
) -> None:
    quarantine.begin(actor=COMMAND, reason="test")
    for _ in range(2):
        log_line(settings, kind="organization", id=str(uuid.uuid4()))
    with Path(settings.DELETION_LOG).open("a") as log:
        log.write('{"kind": "organ')

    run = run_command("release_quarantine", "--yes")

    assert f"{settings.DELETION_LOG}: 2 lines, 1 damaged, 2026-01-01T00:00:00+00:00" in run.err
    assert f"{settings.DELETION_LOG} ends before this copy of the data" in run.err
    assert (run.code, quarantine.cause()) == (0, "")


# A log that takes no line, and a crash beside it ----------------------------------------------


@pytest.fixture
def closed_log(tmp_path: Path, settings: Settings) -> None:
    settings.DELETION_LOG = tmp_path / "nowhere" / "deletions.jsonl"


def end(what: str, row: Connection) -> None:
    actor = Actor.person(owner_of(row.organization))
    if what == "disconnect":
        disconnecting.disconnect(connection=row, sides=frozenset(Side), actor=actor)
    else:
        erasure.delete_organization(organization=row.organization, actor=actor)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["disconnect", "delete"])
def test_what_cannot_be_noted_is_not_ended(what: str, row: Connection, closed_log: None) -> None:
    events = AuditEvent._base_manager.count()

    with pytest.raises(deletions.NotWritable):
        end(what, row)

    grant = factories.grant_of(row)
    assert (grant.status, grant.refresh_token != "") == (Grant.Status.ACTIVE, True)
    assert Organization.objects.get(pk=row.organization_id).deleted_at is None
    assert AuditEvent._base_manager.count() == events


@pytest.mark.django_db(transaction=True)
def test_the_person_is_told_that_nothing_was_ended(row: Connection, closed_log: None) -> None:
    client = signed_in_freshly(owner_of(row.organization))
    client.raise_request_exception = False
    url = reverse("connection_disconnect", args=[row.organization.slug, row.pk])

    answer = client.post(url, {"side": ["spapi"]})

    assert answer.status_code == 503
    assert "Nothing was ended" in answer.content.decode()
    assert factories.grant_of(row).status == Grant.Status.ACTIVE


@pytest.mark.django_db(transaction=True)
def test_a_log_that_breaks_after_the_commit_loses_no_other_step(
    row: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, done = deletions.append, []

    def break_after_the_first(line: dict[str, Any]) -> None:
        if "state" not in line:
            raise OSError("no space left on device")
        append(line)

    monkeypatch.setattr(deletions, "append", break_after_the_first)
    with transaction.atomic():
        end("disconnect", row)
        transaction.on_commit(lambda: done.append("the next step"))

    assert done == ["the next step"]
    assert factories.grant_of(row).status == Grant.Status.DISCONNECTED
    assert [line["state"] for line in lines(settings)] == ["begun"]


@pytest.mark.django_db(transaction=True)
def test_the_line_is_on_the_disk_before_the_commit(row: Connection, settings: Settings) -> None:
    """A process that is killed in between leaves it; so does a transaction that is rolled back."""
    with transaction.atomic():
        end("disconnect", row)
        assert [line["state"] for line in lines(settings)] == ["begun"]
        transaction.set_rollback(True)

    assert factories.grant_of(row).status == Grant.Status.ACTIVE
    assert [line["state"] for line in lines(settings)] == ["begun"]


@pytest.mark.parametrize(
    ("decision", "status"), [("end", Grant.Status.DISCONNECTED), ("keep", Grant.Status.ACTIVE)]
)
def test_a_person_decides_about_an_end_that_only_began(
    decision: str, status: str, row: Connection, settings: Settings
) -> None:
    grant = factories.grant_of(row)
    log_line(settings, kind="spapi_grant", id=str(grant.pk), version=1, state="begun")
    quarantine.begin(actor=COMMAND, reason="test")

    asked = run_command("release_quarantine", "--yes")

    assert asked.code == 1
    assert "1 ends began and are not known to have happened" in asked.err
    assert (quarantine.cause(), factories.grant_of(row).status) == ("ordered", "active")
    report = run_command("release_quarantine")
    assert f"would end again {grant.pk} kind=spapi_grant" in report.out
    assert "confirmed=no" in report.out

    assert run_command("release_quarantine", "--yes", "--unconfirmed", decision).code == 0

    assert (quarantine.cause(), factories.grant_of(row).status) == ("", status)


def test_a_line_behind_one_that_was_cut_short_is_whole(settings: Settings) -> None:
    Path(settings.DELETION_LOG).write_text('{"kind": "organ')

    deletions.append({"kind": "organization", "id": "1"})

    assert [line["id"] for line in lines(settings)] == ["1"]


def test_a_log_that_takes_no_line_is_a_system_check(
    closed_log: None, settings: Settings, tmp_path: Path
) -> None:
    found = [message for message in run_checks() if message.id == "SL.E056"]
    assert "stands in a folder that does not exist" in found[0].msg
    assert not (tmp_path / "nowhere").exists()

    settings.DELETION_LOG = tmp_path / "deletions.jsonl"
    assert [message for message in run_checks() if message.id == "SL.E056"] == []
    settings.DELETION_LOG = tmp_path
    assert [message.id for message in run_checks() if message.id == "SL.E056"] == ["SL.E056"]


# People -------------------------------------------------------------------------------------


def restored_from(backup: dict[str, Any], user: User) -> None:
    """The columns as the backup had them."""
    User.objects.filter(pk=user.pk).update(**backup)
    quarantine.begin(actor=COMMAND, reason="restored")


def as_backed_up(user: User) -> dict[str, Any]:
    names = ("is_active", "is_staff", "password", "password_set_at")
    return dict(User.objects.filter(pk=user.pk).values(*names).get())


@pytest.fixture
def superuser() -> Client:
    return signed_in_freshly(factories.make_user(is_staff=True, is_superuser=True))


def switch(superuser: Client, user: User, **switches: str) -> None:
    answer = superuser.post(
        reverse("admin:organizations_user_change", args=[user.pk]), {"groups": [], **switches}
    )
    assert answer.status_code == 302, answer.content


def test_a_release_signs_everybody_out() -> None:
    person = factories.make_user()
    browser = signed_in_freshly(person)
    assert browser.get(reverse("profile")).status_code == 200
    quarantine.begin(actor=COMMAND, reason="restored")

    assert run_command("release_quarantine", NONE_KNOWN).code == 1
    assert browser.get(reverse("profile")).status_code == 200
    run = run_command("release_quarantine", "--yes", NONE_KNOWN)

    assert "Everybody signs in again; sessions ended: 1." in run.err
    assert browser.get(reverse("profile")).status_code == 302
    event = AuditEvent._base_manager.get(code="quarantine_released")
    assert event.details == {"ended_again": 0, "signed_out": 1}


@pytest.mark.parametrize(
    ("kind", "left"), [("person", {"is_staff": "on"}), ("staff", {"is_active": "on"})]
)
def test_who_was_switched_off_stays_off(
    superuser: Client,
    settings: Settings,
    django_capture_on_commit_callbacks: Any,
    kind: str,
    left: dict[str, str],
) -> None:
    colleague = factories.make_user(is_staff=True)
    backup = as_backed_up(colleague)
    with django_capture_on_commit_callbacks(execute=True):
        switch(superuser, colleague, **left)
    restored_from(backup, colleague)

    report = run_command("release_quarantine", "--json")
    assert [(line["kind"], line["id"]) for line in report.objects] == [(kind, str(colleague.pk))]
    assert as_backed_up(colleague) == backup
    assert run_command("release_quarantine", "--yes").code == 0

    now = as_backed_up(colleague)
    assert (now["is_active"], now["is_staff"]) == ("is_active" in left, "is_staff" in left)
    assert {line["kind"] for line in lines(settings)} == {kind}


def test_who_was_switched_on_again_is_let_be(superuser: Client) -> None:
    colleague = factories.make_user(is_staff=True)
    switch(superuser, colleague, is_staff="on")
    switch(superuser, colleague, is_staff="on", is_active="on")
    restored_from(as_backed_up(colleague), colleague)

    assert run_command("release_quarantine", "--json").objects == []


def test_a_password_that_was_replaced_opens_nothing_again(
    settings: Settings, django_capture_on_commit_callbacks: Any
) -> None:
    commits = django_capture_on_commit_callbacks
    person = factories.make_user()
    assert not Path(settings.DELETION_LOG).exists()
    old = timezone.now() - timedelta(hours=1)
    User.objects.filter(pk=person.pk).update(password_set_at=old)
    backup = as_backed_up(person)
    with commits(execute=True):
        person.set_password("Quite-Another-77")
        person.save()
    newer = as_backed_up(person)
    restored_from(newer, person)
    assert run_command("release_quarantine", "--json").objects == []

    restored_from(backup, person)
    assert run_command("release_quarantine", "--yes").code == 0

    person.refresh_from_db()
    assert not person.has_usable_password()
    Client().post(reverse("account_reset_password"), {"email": person.email})
    assert "/reset/key/" in mail.outbox[-1].body


def test_a_new_password_is_set_although_the_log_takes_no_line(closed_log: None) -> None:
    person = factories.make_user()

    person.set_password("Quite-Another-77")
    person.save()

    person.refresh_from_db()
    assert person.check_password("Quite-Another-77")


# The drill ---------------------------------------------------------------------------------

BINARIES = Path("/usr/lib/postgresql/15/bin")


def postgresql_tool(name: str, *arguments: str) -> None:
    found = BINARIES / name
    command = str(found) if found.exists() else name
    subprocess.run([command, *arguments], check=True, capture_output=True, timeout=120)


@contextmanager
def restored_elsewhere(backup: Path) -> Iterator[str]:
    """A fresh database with the backup in it: its address."""
    name = f"{database.settings_dict['NAME']}_restored"
    address = database_url().rpartition("/")[0] + f"/{name}"
    with database.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
    try:
        postgresql_tool("pg_restore", "--dbname", address, "--no-owner", str(backup))
        yield address
    finally:
        with database.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


DRAIN = """
import django
django.setup()
from sellerlegend.jobs import ledger
ledger.sweep()
print(ledger.drain("interactive") + ledger.drain("background"))
"""


def drained(environment: dict[str, str]) -> int:
    """What a worker of the restored installation would begin."""
    run = subprocess.run(
        [sys.executable, "-c", DRAIN],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return int(run.stdout.splitlines()[-1])


@pytest.mark.needs_postgresql
@pytest.mark.needs_redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
def test_the_drill(amazon: RunningEmulator, tmp_path: Path, settings: Settings) -> None:
    """T17: dump; disconnect, delete, refresh; restore elsewhere; nobody is called; release."""
    kept, ended, deleted = (connected(amazon) for _ in range(3))
    call_command("createcachetable", "embedded_cache")
    quarantine.beat()
    for row in (kept, ended, deleted):
        marketplace_services.begin_reading(connection=row)
    backup = tmp_path / "backup.dump"
    postgresql_tool("pg_dump", "--format=custom", "--file", str(backup), database_url())
    actor = Actor.person(owner_of(ended.organization))
    disconnecting.disconnect(connection=ended, sides=frozenset(Side), actor=actor)
    erasure.delete_organization(organization=deleted.organization, actor=actor)
    access_token(factories.grant_of(kept))
    known = amazon.ledger.last_number

    with (
        restored_elsewhere(backup) as address,
        open_office("redis", amazon.url, tmp_path / "elsewhere") as office,
    ):
        environment = office.environment | {
            "DATABASE_URL": address,
            "DELETION_LOG": str(settings.DELETION_LOG),
        }
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        assert drained(environment) == 0

        without_key = environment | {"TOKEN_ENCRYPTION_KEYS": f"other:{'A' * 43}="}
        refused = manage(without_key, "release_quarantine", "--yes")
        assert (refused.returncode, "not loaded: tests" in refused.stderr) == (1, True)

        report = manage(environment, "release_quarantine", "--json")
        assert (report.returncode, "another_database" in report.stderr) == (1, True)
        told = {json.loads(line)["id"] for line in report.stdout.splitlines()}
        ended_grant, deleted_grant = (factories.grant_of(row).pk for row in (ended, deleted))
        assert told == {str(ended_grant), str(deleted_grant), str(deleted.organization_id)}
        assert drained(environment) == 0
        assert len(amazon.ledger.calls(since=known)) == 0

        released = manage(environment, "release_quarantine", "--yes")
        assert released.returncode == 0, released.stderr
        # What was ended is ended again: of three jobs the kept row's alone calls Amazon.
        drained(environment)
        calls = amazon.ledger.calls(since=known)
        assert calls
        assert manage(environment, "release_quarantine").returncode == 1  # there is none
        listing = manage(environment, "shell", "--command", STATES)
        words = [line.split() for line in listing.stdout.splitlines()]
        states = {pair[0]: pair[1] for pair in words if len(pair) == 2}
        assert states[str(factories.grant_of(kept).pk)] == "active"
        assert states[str(ended_grant)] == "disconnected"
        assert str(deleted_grant) not in states  # erased, now that it may be
        assert states[str(deleted.organization_id)] == "deleted"
    refreshed = [call for call in calls if call.operation == "refresh_token"]
    assert len(refreshed) == 1
    assert Organization.objects.get(pk=kept.organization_id).deleted_at is None
    assert os.environ["TOKEN_ENCRYPTION_KEYS"].startswith("tests:")


STATES = """
from connections.models import SpApiGrant
from sellerlegend.organizations.models import Organization
for grant in SpApiGrant._base_manager.all():
    print(grant.pk, grant.status)
for organization in Organization.objects.exclude(deleted_at=None):
    print(organization.pk, "deleted")
"""
