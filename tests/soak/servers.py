"""A Redis and a PostgreSQL of one's own, to be killed, frozen, flushed and restarted at will.

Nothing is written that has to survive the machine: no fsync, no persistence of Redis. What they
must survive is the death of their processes, and for that the page cache is enough.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest
import redis

from tests.services import are_services_required

START_SECONDS = 60
# Becomes another program that dies with whoever started it, even when that is killed (Linux).
MORTAL = """
import ctypes, os, pwd, sys
if user := sys.argv[2]:
    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
os.execv(sys.argv[3], sys.argv[3:])
"""
PG_FAST, PG_IMMEDIATE = signal.SIGINT, signal.SIGQUIT


def find_programs() -> dict[str, str]:
    """Where initdb, postgres and redis-server are; those that are missing are not in it."""
    folders = [
        str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    ]
    if configured := shutil.which("pg_config"):
        told = subprocess.run([configured, "--bindir"], capture_output=True, text=True, check=False)
        folders.insert(0, told.stdout.strip())
    path = os.pathsep.join([*filter(None, folders), os.environ.get("PATH", "")])
    found = {name: shutil.which(name, path=path) for name in ("initdb", "postgres", "redis-server")}
    return {name: place for name, place in found.items() if place}


def require_programs() -> None:
    """Skip the test without server programs; fail it where services are required (`.ci/run`)."""
    missing = {"initdb", "postgres", "redis-server"} - find_programs().keys()
    if not missing:
        return
    words = f"needs server programs of its own: {', '.join(sorted(missing))} not found"
    if are_services_required():
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_mortal(
    command: list[str],
    log: Path,
    *,
    end: int = signal.SIGKILL,
    user: str = "",
    cwd: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """`command` as this user or as ourselves; it gets the signal `end` when we are gone."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-c", MORTAL, str(int(end)), user, *command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def until(happened: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Raises TimeoutError when it does not happen in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds:.0f} s")
        time.sleep(0.05)


@dataclass
class Server:
    """One server process on a port of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """To the server and to whatever it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def wait_until_gone(self) -> None:
        if self.process is not None:
            self.process.wait(START_SECONDS)
            self.process = None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait_until_gone()


class OwnRedis(Server):
    """Without persistence: what it held is gone when it ends."""

    def start(self) -> None:
        command = [find_programs()["redis-server"], "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--dir", str(self.folder)]
        self.process = start_mortal(command, self.folder / "redis.log")
        until(self.answers, "answer from the own Redis")

    def url(self, number: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(), socket_timeout=2, socket_connect_timeout=1)

    def answers(self) -> bool:
        with contextlib.closing(self.client()) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def flush(self) -> None:
        with contextlib.closing(self.client()) as client:
            client.flushall()


class OwnPostgres(Server):
    """A cluster in `folder`, which belongs to the user postgres when we are root."""

    def create(self) -> None:
        command = [find_programs()["initdb"], "--pgdata", str(self.data), "--no-sync"]
        command += ["--auth", "trust", "--username", "postgres", "--encoding", "UTF8"]
        command += ["--locale", "C"]
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        log = self.folder / "postgresql.log"
        if start_mortal(command, log, user=self.user).wait(START_SECONDS):
            raise RuntimeError(f"initdb failed: {log.read_text()}")

    def start(self) -> None:
        command = [find_programs()["postgres"], "-D", str(self.data), "-p", str(self.port)]
        for option in ("fsync=off", "listen_addresses=127.0.0.1", "max_connections=200"):
            command += ["-c", option]
        command += ["-c", f"unix_socket_directories={self.folder}"]
        log = self.folder / "postgresql.log"
        self.process = start_mortal(command, log, end=PG_IMMEDIATE, user=self.user)
        until(self.answers, "answer from the own PostgreSQL")

    def stop(self, how: int = PG_FAST) -> None:
        """Fast: clients are sent away. Immediate: as in a crash, with recovery at the start."""
        if self.process is not None:
            self.process.send_signal(how)
            self.wait_until_gone()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        try:
            psycopg2.connect(self.url(), connect_timeout=1).close()
        except psycopg2.OperationalError:
            return False
        return True

    def execute(self, statement: str) -> None:
        connection = psycopg2.connect(self.url())
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def user(self) -> str:
        """initdb and postgres refuse to run as root."""
        return "postgres" if os.getuid() == 0 else ""


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Readable for the user postgres too, which pytest's own folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="sellerlegend-own-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def own_redis() -> Iterator[OwnRedis]:
    with own_folder() as folder:
        server = OwnRedis(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    with own_folder() as folder:
        server = OwnPostgres(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.signal(signal.SIGCONT)
            server.stop(PG_IMMEDIATE)
