"""What people and workers do to a connection row. One path for view, task and command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
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
from connections.client_link_models import ClientLink
from connections.models import AuthorizationRequest, Connection, Grant, SpApiGrant
from sellerlegend import crypto
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Organization, User
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.transitions import advance_many

ABANDONED_AFTER = timedelta(days=1)
# The exchange takes ten seconds at most, and what follows one short transaction.
INTERRUPTED_AFTER = timedelta(minutes=1)


class NameTaken(ValueError):
    """Another row of the organization has this name, ignoring case."""


class RowGone(ValueError):
    """The row was erased while its trip to Amazon went on."""


class OfAnotherRow(ValueError):
    """The client of a link came back with a seller that has another row."""


class RowRemoved(ValueError):
    """The seller's row is a removed one, which this trip may not bring back."""


class DisconnectedMeanwhile(ValueError):
    """Somebody disconnected the account while the trip to Amazon went on: the newer fact wins."""


class NotRemovable(ValueError):
    """The row holds a consent; it has to be disconnected, not removed."""


@dataclass(frozen=True)
class Stored:
    """The row that holds a consent now; `is_new`: this seller is new in the region."""

    row: Connection
    is_new: bool
    was_removed: bool


def create_connection(
    *,
    organization: Organization,
    name: str,
    marketplace_id: str,
    actor: Actor,
    expected_selling_partner_id: str = "",
) -> Connection:
    """Add a row that waits for consent. Raises NameTaken."""
    marketplace = MARKETPLACES[marketplace_id]
    try:
        with transaction.atomic():
            revisions.touch(organization.pk, [])  # the lock comes before the name, as everywhere
            connection: Connection = Connection.objects.for_organization(organization).create(
                name=name,
                region=marketplace.region.value,
                marketplace_id=marketplace_id,
                expected_selling_partner_id=expected_selling_partner_id,
                created_by=actor.user,
            )
            revisions.touch_list(organization.pk)
            record_event("connection_created", actor=actor, subject=connection, name=name)
    except IntegrityError:
        raise NameTaken(name) from None
    return connection


def create_beside(*, connection: Connection, actor: Actor) -> Connection:
    """A new waiting row in the same region, named after `connection` with the next free number."""
    for number in range(2, 1000):
        try:
            return create_connection(
                organization=connection.organization,
                name=f"{connection.name[:74]} {number}",
                marketplace_id=connection.marketplace_id,
                actor=actor,
            )
        except NameTaken:
            continue
    raise NameTaken(connection.name)


def rename_connection(*, connection: Connection, name: str, actor: Actor) -> None:
    """Raises NameTaken."""
    old = connection.name
    try:
        with transaction.atomic():
            revisions.touch_list(connection.organization_id)
            revisions.touch(connection.organization_id, [connection.pk])
            rows = Connection.objects.for_organization(connection.organization_id)
            rows.filter(pk=connection.pk).update(name=name)
            record_event("connection_renamed", actor=actor, subject=connection, old=old, new=name)
    except IntegrityError:
        raise NameTaken(name) from None
    connection.name = name


def remove_waiting_connection(*, connection: Connection, actor: Actor) -> None:
    """Remove a row that never got a consent. Raises NotRemovable."""
    with transaction.atomic():
        revisions.touch_list(connection.organization_id)
        rows = Connection.objects.for_organization(connection.organization_id)
        record_event("connection_removed", actor=actor, subject=connection, name=connection.name)
        removed, _ = rows.filter(pk=connection.pk, selling_partner_id__isnull=True).delete()
        if not removed:
            raise NotRemovable(connection.name)


def confirm_account(*, connection: Connection, actor: Actor) -> None:
    """The person says: yes, this is the right store. Doing it twice changes nothing, and so does
    an answer to a question that no consent has raised yet."""
    with transaction.atomic():
        revisions.touch(connection.organization_id, [connection.pk])
        question.answer(connection.organization_id, [connection.pk], actor=actor)


def has_just_consented(connection: Connection, user: User) -> bool:
    """This person gave the row's consent not longer ago than a sign-in counts as fresh."""
    fresh_since = timezone.now() - timedelta(seconds=settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)
    grants = SpApiGrant.objects.for_organization(connection.organization_id)
    return grants.filter(
        connection=connection, authorized_by=user, authorized_at__gt=fresh_since
    ).exists()


