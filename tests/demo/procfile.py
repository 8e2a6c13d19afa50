"""The Procfile's processes: started together, watched, stopped in order without leftovers.

honcho would do but for the end: it signals whole process groups, and a Celery worker whose pool
was signalled too does not come to an end by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.demo.environment import CHECKOUT

# Work in progress may still need Amazon, so the fake one goes last.
STOP_ORDER = (("web", "worker", "beat"), ("emulator",))
STOP_SECONDS = 20
PR_SET_PDEATHSIG = 1


@dataclass
class Running:
    """One process of the demo; `kind` is its name in the Procfile. A worker that ended is
    replaced, as a supervisor would do it: it ends by itself when it is stuck."""

    kind: str
    name: str
    process: subprocess.Popen[str]

    def has_ended(self) -> bool:
        return self.process.poll() is not None


def commands() -> dict[str, str]:
    lines = (CHECKOUT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


@contextlib.contextmanager
def running_procfile(*, workers: int) -> Iterator[list[Running]]:
    """Web, beat, emulator and so many workers. They get this process's environment."""
    numbers = {"worker": workers}
    running: list[Running] = []
    try:
        for kind in ("emulator", "web", "worker", "beat"):
            count = numbers.get(kind, 1)
            names = [kind] if count == 1 else [f"{kind}.{n}" for n in range(1, count + 1)]
            running += [start(kind, name) for name in names]
        # Threads only now: a fork copies no thread but the locks they hold.
        width = max(len(one.name) for one in running)
        for one in running:
            threading.Thread(target=relay, args=(one, width), daemon=True).start()
        yield running
    finally:
        stop(running)


def start(kind: str, name: str) -> Running:
    """In a session of its own, so that a Ctrl-C of the terminal reaches only the demo."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {commands()[kind]}"],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509  # its locks are its own
    )
    return Running(kind, name, process)


def end_with_parent() -> None:
    """Even a SIGKILL of the demo must not leave servers behind (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def relay(one: Running, width: int) -> None:
    """What a process prints, under its name."""
    for line in one.process.stdout or ():
        print(f"{one.name:<{width}} | {line.rstrip()}", flush=True)


def restart_workers(running: Sequence[Running]) -> None:
    """Before anybody looks whether all are there."""
    for one in running:
        if one.kind == "worker" and one.has_ended():
            print(f"{one.name} ended and is started again", flush=True)
            one.process = start(one.kind, one.name).process
            reader = threading.Thread(
                target=relay, args=(one, len(one.name)), name=one.name, daemon=True
            )
            reader.start()


def stop(running: list[Running]) -> None:
    """Further signals are ignored meanwhile: they would leave processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for kinds in STOP_ORDER:
        ending = [one for one in running if one.kind in kinds]
        for one in ending:
            one.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for one in ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(timeout=max(0.0, deadline - time.monotonic()))
            kill_what_is_left(one)


def kill_what_is_left(one: Running) -> None:
    """The process and whatever it started stand in one group, named after it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait()
