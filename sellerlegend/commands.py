"""One face for every management command of an operator: scope, dry run, output, exit codes.

A command names its targets and does one of them; everything else is here. Exit codes: 0 all
done · 1 refused · 2 usage · 3 some rows are not done · 4 another run holds the lock.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, connections, models
from django.utils import timezone

from sellerlegend import logs
from sellerlegend.amazon.regions import Region
from sellerlegend.command_numbers import rows_at_most, threads
from sellerlegend.jobs import locks
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.models import Organization

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=models.Model)

WRONG_USAGE = 2
ROWS_NOT_DONE = 3
LOCK_HELD = 4
BAR_WIDTH = 24


class Ending(StrEnum):
    """How one row ended; only DONE leaves nothing to do for anybody."""

    DONE = "done"
    WAITING = "waiting"
    ATTENTION = "attention"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    ending: Ending
    reason: str = ""


@dataclass(frozen=True)
class Target:
    """One row to work on; `facts` are printed with it and hold no secret."""

    key: uuid.UUID | str
    facts: Mapping[str, str | int]


@dataclass(frozen=True)
class Scope:
    organization: Organization | None = None
    seller_id: str = ""
    region: str = ""
    status: str = ""
    limit: int | None = None
    after: uuid.UUID | None = None
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def is_everything(self) -> bool:
        return self == Scope()

    def narrow(self, rows: models.QuerySet[M], *, to_connection: str = "") -> models.QuerySet[M]:
        """The rows in scope, in the order of `--after`; without `--status`, which each command
        reads in its own way. `to_connection` leads from a row to its connection."""
        wanted: dict[str, Any] = {
            f"{to_connection}organization": self.organization,
            f"{to_connection}selling_partner_id": self.seller_id,
            f"{to_connection}region": self.region,
            "pk__gt": self.after,
        }
        given = {lookup: value for lookup, value in wanted.items() if value}
        return rows.filter(**given).order_by("pk")[: self.limit]


def outcome_of(job: Job) -> Outcome:
    """What the ledger says about work that was just tried."""
    if job.status == Job.Status.DONE:
        ending = Ending.ATTENTION if job.last_error_code else Ending.DONE
        return Outcome(ending, job.last_error_code)
    if job.status == Job.Status.DEAD:
        return Outcome(Ending.ATTENTION, job.last_error_code)
    return Outcome(Ending.WAITING, job.waiting_reason or job.status)


def refuse_wrong_keys() -> None:
    """Where an id alone would pass for the key. Raises CommandError."""
    wrong = custody.wrong_keys()
    if wrong:
        raise CommandError(
            f"Another key is loaded under {', '.join(wrong)} than the one that stood there. "
            "Nothing was done. Put the right one into TOKEN_ENCRYPTION_KEYS."
        )


def refuse_in_quarantine() -> None:
    """Before Amazon is asked or anything is written for it. Raises CommandError."""
    cause = quarantine.cause()
    if cause:
        raise CommandError(f"In quarantine: {cause}. Nothing was done. release_quarantine ends it.")


def lock_words(name: str) -> str:
    until = locks.ends_at(name)
    words = f"Another run of {name} is under way."
    if until is None:
        return words
    seconds = max(0, math.ceil((until - timezone.now()).total_seconds()))
    return (
        f"{words} If it was killed, its lock ends by itself at {until:%H:%M:%S} UTC, "
        f"in {seconds} seconds: then repeat this."
    )


@dataclass
class Progress:
    """A bar on a terminal, one summary line anywhere."""

    stream: Any
    total: int
    counts: Counter[Ending] = field(default_factory=Counter)

    def __str__(self) -> str:
        done = f"{self.counts.total()}/{self.total}"
        return " ".join([done, *(f"{word}={self.counts[word]}" for word in Ending)])

    def show(self) -> None:
        if self.stream.isatty():
            filled = BAR_WIDTH * self.counts.total() // max(1, self.total)
            bar = "#" * filled + "-" * (BAR_WIDTH - filled)
            self.stream.write(f"\r\x1b[K[{bar}] {self}", plain, ending="")
            self.stream.flush()

    def clear(self) -> None:
        if self.stream.isatty():
            self.stream.write("\r\x1b[K", plain, ending="")


def plain(text: str) -> str:
    """Django paints everything on stderr as an error unless told otherwise."""
    return text


class OpsCommand(BaseCommand):
    """Subclasses give `verb`, `targets()` and `perform()`.

    `perform` is called in threads when the command takes `--concurrency`.
    """

    verb = "process"
    scope_options: Sequence[str] = (
        "organization",
        "seller_id",
        "region",
        "status",
        "limit",
        "after",
    )
    statuses: Sequence[str] = ()
    has_concurrency = False
    # Removes what cannot be brought back: says how much, and wants --yes.
    is_destructive = False
    # The others ask Amazon, or prepare it.
    works_in_quarantine = False
    # One run at a time, for all others too. False where the service sorts out who was first.
    runs_alone = True
    is_stopping = False

    def targets(self, scope: Scope) -> list[Target]:
        raise NotImplementedError

    def perform(self, target: Target) -> Outcome:
        """Through the same services as views and tasks. Whatever it raises fails this row only."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        known: dict[str, dict[str, Any]] = {
            "organization": {"metavar": "SLUG", "help": "only this organization"},
            "seller_id": {"metavar": "ID", "help": "only this Seller ID"},
            "region": {"choices": [region.value for region in Region]},
            "status": {"choices": self.statuses, "help": "only rows in this state"},
            "limit": {"type": rows_at_most, "metavar": "N", "help": "at most so many rows"},
            "after": {"type": uuid.UUID, "metavar": "ID", "help": "resume behind this row"},
        }
        for name in self.scope_options:
            parser.add_argument(f"--{name.replace('_', '-')}", **known[name])
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")
        parser.add_argument("--json", action="store_true", help="one object a line")
        if self.is_destructive:
            parser.add_argument("--yes", action="store_true", help="really do it")
        if self.has_concurrency:
            parser.add_argument(
                "--concurrency", type=threads, default=1, metavar="N", help="rows at once"
            )

    def run_from_argv(self, argv: list[str]) -> None:
        """Other programs can read arguments, and shells keep them. What looks like a secret is not
        even parsed, since a parser repeats what it does not know."""
        if any(logs.redact(word) != word for word in argv):
            self.stderr.write(
                "An argument looks like a token or a secret: nothing was done. Commands read those "
                "from a file or standard input only. Take it out of the shell's history, and "
                "replace it where others could have seen it."
            )
            sys.exit(WRONG_USAGE)
        super().run_from_argv(argv)

    def handle(self, *_args: Any, **options: Any) -> None:
        scope = self.scope_from(options)
        if scope.is_everything and self.scope_options:
            self.say("No scope given: every organization.")
        is_unconfirmed = self.is_destructive and not options["yes"]
        wanted_dry = options["dry_run"]
        is_dry = wanted_dry or is_unconfirmed
        options["dry_run"] = is_dry
        needs_lock = self.runs_alone and not is_dry
        if not is_dry and not self.works_in_quarantine:
            refuse_in_quarantine()
        try:
            with (
                self.finishing_row_on_sigterm(),
                locks.hold(self.lock_name) if needs_lock else nullcontext() as lock,
            ):
                self.work(self.targets(scope), options, lock)
            if is_unconfirmed and not wanted_dry:
                raise CommandError("Nothing was done. Repeat it with --yes.")
        except locks.LockHeld:
            raise CommandError(lock_words(self.lock_name), returncode=LOCK_HELD) from None

    @property
    def lock_name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def scope_from(self, options: Mapping[str, Any]) -> Scope:
        given = {name: options[name] for name in self.scope_options if options[name]}
        if "organization" in given:
            slug = given["organization"]
            given["organization"] = Organization.objects.filter(slug=slug).first()
            if given["organization"] is None:
                raise CommandError(f"There is no organization {slug}.")
        return Scope(**given, options=options)

    def work(
        self, targets: list[Target], options: Mapping[str, Any], lock: locks.Lock | None
    ) -> None:
        progress = Progress(self.stderr, len(targets))
        last: Target | None = None
        for target, outcome in self.outcomes(targets, options):
            last = target
            if outcome is not None:
                progress.counts[outcome.ending] += 1
            progress.clear()
            self.print_row(target, outcome, as_json=options["json"])
            progress.show()
            if lock is not None:
                lock.renew()
        progress.clear()
        if options["dry_run"]:
            self.say(f"Dry run: {len(targets)} rows, nothing was done.")
        else:
            self.conclude(progress, last)

    def conclude(self, progress: Progress, last: Target | None) -> None:
        self.say(str(progress))
        if progress.counts.total() < progress.total:
            resume = f" Continue with --after {last.key}." if last else ""
            raise CommandError(f"Stopped before the end.{resume}", returncode=ROWS_NOT_DONE)
        not_done = progress.total - progress.counts[Ending.DONE]
        if not_done:
            raise CommandError(f"Rows that are not done: {not_done}.", returncode=ROWS_NOT_DONE)

    # Rows ------------------------------------------------------------------------------

    def outcomes(
        self, targets: list[Target], options: Mapping[str, Any]
    ) -> Iterator[tuple[Target, Outcome | None]]:
        """Each target with how it ended, in order, so that `--after` can resume anywhere.
        A dry run takes the same way and stops short of the act: no outcome."""
        workers = self.worker_count(options)
        if options["dry_run"]:
            yield from ((target, None) for target in targets)
        elif workers == 1:
            for target in targets:
                if self.is_stopping:
                    return
                yield target, self.attempt(target)
        else:
            yield from self.outcomes_in_threads(targets, workers)

    def outcomes_in_threads(
        self, targets: Iterable[Target], workers: int
    ) -> Iterator[tuple[Target, Outcome]]:
        waiting = iter(targets)
        started: deque[tuple[Target, Future[Outcome]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            while True:
                while len(started) < 2 * workers and not self.is_stopping:
                    target = next(waiting, None)
                    if target is None:
                        break
                    started.append((target, pool.submit(self.attempt_in_thread, target)))
                if not started:
                    return
                target, future = started.popleft()
                yield target, future.result()

    def attempt(self, target: Target) -> Outcome:
        try:
            return self.perform(target)
        except Exception as error:
            # The log redacts; the output names the kind only, since a message may quote anything.
            logger.exception(
                "command_row_failed", extra={"command": self.lock_name, "row": target.key}
            )
            return Outcome(Ending.FAILED, type(error).__name__)

    def attempt_in_thread(self, target: Target) -> Outcome:
        try:
            return self.attempt(target)
        finally:
            connections.close_all()

    def worker_count(self, options: Mapping[str, Any]) -> int:
        wanted: int = options.get("concurrency", 1)
        if wanted > 1 and connection.vendor == "sqlite":
            self.say("SQLite has one writer: working on one row at a time.")
            return 1
        return wanted

    @contextmanager
    def finishing_row_on_sigterm(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self.stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def stop(self, *_signal: Any) -> None:
        self.is_stopping = True

    # Words -----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        self.stderr.write(text, plain)

    def print_row(self, target: Target, outcome: Outcome | None, *, as_json: bool) -> None:
        facts = {name: value for name, value in target.facts.items() if value != ""}
        if as_json:
            ended = {"outcome": outcome.ending, "reason": outcome.reason} if outcome else {}
            line = {"action": self.verb, "dry_run": outcome is None, "id": str(target.key)}
            self.stdout.write(json.dumps(line | facts | ended, ensure_ascii=False))
            return
        words = [self.verb, str(target.key), *(f"{name}={facts[name]}" for name in facts)]
        if outcome is None:
            words.insert(0, "would")
        else:
            words += [outcome.ending, *([f"({outcome.reason})"] if outcome.reason else [])]
        self.stdout.write(" ".join(words))
