"""The nginx of docker-compose.yml, in front of a server of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sellerlegend.env import PROJECT_DIR
from tests.services import find_services
from tests.web import free_port
from tests.workers import wait_until

SHIPPED = PROJECT_DIR / "proxy"
END_SECONDS = 10
# What is not the same on this machine: who listens, and who is asked.
LISTENS = "listen 8080;"
ASKS = "set $web web:8000;"


@dataclass(frozen=True)
class OwnNginx:
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "nginx.log").read_text()

    def command(self) -> list[str]:
        """Paths are relative to the folder. Whoever is root stays it, to read its own folder."""
        told = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
        program = find_services().nginx.address
        return [program, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", "stderr", "-g", told]

    def check(self) -> str:
        """What `nginx -t` says; it fails when the configuration is not one."""
        command = [*self.command(), "-t"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def lay_out(folder: Path, web_port: int) -> OwnNginx:
    """The shipped files with two addresses changed, and nothing else."""
    nginx = OwnNginx(folder, free_port())
    shutil.copytree(SHIPPED / "errors", folder / "errors")
    for name in ("run", "tls"):
        (folder / name).mkdir()
    text = (SHIPPED / "nginx.conf").read_text()
    assert (text.count(LISTENS), text.count(ASKS)) == (1, 1)
    text = text.replace(LISTENS, f"listen 127.0.0.1:{nginx.port};")
    text = text.replace(ASKS, f"set $web 127.0.0.1:{web_port};")
    (folder / "nginx.conf").write_text(text)
    return nginx


@contextlib.contextmanager
def own_nginx(folder: Path, web_port: int) -> Iterator[OwnNginx]:
    nginx = lay_out(folder, web_port)
    with started(nginx):
        yield nginx


@contextlib.contextmanager
def started(nginx: OwnNginx) -> Iterator[None]:
    with (nginx.folder / "nginx.log").open("w") as log:
        process = subprocess.Popen(nginx.command(), stdout=log, stderr=log)
    try:
        wait_until(nginx.listens, f"nginx: {log.name}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
