"""The job of one imported refresh token: proved by Amazon, then stored like a consent.

Three calls, outside of any transaction: a refresh, the marketplaces, and the one call that names
the Seller ID. Then one transaction: the consent, its marketplaces, the end of the row and of the
job. A worker that is killed in between leaves the row as it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.conf import settings

from connections import imported_tokens, token_imports, verdicts
from connections.import_models import ImportedToken
from connections.import_words import refusal_of
from connections.imported_tokens import Accepted
from connections.token_imports import NotImported
from marketplaces import services
from sellerlegend.amazon import probes, sellers
from sellerlegend.amazon.errors import AmazonError, AmazonUnavailable, GrantInvalid, HeldBack
from sellerlegend.amazon.probes import ProbeKind
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.amazon.sellers import ParticipationReply
from sellerlegend.jobs import breakers, incidents, outcomes, rates
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Incident, Job

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 900.0


@dataclass(frozen=True)
class Proof:
    """What Amazon said to a token of a file."""

    accepted: Accepted
    reply: ParticipationReply
    is_seller_confirmed: bool


def bring_in(claim: Claim) -> None:
    """The job."""
    row = token_imports.waiting_row(claim.job.organization_id, claim.job.subject_id)
    if row is None:
        with claim.finishing(error=""):
            return
    try:
        proof = _proof_of(row)
    except AmazonError as error:
        _failed(claim, row, error)
        return
    try:
        with claim.finishing(error=""):
            holder = token_imports.store(row, proof.accepted, is_proved=proof.is_seller_confirmed)
            services.record_participations(connection=holder, reply=proof.reply)
    except NotImported as refusal:
        with claim.finishing(error=refusal.code):
            token_imports.refuse(row, refusal.code)


def given_up(job: Job) -> None:
    token_imports.given_up(job.organization_id, job.subject_id)


def _failed(claim: Claim, row: ImportedToken, error: AmazonError) -> None:
    """Wait where that helps; else the row is refused, and its token destroyed with it. One refusal
    is enough: the person has the file and can bring it again."""
    if isinstance(error, GrantInvalid):
        if incidents.are_refusals_amazons(Incident.Surface.LWA):
            claim.wait(reason="grant_doubted", retry_after=ASK_AGAIN_SECONDS, counted=False)
            return
        reason: str | None = "import_token_refused"
    else:
        reason = verdicts.wait_or_reason(claim, error)
        reason = reason and refusal_of(reason)
    if reason is not None:
        with claim.finishing(error=reason):
            token_imports.refuse(row, reason)


# Asking ------------------------------------------------------------------------------------


def _proof_of(row: ImportedToken) -> Proof:
    """Raises AmazonError kinds."""
    accepted = imported_tokens.ask(row)
    reply = _participations(row, accepted)
    return Proof(accepted, reply, _is_seller_confirmed(row, accepted, reply))


def _participations(row: ImportedToken, accepted: Accepted) -> ParticipationReply:
    """Within Amazon's plan, as for a consent that is stored already."""
    plan = rates.MARKETPLACE_PARTICIPATIONS
    _take_turn(row, plan)
    with (
        outcomes.on_behalf_of(row.organization_id),
        breakers.guarded(f"sellers.{row.region}", operation=plan.operation),
    ):
        return sellers.get_marketplace_participations(
            endpoints=settings.AMAZON_ENDPOINTS,
            region=Region(row.region),
            access_token=accepted.access_token,
        )


def _is_seller_confirmed(row: ImportedToken, accepted: Accepted, reply: ParticipationReply) -> bool:
    """Whether the call that names the Seller ID succeeds with this token. Anything else proves
    nothing: a role may be missing. Where nothing depends on it, an outage is no reason to wait.
    Raises AmazonUnavailable."""
    marketplace_id = _probed_marketplace(row, reply)
    plan = rates.PROBES[ProbeKind.LISTINGS]
    try:
        _take_turn(row, plan)
        with (
            outcomes.on_behalf_of(row.organization_id),
            breakers.guarded(f"{ProbeKind.LISTINGS}.{row.region}", operation=plan.operation),
        ):
            return probes.has_role(
                ProbeKind.LISTINGS,
                endpoints=settings.AMAZON_ENDPOINTS,
                region=Region(row.region),
                access_token=accepted.access_token,
                selling_partner_id=row.selling_partner_id,
                marketplace_id=marketplace_id,
            )
    except AmazonUnavailable:
        if token_imports.needs_proof(row):
            raise
        return False
    except (AmazonError, ValueError) as error:
        logger.info("seller_not_confirmed", extra={"cause": type(error).__name__})
        return False


def _probed_marketplace(row: ImportedToken, reply: ParticipationReply) -> str:
    """Where the seller sells, the one of the file if it is among them."""
    selling = sorted(
        item.marketplace_id
        for item in reply.participations
        if item.is_participating and item.marketplace_id in MARKETPLACES
    )
    if row.marketplace_id in selling or not selling:
        return row.marketplace_id
    return selling[0]


def _take_turn(row: ImportedToken, plan: rates.UsagePlan) -> None:
    """Raises HeldBack when Amazon's plan for this seller is spent."""
    key = rates.bucket_key(
        application_id=settings.SPAPI_APPLICATION_ID,
        organization_id=row.organization_id,
        selling_partner_id=row.selling_partner_id,
        region=row.region,
        plan=plan,
    )
    wait = rates.take(key, plan)
    if wait:
        raise HeldBack(operation=plan.operation, retry_after=wait, throttled=True)
