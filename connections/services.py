"""What people and workers do to a connection row. One path for view, task and command."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections import (
    question,
    revisions,
    superseding,
)
from connections.client_link_models import ClientLink
from connections.models import AuthorizationRequest, Connection, Grant, SpApiGrant
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.transitions import advance_many

ABANDONED_AFTER = timedelta(days=1)
# The exchange takes ten seconds at most, a proof twenty, and what follows is one short
# transaction, tried for ten seconds while the database is away.
INTERRUPTED_AFTER = timedelta(minutes=1)


class NameTaken(ValueError):
    """Another row of the organization has this name, ignoring case."""


class RenamedMeanwhile(ValueError):
    """Somebody else renamed the row: its argument is the name that it has now."""


class NotRemovable(ValueError):
    """The row holds a consent; it has to be disconnected, not removed."""


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


def rename_connection(
    *, connection: Connection, name: str, actor: Actor, known: str | None = None
) -> None:
    """`known`: the name that the actor wants to replace, where somebody may have been faster.
    Raises NameTaken, RenamedMeanwhile."""
    try:
        with transaction.atomic():
            revisions.touch_list(connection.organization_id)
            revisions.touch(connection.organization_id, [connection.pk])
            rows = Connection.objects.for_organization(connection.organization_id)
            same = rows.filter(pk=connection.pk)
            old = same.values_list("name", flat=True).first()
            if known is not None and old not in (None, known, name):
                raise RenamedMeanwhile(old)
            same.update(name=name)
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
