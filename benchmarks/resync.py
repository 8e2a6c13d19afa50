"""P9: `resync_tokens --tokens-only` over many grants, with an Amazon that answers after 50 ms.

Each grant is one refresh; the ideal is what 64 that only wait would need for them. The upstream is
another process, so that its CPU is not ours.
"""

from __future__ import annotations

import io
import json
import time

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from benchmarks.measure import calibration
from benchmarks.report import Report, Span
from benchmarks.slow_amazon import JAPAN, LATENCY_SECONDS, slow_amazon
from connections import credentials
from connections.models import Connection, SpApiGrant
from sellerlegend import crypto
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations.models import Organization

GRANTS = 10_000
CONCURRENCY = 64
# Of their own: the rows of the data set stand in Europe, and their tokens do not open.
ORGANIZATIONS = 40
REGION = "FE"


def refreshing(report: Report) -> None:
    make_grants()
    out = io.StringIO()
    with slow_amazon() as amazon:
        settings.AMAZON_ENDPOINTS = Endpoints.emulator(amazon.address)
        began, cpu = time.monotonic(), time.process_time()
        call_command(
            "resync_tokens",
            "--tokens-only",
            "--json",
            f"--region={REGION}",
            f"--concurrency={CONCURRENCY}",
            stdout=out,
            stderr=io.StringIO(),
        )
        seconds, used = time.monotonic() - began, time.process_time() - cpu
        seen = amazon.seen()
    ended = [json.loads(line)["outcome"] for line in out.getvalue().splitlines()]
    if ended != ["done"] * GRANTS:
        raise RuntimeError(f"only {ended.count('done')} of {GRANTS} are done")
    if seen["asked"] != GRANTS:
        raise RuntimeError(f"{seen['asked']} refreshes for {GRANTS} consents")
    print(f"P9: at most {seen['most']} refreshes at once")
    ideal = GRANTS * LATENCY_SECONDS / CONCURRENCY
    cpu_of_each = 1_000 * used / GRANTS
    report.add(Span("P9 re-sync", seconds, ideal, 1.3, cpu_of_each, 2.0, calibration()))


def make_grants() -> None:
    """Organizations of their own, with consents that open."""
    for number in range(ORGANIZATIONS):
        organization = Organization(name=f"Re-sync {number}", slug=f"bench-resync-{number}")
        organization.data_key = crypto.new_data_key(organization.pk)
        organization.save()
        make_grants_of(organization, GRANTS // ORGANIZATIONS)


def make_grants_of(organization: Organization, count: int) -> None:
    rows = [
        Connection(
            organization=organization,
            name=f"Store {number}",
            region=REGION,
            marketplace_id=JAPAN.marketplace_id,
            selling_partner_id=f"ARESYNC{number:06d}",
            account_confirmed_at=timezone.now(),
        )
        for number in range(count)
    ]
    Connection.objects.for_organization(organization).bulk_create(rows)
    grants = [SpApiGrant(connection=row, authorized_at=timezone.now()) for row in rows]
    for grant in grants:
        token = Secret(f"Atzr|bench-{grant.connection_id}")
        sealed = credentials.seal_refresh_token(grant, token, organization.data_key)
        for name, value in ({"status": "active"} | sealed).items():
            setattr(grant, name, value)
    SpApiGrant.objects.for_organization(organization).bulk_create(grants)
