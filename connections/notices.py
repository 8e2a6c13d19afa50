"""What people should know of their consents, derived from recorded facts by a sweep.

A notice is a row, unique for (consent, day it was given, step): two sweeps, or one that died and
ran again, make one. When nothing ran for a while, only the nearest step of the ladder is told.
Who hears of it by mail, and when, stands in `notice_mails.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from connections.attention import linked_to
from connections.health import met_incident, newest_role
from connections.models import (
    ADS_YEAR_RULE_SINCE,
    CONSENT_DAYS,
    AdsGrant,
    Connection,
    Grant,
    SpApiGrant,
)
from connections.notice_models import Notice
from connections.reach import notices_within
from connections.token_cache import AnyGrant
from sellerlegend.jobs import incidents, sweeping
from sellerlegend.jobs.models import Incident, Slot
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import WORKER, record_events
from sellerlegend.organizations.models import Membership, Organization
from sellerlegend.organizations.scoping import across_organizations

Kind = Notice.Kind

LADDER = (60, 30, 14, 7, 1)
YEAR = timedelta(days=CONSENT_DAYS)
# What came true longer ago is no news, and notices are pruned one day.
NEWS_FOR = timedelta(days=30)
# A permission that comes and goes with every call is told once a week.
PERMISSION_TOLD_EVERY = timedelta(days=7)
# What asks nobody for anything goes from the page by itself.
PASSING_FOR = timedelta(days=7)
BATCH = 500
SLOT, EVERY_SECONDS = "notices", 60.0
SLOTS_KEPT = timedelta(hours=1)

PASSING = (Kind.RECOVERED, Kind.INCIDENT_OPENED, Kind.INCIDENT_CLOSED)
MODELS: tuple[type[SpApiGrant] | type[AdsGrant], ...] = (SpApiGrant, AdsGrant)


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
            touched += make(_of_grant(grant, **facts) for grant, facts in _due(model, now))
        return touched + _end(now)


# What is due --------------------------------------------------------------------------------


def _due(
    model: type[SpApiGrant] | type[AdsGrant], now: datetime
) -> Iterator[tuple[AnyGrant, dict[str, Any]]]:
    """Consents with the notice that they lack."""
    for days, next_days in zip(LADDER, (*LADDER[1:], 0), strict=True):
        for grant in _near_their_end(model, now, days, next_days):
            facts = {"kind": Kind.EXPIRING, "days": days, "step": f"{days} days"}
            yield grant, facts | {"occurred_at": grant.authorized_at + YEAR - timedelta(days=days)}
    for grant in _expired(model, now):
        at = grant.authorized_at + YEAR
        yield grant, {"kind": Kind.EXPIRED, "step": "expired", "occurred_at": at}
    for grant in _revoked(model, now):
        at = grant.status_changed_at
        facts = {"kind": Kind.REVOKED, "step": f"revoked {at.isoformat()}", "occurred_at": at}
        yield grant, facts | {"reason": revoked_reason(grant)}
    for grant in _without_permission(model, now):
        at = grant.missing_since
        week = f"permission missing {at:%G-W%V}"
        yield grant, {"kind": Kind.PERMISSION_MISSING, "step": week, "occurred_at": at}


def _near_their_end(
    model: type[AnyGrant], now: datetime, days: int, next_days: int
) -> QuerySet[Any]:
    """Between this step of the ladder and the next: a step that was slept through is not told."""
    return _lacking(
        _with_an_end(model).filter(
            status__in=[Grant.Status.ACTIVE, Grant.Status.DOUBTED],
            authorized_at__lte=now - YEAR + timedelta(days=days),
            authorized_at__gt=now - YEAR + timedelta(days=next_days),
        ),
        kind=Kind.EXPIRING,
        days=days,
    )


def _expired(model: type[AnyGrant], now: datetime) -> QuerySet[Any]:
    """A year has passed, whether Amazon has refused it yet or not; told as a revocation before
    that, it is not told again."""
    over = _with_an_end(model).filter(
        authorized_at__lte=now - YEAR, authorized_at__gt=now - YEAR - NEWS_FOR
    )
    was_revoked = Q(status=Grant.Status.INVALID, status_changed_at__lt=F("authorized_at") + YEAR)
    living = over.exclude(status=Grant.Status.DISCONNECTED).exclude(was_revoked)
    return _lacking(living, kind=Kind.EXPIRED)


def _revoked(model: type[AnyGrant], now: datetime) -> QuerySet[Any]:
    invalid = model.objects.filter(
        status=Grant.Status.INVALID, status_changed_at__gt=now - NEWS_FOR
    )
    within_its_year = Q(status_changed_at__lt=F("authorized_at") + YEAR)
    if model is AdsGrant:
        within_its_year |= Q(authorized_at__lt=ADS_YEAR_RULE_SINCE)
    else:
        within_its_year |= Q(is_consent_dated=False)
    return _lacking(
        invalid.filter(within_its_year),
        kind=Kind.REVOKED,
        occurred_at=OuterRef("status_changed_at"),
    )


def _without_permission(model: type[AnyGrant], now: datetime) -> QuerySet[Any]:
    """Amazon refused a call for want of a role, or our application has one that the consent is
    older than. Held while an incident could be the cause; judged again after it."""
    role = newest_role(model.application)
    lacking = Q(permission_missing_since__isnull=False) | Q(authorized_at__lt=role)
    found = model.objects.filter(
        lacking, status__in=[Grant.Status.ACTIVE, Grant.Status.DOUBTED]
    ).annotate(missing_since=Coalesce("permission_missing_since", role))
    recent = found.filter(missing_since__gt=now - NEWS_FOR).exclude(held_by_incident(model))
    return _lacking(
        recent,
        kind=Kind.PERMISSION_MISSING,
        occurred_at__gt=OuterRef("missing_since") - PERMISSION_TOLD_EVERY,
    )


def held_by_incident(model: type[AnyGrant]) -> Q:
    """Consents whose alarms wait: Amazon has an incident that they met. For anybody who derives
    something from a failed call; a revocation, and the end of a year, never wait."""
    region = "connection__region" if model is SpApiGrant else ""
    return met_incident(model.application, "", region)


def _with_an_end(model: type[AnyGrant]) -> QuerySet[Any]:
    rows = model.objects.all()
    if model is AdsGrant:
        return rows.filter(authorized_at__gte=ADS_YEAR_RULE_SINCE)
    return rows.filter(is_consent_dated=True)


def _lacking(rows: QuerySet[Any], **told: Any) -> QuerySet[Any]:
    """Those of an organization that lives and has not been told this of this consent; of Amazon
    Ads only what a row uses."""
    model = rows.model
    if model is AdsGrant:
        rows = rows.filter(_is_used())
    same = Notice.objects.filter(
        subject_id=OuterRef("pk"), consent_at=OuterRef("authorized_at"), **told
    )
    living = rows.filter(**{f"{model.organization_path}__deleted_at": None})
    related = ("connection",) if model is SpApiGrant else ()
    return living.exclude(Exists(same)).select_related(*related).order_by("pk")[:BATCH]


def _is_used() -> Exists:
    """Of an Ads consent, while every organization is looked at."""
    return Exists(Connection.objects.filter(linked_to(grant=OuterRef("pk"))))


def revoked_reason(grant: AnyGrant) -> str:
    """Whose words tell it: Amazon's refusal, our staff's wish, or our vault's."""
    if grant.last_error_code in ("reconnect_required", "vault_locked"):
        return grant.last_error_code
    return "grant_invalid"


