"""The renewal calendar, and the private link to it for calendar programs."""

from __future__ import annotations

import hashlib
from operator import attrgetter

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from connections import renewals
from connections.renewals import Month, Renewal
from connections.words import Jump
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role

ALL = "all"
UNFOLDED_AT_FIRST = 2


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
    context = {
        "overdue": overdue,
        "months": months,
        "unfolded": unfolded(months, request.GET.get("month", "")),
        "jumps": jumps(overdue, months),
        "without_a_day": renewals.count_without_a_day(request.organization, request.membership),
        "feed": renewals.feed_of(request.organization, request.user),
        "feed_url": feed_url,
    }
    return render(request, "connections/calendar.html", context)


def unfolded(months: list[Month], asked: str) -> set[str]:
    keys = [month.key for month in months if month.renewals]
    if asked == ALL:
        return set(keys)
    return {asked} if asked in keys else set(keys[:UNFOLDED_AT_FIRST])


def jumps(overdue: list[Renewal], months: list[Month]) -> list[Jump]:
    """The server unfolds the month, since not every browser does it for a fragment."""
    over = [Jump(_("Over"), len(overdue), "#overdue")] if overdue else []
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
@costly
def calendar_feed_make(request: OrganizationRequest) -> HttpResponseBase:
    """The answer to this POST is the only place where the link ever stands: it goes into no
    session, cookie or redirect, so this form is the one that does not redirect."""
    url = renewals.make_feed(
        organization=request.organization, user=request.user, actor=request.actor()
    )
    return show(request, feed_url=url)


@require_POST
@organization_view(Role.VIEWER)
def calendar_feed_end(request: OrganizationRequest) -> HttpResponseBase:
    if renewals.end_feed(
        organization=request.organization, user=request.user, actor=request.actor()
    ):
        messages.success(request, _("The calendar link does not work any more."))
    url = reverse("renewal_calendar", args=[request.organization.slug])
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
    response.headers["ETag"] = etag
    answer = get_conditional_response(request, etag=etag, response=response) or response
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer
