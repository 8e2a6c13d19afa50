"""C22: what is left of a token after its end, in the very files of PostgreSQL and Redis.

A PostgreSQL of the test's own: its tables, indexes and write-ahead log are read as bytes. Only
ciphertext ever gets there. Old pages and the log keep ciphertext, and wrapped data keys, until
they are overwritten; `docs/threats.md` says what that means for backups.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sellerlegend.env import PROJECT_DIR
from tests.amazon_emulator import RunningEmulator, running_emulator
from tests.soak.running import SETUP, environment_of
from tests.soak.servers import (
    OwnPostgres,
    OwnRedis,
    own_folder,
    own_postgres,
    own_redis,
    require_programs,
)

pytestmark = [
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
    pytest.mark.timeout(300),
]

# As short as a piece may be that an end of a page of 8 kB cuts off, and still nobody's by chance.
PIECE = 16
SELLER, LOGIN = "A1NORTHSTAR001", "ads@northstar.example"

# Two organizations with a consent of each kind, by the way that people take: out to Amazon, back
# with a code, refresh. Then what is stored of it.
CONNECT = """
import json, sys
import django
django.setup()
from django.conf import settings
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
from django.test.utils import setup_test_environment
setup_test_environment()
from connections.credentials import access_token
from connections.models import AdsGrant, SpApiGrant
from sellerlegend.jobs import ledger
from sellerlegend.organizations.models import Organization
from tests import factories, session_cookies, trips
session_cookies.teach_the_test_client()
seller, login = sys.argv[1:]
found = []
for name in ("Disconnects", "Deletes"):
    organization = factories.make_organization(name)
    client = trips.sign_in(factories.owner_of(organization))
    row = factories.make_waiting_connection(organization)
    assert trips.come_back(client, trips.confirm(trips.leave(client, row), seller)) == "connected"
    row.refresh_from_db()
    account = factories.make_account(row, factories.US, onboarding="onboarded")
    trips.come_back(client, trips.allow(trips.leave_for_ads(client, row, [account.pk]), login))
    ledger.drain("interactive")
    grants = [*SpApiGrant._base_manager.filter(connection=row),
              *AdsGrant._base_manager.filter(organization=organization)]
    assert len(grants) == 2
    for grant in grants:
        access_token(grant)
    stored = Organization.objects.get(pk=organization.pk)
    found.append({"organization": str(organization.pk), "row": str(row.pk),
                  "data_key": stored.data_key,
                  "sealed": [grant.refresh_token for grant in grants]})
print(json.dumps(found))
"""
END = """
import sys
import django
django.setup()
from connections.models import Connection
from ppc import disconnecting, erasure
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import Organization
row, organization = sys.argv[1:]
row = Connection._base_manager.get(pk=row)
ended = disconnecting.disconnect(connection=row, sides=frozenset(disconnecting.Side), actor=COMMAND)
assert len(ended) == 2
erasure.delete_organization(organization=Organization.objects.get(pk=organization), actor=COMMAND)
"""


@dataclass
class Product:
    environment: dict[str, str]
    postgres: OwnPostgres
    redis: OwnRedis
    amazon: RunningEmulator
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
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

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.postgres.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with (
            contextlib.closing(psycopg2.connect(self.postgres.url())) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            return list(cursor.fetchall())

    def cached_tokens(self) -> list[bytes]:
        with contextlib.closing(self.redis.client()) as client:
            return [key for key in client.scan_iter("*") if b"access-token:" in key]

    def places(self, text: str) -> set[str]:
        """Where a piece of it stands: tables (with their indexes), wal, redis, files."""
        self.execute("CHECKPOINT")
        pieces = pieces_of(text)
        data = self.postgres.data
        found = set()
        for place, folder in (
            ("tables", data / "base"),
            ("tables", data / "global"),
            ("wal", data / "pg_wal"),
            ("files", self.folder),
            ("log", self.postgres.folder / "postgresql.log"),
        ):
            if any(piece in content for content in contents(folder) for piece in pieces):
                found.add(place)
        with contextlib.closing(self.redis.client()) as client:
            kept = [
                key + b" " + (client.get(key) or b"")
                for key in client.scan_iter("*")
                if client.type(key) == b"string"
            ]
        if any(piece in value for value in kept for piece in pieces):
            found.add("redis")
        return found


def pieces_of(text: str) -> list[bytes]:
    """Beginning, middle and end, without what every token begins with."""
    body = text.partition("|")[2] or text
    middle = len(body) // 2
    return [
        piece.encode() for piece in (body[:PIECE], body[middle : middle + PIECE], body[-PIECE:])
    ]


def contents(place: Path) -> Iterator[bytes]:
    for path in [place] if place.is_file() else sorted(place.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield path.read_bytes()


@pytest.fixture
def product() -> Iterator[Product]:
    require_programs()
    url = "http://localhost:8000"
    with (
        own_folder() as folder,
        own_redis() as redis,
        own_postgres() as postgres,
        running_emulator(product_url=url) as amazon,
    ):
        environment = environment_of(folder, redis, postgres, amazon.url, url)
        # A long log, so that what went by stays to be searched.
        postgres.execute("ALTER SYSTEM SET max_wal_size = '1GB'")
        postgres.execute("SELECT pg_reload_conf()")
        running = Product(environment, postgres, redis, amazon, folder)
        running.run(SETUP)
        yield running


def test_no_token_is_left_anywhere_and_only_ciphertext_ever_got_there(product: Product) -> None:
    disconnects, deletes = json.loads(product.run(CONNECT, SELLER, LOGIN))
    secrets = product.amazon.issued_secrets()
    sealed = [*disconnects["sealed"], *deletes["sealed"]]
    assert len(secrets) >= 8
    # The search finds what is there.
    bodies = [text.rpartition(".")[2] for text in sealed]
    assert [product.places(body) for body in bodies] == [{"tables", "wal"}] * 4
    assert len(product.cached_tokens()) == 4
    assert {secret for secret in secrets if product.places(secret)} == set()

    product.run(END, disconnects["row"], deletes["organization"])

    # Nothing of it is in any row at once, and in no page after the next vacuum.
    assert product.rows("SELECT refresh_token FROM connections_spapigrant") == [("",)] * 2
    assert product.rows("SELECT refresh_token FROM connections_adsgrant") == [("",)] * 2
    assert product.cached_tokens() == []
    product.execute("VACUUM FULL", "SELECT pg_switch_wal()")
    assert [body for body in bodies if product.places(body) - {"wal"}] == []
    assert {secret for secret in secrets if product.places(secret)} == set()
    # Of the deleted organization the wrapped key is gone as well, as far as rows and pages go.
    key = deletes["data_key"].rpartition(".")[2]
    assert product.places(key) <= {"wal"}
    [(kept,)] = product.rows(
        f"SELECT data_key FROM organizations_organization WHERE id = '{deletes['organization']}'"
    )
    assert kept == ""
