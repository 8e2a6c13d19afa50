"""Databases that killed test runs left on a local PostgreSQL."""

from __future__ import annotations

import contextlib
import os
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql

PREFIX = "test_sellerlegend_"


def drop_databases_of_dead_runs(url: str) -> list[str]:
    """A test database carries its run's process id. Drops those whose process is gone and that
    nobody uses; returns their names. Does nothing on another machine's server."""
    if urlsplit(url).hostname not in {"127.0.0.1", "::1", "localhost"}:
        return []
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        dead = [name for (name,) in cursor.fetchall() if not _is_alive(name)]
        for name in dead:
            with contextlib.suppress(psycopg2.errors.ObjectInUse, psycopg2.errors.UndefinedTable):
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    return dead


def _is_alive(database: str) -> bool:
    process = database.removeprefix(PREFIX).split("_")[0]
    if not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
