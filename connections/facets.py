"""How many rows each value of a filter would show, beside all else that is chosen: one statement.

Each filter is counted without itself, so that its other values say what choosing them would give.
Of tags a row must have all, so theirs are counted beside the chosen ones.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Count,
    DateTimeField,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, TruncMonth
from django.utils import timezone

from connections.attention import LINKS_IN_USE, fed_by
from connections.health import SEVERITY, Health, health_of
from connections.listing import ATTENTION, NONE, OVERDUE, PPC, SPAPI, WINDOWS, Chosen
from connections.models import ADS_YEAR_RULE_SINCE
from connections.narrowing import (
    YEAR,
    Place,
    asks_for_somebody,
    conditions,
    has_end,
    ppc_is,
    prefixed,
)
from sellerlegend.applications.models import LwaApplication

# Filter, value, how many rows.
Counts = dict[str, dict[str, int]]
EVERYTHING, FOUND = "all", "found"
LATER = "later"
ADS_GRANT = "marketplace_accounts__ppc_link__profile__grant__"


def counted(chosen: Chosen, place: Place) -> Counts:
    """Values without a row are left out."""
    branches = [
        branch.values("facet", "key", "other", "number") for branch in grouped(chosen, place)
    ]
    found: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in branches[0].union(*branches[1:], all=True):
        facet, key, other, number = (row[name] for name in ("facet", "key", "other", "number"))
        if facet == "health":
            for state in states_meant(key, other, chosen.side):
                found[facet][state] += number
        elif facet == "month":
            found[facet][key[:7]] += number
        else:
            found[facet][key] += number
    return {facet: dict(values) for facet, values in found.items()} | {
        "window": windows(found["window"])
    }


def states_meant(on_spapi: str, on_ppc: str, side: str) -> set[str]:
    """A row counts once where both sides are in the same state."""
    return {SPAPI: {on_spapi}, PPC: {on_ppc}}.get(side, {on_spapi, on_ppc}) - {""}


def windows(buckets: dict[str, int]) -> dict[str, int]:
    """The next 30 days hold the next 7."""
    told = {OVERDUE: buckets.get(OVERDUE, 0)}
    number = 0
    for window in WINDOWS:
        number += buckets.get(window, 0)
        told[window] = number
    return {window: number for window, number in told.items() if number}


def grouped(chosen: Chosen, place: Place) -> list[Any]:
    """A queryset for each filter, all of the same columns."""
    everything = place.rows.annotate(
        spapi_health=health_of(
            LwaApplication.SPAPI, place.at, prefix="spapi_grant__", region="region"
        )
    )

    def rows(left_out: str = "") -> QuerySet[Any, Any]:
        narrowed: QuerySet[Any, Any] = everything
        rest = chosen.having(**{left_out: ""}) if left_out else chosen
        for condition in conditions(rest, place):
            narrowed = narrowed.filter(condition)
        return narrowed

    ending = rows("expiry").filter(ends(chosen, place))
    given_at = f"{end_prefix(chosen)}authorized_at"
    ends_at = ExpressionWrapper(F(given_at) + Value(YEAR), output_field=DateTimeField())
    # A side is meant only with a state: alone it changes nothing.
    return [
        by("health", rows("health"), F("spapi_health"), other=ppc_state(place)),
        by("show", rows("show").filter(asks_for_somebody(chosen.side, place)), Value(ATTENTION)),
        by("month", ending, TruncMonth(ends_at)),
        by("window", ending, window_of(given_at)),
        by("region", rows("region"), F("region")),
        by(
            "marketplace",
            rows("marketplace").filter(marketplace_accounts__is_participating=True),
            F("marketplace_accounts__marketplace_id"),
        ),
        by("tag", rows().filter(taggings__isnull=False), F("taggings__tag_id")),
        by("client", rows("client"), F("client_id")),
        by(
            "authorised",
            rows("authorised").filter(spapi_grant__isnull=False),
            F("spapi_grant__authorized_by_id"),
        ),
        by(FOUND, rows(), Value(FOUND)),
        by(EVERYTHING, everything, Value(EVERYTHING)),
    ]


def by(facet: str, rows: QuerySet[Any, Any], key: Any, other: Any = None) -> Any:
    text = CharField(max_length=80)
    keyed = rows.order_by().annotate(
        facet=Value(facet, output_field=text),
        key=Coalesce(Cast(key, text), Value(NONE), output_field=text),
        other=Value("", output_field=text) if other is None else other,
    )
    groups: Any = keyed.values("facet", "key", "other")
    return groups.annotate(number=Count("pk", distinct=True))


def ppc_state(place: Place) -> Case:
    """The worst of the consents that feed the row, as `health.worst`; "" for a row without."""
    living = [state for state in SEVERITY if state not in (Health.DISCONNECTED, Health.WAITING)]
    cases = [
        When(pk__in=fed_by(place.organization_id, (state,), place.at), then=Value(state.value))
        for state in living
    ]
    cases += [
        When(ppc_is(state, place), then=Value(state.value))
        for state in (Health.DISCONNECTED, Health.WAITING)
    ]
    return Case(*cases, default=Value(""), output_field=CharField(max_length=80))


# The end of the consents -------------------------------------------------------------------


def end_prefix(chosen: Chosen) -> str:
    return ADS_GRANT if chosen.side == PPC else "spapi_grant__"


def ends(chosen: Chosen, place: Place) -> Q:
    """As `narrowing.ends_within`, at any time."""
    given = Q(authorized_at__isnull=False) & has_end(place)
    if chosen.side != PPC:
        return prefixed(given & Q(is_consent_dated=True), "spapi_grant__")
    given &= Q(authorized_at__gte=ADS_YEAR_RULE_SINCE)
    in_use = Q(marketplace_accounts__ppc_link__status__in=LINKS_IN_USE)
    return prefixed(given, ADS_GRANT) & in_use


def window_of(given_at: str) -> Case:
    """The shortest window that holds the end."""
    now = timezone.now() - YEAR
    cases = [When(**{f"{given_at}__lt": now}, then=Value(OVERDUE))]
    for window in WINDOWS:
        before = now + timedelta(days=int(window))
        cases.append(When(**{f"{given_at}__lt": before}, then=Value(window)))
    return Case(*cases, default=Value(LATER), output_field=CharField(max_length=80))
