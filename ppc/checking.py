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
# Why a row is not asked, beside the obstacles: another check of it is on the way.
ALREADY = "already"
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
class Plan:
    """The sides of a row on which Amazon can be asked. `already`: a check of it is on the way."""

    asked: Sides
    already: Sides


@dataclass(frozen=True)
class Batch:
    """Rows that are checked because of one request; `check_results` finds them again by the id."""

    id: UUID
    rows: dict[UUID, Plan]


def plans(organization_id: UUID, ids: Iterable[UUID]) -> dict[UUID, Plan]:
    """What a check of these rows would ask now."""
    rows = list(Connection.objects.for_organization(organization_id).filter(pk__in=list(ids)))
    subjects = asking.subjects_by_row(organization_id, rows)
    return _plans(subjects, _live_subjects(organization_id, subjects))


def begin_checks(*, organization: Organization, rows: Iterable[UUID], actor: Actor) -> Batch:
    """The same for many rows, in one transaction of few statements. Those of which each side was
    being checked already are left out."""
    with transaction.atomic():
        known = Connection.objects.for_organization(organization.pk)
        found = list(known.filter(pk__in=list(rows)))
        subjects = asking.subjects_by_row(organization.pk, found)
        revisions.touch(organization.pk, [row.pk for row in found if subjects[row.pk]])
        live = _live_subjects(organization.pk, subjects)
        planned = _plans(subjects, live)
        batch = Batch(uuid4(), {pk: plan for pk, plan in planned.items() if plan.asked})
        _enqueue_missing(organization, {pk: subjects[pk] for pk in batch.rows}, live)
        _record(batch, [row for row in found if row.pk in batch.rows], actor)
        if batch.rows:
            _record_left(batch, [row for row in found if row.pk not in batch.rows], planned, actor)
    return batch


def _plans(subjects: dict[UUID, dict[Side, set[UUID]]], live: set[UUID]) -> dict[UUID, Plan]:
    """Each side by itself: that one waits for its turn says nothing of the other."""
    found = {}
    for row_id, sides in subjects.items():
        already = frozenset(side for side, asking_of in sides.items() if asking_of <= live)
        found[row_id] = Plan(frozenset(sides) - already, already)
    return found


def _enqueue_missing(
    organization: Organization, subjects: dict[UUID, dict[Side, set[UUID]]], live: set[UUID]
) -> None:
    rows = [pk for pk, sides in subjects.items() if Side.SPAPI in sides and pk not in live]
    grants = set().union(*(sides.get(Side.PPC, set()) for sides in subjects.values())) - live
    ledger.enqueue_many(
        marketplace_verification.CHECK,
        organization=organization,
        subjects=[(pk, pk) for pk in rows],
    )
    ledger.enqueue_many(
        CHECK, organization=organization, subjects=[(pk, None) for pk in sorted(grants)]
    )


def _record(batch: Batch, fresh: list[Connection], actor: Actor) -> None:
    """One statement for each combination of sides."""
    for plan in set(batch.rows.values()):
        also = {"already": sorted(plan.already)} if plan.already else {}
        record_events(
            "check_requested",
            actor=actor,
            subjects=[row for row in fresh if batch.rows[row.pk] == plan],
            batch=str(batch.id),
            sides=sorted(plan.asked),
            **also,
        )


def _record_left(
    batch: Batch, left: list[Connection], planned: dict[UUID, Plan], actor: Actor
) -> None:
    """One event of the organization: nothing has happened to these rows."""
    why = {str(row.pk): _why_left(row, planned[row.pk]) for row in left}
    if left:
        organization = left[0].organization_key()
        record_event(
            "check_left_out",
            actor=actor,
            organization=Organization(pk=organization),
            batch=str(batch.id),
            rows=why,
        )


def _why_left(row: Connection, plan: Plan) -> str:
    return ALREADY if plan.already else asking.obstacle_of(row.selling_partner_id).value


def _live_subjects(organization_id: UUID, subjects: dict[UUID, dict[Side, set[UUID]]]) -> set[UUID]:
    jobs = Job.objects.for_organization(organization_id)
    every = set().union(*(ids for sides in subjects.values() for ids in sides.values()))
    kinds = [marketplace_verification.CHECK, CHECK]
    live = jobs.filter(subject_id__in=every, kind__in=kinds, status__in=Job.LIVE)
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
