"""Onboarding the marketplaces that a person chose: begun, done by jobs, ended or put off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from connections import credentials, question, revisions, verdicts
from connections.models import Connection
from connections.verification import LIVING
from marketplaces import services
from marketplaces.models import Marketplace, MarketplaceAccount
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.amazon.sellers import ParticipationReply
from sellerlegend.jobs import ledger
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER, Actor
from sellerlegend.organizations.models import AuditEvent
from sellerlegend.organizations.scoping import ScopedQuerySet
from sellerlegend.transitions import StaleState, advance, advance_many

ONBOARD = "marketplaces.onboard"

Onboarding = MarketplaceAccount.Onboarding


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
        if chosen:
            begun = {account.connection_id for account in chosen}
            question.answer(organization_id, begun, actor=actor)
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
    """Supported, participating marketplaces that are neither onboarded nor being worked on; none of
    a row without a consent that works."""
    return startable_in(connection.organization_id).filter(connection=connection)


def startable_in(organization_id: UUID) -> ScopedQuerySet[MarketplaceAccount]:
    """The same of every row."""
    supported = Marketplace.objects.filter(
        is_supported=True,
        region=OuterRef("connection__region"),
        marketplace_id=OuterRef("marketplace_id"),
    )
    accounts = MarketplaceAccount.objects.for_organization(organization_id).filter(
        Exists(supported),
        is_participating=True,
        onboarding__in=[Onboarding.PENDING, Onboarding.NEEDS_ATTENTION],
    )
    consented: ScopedQuerySet[MarketplaceAccount] = accounts.filter(
        connection__spapi_grant__status__in=LIVING
    )
    return consented


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
        services.record_participations(connection=connection, reply=reply)
    onboarded = []
    for account in _working(held):
        reason = _obstacle(account, reply)
        if reason:
            _needs_attention(account, reason)
        else:
            onboarded.append(account)
    if onboarded:
        _set_onboarded(onboarded)


def _snapshot(connection: Connection) -> ParticipationReply | None:
    """None: the shared reading is fresh and only the grant was proved; else a new reading."""
    if services.has_fresh_snapshot(connection):
        credentials.prove(connection)
        return None
    return services.fetch_participations(connection)


def _obstacle(account: MarketplaceAccount, reply: ParticipationReply | None) -> str:
    """Why the store cannot be onboarded, by the last reading. One that a partly unreadable reading
    does not show may be gone since the last whole one: it is read again before it is onboarded."""
    if account.is_participating:
        is_shown = reply is None or not reply.dropped or _shows(reply, account)
        return "" if is_shown else "unexpected_reply"
    read_at = account.connection.participations_read_at
    was_listed = read_at is None or account.seen_at >= read_at
    return "not_participating" if was_listed else "not_listed"


def _shows(reply: ParticipationReply, account: MarketplaceAccount) -> bool:
    return any(
        item.marketplace_id == account.marketplace_id and item.is_participating
        for item in reply.participations
    )


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
