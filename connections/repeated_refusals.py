"""Which refusals tell nothing new, since the consent had been refused before.

The first refusal of a consent leaves an event (`spapi_grant_doubted`, `ads_grant_doubted`). What an
organization was refused beyond those was asked again: by the look after two and fifteen minutes, by
the daily probe, or by a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from connections.models import AdsGrant, Grant, SpApiGrant
from connections.refusals import ACCESS_TOKEN_REJECTED, RECHECK_AFTER, REFUSED
from sellerlegend.jobs.incident_counts import Refused
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.models import AuditEvent
from sellerlegend.organizations.scoping import across_organizations

MINUTE = timedelta(minutes=1)
# A rejected access token is replaced once before the consent is doubted.
CALLS_OF_A_REJECTION = 2
MODELS: dict[str, tuple[type[SpApiGrant] | type[AdsGrant], ...]] = {
    Incident.Surface.LWA: (SpApiGrant, AdsGrant),
    Incident.Surface.SELLERS: (SpApiGrant,),
    Incident.Surface.ADS: (AdsGrant,),
}


def repeats(surface: str, _region: str, refused: Sequence[Refused]) -> list[int]:
    """Of each, how many calls were repetitions.

    The token endpoint refuses consents alone. An API may also reject an access token of a consent
    that is in order: there, only organizations with a consent that was doubted for it repeat.
    """
    is_lwa = surface == Incident.Surface.LWA
    first = _first_refusals(surface, min(row.minute for row in refused))
    doubted = frozenset() if is_lwa else _organizations_in_doubt(surface)
    found = []
    for row in refused:
        # The event is written a moment after the call, which may be the next minute.
        news = first[row.organization_id, row.minute]
        news += first[row.organization_id, row.minute + MINUTE]
        if is_lwa:
            found.append(max(0, row.calls - news))
        elif row.organization_id in doubted:
            found.append(max(0, row.calls - news * CALLS_OF_A_REJECTION))
        else:
            found.append(0)
    return found


def in_doubt(surface: str, region: str, since: datetime) -> Counter[UUID]:
    """By organization, the consents that this part refused since then and that nobody believes to
    be over: the first refusal that counts is hardly older."""
    cause = REFUSED if surface == Incident.Surface.LWA else ACCESS_TOKEN_REJECTED
    lately = since - RECHECK_AFTER[-1]
    found: Counter[UUID] = Counter()
    with across_organizations("how many consents of everybody are in doubt"):
        for model in MODELS[surface]:
            doubted = model.objects.filter(
                Q(first_refused_at__gte=lately) | Q(refusals_counted_from__gte=lately),
                status=Grant.Status.DOUBTED,
                last_error_code=cause,
                last_refused_at__gte=since,
            )
            if region and model is SpApiGrant:
                doubted = doubted.filter(connection__region=region)
            found.update(doubted.values_list(model.organization_path, flat=True))
    return found


def _first_refusals(surface: str, since: datetime) -> Counter[tuple[UUID, datetime]]:
    """By organization and minute."""
    codes = [f"{model.EVENT_PREFIX}_doubted" for model in MODELS[surface]]
    cause = REFUSED if surface == Incident.Surface.LWA else ACCESS_TOKEN_REJECTED
    found: Counter[tuple[UUID, datetime]] = Counter()
    with across_organizations("how many consents of everybody were refused for the first time"):
        events = AuditEvent.objects.filter(
            code__in=codes, at__gte=since, details__reason=cause, organization__isnull=False
        )
        for organization_id, at in events.values_list("organization_id", "at"):
            found[organization_id, at.replace(second=0, microsecond=0)] += 1
    return found


def _organizations_in_doubt(surface: str) -> frozenset[UUID]:
    """Those with a consent whose access tokens the API rejects."""
    found: set[UUID] = set()
    with across_organizations("whose consents are in doubt"):
        for model in MODELS[surface]:
            doubted = model.objects.filter(
                status__in=[Grant.Status.DOUBTED, Grant.Status.INVALID],
                last_error_code=ACCESS_TOKEN_REJECTED,
            )
            found |= set(doubted.values_list(model.organization_path, flat=True).distinct())
    return frozenset(found)
