"""Databases of killed test runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psycopg2
import pytest

from tests.leftovers import drop_databases_of_dead_runs
from tests.services import find_services

pytestmark = pytest.mark.needs_postgresql
# Above every limit of process ids.
DEAD = 99_999_999


@contextlib.contextmanager
def database(name: str) -> Iterator[None]:
    with server() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
        try:
            yield
        finally:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')


@contextlib.contextmanager
def server() -> Iterator[psycopg2.extensions.cursor]:
    connection = psycopg2.connect(find_services().postgresql.address)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor


def test_only_the_database_of_a_dead_run_is_dropped() -> None:
    dead, alive = f"test_sellerlegend_{DEAD}_gw0", f"test_sellerlegend_{os.getpid()}_alive"

    with database(dead), database(alive):
        dropped = drop_databases_of_dead_runs(find_services().postgresql.address)

    assert dead in dropped
    assert alive not in dropped


def test_the_server_of_another_machine_is_left_alone() -> None:
    assert drop_databases_of_dead_runs("postgresql://postgres@db.example.com/postgres") == []
