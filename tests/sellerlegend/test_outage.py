"""A database that restarts, is away or keeps somebody waiting: 503 with words, never a 500."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from connections.models import Connection, SpApiGrant
from sellerlegend import outage
from sellerlegend.jobs.models import Breaker
from tests import trips
from tests.amazon_emulator import RunningEmulator
from tests.broken_connections import break_the_connection, other_connection
from tests.factories import make_connection, make_organization, owner_of

pytestmark = [pytest.mark.needs_postgresql, pytest.mark.django_db(transaction=True)]


PATIENCE_SECONDS = 20
NORTHSTAR = "A1NORTHSTAR001"


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    token = amazon.world.authorize(NORTHSTAR, "NA")
    return make_connection(make_organization(), seller=NORTHSTAR, refresh_token=token)


@pytest.fixture
def person(row: Connection) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(owner_of(row.organization))
    return client


def list_of(row: Connection) -> str:
    return f"/o/{row.organization.slug}/connections/"


@contextmanager
def a_database_that_is_away() -> Iterator[None]:
    port = connection.settings_dict["PORT"]
    connection.close()
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: refused
        connection.settings_dict["PORT"] = str(reserved.getsockname()[1])
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["PORT"] = port


def test_a_page_survives_a_restart(person: Client, row: Connection) -> None:
    break_the_connection()

    page = person.get(list_of(row))

    assert page.status_code == 200
    assert row.name in page.content.decode()


def test_a_form_is_not_sent_twice_by_itself(person: Client, row: Connection) -> None:
    break_the_connection()

    answer = person.post(f"{list_of(row)}{row.pk}/rename", {"name": "New name"})

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "What was saved before stays saved" in answer.content.decode()
    connection.close()
    row.refresh_from_db()
    assert row.name != "New name"


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_database_that_is_away_is_told_in_words(
    person: Client, row: Connection, method: str
) -> None:
    with a_database_that_is_away():
        answer = getattr(person, method)(list_of(row))

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Back in a moment" in answer.content.decode()


def test_who_waits_for_a_lock_too_long_is_asked_to_come_back(
    person: Client, row: Connection
) -> None:
    with contextlib.closing(other_connection()) as other, other.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM organizations_organization WHERE id = %s FOR UPDATE",
            [str(row.organization.pk)],
        )
        with connection.cursor() as mine:
            mine.execute("SET lock_timeout = '200ms'")
        answer = person.post(f"{list_of(row)}{row.pk}/rename", {"name": "New name"})

    assert answer.status_code == 503
    row.refresh_from_db()
    assert row.name != "New name"


def test_who_holds_a_lock_and_does_nothing_is_ended(person: Client, row: Connection) -> None:
    """With the product's own options, but for the time: PostgreSQL ends the session (G17)."""
    parameters = connection.get_connection_params()
    limit = "idle_in_transaction_session_timeout"
    assert f"{limit}=30s" in parameters["options"]
    options = parameters["options"].replace(f"{limit}=30s", f"{limit}=500ms")
    with (
        contextlib.closing(other_connection(options=options)) as idle,
        idle.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT 1 FROM organizations_organization WHERE id = %s FOR UPDATE",
            [str(row.organization.pk)],
        )

        answer = person.post(f"{list_of(row)}{row.pk}/rename", {"name": "New name"})

        with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)):
            cursor.execute("SELECT 1")
    assert answer.status_code == 303
    row.refresh_from_db()
    assert row.name == "New name"


def wait_until_somebody_waits_for(table: str) -> None:
    """For a row of it: the one who waits holds the row's tuple lock meanwhile."""
    with contextlib.closing(other_connection()) as watcher, watcher.cursor() as cursor:
        watcher.autocommit = True
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'tuple' AND granted"
                " AND relation = %s::regclass",
                [table],
            )
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise AssertionError(f"nobody waited for {table}")


@contextlib.contextmanager
def a_writer_in_the_opposite_order(row: Connection) -> Iterator[None]:
    """Row first, organization second, as no code of ours does: whoever takes the organization
    first and asks for the row then closes the circle, and loses, once.

    PostgreSQL looks for a circle once per wait, after `deadlock_timeout`. The writer's is so long
    that he never looks; the product asks for the row only when he waits, so its look finds him.
    """
    holds_the_organization = threading.Event()

    def meet() -> None:
        assert holds_the_organization.wait(PATIENCE_SECONDS)
        cursor.execute(
            "SELECT 1 FROM organizations_organization WHERE id = %s FOR UPDATE",
            [str(row.organization.pk)],
        )
        other.commit()

    def close_the_circle(execute: Any, sql: str, *arguments: Any) -> Any:
        asks_for_the_row = "UPDATE" in sql and '"connections_connection"' in sql
        if asks_for_the_row and not holds_the_organization.is_set():
            holds_the_organization.set()
            wait_until_somebody_waits_for("organizations_organization")
        return execute(sql, *arguments)

    options = connection.get_connection_params()["options"] + " -c deadlock_timeout=60s"
    with (
        contextlib.closing(other_connection(options=options)) as other,
        other.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT 1 FROM connections_connection WHERE id = %s FOR UPDATE", [str(row.pk)]
        )
        meeting = threading.Thread(target=meet)
        meeting.start()
        with connection.execute_wrapper(close_the_circle):
            yield
        meeting.join(PATIENCE_SECONDS)


