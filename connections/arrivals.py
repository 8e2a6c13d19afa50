"""Coming back from Amazon: the callbacks, and how a trip ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from connections import (
    authorization,
    catalogue,
    client_browsers,
    endings,
    flows,
    queue_walk,
    reasons,
)
from connections.authorization import Browser
from connections.endings import Ending
from connections.models import AuthorizationRequest, Connection
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.reach import may_add_rows, within_reach
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations.access import SignedInRequest
from sellerlegend.organizations.audit import REFERENCE_ALPHABET, REFERENCE_LENGTH
from sellerlegend.organizations.limits import client_address


@require_GET
@login_not_required
def spapi_callback(request: SignedInRequest) -> HttpResponse:
    return answer_callback(request, flows.finish_spapi_authorization)


@require_GET
@login_not_required
def ads_callback(request: SignedInRequest) -> HttpResponse:
    return answer_callback(request, flows.finish_ads_authorization)


def answer_callback(request: SignedInRequest, finish: Callable[..., Ending]) -> HttpResponse:
    ending = finish(browser=browser_of(request), query=request.GET)
    user: Any = request.user  # nobody, when it is a client
    if ending.request is None and not user.is_authenticated:
        # A client whose trip is not found shall not be asked to sign in.
        ending = replace(ending, by_link=ending.by_link or client_browsers.is_known(request))
    if ending.wait:
        return too_many_requests(request, ending.wait)
    if not ending.by_link:
        say_how_it_ended(request, ending)
    return leave_callback(ending)


def browser_of(request: HttpRequest) -> Browser:
    return Browser(
        user=request.user,
        session=request.session,
        address=client_address(request),
        client_browser=partial(client_browsers.value_of, request),
    )


def say_how_it_ended(request: SignedInRequest, ending: Ending) -> None:
    """A first consent needs no words: its row asks whether it is the right store."""
    trip = ending.request
    if trip is None or trip.connection_id is None or ending.outcome == "connected":
        return
    words = {
        "merged": _(
            "This seller is connected here already: %(name)s has the new consent, and the row "
            "that waited for it is gone."
        ),
        "brought_back": _(
            "%(name)s was removed before, and is back with its name, settings and history. It has "
            "the new consent, and this seller has no second row."
        ),
        "reconnected": _("%(name)s is reconnected. Its consent counts for another year."),
        "ads_connected": _("Amazon Ads is connected. The links of %(name)s are being made."),
        "ads_renewed": _(
            "Amazon Ads has a new consent. We are asking Amazon what it sees; until then the links "
            "of %(name)s stay as they are."
        ),
    }
    name = name_in_reach(trip)
    if name and ending.outcome in words:
        messages.success(request, words[ending.outcome] % {"name": name})


def name_in_reach(trip: AuthorizationRequest) -> str:
    """Of the row where the trip ended, for the person who made it and sees it still."""
    rows = Connection.objects.for_organization(trip.organization)
    seen = within_reach(rows.filter(pk=trip.connection_id), authorization.membership_of(trip))
    return seen.values_list("name", flat=True).first() or ""


def leave_callback(ending: Ending) -> HttpResponse:
    """303 to a clean URL at once: the code must not stay in history or travel as a referrer."""
    trip = ending.request
    if ending.by_link:
        url = reverse("client_link_ended", args=[ending.reference])
    elif trip is not None and trip.reconnect_item_id and (told := queue_that_tells(ending, trip)):
        url = told
    elif ending.succeeded and trip is not None:
        url = reverse("account_connections", args=[trip.organization.slug])
        # The row that the person just began with needs no other look.
        if trip.connection_id and (ending.outcome == "connected" or name_in_reach(trip)):
            url = f"{url}?connected={trip.connection_id}#connection-{trip.connection_id}"
    else:
        url = reverse("authorization_outcome", args=[ending.reference])
    response = HttpResponseRedirect(url, status=303)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def queue_that_tells(ending: Ending, trip: AuthorizationRequest) -> str:
    """The reconnect queue from which the person set out, or its summary once it is over. "" where
    it would say nothing: of a trip that brought nothing, for a store that was passed meanwhile."""
    items = ReconnectItem.objects.for_organization(trip.organization)
    item = items.select_related("queue").filter(pk=trip.reconnect_item_id).first()
    if not ending.succeeded and not is_failure_told(ending, trip, item):
        return ""
    url = reverse("reconnect_queue", args=[trip.organization.slug])
    is_over = item is not None and item.queue.status == ReconnectQueue.Status.FINISHED
    return f"{url}?queue={item.queue_id}" if item is not None and is_over else url


def is_failure_told(ending: Ending, trip: AuthorizationRequest, item: ReconnectItem | None) -> bool:
    """The page of a queue explains what the store has met whose turn it is; its summary, whatever
    was not reconnected."""
    member = authorization.membership_of(trip)
    if item is None or member is None or ending.outcome == "role_too_low":
        return False
    if item.queue.status == ReconnectQueue.Status.FINISHED:
        return bool(item.status == ReconnectItem.Status.FAILED)
    present = queue_walk.walk_of(item.queue, member).present
    return present is not None and present.pk == item.pk


@require_GET
def authorization_outcome(request: SignedInRequest, reference: str) -> HttpResponse:
    """How a trip to Amazon ended, in words, with a way to start again."""
    if len(reference) != REFERENCE_LENGTH or set(reference) - set(REFERENCE_ALPHABET):
        raise Http404("not a reference")
    ending = endings.ending_of(user=request.user, reference=reference)
    member = authorization.membership_of(ending.request) if ending.request else None
    if ending.succeeded:
        return leave_callback(ending)
    trip = ending.request
    words = reasons.outcome_words(ending.outcome)
    context = {
        "reference": reference,
        "outcome": ending.outcome,
        "words": words,
        "entry": catalogue.outcome_entry(ending.outcome),
        "trip": trip,
        "connection": trip.connection if trip else None,
        "may_add": member is not None and may_add_rows(member),
        **restart_of(trip, words),
        "list_url": (
            reverse("account_connections", args=[trip.organization.slug])
            if trip
            else reverse("home")
        ),
    }
    return render(request, "connections/outcome.html", context, status=400 if not trip else 200)


def restart_of(trip: AuthorizationRequest | None, words: reasons.Reason) -> dict[str, str]:
    """Where *Start again* leads: a new trip for Seller Central, the pop-up for Amazon Ads."""
    if words.action != "restart":
        return {}
    if trip is None or trip.connection_id is None:
        return {"restart_url": reverse("home"), "restart_method": "get"}
    if trip.kind == AuthorizationRequest.Kind.ADS:
        name, method = "ppc_connect", "get"
    else:
        name, method = "connection_authorize", "post"
    url = reverse(name, args=[trip.organization.slug, trip.connection_id])
    return {"restart_url": url, "restart_method": method}
