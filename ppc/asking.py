"""On which sides Amazon can be asked about a row: one definition, for *Check now*, for *Re-sync*
and *Retry now* of the staff, and for the commands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from uuid import UUID

from django.utils.translation import gettext as _

from connections import ads_consents
from connections.models import Connection
from marketplaces import services as marketplace_services
from ppc.disconnecting import Side

Sides = frozenset[Side]


class Obstacle(Enum):
    """Why Amazon is not asked about a row."""

    WAITS = "waits"
    ENDED = "ended"


def obstacle_words(obstacle: Obstacle) -> str:
    return {
        Obstacle.WAITS: _("Waits for its first consent"),
        Obstacle.ENDED: _("No consent to check: reconnect it first"),
    }[obstacle]


def sides_of(connection: Connection) -> Sides:
    return sides_by_row(connection.organization_id, [connection])[connection.pk]


def sides_by_row(organization_id: UUID, rows: list[Connection]) -> dict[UUID, Sides]:
    subjects = subjects_by_row(organization_id, rows)
    return {row_id: frozenset(sides) for row_id, sides in subjects.items()}


def subjects_by_row(
    organization_id: UUID, rows: list[Connection]
) -> dict[UUID, dict[Side, set[UUID]]]:
    """Each row's sides on which Amazon can be asked, with the subjects of the jobs that ask: the
    row itself, and its Ads consents."""
    living = marketplace_services.askable_rows(organization_id)
    on_spapi = set(living.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    on_ppc = ads_by_row(organization_id, rows)
    found: dict[UUID, dict[Side, set[UUID]]] = {}
    for row in rows:
        found[row.pk] = {Side.SPAPI: {row.pk}} if row.pk in on_spapi else {}
        if row.pk in on_ppc:
            found[row.pk][Side.PPC] = on_ppc[row.pk]
    return found


def ads_by_row(organization_id: UUID, rows: list[Connection]) -> dict[UUID, set[UUID]]:
    """Each row's Ads consents that Amazon can be asked about; rows without one are left out."""
    return ads_consents.by_row(ads_consents.askable(organization_id), rows)


def obstacles(organization_id: UUID, ids: Iterable[UUID]) -> dict[UUID, Obstacle]:
    """Of those rows about which nothing can be asked on any side."""
    rows = list(Connection.objects.for_organization(organization_id).filter(pk__in=list(ids)))
    asked = sides_by_row(organization_id, rows)
    return {row.pk: obstacle_of(row.selling_partner_id) for row in rows if not asked[row.pk]}


def obstacle_of(seller_id: str | None) -> Obstacle:
    """Of a row about which nothing can be asked."""
    return Obstacle.ENDED if seller_id else Obstacle.WAITS
