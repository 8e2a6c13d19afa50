"""A connection that the server ends while we believe in it, as a restart does."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg2
from django.db import connection


def other_connection(**changed: str) -> Any:
    parameters = connection.get_connection_params() | changed
    parameters.pop("cursor_factory", None)
    return psycopg2.connect(**parameters)


def break_the_connection() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    with contextlib.closing(other_connection()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
