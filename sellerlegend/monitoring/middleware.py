"""Probes are answered before anything asks who sent them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponseBase

from sellerlegend.monitoring.urls import urlpatterns

VIEWS = {f"/{pattern.pattern}": pattern.callback for pattern in urlpatterns}


class ProbeMiddleware:
    """Answers `healthz`, `readyz` and `metrics` without session, person or Host header.

    A probe inside a cluster names an address, which ALLOWED_HOSTS need not list, and must work
    while the database, where the sessions are, does not.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = VIEWS.get(request.path_info)
        if view is None:
            return self.get_response(request)
        try:
            response: HttpResponseBase = view(request)
        except Http404:
            # Then it is like any other address that does not exist.
            response = self.get_response(request)
        return response
