"""`advance()` and `advance_many()`: the only ways the status of a domain row changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, cast

from django.db import models, transaction

from sellerlegend.organizations.audit import Actor, record_event, record_events


class StaleState(RuntimeError):
    """The row was no longer in the state the caller had seen; nothing was written."""


class IllegalTransition(RuntimeError):
    """The transition table does not allow this step: a mistake in the code, not in the data."""


class Stateful(Protocol):
    STATUS_FIELD: ClassVar[str]
    EVENT_PREFIX: ClassVar[str]
    TRANSITIONS: ClassVar[Mapping[str, set[str]]]


def advance(row: models.Model, *, to: str, actor: Actor, reason: str = "", **columns: Any) -> None:
    """Move `row` from the status it was read with to `to`, and write the audit event with it.

    One conditional UPDATE. Raises StaleState when another writer was first, IllegalTransition
    when the table forbids the step. On success `row` carries the new values.
    """
    machine = cast(type[Stateful], type(row))
    field = machine.STATUS_FIELD
    seen = getattr(row, field)
    _require_legal(type(row), seen, to)
    with transaction.atomic():
        rows = type(row)._base_manager.filter(pk=row.pk, **{field: seen})
        if rows.update(**{field: to}, **columns) != 1:
            raise StaleState(f"{type(row).__name__} is no longer {seen}")
        details = _details(seen, to, reason)
        record_event(f"{machine.EVENT_PREFIX}_{to}", actor=actor, subject=row, **details)
    for name, value in {field: to, **columns}.items():
        setattr(row, name, value)


def advance_many(
    rows: models.QuerySet[Any],
    *,
    seen: str,
    to: str,
    actor: Actor,
    reason: str = "",
    limit: int = 500,
    is_patient: bool = False,
    **columns: Any,
) -> int:
    """Move the first `limit` of `rows` that are `seen` to `to`, with an audit event each, in one
    transaction and few statements. Returns how many; ask again until it is 0.

    Rows that another writer is at are left alone, or waited for when `is_patient`: then none that
    is still `seen` remains. Raises IllegalTransition as `advance` does.
    """
    machine = cast(type[Stateful], rows.model)
    _require_legal(rows.model, seen, to)
    of_this_status = {machine.STATUS_FIELD: seen}
    with transaction.atomic():
        free = rows.filter(**of_this_status)
        held = list(free.select_for_update(skip_locked=not is_patient, of=("self",))[:limit])
        keys = [row.pk for row in held]
        moved = rows.model._base_manager.filter(pk__in=keys, **of_this_status)
        if moved.update(**{machine.STATUS_FIELD: to}, **columns) != len(keys):
            raise StaleState(f"{rows.model.__name__}: rows moved under their lock")
        record_events(
            f"{machine.EVENT_PREFIX}_{to}",
            actor=actor,
            subjects=held,
            **_details(seen, to, reason),
        )
    return len(held)


def _require_legal(model: type[models.Model], seen: str, to: str) -> None:
    if to not in cast(type[Stateful], model).TRANSITIONS.get(seen, set()):
        raise IllegalTransition(f"{model.__name__}: {seen} to {to}")


def _details(seen: str, to: str, reason: str) -> dict[str, Any]:
    details = {"from": str(seen), "to": str(to)}
    return details | {"reason": reason} if reason else details
