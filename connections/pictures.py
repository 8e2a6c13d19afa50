"""An organization at one glance: health as a bar that is a filter, the renewals of the coming year
by month, how far onboarding is. Counted by the database; drawn as SVG, and told as a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, QuerySet
from django.db.models.functions import TruncMonth
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from connections.health import Health, health_of, moments
from connections.health_words import counted_sign
from connections.models import CONSENT_DAYS, Connection, Grant
from connections.narrowing import has_end
from connections.reach import within_reach
from connections.renewals import MONTHS, month_after
from connections.words import Sign
from sellerlegend.applications.models import LwaApplication
from sellerlegend.organizations.access import OrganizationRequest

# The drawings' own units; CSS gives them their size on the page.
BAR_WIDTH = 1_000
COLUMN_WIDTH, COLUMN_GAP, COLUMNS_HEIGHT = 40, 10, 100
# From what works to what is lost, so that the bar reads from left to right.
HEALTHS = (
    Health.CONNECTED,
    Health.THROTTLED,
    Health.INCIDENT,
    Health.STALE,
    Health.EXPIRING,
    Health.PERMISSION_MISSING,
    Health.DOUBTED,
    Health.EXPIRED,
    Health.REVOKED,
    Health.WAITING,
    Health.DISCONNECTED,
)
ONBOARDING = ("onboarded", "working", "needs_attention", "paused", "pending")


@dataclass(frozen=True)
class Segment:
    """A part of a bar, and its line in the table. `url` leads to the rows it counts."""

    sign: Sign
    count: int
    x: float
    width: float
    url: str = ""
    key: str = ""
    is_chosen: bool = False


@dataclass(frozen=True)
class Column:
    """The renewals of one month. `y` and `height` in units of the drawing, from its top."""

    label: str
    short: str
    count: int
    x: int
    y: float
    height: float
    url: str


def pictures_context(request: OrganizationRequest, *, with_health: bool = True) -> dict[str, Any]:
    """`with_health`: not below the list, which has its own bar."""
    every = Connection.objects.for_organization(request.organization)
    rows = within_reach(every, request.membership)
    list_url = reverse("account_connections", args=[request.organization.slug])
    columns = columns_of(renewals_by_month(rows), list_url)
    found = healths(rows) if with_health else {}
    return {
        "with_health": with_health,
        "health": segments_of(found, HEALTHS, health_signs(), list_url, "health"),
        "onboarding": segments_of(onboarding(rows), ONBOARDING, onboarding_signs()),
        "months": columns,
        "bar_width": BAR_WIDTH,
        "columns_width": len(columns) * (COLUMN_WIDTH + COLUMN_GAP) - COLUMN_GAP,
        "columns_height": COLUMNS_HEIGHT,
    }


# What is counted ---------------------------------------------------------------------------


def healths(rows: QuerySet[Connection]) -> dict[str, int]:
    """Of the Selling Partner's side."""
    state = health_of(LwaApplication.SPAPI, moments(), prefix="spapi_grant__", region="region")
    return counts(rows.annotate(key=state))


def onboarding(rows: QuerySet[Connection]) -> dict[str, int]:
    """Of the marketplaces in which the sellers take part, whichever of them we support."""
    parts = rows.filter(
        spapi_grant__status__in=(Grant.Status.ACTIVE, Grant.Status.DOUBTED),
        marketplace_accounts__is_participating=True,
    )
    return counts(parts.annotate(key=F("marketplace_accounts__onboarding")))


def renewals_by_month(rows: QuerySet[Connection]) -> dict[date, int]:
    """By the first day of the month in which a Seller Central consent ends, as the list's filter by
    month counts them. A consent of an unknown day has no end that could be told."""
    ends = F("spapi_grant__authorized_at") + timedelta(days=CONSENT_DAYS)
    dated = rows.filter(has_end("spapi_grant__"), spapi_grant__is_consent_dated=True)
    by_month = dated.annotate(key=TruncMonth(ends, tzinfo=timezone.get_current_timezone()))
    return {timezone.localdate(month): count for month, count in counts(by_month).items()}


def counts(keyed: QuerySet[Any]) -> dict[Any, int]:
    grouped = keyed.order_by().values("key").annotate(number=Count("pk"))
    return {row["key"]: row["number"] for row in grouped}


# How it is drawn ---------------------------------------------------------------------------


def health_signs() -> dict[str, Sign]:
    return {state: counted_sign(state) for state in HEALTHS}


def onboarding_signs() -> dict[str, Sign]:
    return {
        "onboarded": Sign(_("Onboarded"), "check-circle", "success"),
        "working": Sign(_("Working"), "progress", "progress"),
        "needs_attention": Sign(_("Needs you"), "alert", "warning"),
        "paused": Sign(_("Paused"), "pause", "info"),
        "pending": Sign(_("Pending"), "dashed", "neutral"),
    }


def segments_of(
    found: dict[str, int],
    order: tuple[str, ...],
    signs: dict[str, Sign],
    list_url: str = "",
    parameter: str = "",
) -> list[Segment]:
    """Parts without anything in them are left out."""
    total = sum(found.values())
    segments: list[Segment] = []
    x = 0.0
    for state in order:
        count = found.get(state, 0)
        if count:
            width = round(BAR_WIDTH * count / total, 2)
            query = urlencode({parameter: str(state), "side": "spapi"})
            url = f"{list_url}?{query}" if parameter else ""
            segments.append(Segment(signs[state], count, round(x, 2), width, url, str(state)))
            x += width
    return segments


def columns_of(found: dict[date, int], list_url: str) -> list[Column]:
    """The running month and the twelve after it: a consent of today ends in the last of them."""
    first = timezone.localdate().replace(day=1)
    most = max(found.values(), default=0) or 1
    columns = []
    for place in range(MONTHS + 1):
        month = month_after(first, place)
        count = found.get(month, 0)
        height = round(COLUMNS_HEIGHT * count / most, 2)
        columns.append(
            Column(
                label=formats.date_format(month, "YEAR_MONTH_FORMAT"),
                short=formats.date_format(month, "M"),
                count=count,
                x=place * (COLUMN_WIDTH + COLUMN_GAP),
                y=COLUMNS_HEIGHT - height,
                height=height,
                url=f"{list_url}?{urlencode({'expiry': f'{month:%Y-%m}', 'side': 'spapi'})}",
            )
        )
    return columns
