"""The figures of soaks side by side, for a terminal and for docs/reliability.md."""

from __future__ import annotations

from collections.abc import Sequence

from tests.soak.checker import percentile
from tests.soak.runner import Outcome


def table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table with one column for each outcome."""
    columns = [["", *(row for row, _ in _figures(outcomes[0]))]]
    columns += [[one.name, *(value for _, value in _figures(one))] for one in outcomes]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in zip(*columns, strict=True)
    ]
    ruler = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], ruler, *lines[1:]])


def _figures(one: Outcome) -> list[tuple[str, str]]:
    verdict = one.verdict
    return [
        ("nemesis, seconds", f"{one.seconds:.0f}"),
        ("acknowledged jobs", str(verdict.acknowledged)),
        ("lost", str(len(verdict.lost))),
        ("effects twice", str(len(verdict.twice))),
        ("stale writes accepted", str(len(verdict.stale))),
        ("another organization's data", str(len(verdict.foreign))),
        ("SIGKILLs", str(verdict.kills)),
        ("jobs under them", str(len(verdict.recovery))),
        ("recovery, median", f"{percentile(verdict.recovery, 0.5):.1f} s"),
        ("recovery, p95", f"{verdict.recovery_p95:.1f} s"),
        ("convergence", f"{verdict.convergence:.1f} s"),
        ("processes replaced", str(one.replaced)),
    ]
