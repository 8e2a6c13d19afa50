"""For machines that watch the product: no session, no cookie, nothing about any seller."""

from __future__ import annotations

import json
from hmac import compare_digest

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from sellerlegend.monitoring import readiness
from sellerlegend.monitoring.exposition import exposition

# Prometheus waits ten seconds by default.
SCRAPE_SECONDS = 8.0
TEXT = "text"


@require_safe
@login_not_required
def healthz(_request: HttpRequest) -> HttpResponse:
    """This process answers. Asks no server, so that a broken one restarts nobody."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


@require_safe
@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """One word for each part, 503 when one is not `ok`; `?exclude=<part>` leaves parts out."""
    left_out = request.GET.getlist("exclude")
    words = {k: word for k, word in readiness.readiness().items() if k not in left_out}
    return HttpResponse(
        json.dumps(words) + "\n",
        content_type="application/json",
        status=200 if readiness.is_ready(words) else 503,
    )


def look_at_everything() -> readiness.Words:
    try:
        return {TEXT: exposition()}
    finally:
        connection.close()


SCRAPE = readiness.Look(look_at_everything, (TEXT,), patience_seconds=SCRAPE_SECONDS)


@require_safe
@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, by the token of METRICS_TOKEN alone: a session opens nothing here, and
    everybody else is told that there is no such page."""
    given = request.headers.get("Authorization", "")
    expected = f"Bearer {settings.METRICS_TOKEN}"
    if not settings.METRICS_TOKEN or not compare_digest(given.encode(), expected.encode()):
        raise Http404("no such page without the token")
    text = SCRAPE.begin()()[TEXT]
    if text in (readiness.DOWN, readiness.LATE):
        return HttpResponse(f"{text}\n", content_type="text/plain; charset=utf-8", status=503)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)
