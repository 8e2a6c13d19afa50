"""P8: the consent round trip, from the button to the connected row."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.conf import settings
from django.db import connection as database

from benchmarks.application import CountedQueries, csrf_of, sign_in
from benchmarks.dataset import EUROPE, Tenant
from benchmarks.measure import interleave
from benchmarks.report import Figure, Report
from benchmarks.screen import Screens, answered
from benchmarks.token_server import token_server
from benchmarks.wsgi import Application, request
from connections.models import Connection
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.organizations.models import Allowance

SECONDS = 15.0
numbers = itertools.count(1)


@dataclass
class Traveller:
    """A browser that goes to Amazon and comes back, each time for a new row."""

    application: Application
    tenant: Tenant
    cookies: str
    start_path: str
    callback_path: str
    waiting: Connection | None = None
    seller: str = ""

    def prepare(self) -> None:
        """The row that *Add New Connection* left behind, and what Amazon will say. No person
        travels that often: the limit of trips is forgotten."""
        Allowance.objects.all().delete()
        number = next(numbers)
        self.seller = f"ABENCH{number:08d}"
        self.waiting = Connection.objects.for_organization(self.tenant.organization).create(
            name=f"Waiting {number}", region="EU", marketplace_id=EUROPE[0].marketplace_id
        )

    def travel(self) -> None:
        out = answered(
            request(
                self.application,
                self.start_path.format(row=self.waiting.pk if self.waiting else ""),
                cookies=self.cookies,
                form={"csrfmiddlewaretoken": csrf_of(self.cookies)},
            ),
            302,
        )
        state = parse_qs(urlsplit(out.headers["Location"]).query)["state"][0]
        answer = {
            "state": state,
            "selling_partner_id": self.seller,
            "spapi_oauth_code": f"code-{self.seller}",
        }
        back = request(
            self.application, self.callback_path, query=urlencode(answer), cookies=self.cookies
        )
        if back.status not in (302, 303) or "/connections/" not in back.headers["Location"]:
            raise RuntimeError(f"not connected: {back.status} {back.headers.get('Location')}")


def travellers(screens: Screens) -> dict[str, Traveller]:
    tenant = screens.tenants[25]
    slug = tenant.organization.slug
    return {
        "plain Django": Traveller(
            screens.plain,
            tenant,
            sign_in(tenant.person, plain=True),
            f"/bench/plain/{slug}/{{row}}",
            "/bench/plain/callback",
        ),
        "product": Traveller(
            screens.product,
            tenant,
            sign_in(tenant.person),
            f"/o/{slug}/connections/{{row}}/authorize",
            "/amazon/spapi/callback",
        ),
    }


def round_trip(screens: Screens, report: Report) -> None:
    with token_server() as server:
        settings.AMAZON_ENDPOINTS = Endpoints.emulator(server.address)
        both = travellers(screens)
        actions: dict[str, Callable[[], Any]] = {n: t.travel for n, t in both.items()}
        before: dict[str, Callable[[], Any]] = {n: t.prepare for n, t in both.items()}
        queries = {name: queries_of(traveller) for name, traveller in both.items()}
        samples = interleave(actions, seconds=SECONDS, before=before, backend=screens.backend)
    report.add(
        Figure("P8 round trip", samples, "product", ("plain Django",), 1.5, queries["product"], 20)
    )
    report.say(f"plain Django sends {queries['plain Django']} statements")


def queries_of(traveller: Traveller) -> int:
    """Of the second trip: the first one also makes the browser's value in the session."""
    for _ in range(2):
        traveller.prepare()
        database.ensure_connection()
        with CountedQueries() as queries:
            traveller.travel()
    return len(queries)
