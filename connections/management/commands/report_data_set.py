"""Take the reports of importers: one by options, or many as JSON lines on standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from connections import data_sets
from connections.health_models import DataSet
from sellerlegend.amazon.regions import Region
from sellerlegend.commands import Ending, OpsCommand, Outcome, Scope, Target
from sellerlegend.organizations.audit import COMMAND

REQUIRED = ("organization", "seller_id", "region", "data_set", "percent")
STDIN = "stdin"
OLDER = "older_than_known"


class Command(OpsCommand):
    help = (
        "Report how far the import of a data set is. With --stdin: one JSON object a line, with "
        "the same names as the options."
    )
    verb = "report"
    # Its options name a row; they do not narrow many.
    scope_options = ()
    works_in_quarantine = True
    # Importers report at the same time; the service knows which report is newer.
    runs_alone = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given: dict[str, Mapping[str, Any] | None] = {}

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--organization", metavar="SLUG")
        parser.add_argument("--seller-id", metavar="ID")
        parser.add_argument("--region", choices=[region.value for region in Region])
        parser.add_argument("--data-set", choices=DataSet.values)
        parser.add_argument("--percent", type=int, metavar="N", help="0 to 100")
        parser.add_argument("--data-through", metavar="TIME", help="complete up to (ISO 8601)")
        parser.add_argument("--reason", choices=list(data_sets.DELAYS), help="why it is late")
        parser.add_argument("--reported-at", metavar="TIME", help="ISO 8601; left out: now")
        parser.add_argument("--stdin", action="store_true", help="JSON lines on standard input")

    def targets(self, scope: Scope) -> list[Target]:
        options = scope.options
        if options[STDIN]:
            lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
            self.given = {str(at): _object(line) for at, line in enumerate(lines, start=1)}
        else:
            missing = [name for name in REQUIRED if options[name] is None]
            if missing:
                wanted = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
                raise CommandError(f"Missing: {wanted} (or --stdin).", returncode=2)
            fields = {name: options[name] for name in data_sets.FIELDS if options[name]}
            self.given = {"1": fields | {"percent": options["percent"]}}
        return [Target(key, _facts(fields)) for key, fields in self.given.items()]

    def perform(self, target: Target) -> Outcome:
        fields = self.given[str(target.key)]
        if fields is None:
            return Outcome(Ending.FAILED, "not_a_json_object")
        try:
            is_taken = data_sets.report(data_sets.report_from(fields), actor=COMMAND)
        except data_sets.ReportRefused as refusal:
            return Outcome(Ending.FAILED, refusal.code)
        return Outcome(Ending.DONE, "" if is_taken else OLDER)


def _object(line: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _facts(fields: Mapping[str, Any] | None) -> dict[str, str | int]:
    """What names the row and the data set; nothing else of the line is repeated."""
    known = fields or {}
    names = ("organization", "seller_id", "region", "data_set")
    return {name: str(known[name])[:60] for name in names if known.get(name)}
