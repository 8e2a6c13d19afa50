"""`make run`: prepare, start, seed, say where it is, and stop cleanly on Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType

from tests.demo.environment import CHECKOUT, demo_environment, var_dir
from tests.demo.people import PASSWORD, PEOPLE
from tests.demo.processes import (
    DemoFailed,
    only_one,
    require_free_port,
    wait_until_ready,
    watch,
)
from tests.demo.procfile import running_procfile
from tests.demo.seed import seed


def main() -> int:
    arguments = parse_arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_requested)
    try:
        with only_one(var_dir()):
            if arguments.reset:
                reset()
            else:
                run(arguments)
    except DemoFailed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The data stays; `make reset` clears it.")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--amazon-port", type=int, default=9001)
    parser.add_argument("--workers", type=int, default=1, help="Celery workers of two processes")
    parser.add_argument("--rows", type=int, default=0, help="connections of the demo's agency")
    parser.add_argument("--reset", action="store_true", help="forget everything stored")
    return parser.parse_args()


def stop_requested(number: int, frame: FrameType | None) -> None:
    """Set explicitly: a shell starts background commands with SIGINT ignored."""
    raise KeyboardInterrupt


def reset() -> None:
    """Keeps the lock file, which this process holds."""
    for path in var_dir().iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "demo.lock":
            path.unlink()
    print(f"{var_dir()} is empty.")


def run(arguments: argparse.Namespace) -> None:
    """Serve until Ctrl-C (KeyboardInterrupt). Raises DemoFailed."""
    started = time.monotonic()
    require_free_port(arguments.port, "PORT")
    require_free_port(arguments.amazon_port, "AMAZON_PORT")
    os.environ.update(demo_environment(port=arguments.port, amazon_port=arguments.amazon_port))
    base_url, emulator_url = os.environ["PUBLIC_BASE_URL"], os.environ["AMAZON_EMULATOR_URL"]
    prepare()
    with running_procfile(workers=arguments.workers) as processes:
        wait_until_ready(processes, f"{base_url}/", f"{emulator_url}/_control/")
        seed(base_url, emulator_url, rows=arguments.rows)
        announce(base_url, emulator_url, time.monotonic() - started)
        watch(processes)


def prepare() -> None:
    """In a child: Django and its database connections stay out of this process."""
    done = subprocess.run([sys.executable, "-m", "tests.demo.prepare"], cwd=CHECKOUT, check=False)
    if done.returncode:
        raise DemoFailed("The database could not be prepared; the reason is above.")


def announce(base_url: str, emulator_url: str, seconds: float) -> None:
    width = max(len(person.email) for person in PEOPLE)
    bearer = f"Authorization: Bearer {os.environ['METRICS_TOKEN']}"
    lines = [
        "",
        f"  Ready after {seconds:.0f} s",
        f"  Product      {base_url}/",
        f"  Fake Amazon  {emulator_url}/_control/",
        f"  Metrics      curl -H '{bearer}' {base_url}/metrics",
        "",
        f"  Everybody's password is {PASSWORD}",
        *(f"  {person.email:<{width}}  {person}" for person in PEOPLE),
        "",
        "  Ctrl-C stops; the data stays until `make reset`.",
        "",
    ]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
