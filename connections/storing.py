"""A proven Selling Partner consent finds its row: whose it is, and what comes of the one before.

In the caller's transaction, under the organization's lock: only what is read there counts, and
the newer fact wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from connections import (
    capabilities,
    client_links,
    credentials,
    gaps,
    question,
    removal,
    revisions,
    superseding,
)
from connections.models import Connection, Grant, SpApiGrant
from connections.services import create_beside, live_work
from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Organization


class RowGone(ValueError):
    """The row was erased while its trip to Amazon went on."""


class OfAnotherRow(ValueError):
    """The client of a link came back with a seller that has another row."""


class RowRemoved(ValueError):
    """The seller's row is a removed one, which this trip may not bring back."""


class DisconnectedMeanwhile(ValueError):
    """Somebody disconnected the account while the trip to Amazon went on: the newer fact wins."""


@dataclass(frozen=True)
class Stored:
    """The row that holds a consent now; `is_new`: this seller is new in the region."""

    row: Connection
    is_new: bool
    was_removed: bool


def store_spapi_grant(
    *,
    connection: Connection,
    seller: str,
    token: Secret,
    actor: Actor,
    began_at: datetime | None = None,
) -> Stored:
    """Write a proven consent.

    A row the organization already has for (seller, region) wins with its name and id; the waiting
    row goes. A removed one comes back by an administrator's trip alone. A row that another trip
    gave to another seller meanwhile is left alone: the consent gets a row beside it. Runs in the
    caller's transaction, and takes the organization's lock first, so two consents of one seller
    cannot both believe to be the first. `began_at`: of the trip, else now; who disconnected the
    seller or removed its row since then is not overruled by it. Raises RowGone, RowRemoved,
    DisconnectedMeanwhile, and OfAnotherRow where a client came by a link.
    """
    began_at = began_at or timezone.now()
    revisions.lock_list(connection.organization_id)
    # Only what is read under the lock counts: the caller's copy is as old as its trip.
    asked, known = _asked_and_known(connection, seller)
    if asked is None:
        raise RowGone(connection.name)
    if _is_kept_removed((asked, known), actor, began_at):
        raise RowRemoved(connection.name)
    row = _row_to_hold(asked, known, seller=seller, actor=actor)
    was_removed = row.removed_at is not None
    if was_removed:
        removal.bring_back(row, actor=actor)
    revisions.show(row.organization_id, [row.pk], selling_partner_id=seller)
    if known is None:
        _first_grant(row, token, actor)
    else:
        _next_grant(row, token, actor, began_at)
        # A job that waits because the old consent was refused, or fails with it just now, must
        # not speak about the new one.
        ledger.start_over(live_work(row))
    return Stored(row, is_new=known is None, was_removed=was_removed)


def may_store(*, connection: Connection, seller: str, actor: Actor, began_at: datetime) -> bool:
    """Asked before a code is spent; `store_spapi_grant` asks again under the lock."""
    rows = _asked_and_known(connection, seller)
    return not _is_kept_removed(rows, actor, began_at)


def is_of_another_row(connection: Connection, seller: str) -> bool:
    """Whether this seller has a row in the region, and it is not this one."""
    _asked, known = _asked_and_known(connection, seller)
    return known is not None and known.pk != connection.pk


def _is_kept_removed(rows: Iterable[Connection | None], actor: Actor, began_at: datetime) -> bool:
    return any(
        removal.stays_removed(row, actor=actor, began_at=began_at)
        for row in rows
        if row is not None
    )


def _asked_and_known(
    connection: Connection, seller: str
) -> tuple[Connection | None, Connection | None]:
    """The row as it is now, and the row that has this seller in its region."""
    rows = Connection.with_removed.for_organization(connection.organization_id)
    known = Q(selling_partner_id=seller, region=connection.region)
    found = list(rows.select_related("organization").filter(known | Q(pk=connection.pk)))
    return (
        next((row for row in found if row.pk == connection.pk), None),
        next((row for row in found if row.selling_partner_id == seller), None),
    )


def _row_to_hold(
    asked: Connection, known: Connection | None, *, seller: str, actor: Actor
) -> Connection:
    """The row that holds this seller's consent from now on; a waiting one beside it goes, unless a
    client came by a link, which is for one row alone (OfAnotherRow)."""
    if known is None:
        row = asked if asked.waits_for_consent else create_beside(connection=asked, actor=actor)
        row.selling_partner_id = seller
        return row
    if known.pk != asked.pk and actor.kind == AuditEvent.ActorKind.CLIENT:
        raise OfAnotherRow(asked.name)
    if known.pk != asked.pk and asked.waits_for_consent:
        record_event("connection_merged", actor=actor, subject=asked, into=str(known.pk))
        client_links.move(waiting=asked, known=known)
        asked.delete()
    return known


def _first_grant(row: Connection, token: Secret, actor: Actor) -> None:
    grant = SpApiGrant(
        connection=row,
        status=Grant.Status.ACTIVE,
        authorized_at=timezone.now(),
        authorized_by=actor.user,
        authorized_name=actor.name,
        is_by_client=actor.kind == AuditEvent.ActorKind.CLIENT,
    )
    sealed = credentials.seal_refresh_token(grant, token, row.organization.data_key)
    for name, value in sealed.items():
        setattr(grant, name, value)
    grant.save(force_insert=True)
    record_event(
        "spapi_grant_stored",
        actor=actor,
        subject=grant,
        fingerprint=grant.fingerprint,
    )


def _next_grant(row: Connection, token: Secret, actor: Actor, began_at: datetime) -> None:
    grants = SpApiGrant.objects.for_organization(row.organization)
    grant: SpApiGrant | None = grants.filter(connection=row).first()
    if grant is None:
        _first_grant(row, token, actor)
        return
    is_over = grant.status == Grant.Status.DISCONNECTED
    if is_over and grant.status_changed_at > began_at:
        raise DisconnectedMeanwhile(row.name)
    now = timezone.now()
    gap = gaps.gap_before(grant, now)
    columns = credentials.seal_refresh_token(grant, token, row.organization.data_key)
    columns |= {"authorized_at": now, "authorized_by": actor.user, **gaps.columns_of(gap)}
    columns["authorized_name"] = actor.name
    columns["is_by_client"] = actor.kind == AuditEvent.ActorKind.CLIENT
    columns |= {"imported_at": None, "is_consent_dated": True}
    capabilities.forget(row)
    question.answer(row.organization_id, [row.pk], actor=actor)
    superseding.replace(grant, actor=actor, columns=columns)
    gaps.record(gap, grant=grant, actor=actor)


def store_mws_auth_token(*, connection: Connection, token: Secret) -> None:
    """Keep what a hybrid application's callback brought (Amazon: MWS ended in April 2024)."""
    organization = Organization.objects.get(pk=connection.organization_id)
    Connection.objects.for_organization(organization).filter(pk=connection.pk).update(
        mws_auth_token=crypto.seal(token, connection.mws_place(), data_key=organization.data_key),
        mws_auth_token_tail=token.reveal()[-4:],
        mws_auth_token_updated_at=timezone.now(),
    )
