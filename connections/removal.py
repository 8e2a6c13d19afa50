"""A removed row is hidden with its history, and comes back as it was: by hand, or because the
same seller is connected again."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from connections.models import Connection
from sellerlegend.organizations.audit import Actor, record_event

NAME_LENGTH = 80


def removed_rows(organization_id: UUID) -> QuerySet[Connection]:
    """The newest first."""
    rows: QuerySet[Connection] = Connection.with_removed.for_organization(organization_id)
    return rows.filter(removed_at__isnull=False).order_by("-removed_at", "pk")


def hide(connection: Connection, *, actor: Actor) -> bool:
    """In the caller's transaction, which holds the organization's lock. False: it is hidden."""
    row = Connection.objects.for_organization(connection.organization_id).filter(pk=connection.pk)
    if not row.update(removed_at=timezone.now()):
        return False
    record_event("connection_removed", actor=actor, subject=connection, name=connection.name)
    return True


def bring_back(connection: Connection, *, actor: Actor) -> bool:
    """In the caller's transaction, which holds the organization's lock. False: it is not removed.

    A name that another row has got meanwhile is given a number.
    """
    row = removed_rows(connection.organization_id).filter(pk=connection.pk)
    name = free_name(connection)
    if not row.update(removed_at=None, name=name):
        return False
    connection.removed_at, connection.name = None, name
    record_event("connection_restored", actor=actor, subject=connection, name=name)
    return True


def free_name(connection: Connection) -> str:
    rows = Connection.objects.for_organization(connection.organization_id)
    taken = {name.lower() for name in rows.values_list("name", flat=True)}
    name, number = connection.name, 1
    while name.lower() in taken:
        number += 1
        ending = f" {number}"
        name = f"{connection.name[: NAME_LENGTH - len(ending)]}{ending}"
    return name
