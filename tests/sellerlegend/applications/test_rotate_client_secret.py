"""The rotation of our client secrets, with the fake Amazon on the other side."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone
from pytest_django import Settings

from connections.credentials import access_token
from connections.models import Connection
from sellerlegend import crypto
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications import clients, rotation
from sellerlegend.applications.ages import secret_ages
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.organizations import custody
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.operators import Run, run_command

NORTHSTAR = "A1NORTHSTAR001"
COMMAND = "rotate_client_secret"
WEEK = 7 * 24 * 3600

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty, as under a scheduler."""
    give(monkeypatch, "")


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.fixture
def queue_file(
    amazon: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Amazon's side of the queue, as somebody copies it into a file."""
    path = tmp_path / "queue.jsonl"
    path.touch()
    monkeypatch.setattr(amazon.world, "queue_file", path)
    yield path
    assert amazon.ledger.count(client_id="") == 0


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


def rotate(*arguments: object) -> Run:
    run = run_command(COMMAND, *arguments)
    assert "amzn1.oa2-cs" not in run.out + run.err
    return run


def secrets_of(application: LwaApplication = LwaApplication.SPAPI) -> list[str]:
    clients.forget_clients()
    return [secret.reveal() for secret in clients.client_of(application).secrets]


def message(amazon: RunningEmulator) -> str:
    return json.dumps(amazon.world.queue[-1])


def value_in(text: str) -> str:
    return str(json.loads(text)["payload"]["applicationOAuthClientNewSecret"]["newClientSecret"])


def rotations(amazon: RunningEmulator) -> int:
    return amazon.ledger.count(operation="rotateApplicationClientSecret", status=204)


def refresh(connection: Connection) -> None:
    access_token(factories.grant_of(connection), force=True)


def events() -> list[tuple[str, dict[str, Any]]]:
    rows = AuditEvent._base_manager.filter(code__startswith="client_secret").order_by("pk")
    return list(rows.values_list("code", "details"))


# The whole way -----------------------------------------------------------------------------


def test_a_rotation_from_the_file_of_the_queue(
    amazon: RunningEmulator, queue_file: Path, connection: Connection, settings: Settings
) -> None:
    old = settings.SPAPI_CLIENT.secrets[0].reveal()

    run = rotate("--message-file", queue_file, "--json")

    new = value_in(message(amazon))
    assert (run.code, rotations(amazon)) == (0, 1)
    assert run.objects[0]["reason"] == f"in force: {crypto.fingerprint(Secret(new))}"
    assert secrets_of() == [new, old]
    refresh(connection)
    amazon.advance_clock(WEEK)
    refresh(connection)
    assert amazon.ledger.count(operation="refresh_token", status=200) == 2
    assert amazon.ledger.count(status=401) == 0


def test_what_is_stored_is_sealed_dated_and_audited(
    amazon: RunningEmulator, queue_file: Path, settings: Settings
) -> None:
    rotate("--message-file", queue_file)

    new, old = map(Secret, secrets_of())
    row = ClientSecret.objects.get(fingerprint=crypto.fingerprint(new))
    assert new.reveal() not in row.sealed_secret
    newest, before = [age for age in secret_ages() if age.application == "spapi"]
    assert (newest.days_left, newest.is_dated) == (180, True)
    assert (before.days_left, before.fingerprint) == (7, crypto.fingerprint(old))
    assert events() == [
        (
            "client_secret_rotation_requested",
            {"application": "spapi", "fingerprint": crypto.fingerprint(old)},
        ),
        (
            "client_secret_rotated",
            {
                "application": "spapi",
                "fingerprint": crypto.fingerprint(new),
                "before": crypto.fingerprint(old),
            },
        ),
    ]


def test_a_dry_run_asks_nobody(amazon: RunningEmulator, queue_file: Path) -> None:
    run = rotate("--message-file", queue_file, "--dry-run")

    assert run.code == 0
    assert len(amazon.ledger) == 0
    assert not ClientSecret.objects.exists()


def test_only_our_own_application_speaks(
    amazon: RunningEmulator,
    queue_file: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C21: what the library would take from the environment is somebody else's."""
    for name in ("LWA_APP_ID", "LWA_CLIENT_SECRET", "SP_API_REFRESH_TOKEN"):
        monkeypatch.setenv(name, "amzn1.application-oa2-client.foreign")
    monkeypatch.setenv("SP_API_DEFAULT_MARKETPLACE", "JP")

    rotate("--message-file", queue_file)

    assert {call.client_id for call in amazon.ledger} == {settings.SPAPI_CLIENT.client_id}
    [call] = amazon.ledger.calls(operation="rotateApplicationClientSecret")
    assert call.region == "NA"


# In two halves -----------------------------------------------------------------------------


def test_killed_between_the_rotation_and_its_message(
    amazon: RunningEmulator,
    queue_file: Path,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(monkeypatch, "")
    halfway = rotate()
    again = rotate("--message-file", queue_file)
    refresh(connection)
    resumed = rotate("--no-rotate", "--message-file", queue_file)

    assert (halfway.code, again.code, resumed.code) == (3, 3, 0)
    assert "A rotation was asked for" in again.err
    assert rotations(amazon) == 1
    assert secrets_of()[0] == value_in(message(amazon))
    assert not ClientSecret.objects.exclude(rotation_requested_at=None).exists()


def test_the_message_comes_by_standard_input(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `aws sqs receive-message` prints it."""
    rotate()
    answer = {"Messages": [{"MessageId": "1", "Body": message(amazon)}]}
    give(monkeypatch, json.dumps(answer, indent=2))

    run = rotate("--no-rotate")

    assert run.code == 0
    assert secrets_of()[0] == value_in(message(amazon))


def test_the_same_message_twice_changes_nothing(amazon: RunningEmulator, queue_file: Path) -> None:
    rotate("--message-file", queue_file)
    before = list(ClientSecret.objects.order_by("pk").values())
    secrets = secrets_of()

    run = rotate("--no-rotate", "--message-file", queue_file)

    assert run.code == 0
    assert list(ClientSecret.objects.order_by("pk").values()) == before
    assert secrets_of() == secrets
    assert len(events()) == 2


def test_an_old_message_in_the_file_is_not_taken_for_the_answer(
    amazon: RunningEmulator, queue_file: Path
) -> None:
    rotate("--message-file", queue_file)
    first = secrets_of()[0]
    amazon.advance_clock(WEEK)
    ClientSecret.objects.update(
        first_seen_at=timezone.now() - timedelta(days=8),
        superseded_at=timezone.now() - timedelta(days=8),
    )
    ClientSecret.objects.filter(fingerprint=crypto.fingerprint(Secret(first))).update(
        first_seen_at=timezone.now() - timedelta(days=7.5), superseded_at=None
    )

    run = rotate("--message-file", queue_file)

    assert run.code == 0
    assert rotations(amazon) == 2
    assert secrets_of()[:2] == [value_in(message(amazon)), first]


# Seen before -------------------------------------------------------------------------------


def environment_has(settings: Settings, *values: str) -> None:
    settings.SPAPI_CLIENT = LwaClient(
        settings.SPAPI_CLIENT.client_id, tuple(Secret(value) for value in values)
    )


def row_of(value: str) -> ClientSecret:
    return ClientSecret.objects.get(fingerprint=crypto.fingerprint(Secret(value)))


def test_a_secret_that_the_environment_had_for_one_sweep_is_stored(
    amazon: RunningEmulator, queue_file: Path, connection: Connection, settings: Settings
) -> None:
    """A release with the new secret, rolled back: nobody holds it, but its row is there."""
    old = settings.SPAPI_CLIENT.secrets[0].reveal()
    look_after_secrets()
    new = amazon.world.rotate_secret()
    environment_has(settings, new)
    look_after_secrets()
    seen_at = row_of(new).first_seen_at
    environment_has(settings, old)
    look_after_secrets()
    assert secrets_of() == [old]

    run = rotate("--no-rotate", "--message-file", queue_file)

    assert run.code == 0
    assert f"in force: {crypto.fingerprint(Secret(new))}" in run.out
    assert secrets_of() == [new, old]
    assert (row_of(new).superseded_at, row_of(new).sealed_secret != "") == (None, True)
    assert row_of(new).first_seen_at > seen_at
    assert row_of(old).superseded_at == row_of(new).first_seen_at
    amazon.advance_clock(WEEK)
    refresh(connection)
    assert amazon.ledger.count(status=401) == 0


def test_a_secret_that_only_the_environment_holds_is_sealed_too(
    amazon: RunningEmulator, queue_file: Path, settings: Settings
) -> None:
    """A roll back of the environment must not lose it once its message is gone."""
    old = settings.SPAPI_CLIENT.secrets[0].reveal()
    look_after_secrets()
    new = amazon.world.rotate_secret()
    environment_has(settings, new, old)
    look_after_secrets()
    seen_at = row_of(new).first_seen_at

    assert rotate("--no-rotate", "--message-file", queue_file).code == 0

    environment_has(settings, old)
    look_after_secrets()
    assert secrets_of() == [new, old]
    assert row_of(new).first_seen_at == seen_at
    assert row_of(old).superseded_at == seen_at


def test_an_older_secret_does_not_take_the_place_of_the_newer_one(
    amazon: RunningEmulator, tmp_path: Path, settings: Settings
) -> None:
    """Somebody gives the message of the rotation before: both are held, and both are accepted."""
    first = settings.SPAPI_CLIENT.secrets[0].reveal()
    look_after_secrets()
    new = amazon.world.rotate_secret()
    environment_has(settings, new, first)
    look_after_secrets()
    path = tmp_path / "secret"
    path.write_text(new)
    rotate("--no-rotate", "--message-file", path)
    path.write_text(first)

    run = rotate("--no-rotate", "--message-file", path)

    assert run.code == 3
    assert "(older)" in run.out
    assert [code for code, _ in events()] == ["client_secret_stored"] * 2
    assert secrets_of() == [new, first]
    assert row_of(new).superseded_at is None


def test_a_stored_secret_that_does_not_open_is_sealed_anew(
    amazon: RunningEmulator, queue_file: Path, settings: Settings
) -> None:
    rotate("--message-file", queue_file)
    [new, old] = secrets_of()
    settings.TOKEN_ENCRYPTION_KEYS = {"k2": b"2" * 32}
    assert secrets_of() == [old]

    run = rotate("--no-rotate", "--message-file", queue_file)

    assert run.code == 0
    assert secrets_of() == [new, old]


def test_what_could_not_be_stored_is_not_called_done(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.world.rotate_secret()
    boto3 = Boto3([message(amazon)])
    monkeypatch.setitem(__import__("sys").modules, "boto3", boto3)

    def lose(*_: object, **__: object) -> None:
        raise IntegrityError("another run")

    monkeypatch.setattr(clients, "store", lose)

    run = rotate("--no-rotate", "--queue-url", QUEUE_URL)

    assert run.code == 3
    assert "(not_stored)" in run.out
    assert boto3.deleted == []


def test_nothing_is_stored_under_a_wrong_key(
    amazon: RunningEmulator, queue_file: Path, settings: Settings
) -> None:
    before = secrets_of()
    custody.remember_keys()
    settings.TOKEN_ENCRYPTION_KEYS = dict.fromkeys(settings.TOKEN_ENCRYPTION_KEYS, b"9" * 32)

    run = rotate("--message-file", queue_file)

    refused(amazon, run, secrets=before)
    assert "(vault_refused)" in run.out
    assert not ClientSecret.objects.exclude(sealed_secret="").exists()
    assert ClientSecret.objects.exclude(rotation_requested_at=None).count() == 1


# Refusals ----------------------------------------------------------------------------------


def refused(amazon: RunningEmulator, run: Run, *, secrets: list[str]) -> None:
    assert run.code == 3
    assert secrets_of() == secrets
    assert [code for code, _ in events() if code == "client_secret_rotated"] == []


def test_a_new_secret_that_amazon_refuses_is_not_used(
    amazon: RunningEmulator, tmp_path: Path, queue_file: Path
) -> None:
    before = secrets_of()
    amazon.world.rotate_secret()
    forged = json.loads(message(amazon))
    forged["payload"]["applicationOAuthClientNewSecret"]["newClientSecret"] = "amzn1.oa2-cs.v1.no"
    path = tmp_path / "forged.json"
    path.write_text(json.dumps(forged))

    run = rotate("--no-rotate", "--message-file", path)

    refused(amazon, run, secrets=before)
    assert "(refused)" in run.out


def test_a_secret_that_cannot_be_proved_is_not_used(
    amazon: RunningEmulator, queue_file: Path
) -> None:
    before = secrets_of()
    amazon.world.rotate_secret()
    amazon.faults.add(surface="lwa", status=503)

    run = rotate("--no-rotate", "--message-file", queue_file)

    refused(amazon, run, secrets=before)
    amazon.faults.clear()
    assert rotate("--no-rotate", "--message-file", queue_file).code == 0


def test_the_message_of_another_application_is_left_alone(
    amazon: RunningEmulator, tmp_path: Path
) -> None:
    before = secrets_of()
    amazon.world.rotate_secret()
    path = tmp_path / "message.json"
    path.write_text(message(amazon).replace("oa2-client.demo-spapi", "oa2-client.other"))

    run = rotate("--no-rotate", "--message-file", path, "--wait", 0)

    refused(amazon, run, secrets=before)
    assert "(no_secret_in_it)" in run.out


@pytest.mark.timeout(30)
@pytest.mark.parametrize("text", ["", "\x00" * 1000, '{"payload": {', "[" * 100_000])
def test_a_file_without_a_message_is_told_at_once(
    amazon: RunningEmulator, tmp_path: Path, text: str
) -> None:
    """What was saved before the command ran does not come within two minutes."""
    before = secrets_of()
    path = tmp_path / "message.json"
    path.write_text(text)

    run = rotate("--no-rotate", "--message-file", path)

    refused(amazon, run, secrets=before)
    assert "No new secret of this client was in what was given" in run.err


def test_without_a_queue_at_amazon_the_operator_is_told(amazon: RunningEmulator) -> None:
    before = secrets_of()
    amazon.scenario("no_rotation_queue")

    run = rotate()

    refused(amazon, run, secrets=before)
    assert "Notification Preferences" in run.err
    amazon.scenario("normal")
    assert not ClientSecret.objects.exclude(rotation_requested_at=None).exists()


def test_an_unknown_outcome_is_not_repeated_unawares(amazon: RunningEmulator) -> None:
    amazon.faults.add(surface="sellers", status=503, times=1)

    first = rotate()
    second = rotate()

    assert (first.code, second.code) == (3, 3)
    assert "(unavailable)" in first.out
    assert "(message_awaited)" in second.out


@pytest.mark.parametrize("surface", ["lwa", "sellers"])
def test_asking_again_in_vain_forgets_no_rotation_that_is_awaited(
    amazon: RunningEmulator, surface: str
) -> None:
    """Its message may still come; a third run must not end the secret it brings."""
    rotate()
    [awaited] = ClientSecret.objects.exclude(rotation_requested_at=None)
    amazon.faults.add(surface=surface, status=429 if surface == "sellers" else 503, times=1)

    again = rotate("--again")
    third = rotate()

    assert (again.code, third.code) == (3, 3)
    assert "(message_awaited)" in third.out
    assert rotations(amazon) == 1
    [still] = ClientSecret.objects.exclude(rotation_requested_at=None)
    assert (still.pk, still.rotation_requested_at) == (awaited.pk, awaited.rotation_requested_at)


def test_a_second_rotation_within_the_overlap_needs_a_word(
    amazon: RunningEmulator, queue_file: Path
) -> None:
    rotate("--message-file", queue_file)

    run = rotate("--message-file", queue_file, "--wait", 0)

    assert run.code == 3
    assert "(overlap_running)" in run.out
    assert rotations(amazon) == 1


def test_amazons_own_warning_is_passed_on(
    amazon: RunningEmulator, queue_file: Path, settings: Settings
) -> None:
    amazon.advance_clock(91 * 24 * 3600)

    run = rotate("--no-rotate", "--message-file", queue_file, "--wait", 0)

    assert run.code == 3
    assert f"Amazon ends the secret of {settings.SPAPI_CLIENT.client_id} at" in run.err


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", '{"Messages": [{"Body": "{"}]}', '{"payload": null}', "[" * 5000]
)
def test_a_message_that_is_none(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    before = secrets_of()
    give(monkeypatch, text)

    refused(amazon, rotate("--no-rotate"), secrets=before)


def test_a_file_that_is_not_there_is_told_before_amazon_is_asked(
    amazon: RunningEmulator, tmp_path: Path
) -> None:
    run = rotate("--message-file", tmp_path / "nowhere")

    assert run.code == 3
    assert f"There is no file {tmp_path / 'nowhere'}." in run.err
    assert "Nothing was changed, and Amazon was not asked for a new secret." in run.err
    assert "FileNotFoundError" not in run.err + run.out
    assert len(amazon.ledger) == 0


def test_a_file_that_went_meanwhile_is_told_with_the_next_step(
    amazon: RunningEmulator, queue_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = rotation.request_rotation

    def ask_and_lose_the_file(**options: Any) -> None:
        ask(**options)
        queue_file.unlink()

    monkeypatch.setattr(rotation, "request_rotation", ask_and_lose_the_file)

    run = rotate("--message-file", queue_file)

    assert run.code == 3
    assert "Amazon was asked for a new secret already." in run.err
    assert "--no-rotate --message-file FILE" in run.err
    assert rotations(amazon) == 1


def test_no_argument_takes_a_secret() -> None:
    parser = rotation_parser()

    assert [action.dest for action in parser._actions if "secret" in action.dest] == []


def rotation_parser() -> Any:
    from django.core.management import load_command_class

    command = load_command_class("sellerlegend.applications", COMMAND)
    return command.create_parser("manage.py", COMMAND)


# Amazon Ads, and the console ---------------------------------------------------------------


def test_the_ads_secret_is_given_proved_and_used(
    amazon: RunningEmulator, tmp_path: Path, settings: Settings
) -> None:
    old = settings.ADS_CLIENT.secrets[0].reveal()
    new = amazon.world.rotate_secret("ads")
    path = tmp_path / "secret"
    path.write_text(f"{new}\n")

    run = rotate("--client", "ads", "--message-file", path)

    assert run.code == 0
    assert secrets_of(LwaApplication.ADS) == [new, old]
    assert secrets_of() == [settings.SPAPI_CLIENT.secrets[0].reveal()]
    assert rotations(amazon) == 0


def test_a_wrong_ads_secret_is_not_used(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    give(monkeypatch, "amzn1.oa2-cs.v1.wrong")

    run = rotate("--client", "ads")

    assert run.code == 3
    assert secrets_of(LwaApplication.ADS) == [settings.ADS_CLIENT.secrets[0].reveal()]


def test_a_secret_from_the_console(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = amazon.world.rotate_secret()
    give(monkeypatch, f"  {new}\n")

    assert rotate("--no-rotate").code == 0
    assert secrets_of()[0] == new


def test_an_operator_sets_the_true_date(amazon: RunningEmulator) -> None:
    issued_on = (timezone.now() - timedelta(days=100)).date()

    run = rotate("--issued-on", issued_on)
    [age] = [item for item in secret_ages() if item.application == "spapi"]

    assert run.code == 0
    assert (age.age_days, age.days_left, age.is_dated) == (100, 80, True)
    assert [code for code, _ in events()] == ["client_secret_dated"]
    assert len(amazon.ledger) == 0


def test_amazons_own_date_is_not_overruled(amazon: RunningEmulator, queue_file: Path) -> None:
    rotate("--message-file", queue_file)
    before = list(ClientSecret.objects.order_by("pk").values())

    run = rotate("--issued-on", "2026-01-01")

    assert run.code == 3
    assert "(dated_by_amazon)" in run.out
    assert "Amazon's own message" in run.err
    assert list(ClientSecret.objects.order_by("pk").values()) == before


# The queue itself --------------------------------------------------------------------------


class Boto3:
    """As much of boto3 as is used."""

    def __init__(self, bodies: list[str]) -> None:
        self.bodies = bodies
        self.made_with: dict[str, Any] = {}
        self.deleted: list[str] = []
        self.is_read_only = False

    def client(self, service: str, **options: Any) -> Boto3:
        self.made_with = {"service": service, **options}
        return self

    def receive_message(self, **_: Any) -> dict[str, Any]:
        rows = [{"Body": body, "ReceiptHandle": f"r{n}"} for n, body in enumerate(self.bodies)]
        return {"Messages": rows}

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:
        if self.is_read_only:
            raise PermissionError("AccessDenied")
        self.deleted.append(ReceiptHandle)


QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/rotation"


def test_the_queue_is_read_and_its_message_deleted_once_stored(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.world.rotate_secret()
    boto3 = Boto3([message(amazon)])
    monkeypatch.setitem(__import__("sys").modules, "boto3", boto3)

    run = rotate("--no-rotate", "--queue-url", QUEUE_URL)

    assert run.code == 0
    assert boto3.deleted == ["r0"]
    assert boto3.made_with == {
        "service": "sqs",
        "region_name": "eu-west-1",
        "endpoint_url": "https://sqs.eu-west-1.amazonaws.com",
    }
    assert secrets_of()[0] == value_in(message(amazon))


def test_messages_of_other_applications_stay_in_the_queue(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One queue may serve several: theirs is the only copy of their secret."""
    amazon.world.rotate_secret()
    theirs = message(amazon).replace("oa2-client.demo-spapi", "oa2-client.other")
    theirs = theirs.replace("amzn1.oa2-cs.v1.", "amzn1.oa2-cs.v1.other")
    expiry = theirs.replace("NEW_SECRET", "SECRET_EXPIRY")
    boto3 = Boto3([theirs, "not json", message(amazon), expiry])
    monkeypatch.setitem(__import__("sys").modules, "boto3", boto3)

    run = rotate("--no-rotate", "--queue-url", QUEUE_URL)

    assert run.code == 0
    assert boto3.deleted == ["r2"]


def test_a_queue_that_deletes_nothing_is_no_failure(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.world.rotate_secret()
    boto3 = Boto3([message(amazon)])
    boto3.is_read_only = True
    monkeypatch.setitem(__import__("sys").modules, "boto3", boto3)

    run = rotate("--no-rotate", "--queue-url", QUEUE_URL)

    assert (run.code, boto3.deleted) == (0, [])
    assert "The message stays in the queue" in run.err
    assert secrets_of()[0] == value_in(message(amazon))


def test_a_message_left_in_the_queue_is_no_answer_to_the_next_rotation(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.world.rotate_secret()
    boto3 = Boto3([message(amazon)])
    boto3.is_read_only = True
    monkeypatch.setitem(__import__("sys").modules, "boto3", boto3)
    rotate("--no-rotate", "--queue-url", QUEUE_URL)
    before = secrets_of()
    amazon.advance_clock(60)

    run = rotate("--again", "--queue-url", QUEUE_URL, "--wait", 0)

    assert run.code == 3
    assert "(no_message)" in run.out
    assert secrets_of() == before
    boto3.bodies.append(message(amazon))
    assert rotate("--no-rotate", "--queue-url", QUEUE_URL).code == 0
    assert secrets_of()[0] == value_in(message(amazon))


def test_a_message_whose_secret_is_refused_stays_in_the_queue(
    amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon.world.rotate_secret()
    boto3 = Boto3([message(amazon)])
    monkeypatch.setitem(__import__("sys").modules, "boto3", boto3)
    amazon.scenario("wrong_secret")

    assert rotate("--no-rotate", "--queue-url", QUEUE_URL).code == 3
    assert boto3.deleted == []


def test_without_boto3_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)

    run = rotate("--queue-url", QUEUE_URL)

    assert run.code == 1
    assert "boto3 is not installed" in run.err


@pytest.mark.parametrize(
    "url",
    [
        "http://sqs.eu-west-1.amazonaws.com/123456789012/q",
        "https://sqs.eu-west-1.amazonaws.com.evil.example/123456789012/q",
        "https://evil.example/123456789012/q",
        "https://sqs.eu-west-1.amazonaws.com@evil.example/123456789012/q",
        "queue",
    ],
)
def test_only_a_queue_at_amazon_is_read(url: str) -> None:
    run = rotate("--queue-url", url)

    assert run.code == 1
    assert "not the address of an SQS queue" in run.err


def test_the_sweep_after_a_rotation_changes_nothing(
    amazon: RunningEmulator, queue_file: Path
) -> None:
    rotate("--message-file", queue_file)
    before = (secrets_of(), [age.fingerprint for age in secret_ages()])

    for _ in range(3):
        look_after_secrets()

    assert (secrets_of(), [age.fingerprint for age in secret_ages()]) == before
    assert rotation.newest_row(LwaApplication.SPAPI).rotation_requested_at is None
