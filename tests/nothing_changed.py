"""Proof that a refused action had no effect: every column of every domain table, compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps

from connections.models import AuthorizationRequest
from sellerlegend.jobs.models import Breaker
from sellerlegend.organizations.models import Allowance, AuditEvent
from tests.amazon_emulator.running import RunningEmulator

DOMAIN = ("organizations", "jobs", "connections", "marketplaces", "ppc")
# Events are counted; a refusal may use up somebody's tries, and an outage is remembered.
NOT_COMPARED = (AuditEvent, Allowance, Breaker)
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

Rows = dict[tuple[str, Any], dict[str, Any]]


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
    return {
        (model._meta.label, row["pk"]): row
        for label in DOMAIN
        for model in apps.get_app_config(label).get_models()
        if model not in NOT_COMPARED
        for row in model._base_manager.values(
            "pk", *(f.attname for f in model._meta.concrete_fields)
        )
    }


def changes(before: Rows, after: Rows, ended: AuthorizationRequest | None) -> list[str]:
    """Rows that came, went or differ, named without their values."""
    forgiven = (AuthorizationRequest._meta.label, ended.pk) if ended else None
    found = [f"{key} came" for key in after.keys() - before.keys()]
    found += [f"{key} went" for key in before.keys() - after.keys()]
    for key in before.keys() & after.keys():
        names = {name for name, value in before[key].items() if after[key][name] != value}
        found += [f"{key} {name}" for name in names - (END_OF_TRIP if key == forgiven else set())]
    return sorted(found)


def event_count() -> int:
    return AuditEvent._base_manager.count()


def new_events(known: int) -> list[str]:
    codes = AuditEvent._base_manager.order_by("pk").values_list("code", flat=True)
    return sorted(codes[known:])
