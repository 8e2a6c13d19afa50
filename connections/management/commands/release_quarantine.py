"""Report what a restored backup brought back, end it again, and let work go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from ppc import restoring
from sellerlegend import crypto
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target, refuse_wrong_keys
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.audit import COMMAND


class Command(OpsCommand):
    help = (
        "List organizations and consents that were ended after the backup was taken; with --yes "
        "end them again and leave quarantine."
    )
    verb = "end again"
    is_destructive = True
    scope_options = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.found: dict[str, restoring.Resurrected] = {}

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--deletions",
            action="append",
            type=Path,
            metavar="FILE",
            help="a deletion log, once for each host (default: DELETION_LOG)",
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
        super().handle(*args, **options)
        if options["yes"] and not options["dry_run"]:
            quarantine.release(actor=COMMAND, ended_again=len(self.found))
            self.say("Released.")

    def targets(self, scope: Scope) -> list[Target]:
        logs = scope.options["deletions"] or [settings.DELETION_LOG]
        self.found = {str(item.id): item for item in restoring.resurrected(logs)}
        return [
            Target(
                key,
                {"kind": item.kind, "organization": item.organization, "ended": item.ended_at},
            )
            for key, item in self.found.items()
        ]

    def perform(self, target: Target) -> Outcome:
        restoring.end_again(self.found[str(target.key)].kind, UUID(str(target.key)))
        return Outcome(Ending.DONE)
