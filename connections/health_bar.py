"""The one place that counts the list by health: a bar, and beneath it each state with its number,
which leads to the rows it counts.

A row has one state on each side, so that the parts are the whole. The side is the one that the
reader chose, else Selling Partner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.urls import reverse
from django.utils.translation import gettext as _

from connections.facets import EVERYTHING, Counts
from connections.health_words import counted_sign
from connections.listing import PPC, SPAPI, Chosen
from connections.pictures import BAR_WIDTH, HEALTHS, Segment, segments_of


@dataclass(frozen=True)
class HealthBar:
    """`parts`: each state that a row has, or that is chosen, in the order of the bar."""

    label: str
    total: int
    all_url: str
    is_all: bool
    parts: list[Segment]
    width: int = BAR_WIDTH


def meant(chosen: Chosen) -> Chosen:
    """What the bar counts by: one side at a time."""
    return replace(chosen, side=chosen.side or SPAPI)


def bar_of(slug: str, chosen: Chosen, counts: Counts) -> HealthBar:
    """`counts` are of `meant(chosen)`."""
    by = meant(chosen)
    list_url = reverse("account_connections", args=[slug])
    found = counts.get("health", {})
    present = chosen.health if chosen.side == by.side else ""
    segments = segments_of(found, HEALTHS, {state: counted_sign(state) for state in HEALTHS})
    if present and not found.get(present):
        segments.append(Segment(counted_sign(present), 0, BAR_WIDTH, 0, key=present))
    parts = [
        replace(
            part,
            url=f"{list_url}?{by.having(health=part.key).query}",
            is_chosen=part.key == present,
        )
        for part in segments
    ]
    label = _("State on PPC alone") if by.side == PPC else _("State on Selling Partner alone")
    total = counts.get(EVERYTHING, {}).get(EVERYTHING, 0)
    return HealthBar(label, total, list_url, chosen.is_default, parts)
