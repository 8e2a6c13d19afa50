"""Pages that explain: Amazon's codes, and every error of ours. Open to everybody: whoever stands
on a page of Amazon's is often not signed in here."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from connections import amazon_codes, catalogue


@require_safe
@login_not_required
def amazon_codes_page(request: HttpRequest) -> HttpResponse:
    """*Did Amazon show you a code?* With `?code=` the entry that is meant."""
    typed = request.GET.get("code", "")[: amazon_codes.LONGEST]
    found = amazon_codes.code_in(typed)
    context = {
        "typed": typed,
        "found": catalogue.amazon_entry(found) if found else None,
        "entries": [catalogue.amazon_entry(code) for code in amazon_codes.CODES],
    }
    return render(request, "help/amazon_codes.html", context)


@require_safe
@login_not_required
def error_catalogue(request: HttpRequest) -> HttpResponse:
    return render(request, "help/errors.html", {"sections": catalogue.sections()})
