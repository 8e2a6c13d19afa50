"""How many generated cases a test tries: a few in the suite, `make fuzz` many times as many."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("FUZZ", "1"))


def examples(in_the_suite: int) -> int:
    return in_the_suite * TIMES


def seconds(in_the_suite: int) -> int:
    """A time limit for all of them."""
    return in_the_suite * TIMES
