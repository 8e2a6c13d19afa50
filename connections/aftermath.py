"""What an incident of Amazon's means for the rows of an organization: shown, and summed up.

No grant changes by an incident. What its calls met stands on the grants (`observations.py`), so
health shows it; here the screens hear that it began or ended, and the timeline of each row that
it touched gets its line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from connections import revisions
from connections.health import SURFACES
from connections.models import AdsGrant, SpApiGrant
from connections.token_cache import AnyGrant
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.audit import WORKER, record_events
from sellerlegend.organizations.models import AuditEvent

PREFIXES = (SpApiGrant.EVENT_PREFIX, AdsGrant.EVENT_PREFIX)


@dataclass(frozen=True)
class Summary:
    """Of one organization. `ended`: consents that Amazon or a person ended meanwhile, each for a
    reason of its own."""

    began_at: datetime
    ended_at: datetime
    rows: int
    ads_consents: int
    ended: int


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
    )


def _told_at(incident: Incident, organization_id: UUID) -> datetime | None:
    events = AuditEvent.objects.for_organization(organization_id).filter(
        at__gte=incident.opened_at, code="incident_opened", subject_id=incident.pk
    )
    return events.order_by("pk").values_list("at", flat=True).first()


def _touched(incident: Incident, organization_id: UUID) -> Iterable[AnyGrant]:
    """Consents whose calls failed or were refused in that time and at that part."""
    began_at = incident.opened_at - incidents.WINDOW
    until = incident.closed_at or timezone.now()
    events = AuditEvent.objects.for_organization(organization_id)
    codes = [f"{prefix}_doubted" for prefix in PREFIXES]
    doubted = events.filter(code__in=codes, at__range=(began_at, until))
    is_met = Q(last_failure_at__range=(began_at, until)) | Q(pk__in=doubted.values("subject_id"))
    grants: list[QuerySet[Any]] = []
    if incident.surface in (Incident.Surface.LWA, Incident.Surface.SELLERS):
        mine = SpApiGrant.objects.for_organization(organization_id)
        here = Q(connection__region=incident.region) if incident.region else Q()
        grants.append(mine.filter(is_met, here))
    if incident.surface in (Incident.Surface.LWA, Incident.Surface.ADS):
        grants.append(AdsGrant.objects.for_organization(organization_id).filter(is_met))
    for rows in grants:
        yield from rows.defer("refresh_token")


def are_refusals_amazons(grant: AnyGrant) -> bool:
    """Whether a refusal of this consent says nothing of it now: all are refused at once."""
    region = grant.connection.region if isinstance(grant, SpApiGrant) else ""
    return incidents.are_refusals_amazons(SURFACES[grant.application], region)
