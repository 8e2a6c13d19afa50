""" "Is this right?", asked after the first consent of a row: open until a person answers it.

Using the row is an answer too. Whether the question is open is a matter of facts, not of the
column alone: rows that were used before this was so are not asked any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import BooleanField, Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from connections.models import Connection, Grant
from sellerlegend.organizations.audit import Actor, record_events

# The first consent has this version; each newer one, and each end, moves it.
FIRST = 1
# Of the marketplaces and of their PPC links, whose apps stand above this one.
ONBOARDED = ("working", "onboarded", "needs_attention", "paused")
LINKED = ("working", "linked", "needs_attention", "unlinked")


def answer(organization_id: UUID, connection_ids: Iterable[UUID], *, actor: Actor) -> None:
    """In the caller's transaction, which holds the organization's lock. Changes nothing where it
    was answered, or where no consent has raised it yet."""
    rows = Connection.objects.for_organization(organization_id).filter(pk__in=list(connection_ids))
    asked = list(rows.filter(selling_partner_id__isnull=False, account_confirmed_at__isnull=True))
    if asked:
        rows.filter(pk__in=[row.pk for row in asked]).update(account_confirmed_at=timezone.now())
        record_events("connection_confirmed", actor=actor, subjects=asked)


def is_open(connection: Connection) -> bool:
    """Nobody has answered, and nobody has used the row: not onboarded, linked, renewed or ended."""
    rows: QuerySet[Connection] = Connection.objects.for_organization(connection.organization_id)
    return bool(rows.filter(open_in(connection.organization_id), pk=connection.pk).exists())


def asks(organization_id: UUID) -> Case:
    """Whether the question of a row is open, as a column of a query."""
    is_open = When(open_in(organization_id), then=Value(True))  # noqa: FBT003  # SQL value
    return Case(is_open, default=Value(False), output_field=BooleanField())  # noqa: FBT003


def open_in(organization_id: UUID) -> Q:
    """Of rows of an organization. The few that nobody has answered are looked at closely."""
    # A marketplace or its PPC link was begun once, whatever has become of it.
    begun = (
        Q(marketplace_accounts__chosen_at__isnull=False)
        | Q(marketplace_accounts__onboarding__in=ONBOARDED)
        | Q(marketplace_accounts__ppc_link__chosen_at__isnull=False)
        | Q(marketplace_accounts__ppc_link__status__in=LINKED)
    )
    rows = Connection.objects.for_organization(organization_id)
    asked = Q(
        account_confirmed_at__isnull=True,
        selling_partner_id__isnull=False,
        spapi_grant__version=FIRST,
    )
    is_over = Q(spapi_grant__status=Grant.Status.DISCONNECTED)
    return asked & ~is_over & ~Q(Exists(rows.filter(begun, pk=OuterRef("pk"))))
