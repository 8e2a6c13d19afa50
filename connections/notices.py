"""What people should know of their consents, derived from recorded facts by a sweep.

A notice is a row, unique for (consent, day it was given, step): two sweeps, or one that died and
ran again, make one. When nothing ran for a while, only the nearest step of the ladder is told.
Who hears of it by mail, and when, stands in `notice_mails.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from connections.attention import linked_to
from connections.due_notices import (
    BATCH,
    PERMISSION_TOLD_EVERY,
    YEAR,
    AnyModel,
    columns_of,
    due_notices,
    is_used,
    notice_of,
    within_its_year,
)
from connections.health import newest_role
from connections.models import (
    AdsGrant,
    Connection,
    Grant,
    SpApiGrant,
)
from connections.notice_models import Notice
from connections.reach import notices_within
from sellerlegend.applications.models import ApplicationRole
from sellerlegend.jobs import incidents, sweeping
from sellerlegend.jobs.models import Incident, Slot
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import WORKER, Actor, record_events
from sellerlegend.organizations.models import Membership, Organization
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.prepared import PreparedQuery, PreparedUpdate

Kind = Notice.Kind

# What asks nobody for anything goes from the page by itself.
PASSING_FOR = timedelta(days=7)
SLOT, EVERY_SECONDS = "notices", 60.0
SLOTS_KEPT = timedelta(hours=1)

PASSING = (Kind.RECOVERED, Kind.INCIDENT_OPENED, Kind.INCIDENT_CLOSED)
# A newer step of the ladder, or its end, says all that the steps before it said; so does a newer
# word of a missing permission, and a consent that is over has other troubles.
ENDED_BY: dict[str, tuple[str, ...]] = {
    Kind.EXPIRING: (Kind.EXPIRING,),
    Kind.EXPIRED: (Kind.EXPIRING, Kind.PERMISSION_MISSING),
    Kind.REVOKED: (Kind.EXPIRING, Kind.PERMISSION_MISSING),
    Kind.PERMISSION_MISSING: (Kind.PERMISSION_MISSING,),
}
MODELS: tuple[AnyModel, ...] = (SpApiGrant, AdsGrant)


def derive_in_turn() -> int:
    """For the sweep, which looks every few seconds: once a minute, by one of the processes."""
    slot = sweeping.take_slot(SLOT, EVERY_SECONDS)
    if slot is None:
        return 0
    touched = derive(timezone.now())
    Slot.objects.filter(pk=slot.pk).update(finished_at=timezone.now())
    Slot.objects.filter(name=SLOT, starts_at__lt=slot.starts_at - SLOTS_KEPT).delete()
    return touched


def derive(now: datetime) -> int:
    """Make the notices that the facts ask for, and end those that they no longer do. Bounded: what
    is left is found by the next run. Nothing in quarantine: a backup's facts are old."""
    if quarantine.is_on():
        return 0
    with across_organizations("notices of every organization"):
        touched = _recoveries(now)
        for model in MODELS:
            touched += make(due_notices(model, now))
        return touched + _end(now)


# Made and ended -----------------------------------------------------------------------------


def make(notices: Iterable[Notice]) -> int:
    """The rows that nobody else made, each with its event, in one transaction for each lot."""
    made = 0
    found = list(notices)
    for start in range(0, len(found), BATCH):
        lot = found[start : start + BATCH]
        with transaction.atomic():
            Notice.objects.bulk_create(lot, ignore_conflicts=True)
            ours = list(Notice.objects.filter(pk__in=[notice.pk for notice in lot]))
            _end_what_it_replaces(ours)
            record_by_kind("notice_made", ours, actor=WORKER)
        made += len(ours)
    return made


def record_by_kind(code: str, notices: list[Notice], *, actor: Actor) -> None:
    """With the reason, by which a loss has another word when we caused it ourselves."""
    for kind, reason in sorted({(notice.kind, notice.reason) for notice in notices}):
        same = [n for n in notices if (n.kind, n.reason) == (kind, reason)]
        record_events(code, actor=actor, subjects=same, kind=kind, reason=reason)


def _end_what_it_replaces(notices: list[Notice]) -> None:
    for notice in notices:
        if notice.kind in ENDED_BY:
            before = Notice.objects.filter(
                subject_id=notice.subject_id, kind__in=ENDED_BY[notice.kind], resolved_at=None
            )
            before.exclude(pk=notice.pk).update(resolved_at=notice.created_at)