# Made and ended -----------------------------------------------------------------------------


def _of_grant(grant: AnyGrant, **facts: Any) -> Notice:
    notice = Notice(
        organization_id=grant.owner_id(),
        subject_id=grant.pk,
        consent_at=grant.authorized_at,
        authorized_by_id=grant.authorized_by_id,
        **facts,
    )
    if isinstance(grant, SpApiGrant):
        notice.connection_id = grant.connection_id
    else:
        notice.ads_grant_id = grant.pk
    return notice


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
            for kind in sorted({notice.kind for notice in ours}):
                same = [notice for notice in ours if notice.kind == kind]
                record_events("notice_made", actor=WORKER, subjects=same, kind=kind)
        made += len(ours)
    return made


def _end_what_it_replaces(notices: list[Notice]) -> None:
    """A newer step of the ladder, or its end, says all that the steps before it said."""
    for notice in notices:
        if notice.kind in (Kind.EXPIRING, Kind.EXPIRED, Kind.REVOKED):
            before = Notice.objects.filter(
                subject_id=notice.subject_id, kind=Kind.EXPIRING, resolved_at=None
            )
            before.exclude(pk=notice.pk).update(resolved_at=notice.created_at)


def _recoveries(now: datetime) -> int:
    """A consent that was told to be over works again: a new one, or Amazon took it back."""
    touched = 0
    for model in MODELS:
        works = model.objects.filter(pk=OuterRef("subject_id"), status=Grant.Status.ACTIVE)
        if model is SpApiGrant:
            works = works.filter(Q(authorized_at__gt=now - YEAR) | Q(is_consent_dated=False))
        else:
            works = works.exclude(
                authorized_at__gte=ADS_YEAR_RULE_SINCE, authorized_at__lte=now - YEAR
            )
        alarms = Notice.objects.filter(kind__in=[Kind.EXPIRED, Kind.REVOKED], resolved_at=None)
        ended = list(alarms.filter(Exists(works)).order_by("pk")[:BATCH])
        grants = model.objects.filter(pk__in={notice.subject_id for notice in ended})
        if model is AdsGrant:
            grants = grants.filter(_is_used())
        with transaction.atomic():
            touched += make(
                _of_grant(
                    grant,
                    kind=Kind.RECOVERED,
                    step=f"recovered {grant.status_changed_at.isoformat()}",
                    occurred_at=grant.status_changed_at,
                )
                for grant in grants.select_related(
                    *(("connection",) if model is SpApiGrant else ())
                )
            )
            Notice.objects.filter(pk__in=[notice.pk for notice in ended]).update(resolved_at=now)
    return touched


