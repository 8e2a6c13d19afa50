"""Commands, run as an operator runs them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_command(command: str | BaseCommand, *arguments: object, is_terminal: bool = False) -> Run:
    """What it printed and its exit code. In this process, so the test's transaction holds."""
    out, err = io.StringIO(), Terminal() if is_terminal else io.StringIO()
    code = 0
    try:
        call_command(command, *map(str, arguments), stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return Run(code, out.getvalue(), err.getvalue())
