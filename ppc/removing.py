"""Taking a disconnected row out of sight, and bringing it back.

Nothing that Amazon told us is kept longer by it: `prune` erases the row 28 days after its consent
ended, in sight or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from connections import removal, revisions, services
from connections.models import (
    KEPT_AFTER_END,
    AuthorizationRequest,
    Connection,
    Grant,
    SpApiGrant,
)
from ppc.disconnecting import end_links, end_open_trips
from sellerlegend.organizations.audit import Actor


class NotRestorable(ValueError):
    """The row is in sight already, or erased."""


@dataclass(frozen=True)
class RemovedRow:
    """What the page of removed rows shows of one."""

    connection: Connection
    erased_on: datetime | None


def wholly_disconnected(connection: Connection) -> bool:
    """A row with a seller and no living Seller Central consent: it may be removed."""
    grants = SpApiGrant.objects.for_organization(connection.organization_id)
    living = grants.filter(connection=connection).exclude(status=Grant.Status.DISCONNECTED)
    return not connection.waits_for_consent and not living.exists()


def remove(*, connection: Connection, actor: Actor) -> None:
    """Hide a disconnected row; its work, its links and its open trips end. Raises NotRemovable."""
    with transaction.atomic():
        revisions.touch_list(connection.organization_id)
        if not wholly_disconnected(connection):
            raise services.NotRemovable(connection.name)
        services.cancel_work(connection)
        end_links(connection, actor)
        trips = AuthorizationRequest.objects.for_organization(connection.organization_id)
        end_open_trips(
            trips.filter(connection=connection),
            actor=actor,
            reason="removed",
            outcome="row_removed",
        )
        if not removal.hide(connection, actor=actor):
            raise services.NotRemovable(connection.name)


def restore(*, organization_id: UUID, connection_id: UUID, actor: Actor) -> Connection:
    """Show a removed row again, disconnected as it was. Raises NotRestorable, and
    NeedsAdministrator, which a page answers with 403."""
    with transaction.atomic():
        revisions.touch_list(organization_id)
        row = removal.removed_rows(organization_id).filter(pk=connection_id).first()
        if row is None or not removal.bring_back(row, actor=actor):
            raise NotRestorable(str(connection_id))
        revisions.touch(organization_id, [row.pk])
    return row


def removed(organization_id: UUID) -> list[RemovedRow]:
    rows = removal.removed_rows(organization_id).select_related("spapi_grant")
    return [
        RemovedRow(row, row.spapi_grant.status_changed_at + KEPT_AFTER_END)
        for row in rows.defer("spapi_grant__refresh_token")
    ]
