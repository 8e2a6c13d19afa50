"""The database is away for a moment, or chose us as the one to yield: say so, or try once more."""

from __future__ import annotations

import logging
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from traceback import walk_tb
from typing import Any, TypeVar

import psycopg2
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import get_template
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 30
DEEPEST_CAUSE = 5
CONFLICT_TRIES = 3
LONGEST_PAUSE_SECONDS = 0.2
# serialization_failure and deadlock_detected: PostgreSQL rolled the whole transaction back, and
# the next try may well succeed (PostgreSQL: Serialization Failure Handling).
CONFLICTS = frozenset({"40001", "40P01"})
# Classes of connection_exception and operator_intervention's shutdowns; no code at all is what the
# client library says when nobody is there any more.
GONE = "000"
CONNECTION_FAULTS = frozenset({GONE, "080", "57P", "25P"})
RESTART_PAUSE_SECONDS = 0.5
# How long what cannot be had again waits for a database that is away; a page may take a minute.
PATIENCE_SECONDS = 10.0
# Statements that save nothing by themselves.
READING = re.compile(r"\s*(SELECT|SAVEPOINT|RELEASE|ROLLBACK|SET|SHOW)\b", re.IGNORECASE)
# Attributes of a 503: why a second try may end better.
CONNECTION_LOST = "database_connection_lost"
CONFLICT = "database_conflict"

Answer = Callable[[HttpRequest], HttpResponseBase]
T = TypeVar("T")


class DatabaseOutageMiddleware:
    """Stands first, so that a second try is a whole one.

    A restart of the database costs a reader nothing: GET and HEAD are answered on a new
    connection, though only when an open one broke; a server that refuses new ones would make
    everybody wait twice. The loser of a deadlock is tried again whatever it wanted. Neither is
    done once a transaction of the request has saved something: a second try would do it twice.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        transactions = Transactions()
        with connection.execute_wrapper(transactions):
            return self._answer(request, transactions)

    def _answer(self, request: HttpRequest, transactions: Transactions) -> HttpResponseBase:
        response = self.get_response(request)
        for _ in range(CONFLICT_TRIES - 1):
            if not hasattr(response, CONFLICT) or transactions.have_saved:
                break
            pause_after_conflict()
            response = self._once_more(request, response)
        is_reading = request.method in ("GET", "HEAD")
        if is_reading and hasattr(response, CONNECTION_LOST) and not transactions.have_saved:
            connection.close()
            response = self._once_more(request, response)
        return response

    def _once_more(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.close()
        return self.get_response(request)


class Transactions:
    """Which transactions of one request wrote, seen from its statements."""

    def __init__(self) -> None:
        self.number = 0
        self.wrote: set[int] = set()
        # The one that the database broke; its writes are gone. None: nobody knows, as when a
        # commit had no answer.
        self.broken: int | None = None

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        self.number += is_between_transactions(context["connection"])
        try:
            result = execute(sql, params, many, context)
        except (OperationalError, InterfaceError):
            self.broken = self.number
            raise
        if not READING.match(sql):
            self.wrote.add(self.number)
            self.broken = None
        return result

    @property
    def have_saved(self) -> bool:
        return bool(self.wrote - {self.broken})


def is_between_transactions(database: BaseDatabaseWrapper) -> bool:
    """Whether the next statement begins one, or is one by itself. SQLite knows neither of the
    faults for which this is asked."""
    if database.vendor != "postgresql" or database.connection is None:
        return False
    return bool(database.connection.info.transaction_status == TRANSACTION_STATUS_IDLE)


def unavailable(frame: str = "") -> HttpResponse:
    """Needs neither database nor context processors. `frame` as in `errors.frame_for`."""
    response = HttpResponse(
        get_template("503.html").render({"frame": frame}),
        status=503,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
    error = sys.exc_info()[1]
    if is_conflict(error):
        setattr(response, CONFLICT, True)
    elif is_connection_fault(error) and not is_of_connecting(error):
        setattr(response, CONNECTION_LOST, True)
    return response


def is_under_way() -> bool:
    """Whether the exception being handled comes from the database being away or too busy
    (restart, time-outs of locks and statements): nothing of the request was saved."""
    causes = causes_of(sys.exc_info()[1])
    return any(isinstance(error, OperationalError | InterfaceError) for error in causes)


def is_conflict(error: BaseException | None) -> bool:
    """Whether the database rolled a transaction back in favour of another one."""
    codes: Iterator[Any] = (getattr(cause, "pgcode", None) for cause in causes_of(error))
    return any(code in CONFLICTS for code in codes)


def is_connection_fault(error: BaseException | None) -> bool:
    """Whether PostgreSQL's connection broke, or could not be opened."""
    return any(
        isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError)
        and (cause.pgcode or GONE)[:3] in CONNECTION_FAULTS
        for cause in causes_of(error)
    )


def is_of_connecting(error: BaseException | None) -> bool:
    """Whether there was no connection to break yet: nobody listens, or the server starts."""
    return any(
        frame.f_code.co_name == "get_new_connection"
        for cause in causes_of(error)
        for frame, _ in walk_tb(cause.__traceback__)
    )


def drop_a_dead_connection() -> None:
    """After a long wait for somebody else: what follows opens a new one, if this one broke."""
    if connection.connection is None or connection.in_atomic_block or connection.is_usable():
        return
    connection.close()
    logger.warning("database_connection_lost")


def pause_before_another_try(error: Exception) -> None:
    """After the database refused a transaction or went away. Outside any transaction."""
    if not is_connection_fault(error):
        pause_after_conflict()
        return
    drop_a_dead_connection()
    time.sleep(RESTART_PAUSE_SECONDS)


def patiently(step: Callable[[], T], again: Callable[[], T] | None = None) -> T:
    """A code of Amazon's is exchanged once: neither a lost deadlock nor a restart of the database
    must lose what it brought. `again`: what is done after such a fault, else the same."""
    ends_at = 0.0
    while True:
        try:
            return step()
        except (OperationalError, InterfaceError) as error:
            ends_at = ends_at or time.monotonic() + PATIENCE_SECONDS
            if time.monotonic() >= ends_at:
                raise
            pause_before_another_try(error)
        step = again or step


def pause_after_conflict() -> None:
    """A moment, not the same for both who met. Outside any transaction."""
    logger.warning("transaction_conflict")
    time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311  # jitter, not a secret


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(DEEPEST_CAUSE):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
