"""Names in the order in which people look for them, told to the database: *Éclair* stands at E."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.models import CharField, Func

from sellerlegend.folding import plain

# Unicode's own order, which every PostgreSQL that was built with ICU brings.
COLLATION = "und-x-icu"


class Alphabetical(Func):
    """Text to order by, without regard to case and accents; NULL stays NULL."""

    function = "LOWER"
    arity = 1
    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="PLAIN", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        if not knows_collation(connection.alias):
            return self.as_sql(compiler, connection, **context)
        template = f'LOWER(%(expressions)s) COLLATE "{COLLATION}"'
        return self.as_sql(compiler, connection, template=template, **context)


@lru_cache(maxsize=4)
def knows_collation(alias: str) -> bool:
    """Asked once a process, below Django: a page has as many statements the first time."""
    connection = connections[alias]
    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_collation WHERE collname = %s", [COLLATION])
        return cursor.fetchone() is not None


def teach_sqlite(connection: Any, **_signal: Any) -> None:
    """Receives `connection_created`: SQLite knows no letters but ASCII's, and runs ours."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("PLAIN", 1, plain_or_null, deterministic=True)


@lru_cache(maxsize=16_384)
def plain_or_null(text: str | None) -> str | None:
    return None if text is None else plain(text)
