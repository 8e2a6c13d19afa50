"""P3: what the page of one organization costs while the database grows from 100 connections to
100,000 around it, and what it costs an organization of 1,000.

Two measurements of one run, minutes apart, so each is a ratio to plain Django's hello in the same
seconds. PostgreSQL's CPU counts here as much as ours: it is what would grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import cache
from django.db import connection

from benchmarks import dataset
from benchmarks.application import sign_in
from benchmarks.dataset import Size, Tenant
from benchmarks.measure import Sample, interleave
from benchmarks.report import Growth, Report
from benchmarks.screen import Screens, answered
from benchmarks.wsgi import Reply, request

# With the 25 of the organization that is measured: 100 connections, then 100,000.
FEW = Size(organizations=3, connections_each=25)
MANY = Size(organizations=3_956, connections_each=25)
SECONDS = 10.0
GOAL = 1.2

# What is asked for, by the query of the list's address.
PLACES = {
    "page, cold": "connections/",
    "search": "connections/?q=0012",
    "expiring": "connections/?expiry=30",
    "filters": "connections/filters",
    "JSON": "connections.json",
}


def growing(database: str, report: Report) -> None:
    tenants = dataset.load(FEW, measured=(25,))
    screens = Screens(database, tenants)
    few = costs(screens, 25)
    print("Loading 100,000 connections …", flush=True)
    tenants |= dataset.add(MANY, measured=(1_000,))
    many, large = costs(screens, 25), costs(screens, 1_000)
    for name, before in few.items():
        report.add(Growth(f"P3 {name}", "100 to 100,000 connections", before, many[name], GOAL))
    for name in ("page, cold", "page, warm", "poll"):
        report.add(Growth(f"P3 {name}", "25 to 1,000 of one's own", many[name], large[name], GOAL))
    for words, plan in plans(screens, tenants[1_000]):
        print(f"\n{words}\n{plan}")


def costs(screens: Screens, rows: int) -> dict[str, float]:
    """Each place's CPU, ours and PostgreSQL's, in units of plain Django's hello."""
    tenant = screens.tenants[rows]
    hello = screens.hello(rows, screens.plain)
    cold = {name: asking(screens, tenant, path) for name, path in PLACES.items()}
    warm: dict[str, Callable[[], Any]] = {
        "page, warm": screens.page(rows),
        "poll": screens.poll(rows),
    }
    found: dict[str, float] = {}
    emptied: dict[str, Callable[[], object]] = dict.fromkeys(cold, cache.clear)
    for actions, before in ((warm, {}), (cold, emptied)):
        samples = interleave(
            {"hello": hello, **actions}, seconds=SECONDS, backend=screens.backend, before=before
        )
        found |= {name: whole(samples[name]) / whole(samples["hello"]) for name in actions}
    return found


def whole(sample: Sample) -> float:
    return sample.quiet + sample.database


def asking(screens: Screens, tenant: Tenant, path: str) -> Callable[[], Reply]:
    cookies = sign_in(tenant.person)
    path, _, query = f"/o/{tenant.organization.slug}/{path}".partition("?")
    return lambda: answered(request(screens.product, path, query=query, cookies=cookies), 200)


# Plans -------------------------------------------------------------------------------------


def plans(screens: Screens, tenant: Tenant) -> Iterator[tuple[str, str]]:
    """How PostgreSQL finds what the cold page of the large organization reads."""
    cache.clear()
    with noted_statements() as statements:
        asking(screens, tenant, "connections/")()
    for sql, parameters in statements:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {sql}", parameters)
            plan = "\n".join(line for (line,) in cursor.fetchall())
        yield sql.partition(' FROM "')[2].partition('"')[0], plan


@contextmanager
def noted_statements() -> Iterator[list[tuple[str, Any]]]:
    noted: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT"):
            noted.append((sql, parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(note):
        yield noted
