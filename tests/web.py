"""Real web processes of the product."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import requests

from sellerlegend.env import PROJECT_DIR
from tests.environment import development_environment
from tests.workers import wait_until

END_SECONDS = 15


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@contextlib.contextmanager
def web(folder: Path, **variables: str) -> Iterator[str]:
    """One gunicorn of the product; its address."""
    port = free_port()
    environment = os.environ | development_environment(
        DJANGO_SETTINGS_MODULE="sellerlegend.settings",
        DJANGO_SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
        TOKEN_ENCRYPTION_KEYS=os.environ["TOKEN_ENCRYPTION_KEYS"],
        VAR_DIR=str(folder),
        **variables,
    )
    command = [sys.executable, "-m", "gunicorn", "sellerlegend.wsgi:application"]
    command += [f"--bind=127.0.0.1:{port}", "--worker-class=gthread", "--threads=4"]
    with (folder / "web.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--no-control-socket"],
            cwd=PROJECT_DIR,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), f"a web process: {log.name}")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{url}/healthz", timeout=5).status_code == 200
    return False
