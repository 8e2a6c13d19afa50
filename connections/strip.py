"""What stands between the filters and the rows: the reader's saved views, and the bar of health.
Asked for after the list, which does not wait for it; the poll brings it anew with the rows."""

from __future__ import annotations

from typing import Any

from django.utils.functional import SimpleLazyObject

from connections import saved_views
from connections.facets import counted
from connections.grouping_models import SavedView
from connections.groups import groups_named
from connections.health import moments
from connections.health_bar import bar_of, meant
from connections.list_queries import place_of
from connections.listing import Chosen
from connections.narrowing import end_moments
from connections.reach import reached
from sellerlegend.organizations.access import OrganizationRequest


def strip_context(request: OrganizationRequest) -> dict[str, Any]:
    asked = Chosen.of(request.GET)
    chosen = groups_named(request.membership, asked).known(asked)
    place = place_of(request.organization.pk, moments() | end_moments(chosen.expiry))
    within = None
    if request.membership.is_limited:
        within = set(reached(request.membership).values_list("pk", flat=True))
    counts = counted(meant(chosen), place, within)
    return {
        "bar": bar_of(request.organization.slug, chosen, counts),
        "views": view_links(request, asked.query),
        "chosen": chosen,
    }


def strip_later(request: OrganizationRequest) -> Any:
    """Counted only where it is shown."""
    return SimpleLazyObject(lambda: strip_context(request))


def view_links(request: OrganizationRequest, query: str) -> list[tuple[SavedView, bool]]:
    """Each with whether it is what the reader sees."""
    views = saved_views.views_of(request.organization, request.user)
    return [(view, view.query == query) for view in views]
