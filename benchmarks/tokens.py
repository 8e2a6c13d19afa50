"""P6: handing out a live access token. P7: the same when it has run out, and when fifty callers in
four processes want it at one moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from benchmarks import plain_tokens
from benchmarks.application import CountedQueries
from benchmarks.measure import interleave
from benchmarks.report import Exactly, Figure, Report
from benchmarks.screen import Screens
from benchmarks.token_server import token_server
from connections import credentials, token_cache
from connections.models import Connection, SpApiGrant
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.secret import Secret

SECONDS = 12.0
LATENCY_SECONDS = 0.05
SLOW_SECONDS = 20.0
ROUNDS = 3
# Fifty callers.
THREADS = (13, 13, 12, 12)


@dataclass(frozen=True)
class Consents:
    """The same consent twice: as the product keeps it, and as plain Django does."""

    connection: Connection
    grant: SpApiGrant

    def expire(self) -> None:
        """As an hour after the last refresh."""
        rows = SpApiGrant.objects.for_organization(self.connection.organization_id)
        an_hour_ago = timezone.now() - timedelta(hours=1)
        rows.filter(pk=self.grant.pk).update(last_refreshed_at=an_hour_ago)
        token_cache.drop(token_cache.key_of(self.grant))

    def expire_plain(self) -> None:
        plain_tokens.expire(self.grant.pk)

    def hand_out(self) -> None:
        """As the product's callers ask: by the connection they know."""
        credentials.live_token(self.connection)

    def hand_out_plain(self) -> None:
        plain_tokens.access_token(self.connection.organization_id, self.grant.pk)


def make_consents(screens: Screens) -> Consents:
    organization = screens.tenants[25].organization
    connection = Connection.objects.for_organization(organization).earliest("name")
    grant: SpApiGrant = SpApiGrant.objects.for_organization(organization).get(connection=connection)
    token = Secret("Atzr|bench-" + "r" * 330)
    columns = credentials.seal_refresh_token(grant, token, organization.data_key)
    SpApiGrant.objects.for_organization(organization).filter(pk=grant.pk).update(**columns)
    grant.refresh_from_db()
    plain_tokens.make_table()
    plain_tokens.store(
        grant.pk, organization.pk, access="Atza|bench-" + "a" * 330, refresh=token.reveal()
    )
    return Consents(connection, grant)


def handing_out(screens: Screens, report: Report, figures: list[str]) -> None:
    with token_server(LATENCY_SECONDS) as server:
        settings.AMAZON_ENDPOINTS = Endpoints.emulator(server.address)
        consents = make_consents(screens)
        both: dict[str, Callable[[], Any]] = {
            "plain Django": consents.hand_out_plain,
            "product": consents.hand_out,
        }
        if "p6" in figures:
            fresh(screens, report, consents, both)
        if "p7" in figures:
            expired(screens, report, consents, both)
            storms(report, consents, LATENCY_SECONDS, ROUNDS)
    if "p7" in figures:
        storms(report, consents, SLOW_SECONDS, 1)


def fresh(
    screens: Screens, report: Report, consents: Consents, both: dict[str, Callable[[], Any]]
) -> None:
    samples = interleave(both, seconds=SECONDS, backend=screens.backend)
    with CountedQueries() as queries:
        consents.hand_out()
    report.add(Figure("P6 fresh", samples, "product", ("plain Django",), 0.55, len(queries), 2))


def expired(
    screens: Screens, report: Report, consents: Consents, both: dict[str, Callable[[], Any]]
) -> None:
    before: dict[str, Callable[[], Any]] = {
        "plain Django": consents.expire_plain,
        "product": consents.expire,
    }
    samples = interleave(both, seconds=SECONDS, backend=screens.backend, before=before)
    consents.expire()
    with CountedQueries() as queries:
        consents.hand_out()
    report.add(Figure("P7 expired", samples, "product", ("plain Django",), 0.6, len(queries), None))


# Fifty at once -----------------------------------------------------------------------------

STORM = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import django

django.setup()
from django.conf import settings
from django.db import connection
from connections import credentials
from connections.models import Connection
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.crypto import fingerprint

settings.AMAZON_ENDPOINTS = Endpoints.emulator(sys.argv[3])
threads = int(sys.argv[2])
row = Connection._base_manager.get(pk=sys.argv[1])
gate = Barrier(threads + 1)

def ask(_number):
    connection.ensure_connection()
    gate.wait()
    try:
        return fingerprint(credentials.live_token(row))
    finally:
        connection.close()

with ThreadPoolExecutor(threads) as pool:
    asked = [pool.submit(ask, number) for number in range(threads)]
    print("ready", flush=True)
    sys.stdin.readline()
    gate.wait()
    print(json.dumps([each.result() for each in asked]), flush=True)
"""


def storms(report: Report, consents: Consents, seconds: float, rounds: int) -> None:
    with token_server(seconds) as server:
        for _ in range(rounds):
            before = server.calls()
            consents.expire()
            tokens = storm(consents.connection, server.address)
            report.add(
                Exactly(
                    f"P7 storm {seconds:g} s",
                    server.calls() - before,
                    1,
                    f"calls for {len(tokens)} callers in {len(THREADS)} processes, who got "
                    f"{len(set(tokens))} token",
                )
            )


def storm(connection: Connection, address: str) -> list[str]:
    """The fingerprints of what everybody got."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STORM, str(connection.pk), str(threads), address],
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for threads in THREADS
    ]
    try:
        for process in processes:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError("a process of the storm did not start")
        for process in processes:
            print(file=process.stdin, flush=True)
        said = [process.stdout.readline() for process in processes if process.stdout]
        return [token for line in said for token in json.loads(line)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
