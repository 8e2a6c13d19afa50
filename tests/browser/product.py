"""The whole product to walk through: one that runs already, or one started for the tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import redis
import requests
from psycopg2 import sql

from tests.demo.environment import CHECKOUT
from tests.leftovers import PREFIX
from tests.services import find_services

READY_SECONDS = 300
STOP_SECONDS = 30
# The process that uses a Redis database, so that two runs never share one.
REDIS_CLAIM = "walk-claimed-by"
TAKE_FROM_THE_DEAD = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('flushdb')
redis.call('set', KEYS[1], ARGV[2])
return 1
"""
EMULATOR_SOURCE = re.compile(r"(http://127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class Product:
    """`var_dir` is where the product keeps its files; None for one that others started."""

    url: str
    amazon_url: str
    var_dir: Path | None = None


def running_already() -> str:
    """The address of a product that runs, from BASE_URL; "" when the tests start their own."""
    return os.environ.get("BASE_URL", "").rstrip("/")


def existing_product(url: str) -> Product:
    """Its fake Amazon is where its forms may lead."""
    policy = requests.get(f"{url}/accounts/login/", timeout=10).headers["Content-Security-Policy"]
    found = EMULATOR_SOURCE.search(policy)
    assert found is not None, f"the product at {url} is not connected to the fake Amazon"
    return Product(url, found.group(1))


@contextlib.contextmanager
def embedded_product(folder: Path) -> Iterator[Product]:
    """SQLite, a broker of files, the cache in the database, one worker."""
    with running_demo(folder, database_url="", redis_url="", workers=1) as product:
        yield product


@contextlib.contextmanager
def full_product(folder: Path) -> Iterator[Product]:
    """PostgreSQL, Redis, two workers."""
    services = find_services()
    with (
        own_database(services.postgresql.address) as database_url,
        own_redis_database(services.redis.address) as redis_url,
        running_demo(folder, database_url=database_url, redis_url=redis_url, workers=2) as product,
    ):
        yield product


@contextlib.contextmanager
def running_demo(
    folder: Path, *, database_url: str, redis_url: str, workers: int
) -> Iterator[Product]:
    """`make run` on free ports with a folder of its own, seeded."""
    port, amazon_port = free_ports()
    output = folder / "output"
    command = [sys.executable, "-m", "tests.demo", f"--port={port}"]
    command += [f"--amazon-port={amazon_port}", f"--workers={workers}"]
    environment = {
        **os.environ,
        "VAR_DIR": str(folder / "var"),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }
    with output.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        wait_until_ready(process, output)
        yield Product(f"http://localhost:{port}", f"http://127.0.0.1:{amazon_port}", folder / "var")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=STOP_SECONDS)


def wait_until_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "Ready after" not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.2)


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@contextlib.contextmanager
def own_database(server_url: str) -> Iterator[str]:
    """A database named as the test databases are: a killed run's is dropped by the next run."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"{PREFIX}{os.environ['TEST_RUN']}_{worker}_walk"
    execute(server_url, "CREATE DATABASE {}", name)
    execute(server_url, "ALTER DATABASE {} SET synchronous_commit = off", name)
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        execute(server_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def execute(server_url: str, statement: str, name: str) -> None:
    connection = psycopg2.connect(server_url)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(sql.Identifier(name)))


@contextlib.contextmanager
def own_redis_database(server_url: str) -> Iterator[str]:
    """An empty numbered database nobody else took: queues have the same names everywhere."""
    for number in range(14, 0, -1):
        url = urlsplit(server_url)._replace(path=f"/{number}").geturl()
        with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as client:
            if is_claimed(client):
                try:
                    yield url
                finally:
                    client.flushdb()
                return
    raise AssertionError("every numbered database of Redis is in use")


def is_claimed(client: redis.Redis) -> bool:
    """Whether this process has the database now: it was empty, or a killed run left it behind."""
    owner = client.get(REDIS_CLAIM)
    if isinstance(owner, str):
        taken = not is_alive(int(owner)) and client.eval(
            TAKE_FROM_THE_DEAD, 1, REDIS_CLAIM, owner, str(os.getpid())
        )
        return taken == 1
    return client.dbsize() == 0 and bool(client.set(REDIS_CLAIM, os.getpid(), nx=True))


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
