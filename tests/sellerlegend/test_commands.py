"""The common face of the operators' commands, shown by one that does nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.db import connection as database
from django.utils import timezone

from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target, outcome_of
from sellerlegend.env import PROJECT_DIR
from sellerlegend.jobs import locks
from sellerlegend.jobs.models import Job, NamedLock
from sellerlegend.organizations.models import AuditEvent
from tests.environment import development_environment
from tests.operators import run_command

pytestmark = pytest.mark.django_db

DONE = Outcome(Ending.DONE)
CHECKOUT = Path(__file__).parents[2]


class Counting(OpsCommand):
    """Works on the targets a, b, c, …; `acts` says what happens to some of them."""

    verb = "count"
    lock_name = "counting"
    has_concurrency = True
    scope_options = ("organization", "limit")

    def __init__(self, keys: str = "abc", **acts: Callable[[], Outcome]) -> None:
        super().__init__()
        self.keys = keys
        self.acts = acts
        self.done: list[str] = []

    def targets(self, scope: Scope) -> list[Target]:
        return [Target(key, {"organization": "north", "seller_id": ""}) for key in self.keys]

    def perform(self, target: Target) -> Outcome:
        outcome = self.acts.get(str(target.key), lambda: DONE)()
        self.done.append(str(target.key))
        return outcome


def fail() -> Outcome:
    raise ValueError("Atzr|a-token-that-must-not-be-printed")


def test_every_row_is_a_line_and_success_is_zero() -> None:
    run = run_command(Counting())

    assert run.code == 0
    assert run.lines == [f"count {key} organization=north done" for key in "abc"]
    assert "No scope given: every organization." in run.err
    assert "3/3 done=3 waiting=0 attention=0 failed=0" in run.err


def test_json_is_one_object_a_line() -> None:
    stuck = Outcome(Ending.ATTENTION, "gave_up")

    run = run_command(Counting("a", a=lambda: stuck), "--json")

    assert run.objects == [
        {
            "action": "count",
            "dry_run": False,
            "id": "a",
            "organization": "north",
            "outcome": "attention",
            "reason": "gave_up",
        }
    ]


def test_a_dry_run_names_the_same_rows_and_does_nothing() -> None:
    command = Counting()

    run = run_command(command, "--dry-run")

    assert run.code == 0
    assert command.done == []
    assert run.lines == [f"would count {key} organization=north" for key in "abc"]
    assert "Dry run: 3 rows, nothing was done." in run.err


def test_a_dry_run_in_json_says_so() -> None:
    run = run_command(Counting("a"), "--dry-run", "--json")

    assert run.objects == [{"action": "count", "dry_run": True, "id": "a", "organization": "north"}]


@pytest.mark.parametrize("ending", [Ending.WAITING, Ending.ATTENTION])
def test_a_row_that_is_not_done_is_told_by_the_exit_code(ending: Ending) -> None:
    run = run_command(Counting(b=lambda: Outcome(ending, "why")))

    assert run.code == 3
    assert run.lines[1] == f"count b organization=north {ending} (why)"
    assert run.err.endswith("Rows that are not done: 1.")


def test_a_row_that_breaks_does_not_stop_the_others_and_tells_no_secret() -> None:
    run = run_command(Counting(b=fail))

    assert run.code == 3
    assert run.lines[1:] == [
        "count b organization=north failed (ValueError)",
        "count c organization=north done",
    ]
    assert "Atzr|" not in run.out + run.err


def test_ctrl_c_is_not_swallowed_and_frees_the_lock() -> None:
    def interrupt() -> Outcome:
        raise KeyboardInterrupt

    command = Counting(b=interrupt)

    with pytest.raises(KeyboardInterrupt):
        run_command(command)

    assert command.done == ["a"]
    assert NamedLock.objects.get(name="counting").holder is None


def test_sigterm_finishes_the_row_and_says_where_to_go_on() -> None:
    def terminate() -> Outcome:
        os.kill(os.getpid(), signal.SIGTERM)
        return DONE

    before = signal.getsignal(signal.SIGTERM)
    command = Counting(b=terminate)

    run = run_command(command)

    assert command.done == ["a", "b"]
    assert run.code == 3
    assert run.err.endswith("Stopped before the end. Continue with --after b.")
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_unknown_organization_is_refused() -> None:
    command = Counting()

    run = run_command(command, "--organization", "nobody")

    assert run.code == 1
    assert command.done == []
    assert run.err == "There is no organization nobody."


@pytest.mark.parametrize(
    ("command", "option", "most"),
    [
        ("prune", "--trip-days", 36_500),
        ("prune", "--job-days", 36_500),
        ("resync_tokens", "--limit", 1_000_000_000),
        ("resync_tokens", "--concurrency", 256),
        ("finalize_onboarding", "--limit", 1_000_000_000),
        ("link_ppc", "--limit", 1_000_000_000),
        ("rotate_encryption_keys", "--limit", 1_000_000_000),
        ("rotate_client_secret", "--wait", 86_400),
    ],
)
@pytest.mark.parametrize("given", ["99999999999", "-1", "many", "9" * 5000])
def test_a_number_that_nothing_could_follow_is_refused_with_what_to_give(
    command: str, option: str, most: int, given: str
) -> None:
    run = run_command(command, f"{option}={given}", "--dry-run")

    least = 0 if option == "--wait" else 1
    assert (run.code, run.lines) == (1, [])
    assert run.err.endswith(f"argument {option}: give a whole number from {least} to {most}")


@pytest.mark.parametrize("command", ["prune", "resync_tokens", "finalize_onboarding", "link_ppc"])
def test_the_greatest_number_of_each_kind_is_taken(command: str) -> None:
    options = ["--trip-days=36500", "--job-days=36500"]
    if command != "prune":
        options = ["--limit=1000000000"]

    assert run_command(command, "--dry-run", *options).code == 0


@pytest.mark.parametrize("given", ["0001-01-01", "10000-01-01", "yesterday"])
def test_a_day_on_which_no_secret_was_issued_is_refused(given: str) -> None:
    run = run_command("rotate_client_secret", f"--issued-on={given}")

    assert "argument --issued-on: give a date such as 20" in run.err
    assert run.code == 1


def test_wrong_usage_is_two() -> None:
    process = subprocess.run(
        [sys.executable, "manage.py", "resync_tokens", "--limit", "0"],
        cwd=CHECKOUT,
        env=os.environ
        | development_environment(
            DJANGO_ALLOWED_HOSTS="localhost",
            DJANGO_SECRET_KEY="tests-only-" + "x" * 50,
            TOKEN_ENCRYPTION_KEYS="tests:" + "A" * 43 + "=",
        ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 2
    assert "give a whole number from 1 to 1000000000" in process.stderr


OURS = sorted(
    (name, app)
    for name, app in get_commands().items()
    if isinstance(load_command_class(app, name), OpsCommand)
)
SECRETS = [
    "Atzr|IwEBIFzQ",
    "amzn1.oa2-cs.v1.8f1d7c02b65e",
    "--mws-auth-token=amzn.mws.4ea38b7b-f563",
]


@pytest.mark.parametrize(("name", "app"), OURS)
def test_no_command_takes_a_secret_as_an_argument(
    name: str, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where an option stands, nor where one is made up; and it is not repeated (C18)."""
    before = AuditEvent._base_manager.count()
    for secret in SECRETS:
        for words in (["--organization", secret], [f"--refresh-token={secret}"], [secret]):
            command = load_command_class(app, name)

            with pytest.raises(SystemExit) as ended:
                command.run_from_argv(["manage.py", name, *words])

            told = capsys.readouterr()
            assert ended.value.code == 2
            assert "looks like a token or a secret" in told.err
            assert secret.rpartition("=")[2] not in told.out + told.err
    assert AuditEvent._base_manager.count() == before


