"""A password of more than a year is changed before anything else (Data Protection Policy §1.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from sellerlegend.organizations import staff_door
from sellerlegend.organizations.step_up import page_of_the_form

OPEN_ROUTES = frozenset({"account_change_password", "account_logout"})


class PasswordDoorMiddleware:
    """Stands behind the staff's door, which lets through whoever has yet to prove a second step.

    Views that want no login stay open: a callback brings a code that is good for five minutes and
    must not travel in a `next`. Costs no query: the age is a column of the person.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: Any, view: Any, *_arguments: Any) -> HttpResponseBase | None:
        if not request.user.is_authenticated or not request.user.has_outdated_password:
            return None
        if request.resolver_match.url_name in OPEN_ROUTES or is_for_others(request, view):
            return None
        url = f"{reverse('account_change_password')}?{urlencode({'next': way_back(request)})}"
        if request.htmx:
            return HttpResponse(status=401, headers={"HX-Redirect": url})
        return HttpResponseRedirect(url)


def is_for_others(request: Any, view: Any) -> bool:
    """For everybody, or for staff who are about to prove who they are."""
    is_public = not getattr(view, "login_required", True)
    return is_public or staff_door.is_waiting_for_proof(request)


def way_back(request: Any) -> str:
    """The page itself, or the one that held the form or the link."""
    is_page = request.method in ("GET", "HEAD") and not request.htmx
    path: str = request.get_full_path() if is_page else page_of_the_form(request)
    return path
