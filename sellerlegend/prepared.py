"""Hot queries: the ORM writes the SQL once, later runs only bind other values.

Building and compiling a query costs the ORM several times what running it costs psycopg2. The
queryset is an ordinary one, tenancy guard included: a scope that was forgotten raises when the
query is compiled, and the organization is one of the values that every run must bind.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery

from sellerlegend.folding import pattern_of

Bind = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Compiled:
    """SQL for one kind of database. `compiler` turns its raw values into Python's."""

    sql: str
    binds: tuple[Bind, ...]
    names: tuple[str, ...]
    compiler: Any
    converters: dict[int, Any]


class PreparedQuery:
    """`build(**values)` returns a queryset of `.values(...)`; `kinds` are the values' types:
    UUID, datetime, date, str or int. The values may only be compared with or written, never decide
    what is built."""

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], **kinds: type) -> None:
        self.build = build
        self.kinds = kinds
        self._compiled: dict[str, Compiled] = {}

    def rows(self, **values: Any) -> list[dict[str, Any]]:
        """Run the query. Raises KeyError when a value is missing."""
        connection = connections[DEFAULT_DB_ALIAS]
        compiled = self._compiled.get(connection.vendor) or self._compile()
        return fetched(connection, compiled, values)

    def _compile(self) -> Compiled:
        samples = {name: sample_of(kind) for name, kind in self.kinds.items()}
        query = self.build(**samples).query
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        columns = [column for column, _sql, _alias in compiler.select]
        compiled = Compiled(
            sql=sql,
            binds=tuple(
                bind_of(parameter, samples, compiler.connection.ops) for parameter in parameters
            ),
            names=tuple(query.selected or ()),
            compiler=compiler,
            converters=compiler.get_converters(columns),
        )
        self._compiled[compiler.connection.vendor] = compiled
        return compiled


class PreparedUpdate:
    """The same for a conditional UPDATE: `build` returns the rows and their new columns."""

    def __init__(
        self, build: Callable[..., tuple[QuerySet[Any], dict[str, Any]]], **kinds: type
    ) -> None:
        self.build = build
        self.kinds = kinds
        self._compiled: dict[str, Compiled] = {}

    def run(self, **values: Any) -> int:
        """Returns how many rows. Raises KeyError when a value is missing."""
        connection = connections[DEFAULT_DB_ALIAS]
        compiled = self._compiled.get(connection.vendor) or self._compile()
        with connection.cursor() as cursor:
            cursor.execute(compiled.sql, [bind(values) for bind in compiled.binds])
            return int(cursor.rowcount)

    def _compile(self) -> Compiled:
        samples = {name: sample_of(kind) for name, kind in self.kinds.items()}
        rows, columns = self.build(**samples)
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(columns)
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        ops = compiler.connection.ops
        binds = tuple(bind_of(parameter, samples, ops) for parameter in parameters)
        compiled = self._finished(rows, compiler, sql, binds)
        self._compiled[compiler.connection.vendor] = compiled
        return compiled

    def _finished(
        self, _rows: QuerySet[Any], compiler: Any, sql: str, binds: tuple[Bind, ...]
    ) -> Compiled:
        return Compiled(sql, binds, (), compiler, {})


class PreparedReturning(PreparedUpdate):
    """An UPDATE that gives its rows back: the named columns as they are after it."""

    def __init__(
        self,
        build: Callable[..., tuple[QuerySet[Any], dict[str, Any]]],
        returning: Sequence[str],
        **kinds: type,
    ) -> None:
        super().__init__(build, **kinds)
        self.returning = returning

    def rows(self, **values: Any) -> list[dict[str, Any]]:
        """Raises KeyError when a value is missing, NotSupportedError where `is_known` is False."""
        connection = connections[DEFAULT_DB_ALIAS]
        compiled = self._compiled.get(connection.vendor) or self._compile()
        return fetched(connection, compiled, values)

    @staticmethod
    def is_known() -> bool:
        """Whether the database has RETURNING: SQLite since 3.35."""
        return bool(connections[DEFAULT_DB_ALIAS].features.can_return_columns_from_insert)

    def _finished(
        self, rows: QuerySet[Any], compiler: Any, sql: str, binds: tuple[Bind, ...]
    ) -> Compiled:
        fields = [rows.model._meta.get_field(name) for name in self.returning]
        columns = [field.get_col(rows.model._meta.db_table) for field in fields]
        returning, _ = compiler.connection.ops.return_insert_columns(fields)
        return Compiled(
            f"{sql} {returning}",
            binds,
            tuple(field.attname for field in fields),
            compiler,
            compiler.get_converters(columns),
        )


def fetched(connection: Any, compiled: Compiled, values: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(compiled.sql, [bind(values) for bind in compiled.binds])
        found: Any = cursor.fetchall()
    if compiled.converters:
        found = compiled.compiler.apply_converters(found, compiled.converters)
    names = compiled.names
    return [dict(zip(names, row, strict=True)) for row in found]


def sample_of(kind: type) -> Any:
    """A value that no constant of a query equals."""
    if kind is uuid.UUID:
        return uuid.uuid4()
    if kind is datetime:
        return datetime.fromtimestamp(secrets.randbits(40) / 1_000, UTC)
    if kind is date:
        return date.min + timedelta(days=secrets.randbelow(700_000))
    return secrets.randbits(60) if kind is int else secrets.token_hex(16)


def bind_of(parameter: Any, samples: dict[str, Any], ops: Any) -> Bind:
    """Where a parameter of the SQL comes from: a value of the run, or a constant."""
    for name, sample in samples.items():
        if parameter == sample:
            return itemgetter(name)
        # Looked for within a text.
        if isinstance(sample, str) and parameter == pattern_of(sample):
            return partial(as_pattern, name)
        # A database without a UUID type compares hexadecimal text.
        if isinstance(sample, uuid.UUID) and parameter == sample.hex:
            return partial(hexadecimal, name)
        # One without time zones compares text.
        if isinstance(sample, datetime) and parameter == ops.adapt_datetimefield_value(sample):
            return partial(adapted_time, name, ops)
        if type(sample) is date and parameter == ops.adapt_datefield_value(sample):
            return partial(adapted_day, name, ops)
    return lambda _values: parameter


def as_pattern(name: str, values: dict[str, Any]) -> str:
    return pattern_of(values[name])


def hexadecimal(name: str, values: dict[str, Any]) -> str:
    value: uuid.UUID = values[name]
    return value.hex


def adapted_time(name: str, ops: Any, values: dict[str, Any]) -> Any:
    return ops.adapt_datetimefield_value(values[name])


def adapted_day(name: str, ops: Any, values: dict[str, Any]) -> Any:
    return ops.adapt_datefield_value(values[name])
