"""What an incident of Amazon's means for the rows of an organization: shown, and summed up.

No grant changes by an incident. What its calls met stands on the grants (`observations.py`), so
health shows it; here the screens hear that it began or ended, and the timeline of each row that
it touched gets its line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from connections import revisions
from connections.health import AMAZONS
from connections.models import AdsGrant, Grant, SpApiGrant
from connections.refusals import ACCESS_TOKEN_REJECTED, REFUSED
from connections.token_cache import AnyGrant
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.audit import WORKER, record_events
from sellerlegend.organizations.models import AuditEvent

MINUTE = timedelta(minutes=1)
PREFIXES = (SpApiGrant.EVENT_PREFIX, AdsGrant.EVENT_PREFIX)


@dataclass(frozen=True)
class Summary:
    """Of one organization. `ended`: consents that Amazon or a person ended meanwhile, each for a
    reason of its own. `doubted`: those it met that Amazon has refused until now."""

    began_at: datetime
    ended_at: datetime
    rows: int
    ads_consents: int
    ended: int
    doubted: int


def show(incident: Incident, organizations: list[UUID], kind: str) -> dict[str, Any]:
    """The listener: rows look different now, and at the end each one touched is told of it."""
    found: dict[str, Any] = {}
    for organization_id in organizations:
        revisions.touch_all(organization_id)
        if kind == incidents.CLOSED:
            found = _sum_up(incident, organization_id)
    return found


def _sum_up(incident: Incident, organization_id: UUID) -> dict[str, Any]:
    summary = summary_of(incident, organization_id)
    times = {"began_at": summary.began_at.isoformat(), "ended_at": summary.ended_at.isoformat()}
    record_events(
        "incident_passed",
        actor=WORKER,
        subjects=[*_touched(incident, organization_id)],
        surface=str(incident.surface),
        region=incident.region,
        cause=str(incident.cause),
        **times,
    )
    return times | {
        "rows": summary.rows,
        "ads_consents": summary.ads_consents,
        "ended": summary.ended,
        "doubted": summary.doubted,
    }


def summary_of(incident: Incident, organization_id: UUID) -> Summary:
    """From when to when it hurt this organization, and what of it."""
    mine = incidents.failures_of(incident).filter(organization_id=organization_id)
    first = mine.order_by("minute").values_list("minute", flat=True).first()
    # Minutes are kept for two days; when it was told stands longer.
    began_at = min(filter(None, (first, _told_at(incident, organization_id))), default=None)
    began_at = began_at or incident.opened_at
    touched = list(_touched(incident, organization_id))
    rows = sum(isinstance(grant, SpApiGrant) for grant in touched)
    last = max((grant.last_failure_at or began_at for grant in touched), default=None)
    last_minute = mine.aggregate(last=Max("minute"))["last"]
    events = AuditEvent.objects.for_organization(organization_id).filter(at__gte=began_at)
    ends = [f"{prefix}_{end}" for prefix in PREFIXES for end in ("invalid", "disconnected")]
    return Summary(
        began_at=began_at,
        ended_at=max(filter(None, (last, last_minute, began_at))),
        rows=rows,
        ads_consents=len(touched) - rows,
        ended=events.filter(code__in=ends).count(),
        doubted=sum(grant.status == Grant.Status.DOUBTED for grant in touched),
    )


def _told_at(incident: Incident, organization_id: UUID) -> datetime | None:
    events = AuditEvent.objects.for_organization(organization_id).filter(
        at__gte=incident.opened_at, code="incident_opened", subject_id=incident.pk
    )
    return events.order_by("pk").values_list("at", flat=True).first()


def _touched(incident: Incident, organization_id: UUID) -> Iterable[AnyGrant]:
    """Consents that this incident met: their last failure is Amazon's, or they were doubted in
    one of refusals, in a minute in which calls of this part failed for their organization."""
    span = (incident.opened_at - incidents.WINDOW, incident.closed_at or timezone.now())
    minutes = _failed_minutes(incident, organization_id)
    refused = _refused(incident, organization_id, span, minutes)
    # A success after it leaves the time of a failure, and no code.
    has_failed = Q(last_failure_at__range=span, last_failure_code__in=(*AMAZONS, ""))
    # What was refused and ended all the same had a reason of its own.
    was_refused = Q(pk__in=refused) & ~Q(status=Grant.Status.INVALID)
    for rows in _consents_of_part(incident, organization_id):
        for grant in rows.filter(has_failed | was_refused).defer("refresh_token"):
            if grant.pk in refused or minutes.hold(grant.last_failure_at):
                yield grant


def _consents_of_part(incident: Incident, organization_id: UUID) -> Iterable[QuerySet[Any]]:
    if incident.surface in (Incident.Surface.LWA, Incident.Surface.SELLERS):
        mine = SpApiGrant.objects.for_organization(organization_id)
        yield mine.filter(connection__region=incident.region) if incident.region else mine
    if incident.surface in (Incident.Surface.LWA, Incident.Surface.ADS):
        yield AdsGrant.objects.for_organization(organization_id)


@dataclass(frozen=True)
class _Minutes:
    """In which calls of one part failed for one organization, known for two days."""

    failed: frozenset[datetime]
    known_since: datetime

    def hold(self, at: datetime | None) -> bool:
        if at is None:
            return False
        minute = at.replace(second=0, microsecond=0)
        # It is written a moment after the call, which may be the next minute.
        is_known = minute in self.failed or minute - MINUTE in self.failed
        return is_known or at < self.known_since


def _failed_minutes(incident: Incident, organization_id: UUID) -> _Minutes:
    mine = incidents.failures_of(incident).filter(organization_id=organization_id)
    return _Minutes(
        failed=frozenset(mine.values_list("minute", flat=True)),
        known_since=timezone.now() - incidents.WINDOWS_KEPT,
    )


def _refused(
    incident: Incident, organization_id: UUID, span: tuple[datetime, datetime], minutes: _Minutes
) -> set[UUID]:
    """Consents that were doubted by it. In an outage a refusal is the consent's own matter."""
    if incident.cause != Incident.Cause.REFUSING:
        return set()
    is_lwa = incident.surface == Incident.Surface.LWA
    doubts = AuditEvent.objects.for_organization(organization_id).filter(
        code__in=[f"{prefix}_doubted" for prefix in PREFIXES],
        at__range=span,
        details__reason=REFUSED if is_lwa else ACCESS_TOKEN_REJECTED,
        subject_id__isnull=False,
    )
    return {key for key, at in doubts.values_list("subject_id", "at") if minutes.hold(at)}
