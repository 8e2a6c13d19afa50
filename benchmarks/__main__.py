"""`make bench`: P1 to P11 with the figure reached against the goal.

FULL=1 loads the whole data set of docs/performance.md; names (`p1 p2 p4 …`) choose figures. P3 is
asked for by itself (`p3`): it fills a database of its own with 100,000 connections.
Method and goals: docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

from benchmarks import environment
from benchmarks.report import Report


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    figures = ["p1", "p2", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "load"]
    parser.add_argument("figures", nargs="*", default=figures)
    parser.add_argument("--full", action="store_true", default=bool(os.environ.get("FULL")))
    parser.add_argument("--strict", action="store_true", help="fail when a goal is missed")
    options = parser.parse_args()
    if "p3" in options.figures and len(options.figures) > 1:
        parser.error("p3 grows a database of its own; ask for it alone")
    return options


def main() -> int:
    options = arguments()
    began = time.monotonic()
    with environment.product() as database:
        report = grow(database) if "p3" in options.figures else measure(database, options)
    print(f"{time.monotonic() - began:.0f} s in all")
    return int(options.strict and not report.all_reached)


def grow(database: str) -> Report:
    from django.core.management import call_command  # noqa: PLC0415  # settings exist only now

    from benchmarks import growth  # noqa: PLC0415  # same

    call_command("collectstatic", interactive=False, verbosity=0)
    report = Report()
    growth.growing(database, report)
    return report


def measure(database: str, options: argparse.Namespace) -> Report:
    from django.core.management import call_command  # noqa: PLC0415  # settings exist only now

    from benchmarks import (  # noqa: PLC0415  # same
        background,
        consent,
        dataset,
        resync,
        screen,
        tokens,
        under_load,
    )

    call_command("collectstatic", interactive=False, verbosity=0)
    size = dataset.FULL_SIZE if options.full else dataset.DEFAULT_SIZE
    print(f"Loading {size.words} …", flush=True)
    tenants = dataset.load(size)
    screens = screen.Screens(database, tenants)
    report = Report()
    chosen = options.figures
    runs: dict[str, Callable[[], None]] = {
        "p1": lambda: screen.list_of_100(screens, report),
        "p2": lambda: screen.page_of_25(screens, report),
        "p4": lambda: screen.empty_poll(screens, report),
        "p5": lambda: screen.list_as_json(screens, report),
        "p6 p7": lambda: tokens.handing_out(screens, report, chosen),
        "p8": lambda: consent.round_trip(screens, report),
        "p9": lambda: resync.refreshing(report),
        "p10": lambda: background.finishing(screens, report),
        "p11": lambda: background.queueing(screens, report),
        "load": lambda: under_load.spread(screens, report),
    }
    for names, run in runs.items():
        if set(names.split()) & set(chosen):
            run()
    return report


if __name__ == "__main__":
    raise SystemExit(main())
