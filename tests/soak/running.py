"""The whole product on servers of its own: gunicorn, a worker, a clock, PostgreSQL and Redis that
may be stopped, frozen and flushed while people use it."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import requests

from sellerlegend.env import PROJECT_DIR
from tests.amazon_emulator import RunningEmulator, running_emulator
from tests.environment import development_environment
from tests.soak.crew import Crew, Post
from tests.soak.ours import worker
from tests.soak.servers import (
    OwnPostgres,
    OwnRedis,
    free_port,
    own_folder,
    own_postgres,
    own_redis,
    start_mortal,
    until,
)

CSRF = "c" * 32
SETUP = """
import sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""


@dataclass(frozen=True)
class Answer:
    """`status` 0: the connection ended without an answer."""

    status: int
    seconds: float
    headers: Any
    text: str


@dataclass
class RunningProduct:
    """`url` is where people find it."""

    url: str
    environment: dict[str, str]
    redis: OwnRedis
    postgres: OwnPostgres
    amazon: RunningEmulator
    crew: Crew

    def run(self, program: str, *arguments: str) -> str:
        """What a program in the product's own environment prints."""
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=PROJECT_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(psycopg2.connect(self.postgres.url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
                return list(cursor.fetchall())

    def browser(self, session: str) -> Browser:
        return Browser(self.url, session)


class Browser:
    """A signed-in person's, that follows no redirects and measures how long answers take."""

    def __init__(self, url: str, session: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.cookies.update({"session": session, "csrf": CSRF})

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, {})

    def post(self, path: str, **form: Any) -> Answer:
        return self._ask("POST", path, {**form, "csrfmiddlewaretoken": CSRF})

    def _ask(self, method: str, path: str, form: dict[str, Any]) -> Answer:
        start = time.monotonic()
        try:
            reply = self.session.request(
                method, self.url + path, data=form, allow_redirects=False, timeout=60
            )
        except requests.ConnectionError:
            return Answer(0, time.monotonic() - start, {}, "")
        return Answer(reply.status_code, time.monotonic() - start, reply.headers, reply.text)


@contextlib.contextmanager
def running_product(*, threads: int = 8) -> Iterator[RunningProduct]:
    """Two web processes with so many threads each, one worker with two processes, one clock."""
    with (
        own_folder() as folder,
        own_redis() as redis,
        own_postgres() as postgres,
        running_emulator() as amazon,
    ):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = environment_of(folder, redis, postgres, amazon.url, url)
        beat = ["--app", "sellerlegend", "beat", "--schedule", str(folder / "schedule")]
        crew = Crew(folder, environment, [Post("worker1", worker("worker1")), Post("beat", beat)])
        product = RunningProduct(url, environment, redis, postgres, amazon, crew)
        product.run(SETUP)
        web = start_web(folder, port, threads, environment)
        try:
            crew.open()
            until(answers(url), "answer from the web process")
            yield product
        finally:
            redis.thaw()
            crew.close()
            web.terminate()
            web.wait(30)


def environment_of(
    folder: Path, redis: OwnRedis, postgres: OwnPostgres, amazon_url: str, url: str
) -> dict[str, str]:
    return {
        **os.environ,
        **development_environment(
            DJANGO_SETTINGS_MODULE="tests.soak.settings",
            DJANGO_SECRET_KEY=secrets.token_urlsafe(50),
            TOKEN_ENCRYPTION_KEYS=f"soak:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            DATABASE_URL=postgres.url(),
            REDIS_URL=redis.url(),
            VAR_DIR=str(folder),
            AMAZON_EMULATOR_URL=amazon_url,
            PUBLIC_BASE_URL=url,
            SWEEP_SECONDS="3",  # the soak shows the real one; here only what comes of it counts
        ),
    }


def start_web(
    folder: Path, port: int, threads: int, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    (folder / "static").mkdir()
    command = [sys.executable, "-m", "gunicorn", "sellerlegend.wsgi:application"]
    command += [f"--bind=127.0.0.1:{port}", "--workers=2", "--worker-class=gthread"]
    command += [f"--threads={threads}", "--timeout=60", "--no-control-socket"]
    return start_mortal(command, folder / "web.log", environment=environment, cwd=PROJECT_DIR)


def answers(url: str) -> Callable[[], bool]:
    def answers_now() -> bool:
        try:
            return requests.get(f"{url}/accounts/login/", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    return answers_now
