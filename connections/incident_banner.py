"""One banner for an organization's people while a part of Amazon that they use has an incident.

On every page, so it costs nothing while there is none, and one look in half a minute otherwise.
"""

from __future__ import annotations

import time
from uuid import UUID

from django.db import DatabaseError
from django.utils.text import format_lazy, get_text_list
from django.utils.translation import gettext as _

from connections.countries import region_name
from connections.models import AdsGrant, Grant, SpApiGrant
from connections.words import exact_time
from sellerlegend.jobs import incidents
from sellerlegend.jobs.models import Incident

LOOK_SECONDS = 30.0
# Organizations remembered by one process.
MOST_KEPT = 1_000

# Surfaces, and regions for the Selling Partner API.
Parts = frozenset[tuple[str, str]]

# With the revision of the organization: what was ended since is no longer used.
_used: dict[UUID, tuple[float, int, Parts]] = {}


def forget() -> None:
    _used.clear()


def words_for(organization_id: UUID, revision: int) -> str:
    """What is wrong, since when, and that nobody has to do anything; "" when nothing is, and for
    an organization without a consent that it meets."""
    found = incidents.shown_now()
    if not found:
        return ""
    try:
        parts = _parts_of(organization_id, revision)
        mine = [incident for incident in found if touches(incident, parts)]
    except DatabaseError:
        return ""
    if not mine:
        return ""
    return _said_of(mine) % {"parts": get_text_list([_part_of(each) for each in mine], _("and"))}


def _part_of(incident: Incident) -> str:
    """Each has a time of its own: of two regions one may be ill for an hour longer."""
    return _("%(part)s since %(since)s") % {
        "part": part_name(incident),
        "since": exact_time(incident.opened_at),
    }


def _said_of(found: list[Incident]) -> str:
    """Of refusals nobody can promise that no consent is affected: some sellers did revoke."""
    if any(incident.cause == Incident.Cause.REFUSING for incident in found):
        return _(
            "Amazon has a problem: %(parts)s. It refuses the consents of many at the moment. None "
            "ends by that alone: we go on asking, and tell you if one stays refused."
        )
    return _(
        "Amazon has a problem: %(parts)s. Your consents are not affected, and nothing is lost: we "
        "try again by ourselves until it works."
    )


def part_name(incident: Incident) -> str:
    surface = Incident.Surface(incident.surface).label
    if not incident.region:
        return str(surface)
    return str(format_lazy("{} ({})", surface, region_name(incident.region)))


def touches(incident: Incident, parts: Parts) -> bool:
    """Everybody needs the token endpoint. An Ads consent is read in all regions."""
    if incident.surface == Incident.Surface.LWA:
        return bool(parts)
    if incident.surface == Incident.Surface.ADS:
        return (Incident.Surface.ADS, "") in parts
    regions = {region for surface, region in parts if surface == Incident.Surface.SELLERS}
    return incident.region in regions if incident.region else bool(regions)


def _parts_of(organization_id: UUID, revision: int) -> Parts:
    """What the living consents of an organization are for."""
    until, seen, parts = _used.get(organization_id, (0.0, 0, frozenset()))
    if time.monotonic() < until and seen == revision:
        return parts
    sellers = SpApiGrant.objects.for_organization(organization_id)
    regions = sellers.exclude(status=Grant.Status.DISCONNECTED).order_by()
    found = {
        (str(Incident.Surface.SELLERS), region)
        for region in regions.values_list("connection__region", flat=True).distinct()
    }
    ads = AdsGrant.objects.for_organization(organization_id)
    if ads.exclude(status=Grant.Status.DISCONNECTED).exists():
        found.add((str(Incident.Surface.ADS), ""))
    if len(_used) >= MOST_KEPT:
        _used.clear()
    _used[organization_id] = (time.monotonic() + LOOK_SECONDS, revision, frozenset(found))
    return frozenset(found)
