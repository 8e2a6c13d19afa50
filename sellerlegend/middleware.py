"""What every response carries, and the reader's language and clock."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone, translation

from sellerlegend import log_facts
from sellerlegend.errors import signed_out, wrong_method

WRONG = 405
Answer = Callable[[HttpRequest], HttpResponseBase]


# On every answer: also static files, and errors of whoever stands further in.
ALWAYS = {
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": settings.X_FRAME_OPTIONS,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ResponseHeadersMiddleware:
    """Tenant pages are never stored by a browser or a proxy, never framed, and unused browser
    powers are off. Stands outside of whatever may answer early or fail."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        for name, value in ALWAYS.items():
            response.headers.setdefault(name, value)
        return response


class SignInMiddleware(LoginRequiredMiddleware):
    """Every page wants a login."""

    def handle_no_permission(self, request: Any, view_func: Any) -> Any:
        response = super().handle_no_permission(request, view_func)
        if not request.htmx:
            return response
        page = request.htmx.current_url_abs_path or "/"
        url = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': page})}"
        return signed_out(request, url)


class WrongMethodMiddleware:
    """A view that refuses a method answers with an empty body; people get a page."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        return wrong_method(request, response) if response.status_code == WRONG else response


class PersonLocaleMiddleware:
    """Language: the profile's, else the browser's. Time zone: the profile's."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        user: Any = getattr(request, "user", None)
        signed_in = user is not None and user.is_authenticated
        chosen = user.language if signed_in else ""
        if signed_in:
            log_facts.add(user=user.pk)
        if chosen not in dict(settings.LANGUAGES):
            chosen = translation.get_language_from_request(request)
        zone = zoneinfo.ZoneInfo(user.time_zone) if signed_in else zoneinfo.ZoneInfo("UTC")
        with translation.override(chosen), timezone.override(zone):
            request.LANGUAGE_CODE = chosen
            response = self.get_response(request)
            response.headers.setdefault("Content-Language", chosen)
            return response
