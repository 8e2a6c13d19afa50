"""The daily proof of an Ads consent, and *Check now* for the sides of a row that have a consent.

The proof is the listing of its profiles, shared with whatever else listed them in the last ten
minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.db import transaction

from connections import ads_consents, refusals, revisions, verdicts, verification
from connections.models import AdsGrant, Connection, Grant
from connections.reach import within_reach
from marketplaces import services as marketplace_services
from marketplaces import verification as marketplace_verification
from ppc import asking, profiles, upkeep
from ppc.asking import Sides
from ppc.disconnecting import Side
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.jobs import ledger
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor, record_event, record_events
from sellerlegend.organizations.models import Membership, Organization

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
    """Queue a check of each side on which Amazon can be asked, in one transaction. What is on its
    way already is not queued twice, and asking again is no event. Nothing where there is none."""
    with transaction.atomic():
        asks_spapi = marketplace_services.is_askable(connection)
        by_row = asking.ads_by_row(connection.organization_id, [connection])
        grants = by_row.get(connection.pk, set())
        if not (asks_spapi or grants):
            return []
        revisions.touch(connection.organization_id, [connection.pk])
        before = _live_checks(connection, grants)
        jobs = [marketplace_verification.begin_check(connection)] if asks_spapi else []
        jobs += [_enqueue(connection.organization_id, grant_id) for grant_id in sorted(grants)]
        if {job.pk for job in jobs} - before:
            record_event("check_requested", actor=actor, subject=connection, jobs=len(jobs))
    return jobs


def sides_of(jobs: Iterable[Job]) -> Sides:
    """What the jobs of a check ask about."""
    return frozenset(Side.PPC if job.kind == CHECK else Side.SPAPI for job in jobs)


def also_shown(membership: Membership, ids: Iterable[UUID]) -> int:
    """How many other rows that this member sees show what Amazon Ads answers about these."""
    organization_id, chosen = membership.organization_id, list(ids)
    rows = list(Connection.objects.for_organization(organization_id).filter(pk__in=chosen))
    asked = set().union(*asking.ads_by_row(organization_id, rows).values())
    grants = list(AdsGrant.objects.for_organization(organization_id).filter(pk__in=asked))
    others = Connection.objects.for_organization(organization_id).exclude(pk__in=chosen)
    shown = others.filter(pk__in=ads_consents.rows_of(grants))
    return within_reach(shown, membership).count()


@dataclass(frozen=True)
class Batch:
    """Rows that are checked because of one request, and on which sides; `check_results` finds
    them again by the id."""

    id: UUID
    rows: dict[UUID, Sides]


def begin_checks(*, organization: Organization, rows: Iterable[UUID], actor: Actor) -> Batch:
    """The same for many rows, in one transaction of few statements. Those that were being checked
    already are left out."""
    with transaction.atomic():
        known = Connection.objects.for_organization(organization.pk)
        found = list(known.filter(pk__in=list(rows)))
        sides = asking.sides_by_row(organization.pk, found)
        checkable = [row for row in found if sides[row.pk]]
        revisions.touch(organization.pk, [row.pk for row in checkable])
        grants = asking.ads_by_row(organization.pk, checkable)
        live = _live_subjects(organization.pk, checkable, grants)
        fresh = [row for row in checkable if not _subjects_of(row, sides, grants) <= live]
        ledger.enqueue_many(
            marketplace_verification.CHECK,
            organization=organization,
            subjects=[(row.pk, row.pk) for row in fresh if Side.SPAPI in sides[row.pk]],
        )
        asked = {grant for row in fresh for grant in grants.get(row.pk, ())}
        ledger.enqueue_many(
            CHECK, organization=organization, subjects=[(pk, None) for pk in sorted(asked)]
        )
        batch = Batch(uuid4(), {row.pk: sides[row.pk] for row in fresh})
        _record(batch, fresh, actor)
    return batch


def _record(batch: Batch, fresh: list[Connection], actor: Actor) -> None:
    """One statement for each combination of sides."""
    for sides in set(batch.rows.values()):
        record_events(
            "check_requested",
            actor=actor,
            subjects=[row for row in fresh if batch.rows[row.pk] == sides],
            batch=str(batch.id),
            sides=sorted(sides),
        )


def _subjects_of(
    row: Connection, sides: dict[UUID, Sides], grants: dict[UUID, set[UUID]]
) -> set[UUID]:
    """Whose check shows that the row is being checked: its own, else its Ads consents'."""
    return {row.pk} if Side.SPAPI in sides[row.pk] else grants[row.pk]


def _live_subjects(
    organization_id: UUID, rows: list[Connection], grants: dict[UUID, set[UUID]]
) -> set[UUID]:
    jobs = Job.objects.for_organization(organization_id)
    subjects = {row.pk for row in rows}.union(*grants.values())
    kinds = [marketplace_verification.CHECK, CHECK]
    live = jobs.filter(subject_id__in=subjects, kind__in=kinds, status__in=Job.LIVE)
    return set(live.values_list("subject_id", flat=True))


def _enqueue(organization_id: UUID, grant_id: UUID) -> Job:
    return ledger.enqueue(CHECK, organization=organization_id, subject_id=grant_id)


def _live_checks(connection: Connection, grants: set[UUID]) -> set[UUID]:
    jobs = Job.objects.for_organization(connection.organization_id)
    subjects = [connection.pk, *grants]
    kinds = [marketplace_verification.CHECK, CHECK]
    live = jobs.filter(subject_id__in=subjects, kind__in=kinds, status__in=Job.LIVE)
    return set(live.values_list("pk", flat=True))


def check_restarted(job: Job, _actor: Actor) -> bool:
    grant = upkeep.grant_of(job)
    if grant is None or not refusals.can_be_asked(grant):
        return False
    return ledger.hurry(_enqueue(grant.organization_id, grant.pk))


# The jobs ----------------------------------------------------------------------------------


def verify(claim: Claim) -> None:
    """The daily one. A consent that Amazon ended is asked quietly."""
    _prove(claim, is_by_hand=False)


def check(claim: Claim) -> None:
    """By hand: the consent is refreshed and listed whatever we believe of it."""
    _prove(claim, is_by_hand=True)


def _prove(claim: Claim, *, is_by_hand: bool) -> None:
    grant = upkeep.grant_of(claim.job)
    if grant is None or not refusals.can_be_asked(grant):
        with claim.finishing(error=""):
            return
    is_over = grant.status == Grant.Status.INVALID
    try:
        listed = profiles.read_profiles(grant, force=is_by_hand or is_over)
    except AmazonError as error:
        reason = verdicts.wait_or_reason(claim, error)
        if reason is not None:
            with claim.finishing(error=reason):
                verification.note_no_proof(grant, reason)
                if is_by_hand or not is_over:
                    upkeep.listing_failed(grant, reason)
        return
    with claim.finishing(error=""):
        if listed is not None:
            profiles.record_profiles(grant=grant, listing=listed, is_routine=not is_by_hand)
        verification.note_next(grant)
