"""Around the demo's processes: one demo per folder, free ports, and waiting for answers."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests

from tests.demo.procfile import Running, restart_workers

START_SECONDS = 60


class DemoFailed(Exception):
    """The demo cannot go on; the message tells the developer why and what to do."""


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Two demos on one folder would share a database and a schedule. Raises DemoFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"A demo is already running on {folder}. Stop it first.") from None
        yield


def require_free_port(port: int, variable: str) -> None:
    """Raises DemoFailed when something listens on `port` already."""
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                raise DemoFailed(
                    f"Port {port} is taken. Choose another one: make run {variable}={port + 10}"
                ) from None


def require_all_running(running: Sequence[Running]) -> None:
    """Raises DemoFailed naming the process that ended."""
    ended = [one.name for one in running if one.has_ended()]
    if ended:
        raise DemoFailed(f"{' and '.join(ended)} stopped; the last words are above.")


def wait_until_ready(running: Sequence[Running], *urls: str) -> None:
    """Return when every address answers below 500. Raises DemoFailed when a process ended or
    time is up."""
    deadline = time.monotonic() + START_SECONDS
    waiting = list(urls)
    while waiting:
        require_all_running(running)
        if time.monotonic() > deadline:
            raise DemoFailed(f"No answer within {START_SECONDS} s from {', '.join(waiting)}")
        waiting = [url for url in waiting if not _answers(url)]
        time.sleep(0.2)


def watch(running: Sequence[Running]) -> None:
    """Return never: raises DemoFailed as soon as a process other than a worker ended."""
    while True:
        restart_workers(running)
        require_all_running(running)
        time.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        reply = requests.get(url, timeout=5, allow_redirects=False)
    except requests.RequestException:
        return False
    return reply.status_code < 500
