"""P1, P2 and P4: the Account Connections page against its floors."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.templatetags.static import static

from benchmarks import pages
from benchmarks.application import (
    CountedQueries,
    plain_application,
    product_application,
    sign_in,
)
from benchmarks.dataset import Tenant
from benchmarks.floor import Floor
from benchmarks.measure import interleave
from benchmarks.report import Figure, Report
from benchmarks.wsgi import Reply, request
from connections import list_queries

SECONDS = 12.0


class Screens:
    """The product, plain Django and the floor, ready to be asked for pages."""

    def __init__(self, database: str, tenants: dict[int, Tenant]) -> None:
        self.database = database
        self.tenants = tenants
        self.product = product_application()
        self.plain = plain_application()

    def backend(self) -> int:
        """PostgreSQL's process for our connection, which Django renews every minute."""
        connection.ensure_connection()
        pid: int = connection.connection.info.backend_pid
        return pid

    def floor(self, rows: int) -> Floor:
        organization = self.tenants[rows].organization
        icons = static("img/icons.svg")
        return Floor(self.database, str(organization.pk), icons, organization.slug)

    def page(self, rows: int) -> Callable[[], Reply]:
        tenant = self.tenants[rows]
        cookies = sign_in(tenant.person)
        path = f"/o/{tenant.organization.slug}/connections/"
        return lambda: answered(request(self.product, path, cookies=cookies), 200)

    def poll(self, rows: int) -> Callable[[], Reply]:
        tenant = self.tenants[rows]
        cookies = sign_in(tenant.person)
        path = f"/o/{tenant.organization.slug}/connections/changes"
        return lambda: answered(
            request(
                self.product,
                path,
                query=f"since={tenant.organization.revision}",
                cookies=cookies,
                HTTP_HX_REQUEST="true",
            ),
            204,
        )

    def hello(self, rows: int, application: Any) -> Callable[[], Reply]:
        cookies = sign_in(self.tenants[rows].person, plain=application is self.plain)
        return lambda: answered(request(application, "/bench/hello", cookies=cookies), 200)


def answered(reply: Reply, status: int) -> Reply:
    if reply.status != status:
        raise RuntimeError(f"answered {reply.status} instead of {status}: {reply.body[:300]!r}")
    return reply


def queries_of(action: Callable[[], Any]) -> int:
    with CountedQueries() as queries:
        action()
    return len(queries)


def words_of(page: bytes) -> str:
    """Markup without white space: what two pages must share to be the same text."""
    return re.sub(r"\s+", "", html.unescape(page.decode()))


def difference(left: bytes, right: bytes) -> str:
    one, other = words_of(left), words_of(right)
    if one == other:
        return ""
    at = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    return f"{one[max(0, at - 60) : at + 60]!r} against {other[max(0, at - 60) : at + 60]!r}"


# P1 ----------------------------------------------------------------------------------------


def list_of_100(screens: Screens, report: Report) -> None:
    """One page of 100 rows: the list alone, no session, no user, no frame around it."""
    before, list_queries.ROWS_PER_PAGE = list_queries.ROWS_PER_PAGE, 100
    pages.shown[:] = [screens.tenants[100].organization]
    floor = screens.floor(100)

    def plain() -> Reply:
        return answered(request(floor, "/"), 200)

    def listed() -> Reply:
        return answered(request(screens.product, "/bench/list"), 200)

    report.same_text("P1", difference(plain().body, listed().body), len(plain().body))
    cache.clear()
    cold_queries = queries_of(listed)
    warm_queries = queries_of(listed)
    # Warm first: emptying the cache between the calls would make the next warm one cold.
    warm = interleave({"floor": plain, "warm": listed}, seconds=SECONDS, backend=screens.backend)
    cold = interleave(
        {"floor": plain, "cold": listed},
        seconds=SECONDS,
        backend=screens.backend,
        before={"cold": cache.clear},
    )
    list_queries.ROWS_PER_PAGE = before
    report.add(Figure("P1 warm", warm, "warm", ("floor",), 1.5, warm_queries, 2))
    report.add(Figure("P1 cold", cold, "cold", ("floor",), 16, cold_queries, 2))


# P2 ----------------------------------------------------------------------------------------


def page_of_25(screens: Screens, report: Report) -> None:
    """The whole page as a browser gets it, signed in."""
    floor = screens.floor(25)
    page = screens.page(25)
    page()  # what a process reads once and remembers is not what a page costs
    cache.clear()
    cold_queries = queries_of(page)
    samples = interleave(
        {
            "floor": lambda: answered(request(floor, "/"), 200),
            "hello": screens.hello(25, screens.plain),
            "warm": page,
        },
        seconds=SECONDS,
        backend=screens.backend,
    )
    report.add(Figure("P2 warm", samples, "warm", ("floor", "hello"), 2.5, cold_queries, 8))


# P4 ----------------------------------------------------------------------------------------


def empty_poll(screens: Screens, report: Report) -> None:
    samples = interleave(
        {
            "hello": screens.hello(25, screens.plain),
            "our hello": screens.hello(25, screens.product),
            "25 rows": screens.poll(25),
            "1,000 rows": screens.poll(1_000),
        },
        seconds=SECONDS,
        backend=screens.backend,
    )
    queries = queries_of(screens.poll(25))
    for rows in ("25 rows", "1,000 rows"):
        report.add(Figure(f"P4 {rows}", samples, rows, ("hello",), 1.3, queries, None))
    ours = samples["our hello"].quiet
    report.say(f"{ours:.2f} ms for the same hello through the product's middleware")


# P5 ----------------------------------------------------------------------------------------


def list_as_json(screens: Screens, report: Report) -> None:
    """A hundred connections for a program, signed in."""
    tenant = screens.tenants[100]
    slug = tenant.organization.slug
    paths = {
        "product": (screens.product, f"/o/{slug}/connections.json"),
        "plain Django": (screens.plain, f"/bench/o/{slug}/connections.json"),
    }

    def asked(application: Any, path: str) -> Callable[[], Reply]:
        cookies = sign_in(tenant.person, plain=application is screens.plain)
        return lambda: answered(request(application, path, cookies=cookies), 200)

    both: dict[str, Callable[[], Any]] = {name: asked(*where) for name, where in paths.items()}
    bodies = {name: action().body for name, action in both.items()}
    report.same_text("P5", difference(*bodies.values()), len(bodies["product"]))
    queries = queries_of(both["product"])
    samples = interleave(both, seconds=SECONDS, backend=screens.backend)
    report.add(Figure("P5 JSON", samples, "product", ("plain Django",), 0.6, queries, None))
