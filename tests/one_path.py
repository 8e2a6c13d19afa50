"""Comparing how two runs left the database, whatever ids and times they used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from connections import token_cache
from connections.models import AdsGrant, Connection, SpApiGrant
from marketplaces.models import MarketplaceAccount
from ppc.models import AdsProfile, PpcLink
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import AuditEvent

TABLES = (
    Connection,
    SpApiGrant,
    AdsGrant,
    MarketplaceAccount,
    AdsProfile,
    PpcLink,
    Job,
    AuditEvent,
)


class Undo(Exception):
    pass


def left_by(run: Callable[[], object]) -> dict[str, list[dict[str, Any]]]:
    """Every column of every row after `run`, which is then undone. Times only as given or not."""
    try:
        with transaction.atomic():
            run()
            state = {model.__name__: rows_of(model) for model in TABLES}
            raise Undo
    except Undo:
        forget_access_tokens()
        return state


def forget_access_tokens() -> None:
    """The cache knows no transactions."""
    for model in (SpApiGrant, AdsGrant):
        for grant in model._base_manager.all():
            token_cache.drop(token_cache.key_of(grant))


def rows_of(model: type[Any]) -> list[dict[str, Any]]:
    rows = [
        {
            name: blurred(value)
            for name, value in row.items()
            # The events of both runs take their ids from one sequence.
            if not (model is AuditEvent and name == "id")
        }
        for row in model._base_manager.order_by("pk").values()
    ]
    if model in (AdsProfile, MarketplaceAccount, AuditEvent):
        return sorted(rows, key=str)
    return rows


def blurred(value: Any) -> Any:
    return "a time" if isinstance(value, datetime) else value


def without_new_ids(state: dict[str, list[dict[str, Any]]], known: set[UUID]) -> Any:
    """Rows that the runs created have ids of their own."""
    return {
        table: sorted(
            [
                {
                    name: "new" if isinstance(value, UUID) and value not in known else value
                    for name, value in row.items()
                }
                for row in rows
            ],
            key=str,
        )
        for table, rows in state.items()
    }


def known_ids() -> set[UUID]:
    return {
        value
        for model in TABLES
        for row in model._base_manager.values()
        for value in row.values()
        if isinstance(value, UUID)
    }