def _recoveries(now: datetime) -> int:
    """A consent that was told to be over works: a new one, or Amazon took it back."""
    touched = 0
    for model in MODELS:
        ended = told_to_be_over(model).rows(year_ago=now - YEAR)
        if not ended:
            continue
        grants = model.objects.filter(pk__in={notice["subject_id"] for notice in ended})
        if model is AdsGrant:
            grants = grants.filter(is_used())
        owned = grants.annotate(owner=F(f"{model.organization_path}_id"))
        lost = {notice["subject_id"] for notice in ended if notice["kind"] == Kind.REVOKED}
        with transaction.atomic():
            touched += make(
                _recovery(model, consent, was_lost=consent["pk"] in lost)
                for consent in owned.values(*columns_of(model), "gap_ended_at")
            )
            keys = [notice["pk"] for notice in ended]
            Notice.objects.filter(pk__in=keys).update(resolved_at=now)
    return touched


def _recovery(model: AnyModel, consent: dict[str, Any], *, was_lost: bool) -> Notice:
    """What was overdue and never refused has not stopped: it cannot work again."""
    at = consent["status_changed_at"]
    # A gap that ended before is that of an older consent.
    ended_a_gap = consent["gap_ended_at"] == consent["authorized_at"]
    is_renewed = not (was_lost or ended_a_gap)
    reason = Notice.RENEWED if is_renewed else ""
    return notice_of(
        model, consent, Kind.RECOVERED, f"recovered {at.isoformat()}", at, reason=reason
    )


@cache
def told_to_be_over(model: AnyModel) -> PreparedQuery:
    """Open alarms of consents that work."""

    def build(year_ago: datetime) -> QuerySet[Any, Any]:
        works = model.objects.filter(
            within_its_year(model, year_ago),
            pk=OuterRef("subject_id"),
            status=Grant.Status.ACTIVE,
        )
        alarms = Notice.objects.filter(kind__in=[Kind.EXPIRED, Kind.REVOKED], resolved_at=None)
        found = alarms.filter(Exists(works)).order_by("pk")[:BATCH]
        return found.values("pk", "subject_id", "kind")

    return PreparedQuery(build, year_ago=datetime)


def hand_over(previous: AdsGrant, grant: AdsGrant) -> None:
    """A newer Ads consent has taken the place of one that was told to be over: that it works
    again is told of the newer one. In the caller's transaction."""
    alarms = Notice.objects.for_organization(grant.organization_id).filter(
        kind__in=[Kind.EXPIRED, Kind.REVOKED], resolved_at=None
    )
    alarms.filter(subject_id=previous.pk).update(subject_id=grant.pk, ads_grant_id=grant.pk)


def _end(now: datetime) -> int:
    """Notices that the facts no longer bear out."""
    ended = PASSED.run(now=now, made_before=now - PASSING_FOR)
    ended += OF_INCIDENTS.run(now=now, window=now - incidents.WINDOW)
    for model in MODELS:
        ended += not_borne_out(model).run(now=now, year_ago=now - YEAR)
        ended += broken_again(model).run(now=now)
        ended += missing_again(model).run(now=now, year_ago=now - YEAR)
    return ended


Change = tuple[QuerySet[Any], dict[str, Any]]


def passed(now: datetime, made_before: datetime) -> Change:
    found = Notice.objects.filter(resolved_at=None, kind__in=PASSING, created_at__lt=made_before)
    return found, {"resolved_at": now}


def of_incidents(now: datetime, window: datetime) -> Change:
    """An incident that ended by itself may begin again, and is then the same one, of which nobody
    is told twice: what was told stands, unseen (`is_open`), until that cannot be any more."""
    closed = Incident.objects.filter(pk=OuterRef("subject_id"), closed_at__isnull=False)
    for_good = closed.filter(Q(closed_by__isnull=False) | Q(closed_at__lte=window))
    told_over = Notice.objects.filter(
        subject_id=OuterRef("subject_id"),
        organization=OuterRef("organization"),
        kind=Kind.INCIDENT_CLOSED,
    )
    open_ones = Notice.objects.filter(resolved_at=None, kind=Kind.INCIDENT_OPENED)
    return open_ones.filter(Exists(for_good) | Exists(told_over)), {"resolved_at": now}


PASSED = PreparedUpdate(passed, now=datetime, made_before=datetime)
OF_INCIDENTS = PreparedUpdate(of_incidents, now=datetime, window=datetime)


@cache
def not_borne_out(model: AnyModel) -> PreparedUpdate:
    def build(now: datetime, year_ago: datetime) -> Change:
        mine = model.objects.filter(pk=OuterRef("subject_id"))
        disconnected = Exists(mine.filter(status=Grant.Status.DISCONNECTED))
        renewed = Exists(mine.filter(authorized_at__gt=OuterRef("consent_at")))
        mended = Exists(
            mine.filter(
                permission_missing_since=None, authorized_at__gte=newest_role(model.application)
            )
        )
        is_over = Q(status=Grant.Status.INVALID) | ~within_its_year(model, year_ago)
        over = (
            Q(disconnected)
            # What was told to be over ends with the notice that it works again.
            | Q(renewed, kind__in=[Kind.EXPIRING, Kind.PERMISSION_MISSING])
            | Q(mended, kind=Kind.PERMISSION_MISSING)
            | Q(Exists(mine.filter(is_over)), kind=Kind.PERMISSION_MISSING)
        )
        found = Notice.objects.filter(resolved_at=None).filter(over).exclude(kind__in=PASSING)
        return found, {"resolved_at": now}

    return PreparedUpdate(build, now=datetime, year_ago=datetime)


