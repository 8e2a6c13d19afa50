"""Re-sync of a whole row, for staff and operators.

It reaches over all three apps, so it stands in the topmost. Whoever calls it, admin action or
command, gets the same jobs; the command then does them itself.
"""

from __future__ import annotations

from django.db import transaction

from connections import ads_consents, refusals, revisions, verdicts
from connections.models import AdsGrant, Connection
from marketplaces import services as marketplace_services
from ppc import asking, profiles
from ppc.disconnecting import Side
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.jobs import ledger
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER, Actor, record_event

RESYNC = "ppc.resync"


# Re-sync -----------------------------------------------------------------------------------


def begin_resync(
    *,
    connection: Connection,
    actor: Actor,
    reason: str = "",
    grants: list[AdsGrant] | None = None,
) -> list[Job]:
    """Queue a refresh of the row's consent and of the Ads consents that may feed it, each
    followed by a fresh reading. Work that was waiting is due now. One transaction. Nothing of a
    row about which Amazon can be asked on no side.

    `grants` says which Ads consents; otherwise all that Amazon can be asked about.
    """
    sides = asking.sides_of(connection)
    if not sides:
        return []
    if grants is None:
        grants = askable_grants(connection)
    with transaction.atomic():
        record_event("resync_requested", actor=actor, subject=connection, reason=reason)
        asks_spapi = Side.SPAPI in sides
        jobs = [marketplace_services.begin_resync(connection=connection)] if asks_spapi else []
        jobs += [_enqueue(grant) for grant in grants]
        for job in jobs:
            ledger.hurry(job)
    return jobs


def begin_grant_resync(*, grant: AdsGrant, actor: Actor, reason: str = "") -> list[Job]:
    """The same for one Ads consent alone; nothing for one that Amazon cannot be asked about."""
    if not is_askable(grant):
        return []
    with transaction.atomic():
        record_event("resync_requested", actor=actor, subject=grant, reason=reason)
        job = _enqueue(grant)
        ledger.hurry(job)
    return [job]


def askable_grants(connection: Connection) -> list[AdsGrant]:
    """Every Ads consent of the organization that Amazon can be asked about: which rows one feeds
    shows only when its profiles are read. Also those believed invalid, since a re-sync asks
    again."""
    return list(ads_consents.askable(connection.organization_id).order_by("pk"))


def is_askable(grant: AdsGrant) -> bool:
    """By a query: the staff's pages load no token."""
    return bool(ads_consents.askable(grant.organization_id).filter(pk=grant.pk).exists())


def begin_listing(grant: AdsGrant) -> Job:
    """After a consent that was given to renew another one: whose place it takes shows when its
    profiles are read."""
    return _enqueue(grant)


def _enqueue(grant: AdsGrant) -> Job:
    return ledger.enqueue(RESYNC, organization=grant.organization_id, subject_id=grant.pk)


def resync_grant(claim: Claim) -> None:
    """The job: prove an Ads consent by a refresh, then list its profiles again."""
    grant = grant_of(claim.job)
    if grant is None or not refusals.can_be_asked(grant):
        with claim.finishing(error=""):
            return
    try:
        listed = profiles.read_profiles(grant, force=True)
    except AmazonError as error:
        reason = verdicts.wait_or_reason(claim, error)
        if reason is not None:
            with claim.finishing(error=reason):
                listing_failed(grant, reason)
        return
    with claim.finishing(error=""):
        if listed is not None:
            profiles.record_profiles(grant=grant, listing=listed)


def resync_given_up(job: Job) -> None:
    grant = grant_of(job)
    if grant is not None:
        listing_failed(grant, "gave_up")


def resync_restarted(job: Job, actor: Actor) -> bool:
    grant = grant_of(job)
    return grant is not None and bool(begin_grant_resync(grant=grant, actor=actor))


def show_listing(job: Job) -> None:
    """A listing may change what every row of the organization says."""
    revisions.touch_all(job.organization_id)


def grant_of(job: Job) -> AdsGrant | None:
    return AdsGrant.objects.for_organization(job.organization_id).filter(pk=job.subject_id).first()


def listing_failed(grant: AdsGrant, reason: str) -> None:
    record_event("ads_profiles_failed", actor=WORKER, subject=grant, reason=reason)
