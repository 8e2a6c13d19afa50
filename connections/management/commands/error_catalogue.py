"""docs/errors.md: every error that a person can meet, from the product's own words."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation

from connections import catalogue

PAGE = settings.BASE_DIR / "docs" / "errors.md"


class Command(BaseCommand):
    help = "Print the catalogue of errors, or write docs/errors.md."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", action="store_true", help="write docs/errors.md")

    def handle(self, *_args: Any, **options: Any) -> None:
        with translation.override("en"):
            text = catalogue.markdown()
        if options["write"]:
            PAGE.write_text(text, encoding="utf-8")
        else:
            self.stdout.write(text, ending="")
