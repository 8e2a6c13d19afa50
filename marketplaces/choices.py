"""Choosing marketplaces: the drop-down of a new row, and the lines of the pop-ups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from connections.countries import marketplace_name
from marketplaces.models import Marketplace
from sellerlegend.amazon.regions import Region

REGION_NAMES = {
    Region.NA: _("North America"),
    Region.EU: _("Europe, Middle East, Africa and India"),
    Region.FE: _("Far East"),
}


def marketplace_choices(regions: Iterable[Region]) -> list[tuple[Any, Any]]:
    """Supported marketplaces, grouped by region, with an empty first line."""
    supported = list(Marketplace.objects.filter(is_supported=True, region__in=list(regions)))
    groups = [
        (
            REGION_NAMES[region],
            [
                (row.marketplace_id, marketplace_name(row.marketplace_id, row.name))
                for row in supported
                if row.region == region
            ],
        )
        for region in regions
    ]
    return [("", _("Choose a marketplace")), *groups]


@dataclass(frozen=True)
class Choice:
    """One line of a pop-up: a box to tick, or the obstacle because of which there is none."""

    account_id: UUID
    name: str
    note: str
    is_ticked: bool
    obstacle: str
