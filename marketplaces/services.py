"""Reading a seller's marketplaces, and onboarding the chosen ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from connections import credentials, revisions, verdicts
from connections.models import Connection
from marketplaces import discovery
from marketplaces.models import Marketplace, MarketplaceAccount
from sellerlegend.amazon import sellers
from sellerlegend.amazon.errors import AmazonError, AmazonUnavailable, HeldBack
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.sellers import Participation, ParticipationReply
from sellerlegend.jobs import breakers, ledger, rates
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import AuditEvent
from sellerlegend.organizations.scoping import ScopedQuerySet
from sellerlegend.transitions import StaleState, advance, advance_many

logger = logging.getLogger(__name__)

READ = "marketplaces.read_participations"
RESYNC = "marketplaces.resync"
ONBOARD = "marketplaces.onboard"

Onboarding = MarketplaceAccount.Onboarding
# Amazon allows 15 of these calls in a burst and then one a minute: all jobs of a row share one.
SNAPSHOT_LIFETIME = timedelta(minutes=10)
# Amazon's own have 13 or 14 characters; a longer one is nothing that we could store.
ID_LENGTH = 20


# Participations ----------------------------------------------------------------------------


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
    """Read now what waits or was given up. False when the last reading went well."""
    jobs = Job.objects.for_organization(connection.organization_id)
    subject = jobs.filter(subject_id=connection.pk, kind__in=[READ, RESYNC])
    live = list(subject.filter(status__in=Job.LIVE))
    if live:
        return sum(ledger.hurry(job) for job in live) > 0
    if connection.reading_error:
        begin_reading(connection=connection)
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
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    known = {account.marketplace_id: account for account in accounts.filter(connection=connection)}
    listed = [item for item in reply.participations if len(item.marketplace_id) <= ID_LENGTH]
    changes = discovery.Changes(connection, now)
    for item in listed:
        before = known.pop(item.marketplace_id, None)
        if is_partial and before is not None and not item.is_participating:
            continue  # its other entry, the one that counts, may be among the unreadable
        columns = _facts(item) | {"seen_at": now} | changes.columns_of(item, before)
        if before is not None:
            accounts.filter(pk=before.pk).update(**columns)
        else:
            accounts.create(connection=connection, marketplace_id=item.marketplace_id, **columns)
    missing = [] if is_partial else list(known.values())
    for account in missing:
        columns = changes.columns_of_missing(account)
        if columns:
            accounts.filter(pk=account.pk).update(is_participating=False, **columns)
    if is_partial:
        discovery.note_partial(connection)
    else:
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
    rows = Connection.objects.for_organization(connection.organization_id)
    rows.filter(pk=connection.pk).update(reading_error=reason)
    record_event("participations_failed", actor=WORKER, subject=connection, reason=reason)


def reading_given_up(job: Job) -> None:
    connection = (
        Connection.objects.for_organization(job.organization_id).filter(pk=job.subject_id).first()
    )
    if connection is not None:
        reading_failed(connection, "gave_up")


# Onboarding --------------------------------------------------------------------------------


def begin_onboarding(
    *, connection: Connection, account_ids: Iterable[UUID], actor: Actor
) -> list[MarketplaceAccount]:
    """Start the chosen marketplaces: state, audit event and one job each, in one transaction.

    Ids that are not startable any more (started in another tab, not supported, not
    participating) are left as they are. Returns what was started.
    """
    return begin_onboarding_of_rows(
        organization_id=connection.organization_id,
        connection_ids=[connection.pk],
        account_ids=account_ids,
        actor=actor,
    )


def begin_onboarding_of_rows(
    *,
    organization_id: UUID,
    connection_ids: Sequence[UUID],
    account_ids: Iterable[UUID],
    actor: Actor,
) -> list[MarketplaceAccount]:
    """The same for several rows of one organization."""
    with transaction.atomic():
        revisions.touch(organization_id, connection_ids)
        able = startable_in(organization_id).filter(connection__in=connection_ids)
        chosen = list(able.filter(pk__in=list(account_ids)).order_by("pk"))
        for seen in {account.onboarding for account in chosen}:
            _set_working([account for account in chosen if account.onboarding == seen], seen, actor)
        ledger.enqueue_many(
            ONBOARD,
            organization=organization_id,
            subjects=[(account.pk, account.connection_id) for account in chosen],
        )
        return list(_accounts(organization_id, [account.pk for account in chosen]))


def _set_working(accounts: list[MarketplaceAccount], seen: str, actor: Actor) -> None:
    """In one state, in the caller's transaction, which touched the row already."""
    _advance_all(
        accounts,
        seen=seen,
        to=Onboarding.WORKING,
        actor=actor,
        onboarding_changed_at=timezone.now(),
        attention_reason="",
        **chooser(actor),
    )


