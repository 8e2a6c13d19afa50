"""Which page of which list: numbers and queries of addresses, and the way back to what was seen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse

from connections.listing import Chosen
from sellerlegend.organizations.access import OrganizationRequest

SEEN = "connections_seen"
# How tall the rows are: what a browser has room for, so each keeps its own choice.
ROWS = "rows"
SHORT, FULL = "short", "full"
ROWS_COOKIE = "connections_rows"
ROWS_KEPT = timedelta(days=365)


def poll_query(chosen: Chosen, number: int) -> str:
    """The poll asks about the page that the reader sees."""
    return "&".join(filter(None, [chosen.query, f"page={number}" if number > 1 else ""]))


def remember_query(request: OrganizationRequest, response: HttpResponse, query: str) -> None:
    """For the way back from an action, also without JavaScript: what the reader sees, in a cookie
    of the list's own path that ends with the browser."""
    path = reverse("account_connections", args=[request.organization.slug])
    if query:
        response.set_cookie(
            SEEN,
            quote(query),
            path=path,
            httponly=True,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite="Lax",
        )
    elif SEEN in request.COOKIES:
        response.delete_cookie(SEEN, path=path, samesite="Lax")


def are_rows_short(request: OrganizationRequest) -> bool:
    return request.COOKIES.get(ROWS_COOKIE) == SHORT


def with_rows(request: OrganizationRequest) -> HttpResponse | None:
    """*Short rows* and *Full rows* are links: the choice goes into a cookie of all lists, and the
    browser to the same list. None where none is made."""
    wished = request.GET.get(ROWS, "")
    if wished not in (SHORT, FULL):
        return None
    path = reverse("account_connections", args=[request.organization.slug])
    query = poll_query(Chosen.of(request.GET), page_number(request.GET.get("page", "")))
    response = HttpResponseRedirect(f"{path}?{query}" if query else path, status=303)
    response.set_cookie(
        ROWS_COOKIE,
        wished,
        max_age=ROWS_KEPT,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )
    return response


def list_seen(request: OrganizationRequest) -> str:
    """The address of the list as the reader last saw it: filters survive an action."""
    url, query = (
        reverse("account_connections", args=[request.organization.slug]),
        query_seen(request),
    )
    return f"{url}?{query}" if query else url


def query_seen(request: OrganizationRequest) -> str:
    """Read as leniently as an address, and nothing else comes back."""
    sent = QueryDict(unquote(request.COOKIES.get(SEEN, ""))[:4_000])
    return poll_query(Chosen.of(sent), page_number(sent.get("page", "")))


def page_of(number: int, total: int, size: int) -> Page[Any]:
    """Django's page, for the links; the rows themselves were read with a limit."""
    paginator: Paginator[Any] = Paginator(range(total), size)
    return paginator.get_page(number)


def page_number(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def revision_from(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