def conflicts(caplog: pytest.LogCaptureFixture) -> int:
    return [record.message for record in caplog.records].count("transaction_conflict")


def test_the_loser_of_a_deadlock_is_tried_again(
    person: Client, row: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with a_writer_in_the_opposite_order(row):
        answer = person.post(f"{list_of(row)}{row.pk}/rename", {"name": "New name"})

    assert answer.status_code == 303
    row.refresh_from_db()
    assert row.name == "New name"
    assert conflicts(caplog) == 1


def test_a_deadlock_does_not_lose_what_a_code_brought(
    person: Client, row: Connection, amazon: RunningEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    callback = trips.confirm(trips.leave(person, row), NORTHSTAR)
    before = SpApiGrant._base_manager.get(connection=row).fingerprint

    with a_writer_in_the_opposite_order(row):
        outcome = trips.come_back(person, callback)

    assert outcome == "reconnected"
    assert SpApiGrant._base_manager.get(connection=row).fingerprint != before
    assert conflicts(caplog) == 1
    assert amazon.ledger.count(surface="lwa") == 1


# A second try ------------------------------------------------------------------------------


class Page:
    """A view of two steps that counts; at its first try the second one ends as told."""

    def __init__(self, fails: Callable[[], None], *, is_whole: bool) -> None:
        self.fails = fails
        self.is_whole = is_whole
        self.tries = 0

    def __call__(self, _request: HttpRequest) -> HttpResponse:
        self.tries += 1
        try:
            with contextlib.ExitStack() as stack:
                if self.is_whole:
                    stack.enter_context(transaction.atomic())
                count("first")
                if not self.is_whole:
                    stack.enter_context(transaction.atomic())
                count("second")
                if self.tries == 1:
                    self.fails()
        except (OperationalError, InterfaceError):
            return outage.unavailable()
        return HttpResponse("done")

    def answer(self, method: str) -> int:
        request = getattr(RequestFactory(), method)("/")
        return outage.DatabaseOutageMiddleware(self)(request).status_code


def count(name: str) -> None:
    seconds = {"open_until": None, "window_started_at": timezone.now()}
    Breaker.objects.get_or_create(name=name, defaults=seconds)
    Breaker.objects.filter(name=name).update(calls=F("calls") + 1)


def counted() -> dict[str, int]:
    return dict(Breaker.objects.filter(calls__gt=0).values_list("name", "calls"))


def lose_a_deadlock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")


def break_and_notice() -> None:
    break_the_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize(
    ("fails", "method"),
    [(lose_a_deadlock, "post"), (lose_a_deadlock, "get"), (break_and_notice, "get")],
)
def test_a_page_that_saved_nothing_is_tried_again(fails: Callable[[], None], method: str) -> None:
    """The connection broke inside of a transaction: Django has closed it when we look."""
    page = Page(fails, is_whole=True)

    assert page.answer(method) == 200
    assert (page.tries, counted()) == (2, {"first": 1, "second": 1})


@pytest.mark.parametrize(
    ("fails", "method"),
    [(lose_a_deadlock, "post"), (lose_a_deadlock, "get"), (break_and_notice, "get")],
)
def test_a_page_that_saved_something_is_not(fails: Callable[[], None], method: str) -> None:
    page = Page(fails, is_whole=False)

    assert page.answer(method) == 503
    assert (page.tries, counted()) == (1, {"first": 1})


def test_nor_is_one_whose_commit_had_no_answer() -> None:
    page = Page(break_the_connection, is_whole=True)

    assert page.answer("get") == 503
    connection.close()
    assert (page.tries, counted()) == (1, {})


def test_nor_is_a_form_whose_connection_broke() -> None:
    page = Page(break_and_notice, is_whole=True)

    assert page.answer("post") == 503
    connection.close()
    assert (page.tries, counted()) == (1, {})


def test_a_server_that_refuses_connections_is_asked_once(
    person: Client, row: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    page_of, tries = outage.DatabaseOutageMiddleware._once_more, []

    def once_more(*arguments: Any) -> Any:
        tries.append(arguments)
        return page_of(*arguments)

    monkeypatch.setattr(outage.DatabaseOutageMiddleware, "_once_more", once_more)
    with a_database_that_is_away():
        assert person.get(list_of(row)).status_code == 503

    assert tries == []
