"""Every change a reader could see bumps the row's revision in the same transaction.

Call it first in the transaction: it locks the organization row, and the lock order everywhere
is organization, connection, job, subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet, Subquery

from connections.models import Connection
from sellerlegend.organizations.models import Organization


def touch(organization_id: UUID, connection_ids: Iterable[UUID]) -> None:
    """These rows look different now."""
    with transaction.atomic():
        _organization(organization_id).update(revision=F("revision") + 1)
        show(organization_id, connection_ids)


def touch_all(organization_id: UUID) -> None:
    """Every row of the organization may look different now."""
    with transaction.atomic():
        _organization(organization_id).update(revision=F("revision") + 1)
        _rows(organization_id).update(revision=_current(organization_id))


def touch_list(organization_id: UUID) -> None:
    """Rows came, went or changed their order."""
    with transaction.atomic():
        lock_list(organization_id)
        _rows(organization_id).filter(revision=0).update(revision=_current(organization_id))


def lock_list(organization_id: UUID) -> None:
    """The same before it is known which rows: `show` names them, in this transaction."""
    following = F("revision") + 1
    _organization(organization_id).update(revision=following, listed_at_revision=following)


def show(organization_id: UUID, connection_ids: Iterable[UUID], **columns: Any) -> None:
    """Write `columns` of rows that look different since this transaction's own touch."""
    rows = _rows(organization_id).filter(pk__in=list(connection_ids))
    rows.update(revision=_current(organization_id), **columns)


def _organization(organization_id: UUID) -> QuerySet[Organization]:
    return Organization.objects.filter(pk=organization_id)


def _rows(organization_id: UUID) -> QuerySet[Connection]:
    rows: QuerySet[Connection] = Connection.objects.for_organization(organization_id)
    return rows


def _current(organization_id: UUID) -> Subquery:
    return Subquery(_organization(organization_id).values("revision"))