def _advance_all(accounts: list[MarketplaceAccount], **step: Any) -> None:
    """`advance_many` for all of these or none. Raises StaleState."""
    rows = _accounts(accounts[0].organization_id, [account.pk for account in accounts])
    if advance_many(rows, limit=len(accounts), **step) != len(accounts):
        raise StaleState("a marketplace moved although its organization is locked")


def _accounts(organization_id: UUID, ids: list[UUID]) -> ScopedQuerySet[MarketplaceAccount]:
    accounts = MarketplaceAccount.objects.for_organization(organization_id)
    return accounts.filter(pk__in=ids).order_by("pk")


def chooser(actor: Actor) -> dict[str, Any]:
    """Staff and commands repeat somebody's choice; they do not make it their own."""
    if actor.user is None or actor.kind != AuditEvent.ActorKind.PERSON:
        return {}
    return {"chosen_by": actor.user, "chosen_at": timezone.now()}


def retry_onboarding(account: MarketplaceAccount, *, actor: Actor) -> bool:
    """Now instead of later, or again after it stopped. False when there is nothing to repeat."""
    if account.onboarding == Onboarding.NEEDS_ATTENTION:
        connection = account.connection
        return bool(begin_onboarding(connection=connection, account_ids=[account.pk], actor=actor))
    return account.onboarding == Onboarding.WORKING and ledger.hurry(onboarding_job(account))


def onboarding_job(account: MarketplaceAccount) -> Job:
    """The live job of a marketplace being worked on; a new one when it was lost."""
    return ledger.enqueue(
        ONBOARD,
        organization=account.organization_id,
        subject_id=account.pk,
        connection_id=account.connection_id,
    )


def unfinished(status: str) -> QuerySet[MarketplaceAccount]:
    """Accounts an operator can push: in this state, with work that is due or was lost."""
    return MarketplaceAccount.objects.filter(onboarding=status).exclude(ledger.held_back(ONBOARD))


def finalize(account: MarketplaceAccount, *, actor: Actor) -> Job | None:
    """Do the account's work in this process, through the ledger. None: nothing can be repeated."""
    if account.onboarding == Onboarding.NEEDS_ATTENTION and not retry_onboarding(
        account, actor=actor
    ):
        return None
    job = ledger.run_here(onboarding_job(account))
    account.refresh_from_db()
    return job


def onboarding_restarted(job: Job, actor: Actor) -> bool:
    accounts = MarketplaceAccount.objects.for_organization(job.organization_id)
    account = accounts.select_related("connection").filter(pk=job.subject_id).first()
    return account is not None and retry_onboarding(account, actor=actor)


def startable(connection: Connection) -> ScopedQuerySet[MarketplaceAccount]:
    """Supported, participating marketplaces that are neither onboarded nor being worked on."""
    return startable_in(connection.organization_id).filter(connection=connection)


def startable_in(organization_id: UUID) -> ScopedQuerySet[MarketplaceAccount]:
    """The same of every row."""
    supported = Marketplace.objects.filter(
        is_supported=True,
        region=OuterRef("connection__region"),
        marketplace_id=OuterRef("marketplace_id"),
    )
    return MarketplaceAccount.objects.for_organization(organization_id).filter(
        Exists(supported),
        is_participating=True,
        onboarding__in=[Onboarding.PENDING, Onboarding.NEEDS_ATTENTION],
    )


