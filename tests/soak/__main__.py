"""`python -m tests.soak`: the product under the nemesis, and plain Celery under the same one."""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from dataclasses import asdict
from pathlib import Path

from tests.soak.ours import running_product
from tests.soak.plain import running_plain
from tests.soak.report import table
from tests.soak.runner import Outcome, soak
from tests.soak.servers import find_programs


def main() -> int:
    """0 when nothing was lost, doubled, written late or by the wrong hand, and all was in time."""
    options = parsed()
    if missing := {"initdb", "postgres", "redis-server"} - find_programs().keys():
        print(f"Not found: {', '.join(sorted(missing))}", file=sys.stderr)
        return 2
    logging.getLogger().setLevel(logging.ERROR)
    print(f"seed {options.seed}, histories in {options.folder}", flush=True)
    outcomes: list[Outcome] = []
    if options.plain_seconds:
        outcomes.append(
            soak(
                running_plain,
                options.folder / "plain",
                seconds=options.plain_seconds,
                seed=options.seed,
                patience=options.plain_patience,
            )
        )
    ours = soak(
        running_product, options.folder / "ours", seconds=options.seconds, seed=options.seed
    )
    outcomes.insert(0, ours)
    print(table(outcomes))
    for finding in ("lost", "twice", "stale", "foreign"):
        for one in getattr(ours.verdict, finding):
            print(f"{finding}: {one}")
    summary = [{**asdict(one), "recovery_p95": one.verdict.recovery_p95} for one in outcomes]
    (options.folder / "summary.json").write_text(json.dumps(summary, default=str, indent=1))
    return 0 if ours.verdict.is_clean and ours.verdict.is_in_time else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--plain-seconds", type=float, default=None)
    parser.add_argument("--plain-patience", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    if options.plain_seconds is None:
        options.plain_seconds = options.seconds
    return options


if __name__ == "__main__":
    sys.exit(main())
