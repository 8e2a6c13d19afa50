"""How long answers take when eight people ask at once and never pause: the slowest of a hundred
against the one in the middle. gunicorn as the Procfile starts it, with two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from benchmarks.application import sign_in
from benchmarks.environment import HOST
from benchmarks.measure import percentile
from benchmarks.report import Report, Spread
from benchmarks.screen import Screens
from tests.soak.servers import free_port

CALLERS = 8
SECONDS = 15.0
GOAL = 3.0
# As the proxy in front of it says.
BEHIND_PROXY = {"Host": HOST, "X-Forwarded-Proto": "https"}


def spread(screens: Screens, report: Report) -> None:
    tenant = screens.tenants[25]
    tenant.organization.refresh_from_db(fields=["revision"])  # the consents of P8 moved it on
    headers = {**BEHIND_PROXY, "Cookie": sign_in(tenant.person)}
    url = f"/o/{tenant.organization.slug}/connections"
    poll = f"{url}/changes?since={tenant.organization.revision}"
    with served() as port:
        for name, path in (("page", f"{url}/"), ("poll", poll), ("JSON", f"{url}.json")):
            order = {"port": port, "path": path, "headers": headers, "callers": CALLERS}
            called({**order, "seconds": 3.0})  # each process has seen the page before it counts
            took = called({**order, "seconds": SECONDS})
            middle, slow = (percentile(took, share) * 1_000 for share in (50, 99))
            report.add(Spread(f"load, {name}", len(took) / SECONDS, middle, slow, GOAL))


def called(order: dict[str, Any]) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.callers"]
    done = subprocess.run(
        command, input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True
    )
    seconds: list[float] = json.loads(done.stdout)
    return seconds


@contextmanager
def served() -> Iterator[int]:
    """The product on a port of this machine, with the environment of this run."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "sellerlegend.wsgi:application"]
    command += ["--worker-class=gthread", "--threads=4", "--workers=2", "--no-control-socket"]
    command += [f"--bind=127.0.0.1:{port}", "--timeout=60"]
    web = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        web.terminate()
        web.wait(30)


def wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            requests.get(f"http://127.0.0.1:{port}/healthz", headers=BEHIND_PROXY, timeout=5)
        except requests.RequestException:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError("the web processes did not start")
