"""Amazon's door: the OAuth Login URI, and the page on which a person confirms.

Looking changes nothing and leads nowhere: only the form of the page, with its CSRF token, opens a
trip and sends the browser on.
"""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from connections import appstore, catalogue, departures, services
from connections.appstore import Destination, Start
from connections.countries import marketplace_name
from connections.forms import NewConnectionForm
from connections.models import Connection
from connections.reach import may_add_rows
from connections.views import cannot_leave
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits
from sellerlegend.organizations.access import SignedInRequest
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.limits import client_address, opens_trip
from sellerlegend.organizations.models import Role

logger = logging.getLogger(__name__)

PAGE = "connections/appstore_start.html"


@require_GET
@login_not_required
def spapi_login(request: SignedInRequest) -> HttpResponse:
    """The OAuth Login URI: the Appstore's *Login to SellerLegend now*, and *Re-Authorize*."""
    if not request.GET:
        return render(request, "connections/login_uri.html")
    wait = limits.take((limits.APPSTORE_START, client_address(request)))
    if wait:
        return too_many_requests(request, wait)
    start, cause = appstore.read(request.GET)
    if start is None:
        logger.warning("appstore_start_refused", extra={"cause": cause})
        context = {"entry": catalogue.page_entry("appstore_refused")}
        return render(request, "connections/appstore_refused.html", context, status=400)
    appstore.keep(request.session, start)
    return ask(request, start)


@require_http_methods(["GET", "HEAD", "POST"])
@opens_trip
def appstore_start(request: SignedInRequest, ticket: str) -> HttpResponseBase:
    """The same page under an address without Amazon's parameters, and where its form goes."""
    start = appstore.kept(request.session, ticket)
    if start is None:
        context = {"entry": catalogue.page_entry("appstore_over")}
        return render(request, "connections/appstore_over.html", context, status=404)
    if request.method != "POST":
        return ask(request, start)
    return go_on(request, start)


# The page ----------------------------------------------------------------------------------


def ask(request: SignedInRequest, start: Start) -> HttpResponse:
    """Signed out: sign in first. Else which organization, then whether at all."""
    context = {"start": start, "url": reverse("appstore_start", args=[start.ticket])}
    user: Any = request.user  # nobody yet, at the Login URI
    if not user.is_authenticated:
        return render(request, PAGE, context)
    every = appstore.destinations(start, user)
    usable = [destination for destination in every if destination.may_connect]
    asked = request.GET.get("organization", "")
    named = [one for one in usable if one.organization.slug == asked]
    # Whose role would do, but who does not see this seller.
    is_limited = any(one.membership.may(Role.MEMBER) for one in every)
    context |= {"is_member": bool(every), "is_limited": is_limited, "choices": usable}
    chosen = named or usable
    if len(chosen) == 1:
        return confirm(request, start, chosen[0], new_row_form(start, chosen[0]), usable)
    return render(request, PAGE, context)


def confirm(
    request: SignedInRequest,
    start: Start,
    chosen: Destination,
    form: NewConnectionForm | None,
    choices: list[Destination],
) -> HttpResponse:
    row = None if form else chosen.rows[0]
    if row is not None and row.removed_at is not None:
        return ask_to_bring_back(request, start, chosen, row, choices)
    context = {
        "start": start,
        "url": reverse("appstore_start", args=[start.ticket]),
        "choices": choices,
        "chosen": chosen,
        "row": row,
        "form": form,
    }
    return render(request, PAGE, context, status=422 if form and form.errors else 200)


def ask_to_bring_back(
    request: SignedInRequest,
    start: Start,
    chosen: Destination,
    row: Connection,
    choices: list[Destination],
) -> HttpResponse:
    """The seller's row was removed: an administrator brings it back as it was; anybody else is
    told whom to ask."""
    context = {
        "start": start,
        "url": reverse("appstore_start", args=[start.ticket]),
        "choices": choices,
        "chosen": chosen,
        "removed": row,
    }
    is_refused = request.method == "POST" and not chosen.may_bring_back
    return render(request, PAGE, context, status=403 if is_refused else 200)


def new_row_form(start: Start, chosen: Destination, data: Any = None) -> NewConnectionForm | None:
    """None where the link can only be about a row that is there."""
    if chosen.rows and start.region:
        return None
    found = [
        (one.marketplace_id, marketplace_name(one.marketplace_id))
        for one in start.marketplaces
        if may_add_rows(chosen.membership) or one.region in {row.region for row in chosen.rows}
    ]
    choices = found if len(found) == 1 else [("", _("Choose a marketplace")), *found]
    known = chosen.rows[0].marketplace_id if len(chosen.rows) == 1 else None
    initial = {
        "name": appstore.suggested_name(start, chosen),
        "marketplace": known or choices[0][0],
    }
    return NewConnectionForm(data, choices=choices, initial=initial)


# Going on ----------------------------------------------------------------------------------


def go_on(request: SignedInRequest, start: Start) -> HttpResponseBase:
    """The person said yes: the row, the trip, and back to Amazon."""
    slug = request.POST.get("organization", "")
    every = appstore.destinations(start, request.user)
    chosen = next((one for one in every if one.organization.slug == slug), None)
    if chosen is None:
        raise Http404("no such organization for this person")
    if not chosen.may_connect:
        raise PermissionDenied("needs a member")
    try:
        appstore.require_ready(chosen.organization)
    except (departures.CredentialsMissing, departures.VaultClosed) as error:
        return not_now(request, chosen, error)
    row, form = row_of(request, start, chosen)
    if row is None:
        return confirm(request, start, chosen, form, [chosen])
    if row.removed_at is not None and not has_said_bring_back(request, chosen, row):
        return ask_to_bring_back(request, start, chosen, row, [chosen])
    url = appstore.leave(start, connection=row, user=request.user, session=request.session)
    return HttpResponseRedirect(url)


def has_said_bring_back(request: SignedInRequest, chosen: Destination, row: Connection) -> bool:
    """An administrator who has read that it is a removed row: it may have gone since the page."""
    return chosen.may_bring_back and request.POST.get("bring_back") == str(row.pk)


def not_now(request: Any, chosen: Destination, error: RuntimeError) -> HttpResponse:
    """The page leads back to the list of the organization, as after `organization_view`."""
    request.organization = chosen.organization
    return cannot_leave(request, error)


def row_of(
    request: SignedInRequest, start: Start, chosen: Destination
) -> tuple[Connection | None, NewConnectionForm | None]:
    """The row to connect, or the form with its mistakes."""
    removed = removed_row_of(start, chosen, request.POST.get("marketplace", ""))
    if removed is not None:
        return removed, None
    form = new_row_form(start, chosen, request.POST)
    if form is None:
        return chosen.rows[0], None
    if not form.is_valid():
        return None, form
    try:
        row = appstore.row_for(
            start,
            organization=chosen.organization,
            marketplace_id=form.cleaned_data["marketplace"],
            name=form.cleaned_data["name"],
            actor=Actor.person(request.user),
        )
    except services.NameTaken:
        form.add_error("name", _("You already have a connection with this name."))
        return None, form
    return row, None


def removed_row_of(start: Start, chosen: Destination, marketplace_id: str) -> Connection | None:
    """It has a name already: nothing else of the form counts."""
    regions = [one.region for one in start.marketplaces if one.marketplace_id == marketplace_id]
    region = start.region or next(iter(regions), None)
    return next((row for row in chosen.removed if row.region == region), None)
