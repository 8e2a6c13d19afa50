"""A removed row is hidden with its history, and comes back as it was: by hand, or because the
same seller is connected again. Either way it takes an administrator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils import timezone

from connections import question
from connections.models import Connection
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Membership, Role

NAME_LENGTH = 80

Return = Callable[[Connection, Actor], object]
_returns: list[Return] = []


class NeedsAdministrator(PermissionDenied):
    """A person who is no administrator of the organization asked for a removed row."""


def register_return(what: Return) -> None:
    """For the apps above: what else comes back with a row, in the transaction that shows it."""
    _returns.append(what)


def removed_rows(organization_id: UUID) -> QuerySet[Connection]:
    """The newest first."""
    rows: QuerySet[Connection] = Connection.with_removed.for_organization(organization_id)
    return rows.filter(removed_at__isnull=False).order_by("-removed_at", "pk")


def removed_elsewhere(connection: Connection) -> list[Connection]:
    """Removed rows of the same seller: each comes back when its region is connected again."""
    rows = removed_rows(connection.organization_id).select_related("organization")
    return list(rows.filter(selling_partner_id=connection.selling_partner_id).order_by("region"))


def may_bring_back(organization_id: UUID, actor: Actor) -> bool:
    if actor.kind == AuditEvent.ActorKind.CLIENT:
        return False
    if actor.kind != AuditEvent.ActorKind.PERSON:
        return True  # staff and commands have rights of their own
    if actor.user is None:
        return False
    own = Membership.objects.for_user(actor.user).filter(organization_id=organization_id).first()
    return own is not None and own.may(Role.ADMIN)


def stays_removed(row: Connection, *, actor: Actor, began_at: datetime) -> bool:
    """Whether a trip that this person began then may not give its consent to the row: somebody
    removed it since, or bringing it back is an administrator's."""
    if row.removed_at is None:
        return False
    return row.removed_at >= began_at or not may_bring_back(row.organization_id, actor)


def hide(connection: Connection, *, actor: Actor) -> bool:
    """In the caller's transaction, which holds the organization's lock. False: it is hidden."""
    row = Connection.objects.for_organization(connection.organization_id).filter(pk=connection.pk)
    if not row.update(removed_at=timezone.now()):
        return False
    record_event("connection_removed", actor=actor, subject=connection, name=connection.name)
    return True


def bring_back(connection: Connection, *, actor: Actor) -> bool:
    """In the caller's transaction, which holds the organization's lock. False: it is not removed.
    Raises NeedsAdministrator.

    A name that another row has got meanwhile is given a number.
    """
    if not may_bring_back(connection.organization_id, actor):
        raise NeedsAdministrator(connection.name)
    row = removed_rows(connection.organization_id).filter(pk=connection.pk)
    name = free_name(connection)
    if not row.update(removed_at=None, name=name):
        return False
    connection.removed_at, connection.name = None, name
    record_event("connection_restored", actor=actor, subject=connection, name=name)
    question.answer(connection.organization_id, [connection.pk], actor=actor)
    for what in _returns:
        what(connection, actor)
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
