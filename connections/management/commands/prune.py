"""Remove what has been kept long enough."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser

from connections import retention
from ppc import erasure
from sellerlegend.command_numbers import days
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND, record_event


class Command(OpsCommand):
    help = (
        "Erase deleted organizations and what ended 30 days ago; remove abandoned connections, "
        "ended trips to Amazon, finished jobs, and audit events "
        f"older than {retention.AUDIT_DAYS} days."
    )
    verb = "prune"
    is_destructive = True
    scope_options = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rules: dict[str, retention.Rule] = {}
        self.removed: Counter[str] = Counter()

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        for name, what in (("--trip-days", "ended trips"), ("--job-days", "finished jobs")):
            parser.add_argument(
                name,
                type=days,
                default=retention.TRIP_DAYS,
                metavar="N",
                help=f"keep {what} so long ({retention.TRIP_DAYS})",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        cause = quarantine.cause()
        if cause and options["yes"]:
            raise CommandError(f"In quarantine: {cause}. What this copy calls ended may live.")
        try:
            super().handle(*args, **options)
        finally:
            if self.removed.total():
                record_event("pruned", actor=COMMAND, organization=None, removed=dict(self.removed))

    def targets(self, scope: Scope) -> list[Target]:
        rules = retention.rules(
            trip_days=scope.options["trip_days"], job_days=scope.options["job_days"]
        )
        rules += erasure.rules(COMMAND)
        self.rules = {rule.name: rule for rule in rules}
        return [Target(rule.name, {"rows": rule.count()}) for rule in rules]

    def perform(self, target: Target) -> Outcome:
        name = str(target.key)
        for count in self.rules[name].steps():
            self.removed[name] += count
        return Outcome(Ending.DONE, f"{self.removed[name]} rows")
