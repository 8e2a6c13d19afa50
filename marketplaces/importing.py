"""The job of one imported refresh token: proved by Amazon, then stored like a consent.

Three calls, outside of any transaction: a refresh, the marketplaces, and the one call that names
the Seller ID. Then one transaction: the consent, its marketplaces, the end of the row and of the
job. A worker that is killed in between leaves the row as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from connections import imported_tokens, token_imports, verdicts
from connections.import_models import ImportedToken
from connections.import_words import refusal_of
from connections.imported_tokens import Accepted
from connections.token_imports import NotImported
from marketplaces import newcomers, services
from marketplaces.newcomers import Newcomer
from sellerlegend.amazon.errors import AmazonError, AmazonUnavailable, GrantInvalid
from sellerlegend.amazon.sellers import ParticipationReply
from sellerlegend.jobs import incidents
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Incident, Job

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
    newcomer = Newcomer(
        organization_id=row.organization_id,
        region=row.region,
        selling_partner_id=row.selling_partner_id,
        marketplace_id=row.marketplace_id,
        access_token=accepted.access_token,
    )
    reply = newcomers.participations(newcomer)
    return Proof(accepted, reply, _is_seller_confirmed(row, newcomer, reply))


def _is_seller_confirmed(row: ImportedToken, newcomer: Newcomer, reply: ParticipationReply) -> bool:
    """Where nothing depends on it, an outage is no reason to wait. Raises AmazonUnavailable."""
    try:
        return newcomers.is_seller_confirmed(newcomer, reply)
    except AmazonUnavailable:
        if token_imports.needs_proof(row):
            raise
        return False
