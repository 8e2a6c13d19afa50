"""The renewal calendar, and the private link to it for calendar programs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from connections import renewals
from connections.health import Health
from connections.listing import OVERDUE, PPC, SPAPI
from connections.renewals import Month, Renewal
from connections.words import Jump
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits
from sellerlegend.organizations.access import OrganizationRequest, ask_first, organization_view
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import recently_authenticated

ALL = "all"
UNFOLDED_AT_FIRST = 2


@dataclass(frozen=True)
class ListLink:
    """To the rows of the list, as many as the words say, whose consents on one side were counted
    here."""

    words: str
    url: str


@dataclass(frozen=True)
class MonthShown:
    """`overdue`: how many of its consents stand above, too, where what is over is."""

    month: Month
    links: list[ListLink]
    overdue: int


@require_GET
@organization_view(Role.VIEWER)
def renewal_calendar(request: OrganizationRequest) -> HttpResponseBase:
    return show(request)


def show(request: OrganizationRequest, feed_url: str = "") -> HttpResponse:
    """`?month=2027-03` is unfolded, `?month=all` are all; else the next ones to renew."""
    found = renewals.renewals_of(request.organization, request.membership)
    overdue = sorted(
        (renewal for renewal in found if renewal.is_over), key=attrgetter("over_at"), reverse=True
    )
    months = renewals.months_ahead(found)
    slug = request.organization.slug
    context = {
        "overdue": overdue,
        "overdue_words": overdue_words(overdue),
        "overdue_links": links_to_list(slug, OVERDUE, overdue),
        "lost_links": links_to_lost(slug, overdue),
        "months": [month_shown(slug, one) for one in months],
        "unfolded": unfolded(months, request.GET.get("month", "")),
        "jumps": jumps(overdue, months),
        "without_a_day": renewals.count_without_a_day(request.organization, request.membership),
        "feed": renewals.feed_of(request.organization, request.user),
        "feed_url": feed_url,
    }
    return render(request, "connections/calendar.html", context)


def month_shown(slug: str, month: Month) -> MonthShown:
    overdue = sum(renewal.is_over for renewal in month.renewals)
    return MonthShown(month, links_to_list(slug, month.key, month.renewals), overdue)


def overdue_words(overdue: list[Renewal]) -> str:
    """Two kinds, which the list shows one at a time."""
    lost = sum(not renewal.has_its_day for renewal in overdue)
    late = len(overdue) - lost
    counted = (
        (late, ngettext("%(count)d overdue", "%(count)d overdue", late)),
        (lost, ngettext("%(count)d lost", "%(count)d lost", lost)),
    )
    return ", ".join(words % {"count": count} for count, words in counted if count)


def links_to_list(slug: str, expiry: str, counted: Iterable[Renewal]) -> list[ListLink]:
    """To all rows of these consents that end on their own day."""
    dated = (renewal for renewal in counted if renewal.has_its_day)
    return links_by_side(slug, {"expiry": expiry}, dated)


def links_to_lost(slug: str, counted: Iterable[Renewal]) -> list[ListLink]:
    """To those of the others, which Amazon or the seller ended before."""
    lost = (renewal for renewal in counted if not renewal.has_its_day)
    return links_by_side(slug, {"health": Health.REVOKED.value}, lost)


def links_by_side(slug: str, choice: dict[str, str], counted: Iterable[Renewal]) -> list[ListLink]:
    """The list shows one side's at a time, and one Amazon Ads consent feeds several of its rows."""
    consents = list(counted)
    url = reverse("account_connections", args=[slug])
    found = []
    for side, is_ads in ((SPAPI, False), (PPC, True)):
        rows = frozenset[UUID]().union(*(one.rows for one in consents if one.is_ads == is_ads))
        if rows:
            query = urlencode(choice | {"side": side})
            found.append(ListLink(rows_words(len(rows), is_ads=is_ads), f"{url}?{query}"))
    return found


def rows_words(count: int, *, is_ads: bool) -> str:
    if is_ads:
        words = ngettext("PPC of %(count)d connection", "PPC of %(count)d connections", count)
    else:
        words = ngettext(
            "Selling Partner of %(count)d connection",
            "Selling Partner of %(count)d connections",
            count,
        )
    return words % {"count": count}


def unfolded(months: list[Month], asked: str) -> set[str]:
    keys = [month.key for month in months if month.renewals]
    if asked == ALL:
        return set(keys)
    return {asked} if asked in keys else set(keys[:UNFOLDED_AT_FIRST])


def jumps(overdue: list[Renewal], months: list[Month]) -> list[Jump]:
    """The server unfolds the month, since not every browser does it for a fragment."""
    over = [Jump(_("Overdue or lost"), len(overdue), "#overdue")] if overdue else []
    return over + [
        Jump(
            date_format(month.starts_on, "M Y"),
            len(month.renewals),
            f"?month={month.key}#month-{month.key}",
        )
        for month in months
    ]


@require_POST
@organization_view(Role.VIEWER)
@recently_authenticated
@costly
def calendar_feed_make(request: OrganizationRequest) -> HttpResponseBase:
    """The answer to this POST is the only place where the link ever stands: it goes into no
    session, cookie or redirect, so this form is the one that does not redirect."""
    url = renewals.make_feed(
        organization=request.organization, user=request.user, actor=request.actor()
    )
    return show(request, feed_url=url)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.VIEWER)
def calendar_feed_end(request: OrganizationRequest) -> HttpResponseBase:
    url = reverse("renewal_calendar", args=[request.organization.slug])
    if request.method != "POST":
        return ask_first(
            request,
            title=_("End the calendar link?"),
            intro=_(
                "Calendar programs that read it get nothing new any more. A new link has another "
                "address."
            ),
            deed=_("End the link"),
            back_url=url,
        )
    if renewals.end_feed(
        organization=request.organization, user=request.user, actor=request.actor()
    ):
        messages.success(request, _("The calendar link does not work any more."))
    return HttpResponseRedirect(url, status=303)


@require_http_methods(["GET", "HEAD"])
@login_not_required
def calendar_feed(request: HttpRequest, token: str) -> HttpResponseBase:
    """For calendar programs, which cannot sign in. Unknown, replaced and left are one answer."""
    wait = limits.take((renewals.FEED, limits.client_address(request)))
    if wait:
        return too_many_requests(request, wait)
    feed = renewals.feed_by(token)
    if feed is None:
        raise Http404("no such calendar")
    text = renewals.feed_text(feed).encode()
    etag = f'"{hashlib.sha256(text).hexdigest()}"'
    response = HttpResponse(text, content_type="text/calendar; charset=utf-8")
    response.headers["Content-Disposition"] = 'inline; filename="renewals.ics"'
    response.headers["Content-Language"] = renewals.language_of(feed)
    response.headers["ETag"] = etag
    answer = get_conditional_response(request, etag=etag, response=response) or response
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer
