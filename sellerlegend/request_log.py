"""One line and one count for each request, under an id that the answer carries as well."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from sellerlegend import log_facts, tallies

logger = logging.getLogger("sellerlegend.access")

HEADER = "X-Request-ID"
SHAPE = re.compile(r"[A-Za-z0-9-]{8,64}")
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Asked for all the time: worth a line only when the answer is bad.
QUIET = ("/healthz", "/readyz", "/metrics", settings.STATIC_URL)
BAD = 400


class RequestLogMiddleware:
    """Outermost, so that nothing is answered or logged without an id.

    The line names the route and never the path or the query: those of a callback hold a code.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_of(request)
        began = time.perf_counter()
        with log_facts.about(request_id=request_id):
            response = self.get_response(request)
            response.headers[HEADER] = request_id
            note(request, response, time.perf_counter() - began)
        return response


def request_id_of(request: HttpRequest) -> str:
    """The proxy's, if we trust one and it has the shape of an id; else a new one."""
    given = request.headers.get(HEADER, "")
    if settings.TRUSTED_PROXY_COUNT and SHAPE.fullmatch(given):
        return given
    return uuid.uuid4().hex


def note(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    status = response.status_code
    if status < BAD and request.path_info.startswith(QUIET):
        return
    match = request.resolver_match
    route = (match.view_name if match else "") or "unknown"
    tallies.count("requests", route=route, status=f"{status // 100}xx")
    tallies.observe("request_seconds", seconds, BOUNDS)
    logger.info(
        "request",
        extra={
            "method": request.method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
        },
    )
