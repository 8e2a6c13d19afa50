"""Taking a disconnected row out of sight, and bringing it back.

Nothing that Amazon told us is kept longer by it: `prune` erases the row 30 days after its consent
ended, in sight or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from connections import ads_consents, removal, revisions, services
from connections.models import (
    KEPT_AFTER_END,
    AuthorizationRequest,
    Connection,
    Grant,
    SpApiGrant,
)
from ppc import disconnecting
from ppc import services as linking
from ppc.disconnecting import end_links, end_open_trips
from ppc.models import PpcLink
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent


class NotRestorable(ValueError):
    """The row is in sight already, or erased."""


@dataclass(frozen=True)
class RemovedRow:
    """What the page of removed rows shows of one."""

    connection: Connection
    erased_on: datetime | None
    # It has an Ads consent that no other row uses: it waits for a restoration.
    keeps_ads: bool


def wholly_disconnected(connection: Connection) -> bool:
    """A row with a seller and no living Seller Central consent: it may be removed."""
    grants = SpApiGrant.objects.for_organization(connection.organization_id)
    living = grants.filter(connection=connection).exclude(status=Grant.Status.DISCONNECTED)
    return not connection.waits_for_consent and not living.exists()


def remove(*, connection: Connection, actor: Actor, ends_ads: bool = False) -> bool:
    """Hide a disconnected row; its work, its links and its open trips end. `ends_ads`: the Ads
    consents that no other row in sight uses, too. Returns whether there was one. Raises
    NotRemovable."""
    with transaction.atomic():
        revisions.touch_list(connection.organization_id)
        if not wholly_disconnected(connection):
            raise services.NotRemovable(connection.name)
        services.cancel_work(connection)
        own = disconnecting.own_ads_grants(connection) if ends_ads else []
        disconnecting.end_ads_consents(connection, own, actor)
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
    return bool(own)


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


def link_again(connection: Connection, actor: Actor) -> list[PpcLink]:
    """A row comes back: start the links that its removal ended, where a living consent still sees
    their profile. In the caller's transaction."""
    seen = linking.proposals(connection)
    accounts = [
        link.account_id
        for link in ended_by_removal(connection)
        if link.account.marketplace_id in seen
    ]
    return linking.begin_linking(connection=connection, account_ids=accounts, actor=actor)


def ended_by_removal(connection: Connection) -> list[PpcLink]:
    """By the record, which says why a link's last step was taken."""
    links = PpcLink.objects.for_organization(connection.organization_id).filter(
        account__connection=connection,
        status__in=[PpcLink.Status.UNLINKED, PpcLink.Status.PENDING],
    )
    found = {link.pk: link for link in links.select_related("account")}
    events = AuditEvent.objects.for_organization(connection.organization_id)
    steps = events.filter(subject_id__in=list(found), connection_id=connection.pk).order_by("pk")
    last = dict(steps.values_list("subject_id", "details"))
    return [found[pk] for pk, details in last.items() if details.get("reason") == "removed"]


def is_linking(connection: Connection) -> bool:
    links = PpcLink.objects.for_organization(connection.organization_id)
    begun = links.filter(account__connection=connection, status=PpcLink.Status.WORKING)
    return bool(begun.exists())


def must_connect_ppc_again(connection: Connection) -> bool:
    """Whether a link of the row has ended, and nothing makes it again."""
    links = PpcLink.objects.for_organization(connection.organization_id)
    ended = links.filter(account__connection=connection, status=PpcLink.Status.UNLINKED)
    return bool(ended.exists())


def removed(organization_id: UUID) -> list[RemovedRow]:
    found = removal.removed_rows(organization_id).select_related("spapi_grant")
    rows = list(found.defer("spapi_grant__refresh_token"))
    consents = ads_consents.by_row(ads_consents.living(organization_id), rows)
    in_sight = Connection.objects.for_organization(organization_id)
    used = ads_consents.of_rows(organization_id, in_sight).values_list("pk", flat=True)
    used_elsewhere = set(used) if consents else set()
    return [
        RemovedRow(
            row,
            row.spapi_grant.status_changed_at + KEPT_AFTER_END,
            keeps_ads=bool(consents.get(row.pk, set()) - used_elsewhere),
        )
        for row in rows
    ]
