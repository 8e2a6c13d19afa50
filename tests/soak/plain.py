"""The same work as plain Celery tasks under the same nemesis."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from tests.soak.crew import WORKERS, Post
from tests.soak.history import Event, Journal
from tests.soak.plain_tasks import TABLES, TASK, VISIBILITY_SECONDS, app
from tests.soak.servers import OwnPostgres, OwnRedis


class Plain:
    """Submits tasks as a web process would: acknowledged when `send_task` did not raise."""

    name = "plain Celery"

    def __init__(self, journal: Journal, postgres: OwnPostgres) -> None:
        self.journal = journal
        self.postgres = postgres
        self._acknowledged = 0

    @property
    def lease_seconds(self) -> float:
        """There is none; so long a worker must be frozen for its messages to be given away."""
        return float(VISIBILITY_SECONDS)

    def environment(self) -> dict[str, str]:
        """Without Django, which Celery would set up by itself."""
        return {k: value for k, value in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}

    def posts(self, _folder: Path) -> list[Post]:
        return [Post(name, worker(name)) for name in WORKERS]

    def submit(self, number: int) -> bool:
        subject, organization = f"store {number}", f"organization {number % 20}"
        try:
            app.send_task(TASK, args=[subject, organization])
        except Exception:  # noqa: BLE001  # whatever the broker raises: nothing was promised
            return False
        self.journal.record(
            "acknowledged", subject=subject, organization=organization, detail=subject
        )
        self._acknowledged += 1
        return True

    def leave(self) -> None:
        """The submitting thread ends; it holds nothing."""

    def unfinished(self) -> int:
        try:
            [(done,)] = self._read(
                "SELECT count(DISTINCT subject) FROM history WHERE what='effect'"
            )
        except psycopg2.Error:
            return 1
        return max(0, self._acknowledged - int(done))

    def collect(self) -> list[Event]:
        names = ["at", "what", "subject", "organization", "worker", "backend", "transaction"]
        rows = self._read(f"SELECT {', '.join(names)} FROM history ORDER BY number")
        seen = [Event(**dict(zip(names, row, strict=True))) for row in rows]
        return [Event(**{**vars(event), "job": event.subject}) for event in seen]

    def _read(self, query: str) -> list[Any]:
        connection = psycopg2.connect(self.postgres.url())
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


def worker(name: str) -> list[str]:
    command = [
        "--app",
        "tests.soak.plain_tasks",
        "worker",
        "--concurrency",
        "2",
        "--loglevel",
        "INFO",
    ]
    return [*command, "--without-gossip", "--without-mingle", "--hostname", f"{name}@%h"]


@contextlib.contextmanager
def running_plain(
    _folder: Path, journal: Journal, redis: OwnRedis, postgres: OwnPostgres
) -> Iterator[Plain]:
    os.environ |= {"PLAIN_BROKER": redis.url(), "PLAIN_DATABASE": postgres.url()}
    app.conf.broker_url = redis.url()
    postgres.execute(TABLES)
    yield Plain(journal, postgres)