def test_those_are_all_commands_of_operators() -> None:
    assert [name for name, _ in OURS] == [
        "finalize_onboarding",
        "link_ppc",
        "prune",
        "release_quarantine",
        "report_data_set",
        "resync_tokens",
        "rotate_client_secret",
        "rotate_encryption_keys",
        "send_test_mail",
    ]


# The bar -----------------------------------------------------------------------------------


def test_a_terminal_gets_a_bar_and_a_file_does_not() -> None:
    on_terminal = run_command(Counting(), is_terminal=True)
    in_file = run_command(Counting())

    assert "[################--------] 2/3 done=2 waiting=0 attention=0 failed=0" in on_terminal.err
    assert "\x1b" in on_terminal.err
    assert "[" not in in_file.err
    assert on_terminal.out == in_file.out


# The lock ----------------------------------------------------------------------------------


def test_only_one_run_at_a_time() -> None:
    command = Counting()

    with locks.hold("counting"):
        run = run_command(command)

    assert run.code == 4
    assert command.done == []
    assert run_command(command).code == 0


def test_looking_needs_no_lock() -> None:
    with locks.hold("counting"):
        assert run_command(Counting(), "--dry-run").code == 0


def test_a_killed_run_frees_the_lock_when_its_lease_ends() -> None:
    with locks.hold("counting"):
        NamedLock.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))

        assert run_command(Counting()).code == 0


