"""What every test relies on: services, a cache and a memory that no other test has seen, a silent
broker."""

from __future__ import annotations

import gc
import logging
import os
import uuid
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.db.models.signals import post_migrate
from django.template import Template
from pytest_django import DjangoDbBlocker, Settings

from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.celery import app
from sellerlegend.jobs import draining
from tests import bells, order_of_tests, process_memory, session_cookies
from tests.amazon_emulator import RunningEmulator, running_emulator
from tests.demo.messages import compile_messages
from tests.leftovers import drop_databases_of_dead_runs
from tests.services import Service, are_services_required, find_services


def pytest_report_header() -> str:
    return str(find_services())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """`--quiet` hides the header, but nobody should have to ask what a run used."""
    if terminalreporter.verbosity < 0:
        terminalreporter.write_line(str(find_services()))


def pytest_sessionstart(session: pytest.Session) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    compile_messages()
    url = find_services().postgresql.address
    if url:
        drop_databases_of_dead_runs(url)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    told_by_xdist = getattr(config, "workerinput", None)
    if told_by_xdist is not None:
        items[:] = order_of_tests.longest_first(items, told_by_xdist["workercount"])


def pytest_collection_finish() -> None:
    """What was imported stays: Python need not look through it again and again for garbage."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing service skips the tests marked `needs_…`; with REQUIRE_SERVICES=1 it fails them."""
    found = find_services()
    for name in ("postgresql", "redis", "chromium", "nginx"):
        service: Service = getattr(found, name)
        if item.get_closest_marker(f"needs_{name}") and not service.address:
            if are_services_required():
                pytest.fail(f"needs {name}: {service.words}", pytrace=False)
            pytest.skip(f"needs {name}: {service.words}")


@pytest.fixture
def plain_rendering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For thousands of pages of which nobody asks for the context, which Django's test client
    copies for each template of each page, or for the log of what was refused, whose tracebacks take
    a tenth of the time."""
    monkeypatch.setattr(Template, "_render", lambda self, context: self.nodelist.render(context))
    refusals = logging.getLogger("django.request")
    before = refusals.level
    refusals.setLevel(logging.ERROR)

    yield

    refusals.setLevel(before)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Nobody waits for a disk: what a test commits need not survive the server. Processes that a
    test starts on its database are told by the database itself."""
    if connection.vendor != "postgresql":
        return
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            name = connection.ops.quote_name(connection.settings_dict["NAME"])
            cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.close()
    vars(connection.ops)["sql_flush"] = emptied


def emptied(_style: Any, tables: list[str], **_options: Any) -> list[str]:
    """How a test with real transactions leaves the database: only what it filled is emptied, and no
    file of a table is made anew. Foreign keys are looked at when all of it is done."""
    quote = connection.ops.quote_name
    looks = ", ".join(f"EXISTS (SELECT 1 FROM {quote(table)})" for table in tables)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {looks}")
        is_filled = cursor.fetchone()
    return [
        f"DELETE FROM {quote(table)}"
        for table, filled in zip(tables, is_filled, strict=True)
        if filled
    ]


@pytest.fixture(autouse=True, scope="session")
def browsers_hold_cookies() -> None:
    session_cookies.teach_the_test_client()


@pytest.fixture(autouse=True, scope="session")
def silent_broker() -> None:
    """Bells of in-process tests stay in memory; tests of the broker start real processes."""
    # Celery configures itself at the first look, and would overwrite what was set before.
    assert app.conf.broker_url
    app.conf.broker_url = "memory://"


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    """Redis is shared by the processes of a run: a prefix of its own isolates each test."""
    configuration = settings.CACHES["default"]
    before = configuration["KEY_PREFIX"]
    prefix = f"{before}-{uuid.uuid4().hex[:8]}"
    # The dictionary serves threads that open the cache later.
    configuration["KEY_PREFIX"] = caches["default"].key_prefix = prefix
    process_memory.forget()

    yield

    configuration["KEY_PREFIX"] = caches["default"].key_prefix = before


@pytest.fixture(autouse=True)
def batches_stay_together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits behind a slow job is put down by a thread, whose connection sees nothing of the
    transaction in which most tests run."""
    marker = request.node.get_closest_marker("django_db")
    is_committed = "transactional_db" in request.fixturenames or (
        marker is not None and marker.kwargs.get("transaction")
    )
    if not is_committed:
        monkeypatch.setattr(draining, "HOLD_SECONDS", 600.0)


@pytest.fixture(autouse=True, scope="session")
def marketplaces_survive_flushes() -> Iterator[None]:
    """A test with real transactions ends in a flush, and a flush takes the rows that the
    migrations brought."""
    migration = import_module("marketplaces.migrations.0002_known_marketplaces")

    def refill(**_signal: Any) -> None:
        if not apps.get_model("marketplaces", "Marketplace").objects.exists():
            migration.add(apps, None)

    sender = apps.get_app_config("marketplaces")
    post_migrate.connect(refill, sender=sender)

    yield

    post_migrate.disconnect(refill, sender=sender)


@pytest.fixture
def silence() -> None:
    """Forget the bells of earlier tests, for a test that counts them."""
    bells.heard()


@pytest.fixture(scope="session")
def running_amazon() -> Iterator[RunningEmulator]:
    with running_emulator(product_url=settings.PUBLIC_BASE_URL) as emulator:
        yield emulator


@pytest.fixture
def amazon(running_amazon: RunningEmulator, settings: Settings) -> RunningEmulator:
    """The fake Amazon with its demo world and an empty ledger; the product calls it."""
    running_amazon.reset()
    settings.AMAZON_ENDPOINTS = Endpoints.emulator(running_amazon.url)
    return running_amazon
