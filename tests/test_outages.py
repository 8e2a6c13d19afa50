"""Redis stopped, frozen, flushed; PostgreSQL restarted and away: what people at a running web
process see, and what becomes of their work (E9 to E12, E15, E16, F16)."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.soak.running import Answer, Browser, RunningProduct, running_product
from tests.soak.servers import PG_FAST, PG_IMMEDIATE, require_programs, until
from tests.workers import pool_of

pytestmark = [
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
    pytest.mark.timeout(300),
]

# What a page may take while something it needs is away.
BUDGET_SECONDS = 2.5
STORES = 16
PEOPLE = """
import json, sys
import django
django.setup()
from django.conf import settings
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
from tests import factories, session_cookies, trips
session_cookies.teach_the_test_client()
owner = factories.make_user(f"{sys.argv[2]}@example.com")
organization = factories.make_organization(f"Trading {sys.argv[2]}", owner=owner)
client = trips.sign_in(owner)
stores = []
for seller, token in json.loads(sys.argv[1]):
    row = factories.make_connection(organization, seller=seller, refresh_token=token)
    stores.append([str(row.pk), str(factories.make_account(row).pk)])
print(json.dumps([client.cookies["session"].value, organization.slug, stores]))
"""


@dataclass
class Person:
    """Somebody with stores to start, one after the other."""

    browser: Browser
    slug: str
    stores: list[list[str]]

    @property
    def list_url(self) -> str:
        return f"/o/{self.slug}/connections/"

    def start_now(self, store: list[str] | None = None) -> Answer:
        connection, account = store or self.stores.pop()
        return self.browser.post(f"{self.list_url}{connection}/onboard", account=account)

    def look_around(self) -> dict[str, Answer]:
        """Pages that only read, pages that write, and pages that ring a bell."""
        connection = self.stores[0][0]
        name = f"Renamed {time.monotonic()}"
        return {
            "list": self.browser.get(self.list_url),
            "poll": self.browser.get(f"{self.list_url}changes?since=0"),
            "rename": self.browser.post(f"{self.list_url}{connection}/rename", name=name),
            "start": self.start_now(),
            "read again": self.browser.post(f"{self.list_url}{connection}/refresh"),
            "authorize": self.browser.post(f"{self.list_url}{connection}/authorize"),
        }


@pytest.fixture(scope="module")
def product() -> Iterator[RunningProduct]:
    require_programs()
    with running_product() as running:
        yield running


@pytest.fixture
def person(product: RunningProduct) -> Person:
    world, tokens = product.amazon.world, []
    for _ in range(STORES):
        seller = f"A{os.urandom(6).hex().upper()}"
        world.add_seller(seller, marketplaces=["US"])
        tokens.append([seller, world.authorize(seller, "NA")])
    session, slug, stores = json.loads(product.run(PEOPLE, json.dumps(tokens), os.urandom(4).hex()))
    return Person(product.browser(session), slug, stores)


def live_jobs(product: RunningProduct) -> list[tuple[str, ...]]:
    return product.rows(
        "SELECT kind, status, attempts, waiting_reason, last_error_code, next_attempt_at - now()"
        " FROM jobs_job WHERE status IN ('queued', 'running', 'waiting')"
    )


def onboarded(product: RunningProduct, stores: list[list[str]]) -> int:
    rows = product.rows(
        "SELECT id::text FROM marketplaces_marketplaceaccount WHERE onboarding = 'onboarded'"
    )
    done = {pk for (pk,) in rows}
    return sum(account in done for _, account in stores)


def assert_all_finishes(product: RunningProduct, started: list[list[str]]) -> None:
    until(lambda: onboarded(product, started) == len(started), "end of all work", 100)
    try:
        until(lambda: not live_jobs(product), "end of all jobs", 100)
    except TimeoutError as error:
        raise TimeoutError(f"still there: {live_jobs(product)}") from error


@pytest.mark.parametrize("trouble", ["kill", "freeze", "flush"])
def test_without_redis_every_page_answers_in_time_and_all_work_is_done_afterwards(
    product: RunningProduct, person: Person, trouble: str
) -> None:
    known = list(person.stores)
    assert {page.status for page in person.look_around().values()} <= {200, 204, 302, 303}

    getattr(product.redis, trouble)()
    for _ in range(2):
        for name, page in person.look_around().items():
            assert page.status in (200, 204, 302, 303, 409, 429), f"{name}: {page.status}"
            assert page.seconds < BUDGET_SECONDS, f"{name}: {page.seconds:.1f} s"
    if trouble == "kill":
        product.redis.start()
    product.redis.thaw()

    started = [store for store in known if store not in person.stores]
    assert len(started) == 3
    assert_all_finishes(product, started)


@pytest.mark.parametrize("how", [PG_FAST, PG_IMMEDIATE], ids=["fast", "immediate"])
def test_a_restart_of_postgresql_is_no_error_page_and_no_lost_work(
    product: RunningProduct, person: Person, how: signal.Signals
) -> None:
    """People go on clicking while it happens; what was acknowledged is done afterwards."""
    pages: list[Answer] = []
    acknowledged: list[list[str]] = []
    is_over = threading.Event()

    def click() -> None:
        while person.stores and not is_over.is_set():
            store = person.stores.pop()
            answer = person.start_now(store)
            pages.extend([answer, person.browser.get(person.list_url)])
            if answer.status == 303:
                acknowledged.append(store)
            time.sleep(0.05)

    clicking = threading.Thread(target=click)
    clicking.start()
    time.sleep(0.3)
    product.postgres.stop(how)
    time.sleep(0.5)
    product.postgres.start()
    clicking.join(60)
    is_over.set()

    assert {page.status for page in pages} <= {200, 303, 503}
    assert max(page.seconds for page in pages) < BUDGET_SECONDS
    assert all(page.headers["Retry-After"] for page in pages if page.status == 503)
    assert person.browser.get(person.list_url).status == 200
    assert acknowledged
    assert_all_finishes(product, acknowledged)


def test_while_postgresql_is_away_people_are_told_and_workers_rest(
    product: RunningProduct, person: Person
) -> None:
    started = [person.stores[-1]]
    assert person.start_now().status == 303
    product.postgres.stop(PG_FAST)
    try:
        pages = [person.browser.get(person.list_url), person.start_now()]
        before, began = cpu_seconds(product), time.monotonic()
        # As long as it takes to tell a hot loop from a pause, sweeps included.
        time.sleep(16)
        share = (cpu_seconds(product) - before) / (time.monotonic() - began)
    finally:
        product.postgres.start()

    assert [page.status for page in pages] == [503, 503]
    assert all(page.headers["Retry-After"] for page in pages)
    assert all(page.seconds < BUDGET_SECONDS for page in pages)
    assert all("Traceback" not in page.text for page in pages)
    assert share < 0.2
    assert_all_finishes(product, started)


def cpu_seconds(product: RunningProduct) -> float:
    """Of the worker, its pool and the clock."""
    total = 0
    for post in product.crew.posts.values():
        for pid in (post.pid, *pool_of(post.pid)):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
