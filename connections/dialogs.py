"""Leaving a dialog for a page."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseRedirect

from sellerlegend.organizations.access import SignedInRequest


def leave_for(request: SignedInRequest, url: str) -> HttpResponse:
    """After a POST. Under htmx a plain redirect would be followed into the dialog."""
    if not request.htmx:
        return HttpResponseRedirect(url, status=303)
    answer = HttpResponse(status=204)
    answer.headers["HX-Redirect"] = url
    return answer
