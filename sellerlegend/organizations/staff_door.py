"""Staff see every organization, so a password alone lets them in nowhere, and not for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

# What it takes to prove a second step, and to leave.
PROVING = frozenset({"account_logout", "mfa_reauthenticate", "mfa_reauthenticate_webauthn"})
# What it takes to set one up: closed to who has one, or a password alone would make another.
SETTING_UP = frozenset(
    {
        "account_reauthenticate",
        "mfa_index",
        "mfa_activate_totp",
        "mfa_add_webauthn",
        "mfa_list_webauthn",
    }
)
SECOND_STEPS = {
    Authenticator.Type.TOTP: "mfa_reauthenticate",
    Authenticator.Type.WEBAUTHN: "mfa_reauthenticate_webauthn",
}


class StaffDoorMiddleware:
    """Staff with a second step proved in this session during the last STAFF_SESSION_SECONDS pass,
    by the session's own record and without a query. Others prove it, or set one up first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: Any, *_view: Any) -> HttpResponseBase | None:
        if not is_waiting_for_proof(request) or is_open(request, request.resolver_match.url_name):
            return None
        url = where_to_prove(request)
        if request.htmx:
            return HttpResponse(status=401, headers={"HX-Redirect": url})
        return HttpResponseRedirect(url)


def is_open(request: Any, route: str) -> bool:
    """To whoever has yet to prove a second step."""
    if route in SETTING_UP:
        return not is_mfa_enabled(request.user, types=list(SECOND_STEPS))
    return route in PROVING


def is_waiting_for_proof(request: Any) -> bool:
    user = request.user
    is_staff = user.is_authenticated and (user.is_staff or user.is_superuser)
    return is_staff and not has_proved_second_step(request)


def has_proved_second_step(request: Any) -> bool:
    oldest = time.time() - settings.STAFF_SESSION_SECONDS
    records = get_authentication_records(request, request.user)
    return any(record["method"] == "mfa" and record["at"] > oldest for record in records)


def where_to_prove(request: Any) -> str:
    """The code page, the key page, or the page to set up either."""
    back = way_back(request)
    for kind, route in SECOND_STEPS.items():
        if is_mfa_enabled(request.user, types=[kind]):
            return f"{reverse(route)}?{urlencode({'next': back})}"
    words = _("Staff sign in with a second step. Set up an authenticator app or a key to go on.")
    messages.warning(request, words)
    return reverse("mfa_index")


def way_back(request: Any) -> str:
    """The page itself, unless it is open to everybody: a callback's code, or the token that is a
    link's address, must not travel in a `next`."""
    is_public = not getattr(request.resolver_match.func, "login_required", True)
    path: str = request.get_full_path()
    return path if request.method == "GET" and not is_public else "/"
