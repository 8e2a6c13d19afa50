"""Django's `migrate`, which asks the configuration but no server whether a release may begin."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.core.management.commands import migrate


class Command(migrate.Command):
    def get_check_kwargs(self, options: dict[str, Any]) -> dict[Any, Any]:
        """Without `databases`: Django would have the checks read tables that are not there yet,
        and refuse a release because Redis is away or a lost key is not found again."""
        return BaseCommand.get_check_kwargs(self, options)
