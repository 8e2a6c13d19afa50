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
from connections.models import AuthorizationRequest, Connection, Grant, SpApiGrant
from connections.reach import is_within
from connections.services import create_beside, live_work
from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Membership, Organization


class RowGone(ValueError):
    """The row was erased while its trip to Amazon went on."""


class OfAnotherRow(ValueError):
    """The seller has another row, which is not for whoever came back: the client of a link, or a
    member who does not see it."""


class RowRemoved(ValueError):
    """The seller's row is a removed one, which this trip may not bring back."""


class DisconnectedMeanwhile(ValueError):
    """Somebody disconnected the account while the trip to Amazon went on: the newer fact wins."""


class NotProved(ValueError):
    """The row has a consent that works, and nothing says that the new one is as good."""


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
    is_proved: bool = False,
) -> Stored:
    """Write a consent that Amazon gave. `is_proved`: it was used, and is this seller's.

    What works is replaced by nothing less. A row the organization already has for (seller, region)
    wins with its name and id; the waiting row goes. A removed one comes back by an administrator's
    trip alone. A row that another trip gave to another seller meanwhile is left alone: the consent
    gets a row beside it. Runs in the caller's transaction, and takes the organization's lock first,
    so two consents of one seller cannot both believe to be the first. `began_at`: of the trip, else
    now; who disconnected the seller or removed its row since then is not overruled by it. Raises
    RowGone, RowRemoved, DisconnectedMeanwhile, OfAnotherRow and NotProved.
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
        _next_grant(row, token, actor, began_at, is_proved=is_proved)
        # A job that waits because the old consent was refused, or fails with it just now, must
        # not speak about the new one.
        ledger.start_over(live_work(row))
    return Stored(row, is_new=known is None, was_removed=was_removed)


def refusal_ahead(*, connection: Connection, seller: str, actor: Actor, began_at: datetime) -> str:
    """Asked before a code is spent: the outcome by which `store_spapi_grant` would refuse the
    consent, which asks again under the lock; else ""."""
    asked, known = _asked_and_known(connection, seller)
    if _is_kept_removed((asked, known), actor, began_at):
        return "row_removed"
    return "other_row" if _is_out_of_reach(connection, known, actor) else ""


def living_row(trip: AuthorizationRequest) -> Connection | None:
    """The row whose consent works and would be replaced by that of this trip."""
    if trip.connection is None:
        return None
    _asked, known = _asked_and_known(trip.connection, trip.returned_selling_partner_id)
    if known is None:
        return None
    grants = SpApiGrant.objects.for_organization(known.organization_id)
    grant: SpApiGrant | None = grants.filter(connection=known).defer("refresh_token").first()
    return known if grant is not None and grant.is_living else None


def _is_out_of_reach(asked: Connection, known: Connection | None, actor: Actor) -> bool:
    """A client's link is for one row alone, and a limited member changes none that he does not
    see: the Seller ID that leads there is a word of the browser."""
    if known is None or known.pk == asked.pk:
        return False
    if actor.kind == AuditEvent.ActorKind.CLIENT:
        return True
    if actor.user is None:
        return False
    members = Membership.objects.for_organization(asked.organization_id)
    member = members.filter(user=actor.user).first()
    return member is None or not is_within(member, known.pk)


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
    """The row that holds this seller's consent from now on; a waiting one beside it goes. Raises
    OfAnotherRow."""
    if known is None:
        row = asked if asked.waits_for_consent else create_beside(connection=asked, actor=actor)
        row.selling_partner_id = seller
        return row
    if _is_out_of_reach(asked, known, actor):
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


def _next_grant(
    row: Connection, token: Secret, actor: Actor, began_at: datetime, *, is_proved: bool
) -> None:
    grants = SpApiGrant.objects.for_organization(row.organization)
    grant: SpApiGrant | None = grants.filter(connection=row).first()
    if grant is None:
        _first_grant(row, token, actor)
        return
    is_over = grant.status == Grant.Status.DISCONNECTED
    if is_over and grant.status_changed_at > began_at:
        raise DisconnectedMeanwhile(row.name)
    if grant.is_living and not is_proved:
        raise NotProved(row.name)
    now = timezone.now()
    gap = gaps.gap_before(grant, now)
    columns = credentials.seal_refresh_token(grant, token, row.organization.data_key)
    columns |= {"authorized_at": now, "authorized_by": actor.user}
    columns |= gaps.columns_of(gap) if gap else {}
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
