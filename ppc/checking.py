"""The daily proof of an Ads consent, and *Check now* for both sides of a row.

The proof is the listing of its profiles, shared with whatever else listed them in the last ten
minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from connections import revisions, verdicts, verification
from connections.models import AdsGrant, Connection, Grant
from marketplaces import verification as marketplace_verification
from ppc import profiles, upkeep
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.jobs import ledger
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor, record_event, record_events
from sellerlegend.organizations.models import Organization
from sellerlegend.organizations.scoping import ScopedQuerySet

VERIFY = "ppc.verify"
CHECK = "ppc.check"
PROVING = (upkeep.RESYNC, VERIFY, CHECK)


# Queueing ----------------------------------------------------------------------------------


def sweep_due() -> int:
    """For the sweep: queue the proofs that are due."""
    return verification.sweep_in_turn(AdsGrant, queue_proofs)


def queue_proofs(organization_id: UUID, grants: list[AdsGrant]) -> None:
    """One job for each, in one statement, unless its proof is on the way."""
    ids = [grant.pk for grant in grants]
    free = verification.without_live_job(organization_id, ids, PROVING)
    ledger.enqueue_many(
        VERIFY, organization=organization_id, subjects=[(grant_id, None) for grant_id in free]
    )


def begin_check(*, connection: Connection, actor: Actor) -> list[Job]:
    """Queue a check of both sides of a row, in one transaction. What is on its way already is not
    queued twice, and asking again is no event. Nothing for a row without a living consent."""
    with transaction.atomic():
        if not checkable(connection.organization_id).filter(pk=connection.pk).exists():
            return []
        revisions.touch(connection.organization_id, [connection.pk])
        grants = grants_feeding(connection)
        before = _live_checks(connection, grants)
        jobs = [marketplace_verification.begin_check(connection)]
        jobs += [_enqueue(grant) for grant in grants]
        if {job.pk for job in jobs} - before:
            record_event("check_requested", actor=actor, subject=connection, jobs=len(jobs))
    return jobs


def checkable(organization_id: UUID) -> ScopedQuerySet[Connection]:
    """Rows that Amazon can be asked about: consented and not disconnected."""
    rows = Connection.objects.for_organization(organization_id)
    consented = rows.filter(selling_partner_id__isnull=False, spapi_grant__isnull=False)
    living: ScopedQuerySet[Connection] = consented.exclude(
        spapi_grant__status=Grant.Status.DISCONNECTED
    )
    return living


class Obstacle(Enum):
    """Why Amazon is not asked about a row."""

    WAITS = auto()
    ENDED = auto()


def obstacles(organization_id: UUID, ids: Iterable[UUID]) -> dict[UUID, Obstacle]:
    """Of those rows that cannot be checked."""
    rows = Connection.objects.for_organization(organization_id).filter(pk__in=list(ids))
    asked = checkable(organization_id).filter(pk__in=list(ids)).values("pk")
    left = rows.exclude(pk__in=asked).values_list("pk", "selling_partner_id")
    return {pk: Obstacle.ENDED if seller else Obstacle.WAITS for pk, seller in left}


def begin_checks(*, organization: Organization, rows: Iterable[UUID], actor: Actor) -> set[UUID]:
    """The same for many rows, in one transaction of few statements. Returns the rows that are
    checked because of it; those that were being checked already are left out."""
    with transaction.atomic():
        found = list(checkable(organization.pk).filter(pk__in=list(rows)))
        ids = [row.pk for row in found]
        revisions.touch(organization.pk, ids)
        live = _live_rows(organization.pk, ids)
        fresh = [row for row in found if row.pk not in live]
        ledger.enqueue_many(
            marketplace_verification.CHECK,
            organization=organization,
            subjects=[(row.pk, row.pk) for row in fresh],
        )
        grants = _grants_feeding_any(organization.pk, fresh)
        ledger.enqueue_many(
            CHECK, organization=organization, subjects=[(pk, None) for pk in grants]
        )
        record_events("check_requested", actor=actor, subjects=fresh)
    return {row.pk for row in fresh}


def _live_rows(organization_id: UUID, ids: list[UUID]) -> set[UUID]:
    jobs = Job.objects.for_organization(organization_id)
    kind = marketplace_verification.CHECK
    live = jobs.filter(subject_id__in=ids, kind=kind, status__in=Job.LIVE)
    return set(live.values_list("subject_id", flat=True))


def _grants_feeding_any(organization_id: UUID, rows: list[Connection]) -> list[UUID]:
    """As `grants_feeding`, each once."""
    sellers = [row.selling_partner_id for row in rows]
    seen = Q(profiles__account_id__in=sellers)
    linked = Q(profiles__links__account__connection__in=[row.pk for row in rows])
    grants = AdsGrant.objects.for_organization(organization_id)
    living = grants.exclude(status=Grant.Status.DISCONNECTED).exclude(refresh_token="")
    feeding = living.filter(seen | linked).order_by("pk").distinct()
    return list(feeding.values_list("pk", flat=True))


def grants_feeding(connection: Connection) -> list[AdsGrant]:
    """The Ads consents with a token that see a profile of this row's seller."""
    profiles_of_seller = Q(profiles__account_id=connection.selling_partner_id)
    linked = Q(profiles__links__account__connection=connection)
    grants = AdsGrant.objects.for_organization(connection.organization_id)
    living = grants.exclude(status=Grant.Status.DISCONNECTED).exclude(refresh_token="")
    return list(living.filter(profiles_of_seller | linked).distinct().order_by("pk"))


def _enqueue(grant: AdsGrant) -> Job:
    return ledger.enqueue(CHECK, organization=grant.organization_id, subject_id=grant.pk)


def _live_checks(connection: Connection, grants: list[AdsGrant]) -> set[UUID]:
    jobs = Job.objects.for_organization(connection.organization_id)
    subjects = [connection.pk, *(grant.pk for grant in grants)]
    kinds = [marketplace_verification.CHECK, CHECK]
    live = jobs.filter(subject_id__in=subjects, kind__in=kinds, status__in=Job.LIVE)
    return set(live.values_list("pk", flat=True))


def check_restarted(job: Job, _actor: Actor) -> bool:
    grant = upkeep.grant_of(job)
    return grant is not None and ledger.hurry(_enqueue(grant))


# The jobs ----------------------------------------------------------------------------------


def verify(claim: Claim) -> None:
    """The daily one. A consent that Amazon ended is asked quietly."""
    _prove(claim, is_by_hand=False)


def check(claim: Claim) -> None:
    """By hand: the consent is refreshed and listed whatever we believe of it."""
    _prove(claim, is_by_hand=True)


def _prove(claim: Claim, *, is_by_hand: bool) -> None:
    grant = upkeep.grant_of(claim.job)
    if grant is None or grant.status == Grant.Status.DISCONNECTED:
        with claim.finishing(error=""):
            return
    is_over = grant.status == Grant.Status.INVALID
    try:
        listed = profiles.read_profiles(grant, force=is_by_hand or is_over)
    except AmazonError as error:
        reason = verdicts.wait_or_reason(claim, error)
        if reason is not None:
            with claim.finishing(error=reason):
                verification.note_no_proof(grant)
                if is_by_hand or not is_over:
                    upkeep.listing_failed(grant, reason)
        return
    with claim.finishing(error=""):
        if listed is not None:
            profiles.record_profiles(grant=grant, profiles=listed, is_routine=not is_by_hand)
        verification.note_next(grant)