def hand_over(previous: AdsGrant, grant: AdsGrant) -> None:
    """A newer Ads consent has taken the place of one that was told to be over: that it works
    again is told of the newer one. In the caller's transaction."""
    alarms = Notice.objects.for_organization(grant.organization_id).filter(
        kind__in=[Kind.EXPIRED, Kind.REVOKED], resolved_at=None
    )
    alarms.filter(subject_id=previous.pk).update(subject_id=grant.pk, ads_grant_id=grant.pk)


def _end(now: datetime) -> int:
    """Notices that the facts no longer bear out."""
    open_ones = Notice.objects.filter(resolved_at=None)
    ended = open_ones.filter(kind__in=PASSING, created_at__lt=now - PASSING_FOR).update(
        resolved_at=now
    )
    ended += _end_of_incidents(now)
    for model in MODELS:
        mine = model.objects.filter(pk=OuterRef("subject_id"))
        disconnected = Exists(mine.filter(status=Grant.Status.DISCONNECTED))
        renewed = Exists(mine.filter(authorized_at__gt=OuterRef("consent_at")))
        mended = Exists(
            mine.filter(
                permission_missing_since=None, authorized_at__gte=newest_role(model.application)
            )
        )
        over = (
            Q(disconnected)
            # What was told to be over ends with the notice that it works again.
            | Q(renewed, kind__in=[Kind.EXPIRING, Kind.PERMISSION_MISSING])
            | Q(mended, kind=Kind.PERMISSION_MISSING)
        )
        ended += open_ones.filter(over).exclude(kind__in=PASSING).update(resolved_at=now)
        broken = mine.filter(status__in=[Grant.Status.INVALID, Grant.Status.DISCONNECTED])
        recovered = open_ones.filter(kind=Kind.RECOVERED)
        ended += recovered.filter(Exists(broken)).update(resolved_at=now)
        ended += _reopen(model, now)
    return ended


def _end_of_incidents(now: datetime) -> int:
    """An incident that ended by itself may begin again, and is then the same one, of which nobody
    is told twice: what was told stands until that cannot be any more."""
    closed = Incident.objects.filter(pk=OuterRef("subject_id"), closed_at__isnull=False)
    for_good = closed.filter(Q(closed_by__isnull=False) | Q(closed_at__lte=now - incidents.WINDOW))
    told_over = Notice.objects.filter(
        subject_id=OuterRef("subject_id"),
        organization=OuterRef("organization"),
        kind=Kind.INCIDENT_CLOSED,
    )
    open_ones = Notice.objects.filter(resolved_at=None, kind=Kind.INCIDENT_OPENED)
    return open_ones.filter(Exists(for_good) | Exists(told_over)).update(resolved_at=now)


def _reopen(model: type[AnyGrant], now: datetime) -> int:
    """A permission that is missing again within its week: back on the page, and mailed to
    whoever has not had it: the lines of mails know who has."""
    missing = model.objects.filter(
        Q(permission_missing_since__isnull=False),
        pk=OuterRef("subject_id"),
        authorized_at=OuterRef("consent_at"),
        status__in=[Grant.Status.ACTIVE, Grant.Status.DOUBTED],
    )
    week = Notice.objects.filter(
        kind=Kind.PERMISSION_MISSING,
        resolved_at__isnull=False,
        occurred_at__gt=now - PERMISSION_TOLD_EVERY,
    )
    return week.filter(Exists(missing)).update(resolved_at=None, settled_at=None, look_at=now)


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
    rows, and Ads consents that no link uses."""
    rows = Connection.objects.for_organization(organization)
    is_used = Exists(rows.filter(linked_to(grant=OuterRef("ads_grant"))))
    return Q(resolved_at=None, connection__removed_at=None) & (Q(ads_grant=None) | Q(is_used))


def open_notices(organization: Organization, reader: Membership | None = None) -> QuerySet[Notice]:
    """What the organization should know of, the newest first; what the reader sees of it."""
    every = Notice.objects.for_organization(organization).filter(is_open(organization))
    found = notices_within(every, reader)
    return found.select_related("connection", "ads_grant", "acknowledged_by").order_by(
        "-created_at", "pk"
    )
