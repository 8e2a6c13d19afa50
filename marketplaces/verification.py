"""The daily proof of a Seller Central consent, and *Check now*.

The proof is the cheapest call that shows something, the reading of the marketplaces, shared with
whatever else read them in the last ten minutes. With it go the few calls that ask for roles.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.conf import settings

from connections import capabilities, credentials, grants, refusals, verdicts, verification
from connections.health_models import Capability, CapabilityCheck
from connections.models import Connection, Grant, SpApiGrant
from marketplaces import services
from marketplaces.models import MarketplaceAccount
from sellerlegend.amazon import probes
from sellerlegend.amazon.errors import (
    AccessDenied,
    AmazonError,
    AmazonUnavailable,
    HeldBack,
    UnexpectedReply,
)
from sellerlegend.amazon.probes import ProbeKind
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.sellers import ParticipationReply
from sellerlegend.jobs import breakers, ledger, rates
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor

logger = logging.getLogger(__name__)

VERIFY = "marketplaces.verify"
CHECK = "marketplaces.check"
# Each of them proves the consent.
PROVING = (services.READ, services.RESYNC, VERIFY, CHECK)

State = CapabilityCheck.State
Answers = dict[Capability, State]


# Queueing ----------------------------------------------------------------------------------


def sweep_due() -> int:
    """For the sweep: queue the proofs that are due."""
    return verification.sweep_in_turn(SpApiGrant, queue_proofs)


def queue_proofs(organization_id: UUID, grants: list[SpApiGrant]) -> None:
    """One job for each, in one statement, unless its proof is on the way."""
    rows = [grant.connection_id for grant in grants]
    free = verification.without_live_job(organization_id, rows, PROVING)
    ledger.enqueue_many(
        VERIFY, organization=organization_id, subjects=[(row_id, row_id) for row_id in free]
    )


def begin_check(connection: Connection) -> Job:
    """Somebody waits for the answer: a job of its own, at once; a second click finds the first.

    In the caller's transaction, which touched the row already."""
    return ledger.enqueue(
        CHECK,
        organization=connection.organization_id,
        subject_id=connection.pk,
        connection_id=connection.pk,
    )


def check_restarted(job: Job, _actor: Actor) -> bool:
    rows = Connection.objects.for_organization(job.organization_id)
    connection = rows.filter(pk=job.subject_id).first()
    if connection is None or not services.is_askable(connection):
        return False
    return ledger.hurry(begin_check(connection))


# The jobs ----------------------------------------------------------------------------------


def verify(claim: Claim) -> None:
    """The daily one. A consent that Amazon ended is asked quietly: nothing new is said about it
    unless it works again."""
    _prove(claim, is_by_hand=False)


def check(claim: Claim) -> None:
    """By hand: the consent is refreshed and read whatever we believe of it."""
    _prove(claim, is_by_hand=True)


def _prove(claim: Claim, *, is_by_hand: bool) -> None:
    connection = services.connection_of(claim, claim.job.subject_id)
    grant = grants.spapi_grant_of(connection)[0] if connection is not None else None
    if connection is None or grant is None or not refusals.can_be_asked(grant):
        with claim.finishing(error=""):
            return
    is_over = grant.status == Grant.Status.INVALID
    is_doubted = grant.status == Grant.Status.DOUBTED
    try:
        reply = _read(
            connection,
            is_forced=is_by_hand or is_over,
            # A reading of before the refusal proves nothing.
            is_shared=not is_by_hand and not is_doubted,
        )
    except AmazonError as error:
        reason = verdicts.wait_or_reason(claim, error)
        if reason is not None:
            with claim.finishing(error=reason):
                verification.note_no_proof(grant, reason)
                if is_by_hand or not is_over:
                    services.reading_failed(connection, reason)
        return
    # The check of a refusal asks what decides, not what may have met it.
    is_asked_for_roles = is_by_hand or not is_doubted
    wanted = capabilities.due(connection, is_checked_by_hand=is_by_hand)
    answers = ask(connection, wanted) if is_asked_for_roles else {}
    with claim.finishing(error=""):
        _write(grant, connection, reply, answers, is_routine=not is_by_hand)


def _read(connection: Connection, *, is_forced: bool, is_shared: bool) -> ParticipationReply | None:
    """None: somebody read a moment ago, which is the proof."""
    if is_shared and not is_forced and services.has_fresh_snapshot(connection):
        return None
    return services.fetch_participations(connection, force_refresh=is_forced)


def _write(
    grant: SpApiGrant,
    connection: Connection,
    reply: ParticipationReply | None,
    answers: Answers,
    *,
    is_routine: bool,
) -> None:
    """In the caller's transaction."""
    if reply is not None:
        services.record_participations(connection=connection, reply=reply, is_routine=is_routine)
    if answers:
        capabilities.record(grant, answers)
    if answers.get(Capability.LISTINGS) == State.GRANTED:
        capabilities.confirm_seller(grant, connection.selling_partner_id or "")
    if reply is None or not reply.dropped:
        verification.note_next(grant)


# Asking for roles --------------------------------------------------------------------------


def ask(connection: Connection, wanted: list[Capability]) -> Answers:
    """One call for each, as far as Amazon lets us today. What cannot be told is UNKNOWN; what
    was not asked is left out."""
    answers: Answers = {}
    marketplace_id = _probed_marketplace(connection) if wanted else ""
    for capability in wanted:
        try:
            answers[capability] = _ask(connection, ProbeKind(capability), marketplace_id)
        except AmazonUnavailable as error:
            answers[capability] = State.UNKNOWN
            if not error.throttled:
                break
        except (AccessDenied, UnexpectedReply, ValueError):
            answers[capability] = State.UNKNOWN
        except AmazonError as error:
            logger.info("probes_stopped", extra={"cause": type(error).__name__})
            break
    return answers


def _ask(connection: Connection, kind: ProbeKind, marketplace_id: str) -> State:
    plan = rates.PROBES[kind]
    seller = connection.selling_partner_id or ""
    key = rates.bucket_key(
        application_id=settings.SPAPI_APPLICATION_ID,
        organization_id=connection.organization_id,
        selling_partner_id=seller,
        region=connection.region,
        plan=plan,
    )

    def call(access_token: Secret) -> bool:
        wait = rates.take(key, plan)
        if wait:
            raise HeldBack(operation=plan.operation, retry_after=wait, throttled=True)
        with breakers.guarded(f"{kind}.{connection.region}", operation=plan.operation):
            return probes.has_role(
                kind,
                endpoints=settings.AMAZON_ENDPOINTS,
                region=Region(connection.region),
                access_token=access_token,
                selling_partner_id=seller,
                marketplace_id=marketplace_id,
            )

    try:
        is_granted = credentials.spapi_probe(connection, call)
    except AmazonUnavailable as error:
        if error.throttled and not isinstance(error, HeldBack):
            rates.drain_bucket(key)
        raise
    if is_granted:
        return State.GRANTED
    if kind == ProbeKind.LISTINGS and connection.seller_proved_at is None:
        # A missing role or another seller's id: Amazon's words are the same.
        return State.UNKNOWN
    return State.MISSING


def _probed_marketplace(connection: Connection) -> str:
    """Where the seller sells, the one picked at the start if it is among them."""
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    selling = accounts.filter(
        connection=connection, is_participating=True, marketplace_id__in=list(MARKETPLACES)
    )
    ids = list(selling.order_by("marketplace_id").values_list("marketplace_id", flat=True))
    return connection.marketplace_id if connection.marketplace_id in ids or not ids else ids[0]
