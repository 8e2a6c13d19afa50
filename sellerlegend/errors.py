"""Error pages: plain words, a next step, nothing about how the product is built. Under htmx only
the words, as the notice that the open page shows."""

from __future__ import annotations

import logging
import math
import sys

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import get_template
from django.utils.html import escape
from django.utils.translation import ngettext

from sellerlegend import deletions, log_facts, outage

logger = logging.getLogger(__name__)

NOTICE = "errors/notice.html"
# Where no organization's roles count.
STAFF_PATHS = ("/admin/", "/staff/")
BARE_PAGE = """<!DOCTYPE html>
<html lang="en"><title>Something went wrong</title>
<h1>Something went wrong</h1>
<p>The fault is ours and has been recorded. Try again in a moment.</p>
<p>Reference code %s</p>
"""


class OutsideOfReach(PermissionDenied):
    """A member who sees only some of the organization's connections asked for what concerns
    others, too. The role is not what is missing."""


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(request, "400.html", 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(request, _page_of_denial(request, exception), 403)


def _page_of_denial(request: HttpRequest, exception: Exception) -> str:
    if request.path.startswith(STAFF_PATHS) and _is_staff(request):
        return "errors/staff_denied.html"
    if isinstance(exception, OutsideOfReach):
        return "errors/outside_of_reach.html"
    return "403.html"


def _is_staff(request: HttpRequest) -> bool:
    """AuthenticationMiddleware may not have been reached."""
    return bool(getattr(getattr(request, "user", None), "is_staff", False))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(request, "404.html", 404)


def wrong_method(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    """Django's own 405 says nothing; its `Allow` stays."""
    page = refusal(request, "405.html", 405)
    page.headers["Allow"] = response.headers.get("Allow", "")
    return page


def refusal(request: HttpRequest, template: str, status: int) -> HttpResponse:
    return render(request, template, {"frame": frame_for(request)}, status=status)


def frame_for(request: HttpRequest) -> str:
    """What the templates extend: nothing of their own choice for a whole page. HtmxMiddleware may
    not have been reached."""
    return NOTICE if request.headers.get("HX-Request") else ""


def server_error(request: HttpRequest) -> HttpResponse:
    """Without context processors: whatever broke may be what they need."""
    if outage.is_under_way():
        return outage.unavailable(frame_for(request))
    if isinstance(sys.exc_info()[1], deletions.NotWritable):
        return HttpResponse(last_resort("errors/not_ended.html", frame_for(request)), status=503)
    return HttpResponse(last_resort("500.html", frame_for(request)), status=500)


def last_resort(template: str, frame: str) -> str:
    """A page that needs neither database nor context processors, and one without a template when
    that is what broke. The reference is the id of the request's log lines."""
    reference = str(log_facts.current().get("request_id", ""))
    try:
        return get_template(template).render({"reference": reference, "frame": frame})
    except Exception:  # whatever is wrong with it: this is the last handler
        logger.exception("error_page_broken", extra={"template": template})
        return BARE_PAGE % escape(reference)


def too_many_requests(request: HttpRequest, seconds: float) -> HttpResponse:
    """429 with the time to wait in words and as Retry-After; under htmx only the notice, which
    the page shows where it shows what went wrong."""
    template = "errors/too_many.html" if request.headers.get("HX-Request") else "429.html"
    response = render(request, template, {"wait": words_for(seconds)}, status=429)
    response.headers["Retry-After"] = str(math.ceil(seconds))
    return response


def signed_out(request: HttpRequest, sign_in_url: str) -> HttpResponse:
    """For htmx: the whole page goes to the sign-in, unless a dialog is open there; that one stays
    with what was typed and shows the notice."""
    response = render(request, "errors/signed_out.html", {"sign_in_url": sign_in_url}, status=401)
    response.headers["HX-Redirect"] = sign_in_url
    return response


def words_for(seconds: float) -> str:
    """About how long, rounded up so that nobody comes too early."""
    if seconds <= 50:
        count = max(5, math.ceil(seconds / 5) * 5)
        return ngettext("%(count)d second", "%(count)d seconds", count) % {"count": count}
    if seconds <= 3000:
        count = math.ceil(seconds / 60)
        return ngettext("%(count)d minute", "%(count)d minutes", count) % {"count": count}
    count = math.ceil(seconds / 3600)
    return ngettext("%(count)d hour", "%(count)d hours", count) % {"count": count}


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return refusal(request, "403_csrf.html", 403)
