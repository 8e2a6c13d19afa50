"""Report what a restored backup brought back, end it again, and let work go on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from ppc import restoring
from sellerlegend import crypto, deletions
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target, refuse_wrong_keys
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent


def newest_event_at() -> str:
    """Of this copy of the data; what quarantine itself wrote does not count."""
    events = AuditEvent._base_manager.exclude(code__startswith="quarantine").order_by("-at")
    newest = events.values_list("at", flat=True).first()
    return newest.astimezone(UTC).isoformat(timespec="seconds") if newest else ""


class Command(OpsCommand):
    help = (
        "List organizations, consents and people's access that were ended after the backup was "
        "taken; with --yes end them again, sign everybody out and leave quarantine."
    )
    works_in_quarantine = True
    verb = "end again"
    is_destructive = True
    scope_options = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.found: dict[str, restoring.Resurrected] = {}
        self.logs: list[Path] = []
        self.unconfirmed = ""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--deletions",
            action="append",
            type=Path,
            metavar="FILE",
            help="a deletion log, once for each host (default: DELETION_LOG)",
        )
        parser.add_argument(
            "--no-deletions-known",
            action="store_true",
            help="there is no deletion log: what was ended since the backup stays alive",
        )
        parser.add_argument(
            "--unconfirmed",
            choices=("end", "keep"),
            help="what to do with ends that began and are not known to have happened",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        cause = quarantine.cause()
        if not cause:
            raise CommandError("There is no quarantine.")
        self.say(f"In quarantine: {cause}.")
        refuse_wrong_keys()
        counts = custody.rows_by_key()
        missing = counts.keys() - settings.TOKEN_ENCRYPTION_KEYS.keys() - {crypto.UNKNOWN_KID}
        if missing:
            raise CommandError(
                f"Keys that are not loaded: {', '.join(sorted(missing))}. Put them into "
                "TOKEN_ENCRYPTION_KEYS first: without them no consent can be opened."
            )
        unreadable = custody.unreadable_organizations()
        if unreadable:
            self.say(f"Data keys that do not open: {unreadable} organizations' work will wait.")
        self.logs = self.readable_logs(options)
        self.unconfirmed = options["unconfirmed"] or ""
        super().handle(*args, **options)
        if options["yes"] and not options["dry_run"]:
            try:
                signed_out = quarantine.release(actor=COMMAND, ended_again=len(self.found))
            except OSError as error:
                raise CommandError(f"Not released: {quarantine.file()}: {error}") from None
            self.say(f"Released. Everybody signs in again; sessions ended: {signed_out}.")

    def readable_logs(self, options: Mapping[str, Any]) -> list[Path]:
        """Raises CommandError for one that is not there: nothing said is not nothing ended."""
        if options["no_deletions_known"]:
            if options["deletions"]:
                raise CommandError("Give --deletions or --no-deletions-known, not both.")
            self.say("No deletion log: what was ended since the backup stays alive.")
            return []
        logs = [Path(path) for path in options["deletions"] or [settings.DELETION_LOG]]
        newest_event = newest_event_at()
        for path in logs:
            try:
                found = deletions.summary(path)
            except (OSError, UnicodeDecodeError):
                raise CommandError(
                    f"{path} cannot be read. Without it nobody knows what was ended since the "
                    "backup: name the log of each host with --deletions, or, when there never "
                    "was one, --no-deletions-known."
                ) from None
            self.say(f"{path}: {found.lines} lines, {found.damaged} damaged, {found.newest_at}")
            if found.newest_at < newest_event:
                self.say(f"{path} ends before this copy of the data ({newest_event}): too old?")
        return logs

    def targets(self, scope: Scope) -> list[Target]:
        self.found = {str(item.id): item for item in restoring.resurrected(self.logs)}
        uncertain = [item for item in self.found.values() if not item.is_certain]
        if uncertain and scope.options["yes"] and not self.unconfirmed:
            raise CommandError(
                f"{len(uncertain)} ends began and are not known to have happened (confirmed=no). "
                "Decide with --unconfirmed end or --unconfirmed keep."
            )
        if self.unconfirmed == "keep":
            self.found = {key: item for key, item in self.found.items() if item.is_certain}
        return [
            Target(
                key,
                {
                    "kind": item.kind,
                    "organization": item.organization,
                    "ended": item.ended_at,
                    "confirmed": "yes" if item.is_certain else "no",
                },
            )
            for key, item in self.found.items()
        ]

    def perform(self, target: Target) -> Outcome:
        restoring.end_again(self.found[str(target.key)].kind, UUID(str(target.key)))
        return Outcome(Ending.DONE)
