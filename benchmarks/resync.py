"""P9: `resync_tokens` over many grants, with an Amazon that answers after 50 ms.

Each grant is two calls that wait for each other, a refresh and a reading; the ideal is what 64
that only wait would need for them. The upstream is another process, so that its CPU is not ours.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from multiprocessing.connection import Connection as Pipe

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from benchmarks.dataset import EUROPE
from benchmarks.measure import calibration
from benchmarks.report import Report, Span
from benchmarks.token_server import Tokens
from connections import credentials
from connections.models import Connection, SpApiGrant
from sellerlegend import crypto
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations.models import Organization

GRANTS = 640
CONCURRENCY = 64
LATENCY_SECONDS = 0.05
CALLS_OF_A_GRANT = 2
SLUG = "bench-resync"


class SlowAmazon(Tokens):
    """Login with Amazon and the Sellers API, each after the same wait."""

    body = json.dumps(
        {
            "payload": [
                {
                    "marketplace": {
                        "id": EUROPE[0].marketplace_id,
                        "name": EUROPE[0].name,
                        "countryCode": EUROPE[0].country_code,
                        "defaultCurrencyCode": EUROPE[0].currency,
                        "defaultLanguageCode": EUROPE[0].language,
                        "domainName": EUROPE[0].domain,
                    },
                    "storeName": "Northstar",
                    "participation": {"isParticipating": True, "hasSuspendedListings": False},
                }
            ]
        }
    ).encode()

    def do_POST(self) -> None:
        time.sleep(LATENCY_SECONDS)
        super().do_POST()

    def do_GET(self) -> None:
        time.sleep(LATENCY_SECONDS)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)


class ManyConnections(ThreadingHTTPServer):
    request_queue_size = 2 * CONCURRENCY


def serve(told: Pipe) -> None:
    server = ManyConnections(("127.0.0.1", 0), SlowAmazon)
    told.send(server.server_port)
    server.serve_forever()


@contextmanager
def slow_amazon() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    # Spawned, not forked: a fork would share our database connections.
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def refreshing(report: Report) -> None:
    make_grants()
    with slow_amazon() as address:
        settings.AMAZON_ENDPOINTS = Endpoints.emulator(address)
        began, cpu = time.monotonic(), time.process_time()
        out = io.StringIO()
        call_command(
            "resync_tokens",
            "--json",
            f"--organization={SLUG}",
            f"--concurrency={CONCURRENCY}",
            stdout=out,
            stderr=io.StringIO(),
        )
        seconds, used = time.monotonic() - began, time.process_time() - cpu
    ended = [json.loads(line)["outcome"] for line in out.getvalue().splitlines()]
    if ended != ["done"] * GRANTS:
        raise RuntimeError(f"only {ended.count('done')} of {GRANTS} are done")
    ideal = GRANTS * CALLS_OF_A_GRANT * LATENCY_SECONDS / CONCURRENCY
    report.add(Span("P9 re-sync", seconds, ideal, 1.3, 1_000 * used / GRANTS, 2.0, calibration()))


def make_grants() -> None:
    """An organization of its own, with consents that open."""
    organization = Organization(name=SLUG, slug=SLUG)
    organization.data_key = crypto.new_data_key(organization.pk)
    organization.save()
    rows = [
        Connection(
            organization=organization,
            name=f"Store {number}",
            region="EU",
            marketplace_id=EUROPE[0].marketplace_id,
            selling_partner_id=f"ARESYNC{number:06d}",
            account_confirmed_at=timezone.now(),
        )
        for number in range(GRANTS)
    ]
    Connection.objects.for_organization(organization).bulk_create(rows)
    grants = []
    for row in rows:
        grant = SpApiGrant(connection=row, status="active", authorized_at=timezone.now())
        sealed = credentials.seal_refresh_token(
            grant, Secret(f"Atzr|bench-{row.pk}"), organization.data_key
        )
        for name, value in sealed.items():
            setattr(grant, name, value)
        grants.append(grant)
    SpApiGrant.objects.for_organization(organization).bulk_create(grants)