def test_a_run_that_lost_its_lock_stops() -> None:
    def lose() -> Outcome:
        NamedLock.objects.update(holder=factory_holder)
        return DONE

    factory_holder = locks.Lock("counting").holder
    command = Counting(b=lose)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(locks, "RENEW_AFTER", timedelta(0))

        run = run_command(command)

    assert run.code == 4
    assert command.done == ["a", "b"]
    assert NamedLock.objects.get().holder == factory_holder


def test_a_long_run_keeps_its_lock() -> None:
    with locks.hold("counting") as lock:
        lock.renewed_at -= timedelta(minutes=4)
        NamedLock.objects.update(lease_expires_at=timezone.now() + timedelta(seconds=5))

        lock.renew()

        assert NamedLock.objects.filter(
            lease_expires_at__gt=timezone.now() + timedelta(minutes=4)
        ).exists()


# Threads -----------------------------------------------------------------------------------


def test_rows_at_once_are_told_in_their_order() -> None:
    second_started = threading.Event()

    def wait_for_second() -> Outcome:
        assert second_started.wait(10)
        return DONE

    def tell() -> Outcome:
        second_started.set()
        return DONE

    command = Counting("abcdefgh", a=wait_for_second, b=tell)
    if database.vendor == "sqlite":
        pytest.skip("SQLite has one writer")

    run = run_command(command, "--concurrency", 2)

    assert run.code == 0
    assert [line.split()[1] for line in run.lines] == list("abcdefgh")
    assert sorted(command.done) == list("abcdefgh")
    assert command.done[0] != "a"


def test_sigterm_finishes_the_rows_that_were_started() -> None:
    def terminate() -> Outcome:
        os.kill(os.getpid(), signal.SIGTERM)
        return DONE

    command = Counting("abcdefghijklmnop", a=terminate)
    if database.vendor == "sqlite":
        pytest.skip("SQLite has one writer")

    run = run_command(command, "--concurrency", 2)

    assert run.code == 3
    told = [line.split()[1] for line in run.lines]
    assert sorted(command.done) == told
    assert len(told) < 16
    assert run.err.endswith(f"Continue with --after {told[-1]}.")


def test_sqlite_works_on_one_row_at_a_time() -> None:
    if database.vendor != "sqlite":
        pytest.skip("PostgreSQL has many writers")

    run = run_command(Counting(), "--concurrency", 4)

    assert run.code == 0
    assert "one row at a time" in run.err


# What the ledger says ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"status": "done"}, DONE),
        ({"status": "done", "last_error_code": "x"}, Outcome(Ending.ATTENTION, "x")),
        ({"status": "dead", "last_error_code": "x"}, Outcome(Ending.ATTENTION, "x")),
        ({"status": "waiting", "waiting_reason": "y"}, Outcome(Ending.WAITING, "y")),
        ({"status": "running"}, Outcome(Ending.WAITING, "running")),
    ],
)
def test_a_job_has_an_outcome(columns: dict[str, Any], expected: Outcome) -> None:
    assert outcome_of(Job(**columns)) == expected


def test_the_readme_tells_each_commands_options() -> None:
    text = (PROJECT_DIR / "README.md").read_text()
    told = {
        name: set(re.findall(r"--[\w-]+", options))
        for name, options in re.findall(r"^\| `(\w+)` \|(.+)\|$", text, re.MULTILINE)
    }
    plain = {option for action in plain_actions() for option in action}

    assert told.keys() == OUR_COMMANDS
    for name, options in told.items():
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        taken = {action.option_strings[-1] for action in parser._actions if action.option_strings}
        assert options == taken - plain, name


def plain_actions() -> list[list[str]]:
    """What every command of Django's takes."""
    return [list(action.option_strings) for action in BaseCommand().create_parser("", "")._actions]


OUR_COMMANDS = {
    name
    for name, app in get_commands().items()
    if str(app).startswith(("sellerlegend", "connections", "marketplaces", "ppc"))
    and name != "migrate"
}
