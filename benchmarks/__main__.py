"""`make bench`: P1, P2, P4, P6, P7, P8, P10 and P11 with the figure reached against the goal.

FULL=1 loads the whole data set of docs/performance.md; names (`p1 p2 p4 p6 p7 p8 p10 p11`) choose
figures.
Method and goals: docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import time

from benchmarks import environment
from benchmarks.report import Report


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    figures = ["p1", "p2", "p4", "p6", "p7", "p8", "p10", "p11"]
    parser.add_argument("figures", nargs="*", default=figures)
    parser.add_argument("--full", action="store_true", default=bool(os.environ.get("FULL")))
    parser.add_argument("--strict", action="store_true", help="fail when a goal is missed")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    began = time.monotonic()
    with environment.product() as database:
        report = measure(database, options)
    print(f"{time.monotonic() - began:.0f} s in all")
    return int(options.strict and not report.all_reached)


def measure(database: str, options: argparse.Namespace) -> Report:
    from django.core.management import call_command  # noqa: PLC0415  # settings exist only now

    from benchmarks import background, consent, dataset, screen, tokens  # noqa: PLC0415  # same

    call_command("collectstatic", interactive=False, verbosity=0)
    size = dataset.FULL_SIZE if options.full else dataset.DEFAULT_SIZE
    print(f"Loading {size.words} …", flush=True)
    tenants = dataset.load(size)
    screens = screen.Screens(database, tenants)
    report = Report()
    if "p1" in options.figures:
        screen.list_of_100(screens, report)
    if "p2" in options.figures:
        screen.page_of_25(screens, report)
    if "p4" in options.figures:
        screen.empty_poll(screens, report)
    if {"p6", "p7"} & set(options.figures):
        tokens.handing_out(screens, report, options.figures)
    if "p8" in options.figures:
        consent.round_trip(screens, report)
    if "p10" in options.figures:
        background.finishing(screens, report)
    if "p11" in options.figures:
        background.queueing(screens, report)
    return report


if __name__ == "__main__":
    raise SystemExit(main())
