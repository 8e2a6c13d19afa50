"""Reading a seller's marketplaces: asked at Amazon, written down, shared by the row's jobs."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from connections import credentials, refusals, revisions, verdicts
from connections.models import Connection, SpApiGrant
from connections.verification import LIVING
from marketplaces import discovery
from marketplaces.models import MarketplaceAccount
from sellerlegend.amazon import sellers
from sellerlegend.amazon.errors import AmazonError, AmazonUnavailable, HeldBack
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.sellers import Participation, ParticipationReply
from sellerlegend.jobs import breakers, ledger, rates
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.scoping import ScopedQuerySet

logger = logging.getLogger(__name__)

READ = "marketplaces.read_participations"
RESYNC = "marketplaces.resync"

# Amazon allows 15 of these calls in a burst and then one a minute: all jobs of a row share one.
SNAPSHOT_LIFETIME = timedelta(minutes=10)
# Amazon's own have 13 or 14 characters; a longer one is nothing that we could store.
ID_LENGTH = 20


def askable_rows(organization_id: UUID) -> ScopedQuerySet[Connection]:
    """Rows whose Seller Central consent Amazon can be asked about: one that a person disconnected
    has no token any more, nor has one that Amazon ended four weeks ago, and staff may have stopped
    it."""
    rows = Connection.objects.for_organization(organization_id)
    askable: ScopedQuerySet[Connection] = rows.filter(
        refusals.askable("spapi_grant__"), selling_partner_id__isnull=False
    )
    return askable


def is_askable(connection: Connection) -> bool:
    return bool(askable_rows(connection.organization_id).filter(pk=connection.pk).exists())


def has_working_consent(organization_id: UUID, connection_id: UUID) -> bool:
    """Whether Amazon may be asked for the row's data: by force it is asked of more."""
    living = SpApiGrant.objects.for_organization(organization_id).filter(status__in=LIVING)
    return bool(living.filter(connection=connection_id).exists())


def begin_reading(*, connection: Connection) -> Job:
    """Queue a fresh reading of the seller's marketplaces; one live job per row."""
    with transaction.atomic():
        revisions.touch(connection.organization_id, [connection.pk])
        return queue_reading(connection)


def queue_reading(connection: Connection, *, is_first: bool = False) -> Job:
    """The same in a transaction that touched the row already."""
    return ledger.enqueue(
        READ,
        organization=connection.organization_id,
        subject_id=connection.pk,
        connection_id=connection.pk,
        is_first=is_first,
    )


def begin_resync(*, connection: Connection) -> Job:
    """Queue a refresh of the consent, whatever we believe of it, and a fresh reading."""
    return ledger.enqueue(
        RESYNC,
        organization=connection.organization_id,
        subject_id=connection.pk,
        connection_id=connection.pk,
    )


def retry_reading(connection: Connection) -> bool:
    """Read now what waits or was given up. False when the last reading went well, and where Amazon
    cannot be asked."""
    if not is_askable(connection):
        return False
    jobs = Job.objects.for_organization(connection.organization_id)
    subject = jobs.filter(subject_id=connection.pk, kind__in=[READ, RESYNC])
    live = list(subject.filter(status__in=Job.LIVE))
    if live:
        return sum(ledger.hurry(job) for job in live) > 0
    if connection.reading_error:
        is_working = has_working_consent(connection.organization_id, connection.pk)
        begin = begin_reading if is_working else begin_resync
        begin(connection=connection)
    return bool(connection.reading_error)


def reading_restarted(job: Job, _actor: Actor) -> bool:
    rows = Connection.objects.for_organization(job.organization_id)
    connection = rows.filter(pk=job.subject_id).first()
    return connection is not None and retry_reading(connection)


def read_participations(claim: Claim) -> None:
    """The job: ask Amazon, record what it says, fill the row."""
    _read(claim, force_refresh=False)


def resync(claim: Claim) -> None:
    """The job: prove the consent by a refresh, then read as always."""
    _read(claim, force_refresh=True)


def _read(claim: Claim, *, force_refresh: bool) -> None:
    connection = connection_of(claim, claim.job.subject_id)
    if connection is None:
        with claim.finishing():
            return
    try:
        reply = fetch_participations(connection, force_refresh=force_refresh)
    except AmazonError as error:
        reason = verdicts.wait_or_reason(claim, error)
        if reason is not None:
            with claim.finishing(error=reason):
                reading_failed(connection, reason)
        return
    with claim.finishing(error=""):
        record_participations(connection=connection, reply=reply)