def onboard(claim: Claim) -> None:
    """The job: prove the grant, check the participation, record the store, finish."""
    onboard_many([claim])


def onboard_many(claims: Sequence[Claim]) -> None:
    """The job for marketplaces of one row: one proof of the grant and one transaction for all."""
    working = {account.pk: account for account in _working(claims)}
    over = [claim for claim in claims if claim.job.subject_id not in working]
    if over:
        with ledger.finishing_many(over):
            pass
    if not working:
        return
    claims = [claim for claim in claims if claim.job.subject_id in working]
    connection = working[claims[0].job.subject_id].connection
    try:
        reply = _snapshot(connection)
    except AmazonError as error:
        _put_off(claims, error)
        return
    with ledger.finishing_many(claims) as held:
        _settle(connection, held, reply)


def _working(claims: Sequence[Claim]) -> ScopedQuerySet[MarketplaceAccount]:
    ids = [claim.job.subject_id for claim in claims]
    accounts = _accounts(claims[0].job.organization_id, ids).select_related("connection")
    return accounts.filter(onboarding=Onboarding.WORKING)


def _put_off(claims: Sequence[Claim], error: AmazonError) -> None:
    """Amazon said the same to all of them; each waits, or needs a person, for itself."""
    for claim in claims:
        with suppress(StaleState):
            reason = verdicts.wait_or_reason(claim, error)
            if reason is not None:
                with claim.finishing():
                    for account in _working([claim]):
                        _needs_attention(account, reason)


def _settle(
    connection: Connection, held: Sequence[Claim], reply: ParticipationReply | None
) -> None:
    """Write what the reading means for each, in the caller's transaction."""
    if not held:
        return
    if reply is not None:
        record_participations(connection=connection, reply=reply)
    onboarded = []
    for account in _working(held):
        reason = _obstacle(account)
        if reason:
            _needs_attention(account, reason)
        else:
            onboarded.append(account)
    if onboarded:
        _set_onboarded(onboarded)


def _snapshot(connection: Connection) -> ParticipationReply | None:
    """None: the shared reading is fresh and only the grant was proved; else a new reading."""
    if has_fresh_snapshot(connection):
        credentials.prove(connection)
        return None
    return fetch_participations(connection)


def has_fresh_snapshot(connection: Connection) -> bool:
    read_at = connection.participations_read_at
    return read_at is not None and timezone.now() - read_at < SNAPSHOT_LIFETIME


def _obstacle(account: MarketplaceAccount) -> str:
    """Why the store cannot be onboarded, by the last reading."""
    if account.is_participating:
        return ""
    read_at = account.connection.participations_read_at
    was_listed = read_at is None or account.seen_at >= read_at
    return "not_participating" if was_listed else "not_listed"


def _set_onboarded(accounts: list[MarketplaceAccount]) -> None:
    now = timezone.now()
    _advance_all(
        accounts,
        seen=Onboarding.WORKING,
        to=Onboarding.ONBOARDED,
        actor=WORKER,
        onboarding_changed_at=now,
        onboarded_at=now,
        attention_reason="",
    )


def _needs_attention(account: MarketplaceAccount, reason: str) -> None:
    advance(
        account,
        to=Onboarding.NEEDS_ATTENTION,
        actor=WORKER,
        reason=reason,
        onboarding_changed_at=timezone.now(),
        attention_reason=reason,
    )


def onboarding_given_up(job: Job) -> None:
    account = (
        MarketplaceAccount.objects.for_organization(job.organization_id)
        .filter(pk=job.subject_id, onboarding=Onboarding.WORKING)
        .first()
    )
    if account is not None:
        _needs_attention(account, "gave_up")


def connection_of(claim: Claim, connection_id: UUID) -> Connection | None:
    rows = Connection.objects.for_organization(claim.job.organization_id)
    return rows.filter(pk=connection_id).first()
