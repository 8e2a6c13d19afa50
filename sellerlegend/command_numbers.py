"""Numbers in the options of commands: each has a least and a greatest value."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def between(least: int, most: int) -> Callable[[str], int]:
    """The type of an option that is a number: beyond that neither the calendar nor the database
    nor this machine could follow."""

    def number(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"give a whole number from {least} to {most}")
        return found

    return number


# A hundred years; more rows than anybody has; more threads than any database has connections for.
days = between(1, 36_500)
rows_at_most = between(1, 1_000_000_000)
threads = between(1, 256)