def fetch_participations(
    connection: Connection, *, force_refresh: bool = False
) -> ParticipationReply:
    """One call to the Sellers API within Amazon's plan, counted across all workers.

    Raises AmazonError kinds; a spent plan is HeldBack(throttled) with the time to wait.
    """
    plan = rates.MARKETPLACE_PARTICIPATIONS
    key = rates.bucket_key(
        application_id=settings.SPAPI_APPLICATION_ID,
        organization_id=connection.organization_id,
        selling_partner_id=connection.selling_partner_id or "",
        region=connection.region,
        plan=plan,
    )

    def call(access_token: Secret) -> ParticipationReply:
        wait = rates.take(key, plan)
        if wait:
            raise HeldBack(operation=plan.operation, retry_after=wait, throttled=True)
        with breakers.guarded(f"sellers.{connection.region}", operation=plan.operation):
            return sellers.get_marketplace_participations(
                endpoints=settings.AMAZON_ENDPOINTS,
                region=Region(connection.region),
                access_token=access_token,
            )

    try:
        return credentials.spapi_call(connection, call, force_refresh=force_refresh)
    except AmazonUnavailable as error:
        if error.throttled and error.retry_after is None:
            rates.drain_bucket(key)
            raise AmazonUnavailable(
                operation=plan.operation, retry_after=1 / plan.rate, throttled=True
            ) from None
        raise


def record_participations(
    *, connection: Connection, reply: ParticipationReply, is_routine: bool = False
) -> None:
    """Write what Amazon listed, in the caller's transaction. Nothing is deleted: marketplaces
    missing from the reply are kept and marked not participating. `is_routine`: the daily proof,
    which is an event of its own only when something came or went.

    A reply of which a part could not be read shows what is there and never what is gone: it is
    no proof, and the reading comes again soon."""
    now = timezone.now()
    is_partial = reply.dropped > 0
    listed = [item for item in reply.participations if len(item.marketplace_id) <= ID_LENGTH]
    changes = discovery.Changes(connection, now)
    missing = _write_listed(connection, listed, changes, is_partial=is_partial)
    if is_partial:
        missing = []
        discovery.note_partial(connection)
    else:
        _write_missing(connection, missing, changes)
        rows = Connection.objects.for_organization(connection.organization_id)
        rows.filter(pk=connection.pk).update(participations_read_at=now, reading_error="")
        discovery.note_proof(connection)
    changes.record()
    if is_routine and not changes and not is_partial:
        return
    record_event(
        "participations_partial" if is_partial else "participations_read",
        actor=WORKER,
        subject=connection,
        listed=len(listed),
        missing=len(missing),
        malformed=reply.dropped + len(reply.participations) - len(listed),
    )


def _write_listed(
    connection: Connection,
    listed: list[Participation],
    changes: discovery.Changes,
    *,
    is_partial: bool,
) -> list[MarketplaceAccount]:
    """Returns those that we know and Amazon did not list."""
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    known = {account.marketplace_id: account for account in accounts.filter(connection=connection)}
    for item in listed:
        before = known.pop(item.marketplace_id, None)
        if is_partial and before is not None and not item.is_participating:
            continue  # its other entry, the one that counts, may be among the unreadable
        columns = _facts(item) | {"seen_at": changes.now} | changes.columns_of(item, before)
        if before is not None:
            accounts.filter(pk=before.pk).update(**columns)
        else:
            accounts.create(connection=connection, marketplace_id=item.marketplace_id, **columns)
    return list(known.values())


def _write_missing(
    connection: Connection, missing: list[MarketplaceAccount], changes: discovery.Changes
) -> None:
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    for account in missing:
        columns = changes.columns_of_missing(account)
        if columns:
            accounts.filter(pk=account.pk).update(is_participating=False, **columns)


def _facts(item: Participation) -> dict[str, object]:
    return {
        "name": item.name[:80],
        "country_code": item.country_code,
        "currency": item.currency[:3],
        "language": item.language[:10],
        "domain_name": item.domain_name[:100],
        "store_name": item.store_name[:200],
        "is_participating": item.is_participating,
        "has_suspended_listings": item.has_suspended_listings,
    }


def reading_failed(connection: Connection, reason: str) -> None:
    """Nothing is said of a consent that was ended or stopped meanwhile: that says why by itself."""
    if not is_askable(connection):
        return
    rows = Connection.objects.for_organization(connection.organization_id)
    rows.filter(pk=connection.pk).update(reading_error=reason)
    record_event("participations_failed", actor=WORKER, subject=connection, reason=reason)


def reading_given_up(job: Job) -> None:
    connection = (
        Connection.objects.for_organization(job.organization_id).filter(pk=job.subject_id).first()
    )
    if connection is not None:
        reading_failed(connection, "gave_up")


def has_fresh_snapshot(connection: Connection) -> bool:
    read_at = connection.participations_read_at
    return read_at is not None and timezone.now() - read_at < SNAPSHOT_LIFETIME


def connection_of(claim: Claim, connection_id: UUID) -> Connection | None:
    rows = Connection.objects.for_organization(claim.job.organization_id)
    return rows.filter(pk=connection_id).first()
