"""What somebody with a client link sees: no sign-in, no page of the product, one question.

Every answer keeps the address, which is the secret, out of caches, referrers and search engines.
Unknown and ended links are one kind of answer, and only a link that exists names its organization.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.http import require_http_methods

from connections import (
    arrivals,
    catalogue,
    client_browsers,
    client_link_words,
    client_links,
    departures,
    endings,
)
from connections.client_link_models import ClientLink
from connections.client_link_words import masked
from connections.endings import Ending
from connections.words import day_words
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits
from sellerlegend.organizations.limits import client_address

GONE, AWAY = 410, 503


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
def client_link(request: HttpRequest, token: str) -> HttpResponseBase:
    """Who asks for what, and the way to Seller Central. Looking uses nothing up."""
    wait = limits.take((client_links.LOOK, client_address(request)))
    if wait:
        return private(too_many_requests(request, wait))
    link = client_links.by_token(token)
    with translation.override(language_of(request, link)):
        return answer(request, link)


def answer(request: HttpRequest, link: ClientLink | None) -> HttpResponseBase:
    why = client_links.standing(link) if link else "unknown"
    if link is None or why:
        return over(request, link, why)
    if request.method == "POST":
        return act(request, link)
    if request.method == "GET" and not is_ahead_of_its_reader(request):
        client_links.note_opened(link)
    return page(request, link, "ask", ask_context(link))


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
def client_link_ended(request: HttpRequest, reference: str) -> HttpResponseBase:
    """How the trip ended, for the browser that made it; for every other one nothing."""
    wait = limits.take((client_links.LOOK, client_address(request)))
    if wait:
        return private(too_many_requests(request, wait))
    browser = arrivals.browser_of(request)
    ending = endings.ending_by_link(browser=browser, reference=reference[:12])
    link = ending.request.client_link if ending.request else None
    with translation.override(language_of(request, link)):
        return ended(request, ending, link)


def ended(request: HttpRequest, ending: Ending, link: ClientLink | None) -> HttpResponseBase:
    trip = ending.request
    if trip is None or link is None:
        return page(request, None, "refused", {"entry": catalogue.outcome_entry("refused")}, 400)
    if request.method == "POST":
        why = client_links.standing(link)
        return over(request, link, why) if why else act(request, link)
    if ending.succeeded:
        return page(request, link, "done", {})
    why = client_links.why_over(link)
    if why == ClientLink.Status.CONSENTED:
        # Another tab or device was faster: what this trip lacks, nobody needs any more.
        title, text = client_link_words.over_words(
            ClientLink.Status.CONSENTED, link.organization.name
        )
        return page(request, link, "over", {"title": title, "text": text})
    context = {
        "outcome": ending.outcome,
        "reference": ending.reference,
        "words": client_link_words.client_reason(ending.outcome, link.organization.name, why),
        "entry": catalogue.outcome_entry(ending.outcome),
        "expected": masked(trip.expected_selling_partner_id),
        "returned": masked(trip.returned_selling_partner_id),
        "may_try_again": not client_links.standing(link) and ending.outcome != "in_progress",
    }
    return page(request, link, "failed", context)


def act(request: HttpRequest, link: ClientLink) -> HttpResponseBase:
    """One of the two answers to the question."""
    if request.POST.get("decision") == "decline":
        client_links.decline(link=link)
        return page(request, link, "declined", {})
    wait = limits.take((client_links.TRIP, link.pk.hex))
    if wait:
        return private(too_many_requests(request, wait))
    browser = client_browsers.known_or_new(request, link.pk)
    try:
        url = departures.start_client_authorization(link=link, browser=browser)
    except client_links.LinkOver:
        link.refresh_from_db()
        return over(request, link, client_links.why_over(link))
    except (departures.CredentialsMissing, departures.VaultClosed) as error:
        name = "vault_closed" if isinstance(error, departures.VaultClosed) else "not_configured"
        return page(request, link, "not_now", {"entry": catalogue.page_entry(name)}, AWAY)
    response = private(HttpResponseRedirect(url))
    response.headers["Referrer-Policy"] = "no-referrer"
    client_browsers.remember(response, link.pk, browser)
    return response


def ask_context(link: ClientLink) -> dict[str, Any]:
    connection = link.connection
    return {
        "is_reconnect": link.purpose == ClientLink.Purpose.RECONNECT,
        "store": connection.name,
        "seller": masked(connection.selling_partner_id or ""),
        "maker": link.made_by.name if link.made_by else "",
        "expires": day_words(link.last_day, translation.get_language()),
        "codes": client_link_words.codes_for(link.organization.name),
    }


def over(request: HttpRequest, link: ClientLink | None, why: str) -> HttpResponse:
    """410 whether it ever worked or not."""
    name = link.organization.name if link and why != "organization_gone" else ""
    title, text = client_link_words.over_words(why, name)
    context = {"title": title, "text": text, "entry": catalogue.page_entry("client_link_over")}
    status = AWAY if why == "quarantined" else GONE
    return page(request, link if name else None, "over", context, status)


def page(
    request: HttpRequest,
    link: ClientLink | None,
    name: str,
    context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    shown = {"link": link, "brand": link.organization.name if link else "", **context}
    response = render(request, f"connections/client/{name}.html", shown, status=status)
    response.headers["Content-Language"] = translation.get_language()
    remember_language(request, response)
    return private(response)


def language_of(request: HttpRequest, link: ClientLink | None) -> str:
    """The one that the reader chose on the page, now or before the way to Amazon, else that was
    chosen for the client: of every word and date of the answer. Else the browser's."""
    wanted = (
        request.GET.get("language", ""),
        request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, ""),
        link.language if link else "",
    )
    known = [code for code in wanted if code in dict(settings.LANGUAGES)]
    return next(iter(known), translation.get_language())


def remember_language(request: HttpRequest, response: HttpResponse) -> None:
    """Amazon leads back to another address than the one that holds the choice."""
    chosen = request.GET.get("language", "")
    if chosen not in dict(settings.LANGUAGES):
        return
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        chosen,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def private(response: HttpResponse) -> HttpResponse:
    """`strict-origin` and not `no-referrer`: with that one browsers post `Origin: null`."""
    response.headers["Referrer-Policy"] = "strict-origin"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def is_ahead_of_its_reader(request: HttpRequest) -> bool:
    """A browser that loads what somebody may click on soon says so."""
    told = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
    return "prefetch" in told or "prerender" in told
