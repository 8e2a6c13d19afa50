"""Proof that a refused action had no effect: every column of every domain table, compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.apps import apps
from django.db import connection
from django.db.models import Model

from connections.models import AuthorizationRequest
from sellerlegend.jobs.models import Breaker, RateBucket
from sellerlegend.organizations.models import Allowance, AuditEvent
from tests.amazon_emulator.running import RunningEmulator

DOMAIN = ("organizations", "jobs", "connections", "marketplaces", "ppc")
# Events and calls are counted; a refusal may use up somebody's tries, a call Amazon's plan, and an
# outage is remembered.
NOT_COMPARED = (AuditEvent, Allowance, Breaker, RateBucket)
# Calls to Amazon that the product makes; what a browser does there is the person's business.
SERVER_SIDE = frozenset({"lwa", "sellers", "ads"})
# What a trip may remember about its own end.
END_OF_TRIP = frozenset(
    {
        "status",
        "outcome",
        "consumed_at",
        "expected_selling_partner_id",
        "returned_selling_partner_id",
        "code_verifier",
    }
)

# By model and primary key: the whole row as text.
Rows = dict[tuple[str, str], str]


@contextmanager
def nothing_changes(
    amazon: RunningEmulator,
    *,
    events: tuple[str, ...] = ("authorization_refused",),
    ended: AuthorizationRequest | None = None,
    calls: int = 0,
) -> Iterator[None]:
    """Inside the block only audit events with these codes are added.

    `ended` is the trip that may remember its end, `calls` how many calls to Amazon's servers
    are expected.
    """
    before, known_events, known_calls = all_rows(), event_count(), amazon.ledger.last_number
    yield
    changed = changes(before, all_rows(), ended)
    assert changed == [], f"changed: {changed}"
    recorded = new_events(known_events)
    assert recorded == sorted(events), f"recorded: {recorded}"
    made = [call for call in amazon.ledger.calls(since=known_calls) if call.surface in SERVER_SIDE]
    assert len(made) == calls, f"called: {made}"


def all_rows() -> Rows:
    """In one statement where the database can write a row down by itself."""
    if connection.vendor != "postgresql":
        return _rows_one_table_at_a_time()
    with connection.cursor() as cursor:
        cursor.execute(_snapshot_statement())
        return {(label, key): row for label, key, row in cursor.fetchall()}


def _compared_models() -> list[type[Model]]:
    return [
        model
        for label in DOMAIN
        for model in apps.get_app_config(label).get_models()
        if model not in NOT_COMPARED
    ]


@cache
def _snapshot_statement() -> str:
    return " UNION ALL ".join(
        f"SELECT '{model._meta.label}', {model._meta.pk.column}::text, row_to_json(t)::text"
        f" FROM {model._meta.db_table} AS t"
        for model in _compared_models()
    )


def _rows_one_table_at_a_time() -> Rows:
    return {
        (model._meta.label, str(row["pk"])): json.dumps(row, default=str)
        for model in _compared_models()
        for row in model._base_manager.values(
            "pk", *(f.attname for f in model._meta.concrete_fields)
        )
    }


def changes(before: Rows, after: Rows, ended: AuthorizationRequest | None) -> list[str]:
    """Rows that came, went or differ, named without their values."""
    forgiven = (AuthorizationRequest._meta.label, str(ended.pk)) if ended else None
    found = [f"{key} came" for key in after.keys() - before.keys()]
    found += [f"{key} went" for key in before.keys() - after.keys()]
    for key in before.keys() & after.keys():
        if before[key] != after[key]:
            names = changed_columns(before[key], after[key])
            names -= END_OF_TRIP if key == forgiven else set()
            found += [f"{key} {name}" for name in names]
    return sorted(found)


def changed_columns(before: str, after: str) -> set[str]:
    """Of one row."""
    old, new = json.loads(before), json.loads(after)
    return {name for name, value in old.items() if new[name] != value}


def event_count() -> int:
    return AuditEvent._base_manager.count()


def new_events(known: int) -> list[str]:
    codes = AuditEvent._base_manager.order_by("pk").values_list("code", flat=True)
    return sorted(codes[known:])