def undo_connection(*, connection: Connection, actor: Actor) -> None:
    """The wrong store was connected: destroy its token and remove the row, in one transaction.

    Only while the question is open; afterwards it is a disconnect, which is an administrator's.
    Raises NotRemovable.
    Amazon still lists the app for that store until its owner disables it there.
    """
    with transaction.atomic():
        revisions.touch_list(connection.organization_id)
        rows = Connection.objects.for_organization(connection.organization_id)
        row = rows.select_for_update().filter(pk=connection.pk).first()
        if row is None or not question.is_open(row):
            raise NotRemovable(connection.name)
        cancel_work(row)
        for grant in SpApiGrant.objects.for_organization(row.organization_id).filter(
            connection=row
        ):
            if grant.status != Grant.Status.DISCONNECTED:
                superseding.destroy(grant, actor=actor, reason="undone")
        record_event(
            "connection_undone",
            actor=actor,
            subject=row,
            name=row.name,
            selling_partner_id=row.selling_partner_id,
        )
        row.delete()


def cancel_work(connection: Connection) -> None:
    """Close every live job shown on this row; a running worker's late write is refused."""
    ledger.cancel_live(
        organization_id=connection.organization_id,
        subject_ids=[job.subject_id for job in live_work(connection)],
    )


def live_work(connection: Connection) -> QuerySet[Job]:
    """Every live job shown on this row."""
    jobs: QuerySet[Job] = Job.objects.for_organization(connection.organization_id)
    return jobs.filter(connection_id=connection.pk, status__in=Job.LIVE)


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


def sweep_abandoned() -> int:
    """Expire trips that never came back, and remove rows that waited a day for a consent."""
    return expire_overdue_trips() + end_interrupted_trips() + remove_abandoned_rows()


def expire_overdue_trips() -> int:
    """Returns how many."""
    expired = 0
    with across_organizations("overdue trips of every organization"):
        while moved := advance_many(
            overdue_trips().order_by("expires_at"),
            seen=AuthorizationRequest.Status.OPEN,
            to=AuthorizationRequest.Status.EXPIRED,
            actor=WORKER,
            outcome="expired",
            code_verifier="",
        ):
            expired += moved
    return expired


def end_interrupted_trips() -> int:
    """Trips whose process died between the use of the state and the end. Returns how many."""
    with across_organizations("interrupted trips of every organization"):
        return AuthorizationRequest.objects.filter(
            status=AuthorizationRequest.Status.CONSUMED,
            outcome="in_progress",
            consumed_at__lt=timezone.now() - INTERRUPTED_AFTER,
        ).update(outcome="interrupted", code_verifier="")


def overdue_trips() -> QuerySet[AuthorizationRequest]:
    """Trips that did not come back within their time."""
    return AuthorizationRequest.objects.filter(
        status=AuthorizationRequest.Status.OPEN, expires_at__lt=timezone.now()
    )


def remove_abandoned_rows() -> int:
    """The oldest two hundred; returns how many went."""
    with across_organizations("abandoned rows of every organization"):
        abandoned = list(abandoned_rows().order_by("created_at")[:200])
    removed = 0
    for connection in abandoned:
        try:
            remove_waiting_connection(connection=connection, actor=WORKER)
            removed += 1
        except NotRemovable:
            continue
    return removed


def abandoned_rows() -> QuerySet[Connection]:
    """Rows that waited for a consent for a day, without a trip since. One that belongs to a client
    was planned, and waits for that client as long as it takes; so does one whose client was asked
    by link."""
    oldest = timezone.now() - ABANDONED_AFTER
    rows = Connection.objects.filter(
        selling_partner_id__isnull=True, client__isnull=True, created_at__lt=oldest
    )
    rows = rows.exclude(client_links__status__in=ClientLink.LIVE)
    return rows.exclude(authorization_requests__created_at__gt=oldest)


def count_sellers() -> int:
    """Distinct (Seller ID, region) consents; Amazon counts them per application."""
    with across_organizations("the application's places are shared by all organizations"):
        rows = Connection.objects.filter(selling_partner_id__isnull=False)
        return rows.values("selling_partner_id", "region").distinct().count()


def regions_without(connection: Connection) -> list[Region]:
    """Regions in which the organization has no row for this seller yet."""
    rows = Connection.objects.for_organization(connection.organization_id)
    taken = rows.filter(selling_partner_id=connection.selling_partner_id)
    present = set(taken.values_list("region", flat=True))
    return [region for region in Region if region.value not in present]
