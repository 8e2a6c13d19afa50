"""Real processes of the product on the test's own database, with a broker of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import redis
from django.core.management import call_command
from django.db import connection

from sellerlegend.celery import app
from sellerlegend.env import PROJECT_DIR
from tests.environment import development_environment
from tests.services import find_services

# Dies with whoever started it, even when that is killed (Linux only), and becomes Celery.
CELERY = """
import ctypes, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
from celery.__main__ import main
sys.exit(main())
"""
OPTIONS = ["--without-gossip", "--without-mingle"]
QUEUES = "interactive,background"
# What Celery says at INFO.
READY = " ready."
PATIENCE_SECONDS = 30
HOLD_SECONDS = 300


@dataclass
class Worker:
    """A Celery worker with its pool, in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL for the worker and its pool: nobody says goodbye."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_pool(self) -> None:
        """SIGKILL for the processes that do the work; the worker starts new ones."""
        for child in pool_of(self.process.pid):
            os.kill(child, signal.SIGKILL)


def pool_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass
class Office:
    """Where workers can be hired. `broker_url` is what they listen to."""

    folder: Path
    environment: dict[str, str]
    broker_url: str
    broker_options: dict[str, Any]
    workers: list[Worker] = field(default_factory=list)

    def hire(self, *, concurrency: int = 1, queues: str = QUEUES, loglevel: str = "") -> Worker:
        """A worker, started but perhaps not ready yet."""
        log = self.folder / f"worker{len(self.workers)}.log"
        command = [sys.executable, "-c", CELERY, "--app", "sellerlegend", "worker", *OPTIONS]
        command += ["--concurrency", str(concurrency), "--hostname", f"{log.stem}@%h"]
        command += ["--queues", queues, *(["--loglevel", loglevel] if loglevel else [])]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=PROJECT_DIR,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def run_python(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """A program of its own in the product's environment, talking through pipes."""
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=PROJECT_DIR,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, task: str, *arguments: str) -> None:
        """Send a message to whoever works here."""
        with app.connection_for_write(
            self.broker_url, transport_options=self.broker_options
        ) as broker:
            app.send_task(task, args=list(arguments), queue="interactive", connection=broker)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


@contextlib.contextmanager
def open_office(broker: str, amazon_url: str, folder: Path) -> Iterator[Office]:
    """`broker` is redis, or filesystem: the embedded default, with the database as cache."""
    with contextlib.ExitStack() as stack:
        redis_url = ""
        if broker == "redis":
            redis_url = stack.enter_context(own_redis_database())
        else:
            call_command("createcachetable", "embedded_cache")
        environment = os.environ | development_environment(
            DJANGO_SETTINGS_MODULE="sellerlegend.settings",
            DJANGO_SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
            TOKEN_ENCRYPTION_KEYS=os.environ["TOKEN_ENCRYPTION_KEYS"],
            DATABASE_URL=database_url(),
            REDIS_URL=redis_url,
            VAR_DIR=str(folder),
            AMAZON_EMULATOR_URL=amazon_url,
        )
        office = Office(folder, environment, *broker_of(redis_url, folder))
        stack.callback(office.close)
        yield office


def broker_of(redis_url: str, folder: Path) -> tuple[str, dict[str, Any]]:
    if redis_url:
        return redis_url, {}
    for name in ("messages", "control"):
        (folder / "broker" / name).mkdir(parents=True)
    messages = str(folder / "broker" / "messages")
    options = {
        "data_folder_in": messages,
        "data_folder_out": messages,
        "control_folder": str(folder / "broker" / "control"),
    }
    return "filesystem://", options


def database_url() -> str:
    """The database of this test for another process."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    password = f":{quote(settings['PASSWORD'], safe='')}" if settings["PASSWORD"] else ""
    place = f"{settings['HOST']}:{settings['PORT'] or 5432}"
    return f"postgresql://{settings['USER']}{password}@{place}/{settings['NAME']}"


@contextlib.contextmanager
def own_redis_database() -> Iterator[str]:
    """A numbered database of Redis that is empty, or that a test run left behind."""
    parts = urlsplit(find_services().redis.address)
    for number in range(1, 15):
        url = parts._replace(path=f"/{number}").geturl()
        client = redis.Redis.from_url(url)
        is_free = not client.dbsize() or client.exists("sellerlegend-tests")
        if is_free and client.set("sellerlegend-tests:held", "1", nx=True, ex=HOLD_SECONDS):
            try:
                for key in set(client.keys()) - {b"sellerlegend-tests:held"}:
                    client.delete(key)
                client.set("sellerlegend-tests", "1")
                yield url
            finally:
                client.flushdb()
                client.close()
            return
        client.close()
    raise RuntimeError("no database of this Redis is free")


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError when it does not happen within PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what}")
        time.sleep(0.1)
