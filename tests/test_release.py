"""The Procfile's release line as a process of its own, on databases as a release finds them: empty,
one migration behind, up to date (G8)."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2 import sql

from sellerlegend.env import PROJECT_DIR
from tests.environment import development_environment
from tests.leftovers import PREFIX
from tests.services import find_services
from tests.settings import TEST_RUN, WORKER

pytestmark = pytest.mark.timeout(300)

NOBODY_LISTENS = "redis://127.0.0.1:1/0"
PRODUCTION = {
    "DJANGO_DEBUG": "false",
    "DJANGO_ALLOWED_HOSTS": "accounts.example.com",
    "DJANGO_SECRET_KEY": "8Jz0kQbW3vX5nY7mR1tL9pA2sD4fG6hJ8kZ0xC3vB5nM7qW9eR1tY3uI5oP7",
    "TOKEN_ENCRYPTION_KEYS": "k1:jx18ArZek6pB8MjXLptUY9EPqn48iLH0Bl0r6XdAwxk=",
    "PUBLIC_BASE_URL": "https://accounts.example.com",
    "TRUSTED_PROXY_COUNT": "1",
    "EMAIL_HOST": "mail.example.com",
    "DJANGO_SETTINGS_MODULE": "sellerlegend.settings",
}
OUR_APPS = (
    *("organizations", "jobs", "applications", "monitoring"),
    *("connections", "marketplaces", "ppc"),
)
# Every app of ours without its last migration, and without whatever needs one of those.
LAST_RELEASE = """
import sys
import django
django.setup()
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
executor = MigrationExecutor(connection)
graph = executor.loader.graph
ours = set(sys.argv[1:])
news = set()
for leaf in graph.leaf_nodes():
    if leaf[0] in ours and any(parent[0] == leaf[0] for parent in graph.node_map[leaf].parents):
        news |= set(graph.backwards_plan(leaf))
plan = executor.migration_plan(graph.leaf_nodes())
old = [step for step in plan if (step[0].app_label, step[0].name) not in news]
executor.migrate(None, plan=old)
print(len(news))
"""


@dataclass(frozen=True)
class Installation:
    """A database and a production environment that uses it."""

    environment: dict[str, str]

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=PROJECT_DIR,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def release(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(*release_line()[1:], **variables)


def release_line() -> list[str]:
    lines = (PROJECT_DIR / "Procfile").read_text().splitlines()
    [line] = [line.removeprefix("release: ") for line in lines if line.startswith("release: ")]
    words = shlex.split(line)
    assert words[0] == "python"
    return words


@contextlib.contextmanager
def empty_postgresql() -> Iterator[str]:
    """The URL of a new database, under a name that is swept away if this run is killed."""
    server, name = find_services().postgresql.address, f"{PREFIX}{TEST_RUN}_{WORKER}_release"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with contextlib.closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(drop)
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(drop)


@pytest.fixture(params=["postgresql", "sqlite"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    with contextlib.ExitStack() as stack:
        database = ""
        if request.param == "postgresql":
            if not find_services().postgresql.address:
                pytest.skip(f"needs postgresql: {find_services().postgresql.words}")
            database = stack.enter_context(empty_postgresql())
        variables = {
            **PRODUCTION,
            "DATABASE_URL": database,
            "REDIS_URL": find_services().redis.address,
            "VAR_DIR": str(tmp_path),
        }
        (tmp_path / "messages").mkdir()
        yield Installation({"PATH": os.environ["PATH"], **development_environment(**variables)})


def test_an_empty_database_is_migrated_and_a_second_release_has_nothing_to_do(
    installation: Installation,
) -> None:
    first = installation.release()
    assert first.returncode == 0, first.stderr[-3000:]
    assert first.stdout.count("... OK") > len(OUR_APPS)

    second = installation.release(REDIS_URL=NOBODY_LISTENS)  # no release needs the doorbell

    assert second.returncode == 0, second.stderr[-3000:]
    assert "No migrations to apply." in second.stdout
    pending = installation.run("manage.py", "migrate", "--check")
    assert (pending.returncode, pending.stdout) == (0, "")


def test_a_database_of_the_last_release_is_migrated(installation: Installation) -> None:
    before = installation.run("-c", LAST_RELEASE, *OUR_APPS)
    assert before.returncode == 0, before.stderr[-3000:]

    after = installation.release()

    assert after.returncode == 0, after.stderr[-3000:]
    assert after.stdout.count("... OK") == int(before.stdout) > 0


def test_before_the_first_release_the_checks_of_the_servers_find_nothing(
    installation: Installation,
) -> None:
    checked = installation.run("manage.py", "check", "--database", "default")

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_a_wrong_configuration_still_stops_a_release(installation: Installation) -> None:
    refused = installation.release(DJANGO_ALLOWED_HOSTS="*")

    assert refused.returncode == 1
    assert "SL.E017" in refused.stderr
    assert "Applying" not in refused.stdout