@cache
def broken_again(model: AnyModel) -> PreparedUpdate:
    def build(now: datetime) -> Change:
        broken = model.objects.filter(
            pk=OuterRef("subject_id"),
            status__in=[Grant.Status.INVALID, Grant.Status.DISCONNECTED],
        )
        recovered = Notice.objects.filter(resolved_at=None, kind=Kind.RECOVERED)
        return recovered.filter(Exists(broken)), {"resolved_at": now}

    return PreparedUpdate(build, now=datetime)


@cache
def missing_again(model: AnyModel) -> PreparedUpdate:
    """A permission that is missing again within its week, or of a consent that was over and works
    again: its newest notice is back on the page, and mailed to whoever has not had it: the lines of
    mails know who has."""

    def build(now: datetime, year_ago: datetime) -> Change:
        works = model.objects.filter(
            within_its_year(model, year_ago),
            pk=OuterRef("subject_id"),
            authorized_at=OuterRef("consent_at"),
            status=Grant.Status.ACTIVE,
        )
        refused = works.filter(
            permission_missing_since__lt=OuterRef("occurred_at") + PERMISSION_TOLD_EVERY
        )
        told_of_role = ApplicationRole.objects.filter(
            application=model.application,
            added_at__gt=OuterRef("consent_at"),
            entered_at__lte=OuterRef("occurred_at"),
        )
        every = Notice.objects.filter(kind=Kind.PERMISSION_MISSING)
        newer = every.filter(
            subject_id=OuterRef("subject_id"),
            consent_at=OuterRef("consent_at"),
            occurred_at__gt=OuterRef("occurred_at"),
        )
        told = every.filter(~Exists(newer), resolved_at__isnull=False)
        back = {"resolved_at": None, "settled_at": None, "look_at": now}
        return told.filter(Exists(refused) | Exists(works) & Exists(told_of_role)), back

    return PreparedUpdate(build, now=datetime, year_ago=datetime)


# Incidents ----------------------------------------------------------------------------------


def tell_of_incident(incident: Incident, organization_ids: list[UUID], kind: str) -> None:
    """The listener of `sellerlegend.jobs.incidents`."""
    told = Kind.INCIDENT_CLOSED if kind == incidents.CLOSED else Kind.INCIDENT_OPENED
    tell_organizations(incident, Organization.objects.filter(pk__in=organization_ids), told)


def tell_organizations(incident: Incident, organizations: Iterable[Organization], kind: str) -> int:
    """For whoever opens and closes incidents: one notice for each of these organizations, once
    however often it is called. `kind`: INCIDENT_OPENED or INCIDENT_CLOSED. Mailed at once."""
    at = incident.closed_at if kind == Kind.INCIDENT_CLOSED else incident.opened_at
    with across_organizations("an incident concerns many organizations"):
        return make(
            Notice(
                organization=organization,
                kind=kind,
                step=kind,
                subject_id=incident.pk,
                consent_at=incident.opened_at,
                occurred_at=at or timezone.now(),
                reason=incident.surface,
            )
            for organization in organizations
        )


# Reading ------------------------------------------------------------------------------------


def is_open(organization: Organization) -> Q:
    """Of a notice: its facts hold, and what it is about is on the screen. That leaves out removed
    rows, Ads consents that no link uses, and the beginning of an incident from the moment that it
    is closed, also while it may begin again."""
    rows = Connection.objects.for_organization(organization)
    is_used = Exists(rows.filter(linked_to(grant=OuterRef("ads_grant"))))
    goes_on = Exists(Incident.objects.filter(pk=OuterRef("subject_id"), closed_at=None))
    on_screen = Q(resolved_at=None, connection__removed_at=None) & (Q(ads_grant=None) | Q(is_used))
    return on_screen & (~Q(kind=Kind.INCIDENT_OPENED) | Q(goes_on))


def may_be_open_again(notice: Notice) -> bool:
    """Of one that is not open: its incident has ended, and may begin again as the same one."""
    return notice.kind == Kind.INCIDENT_OPENED and notice.resolved_at is None


def open_notices(organization: Organization, reader: Membership | None = None) -> QuerySet[Notice]:
    """What the organization should know of, the newest first; what the reader sees of it. Good
    news is shown until somebody has read it."""
    every = Notice.objects.for_organization(organization).filter(is_open(organization))
    every = every.exclude(kind__in=Notice.GOOD_NEWS, acknowledged_at__isnull=False)
    found = notices_within(every, reader)
    return found.select_related("connection", "ads_grant", "acknowledged_by").order_by(
        "-created_at", "pk"
    )
