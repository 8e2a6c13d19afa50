"""Stop every call to Amazon until staff release it: after a restore by hand, or in an incident."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND


class Command(BaseCommand):
    help = "Claim no work and use no consent until release_quarantine."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="for the audit event")

    def handle(self, *_args: Any, **options: Any) -> None:
        quarantine.begin(actor=COMMAND, reason=options["reason"])
        self.stdout.write("Quarantined. Every process follows within five seconds.")
