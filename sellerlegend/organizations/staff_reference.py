"""From the reference code that a person reads out to the event in the record. Staff only."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from sellerlegend.organizations.access import SignedInRequest
from sellerlegend.organizations.audit import REFERENCE_ALPHABET, REFERENCE_LENGTH
from sellerlegend.organizations.models import AuditEvent
from sellerlegend.organizations.scoping import across_organizations

LONGEST = 64


@require_GET
def staff_reference(request: SignedInRequest) -> HttpResponse:
    """Leads to the events with this code; says what else a code may be when there is none."""
    if not request.user.is_staff:
        raise Http404("staff only")
    typed = request.GET.get("code", "")[:LONGEST].strip()
    code = typed.upper()
    if is_reference(code) and has_events(code):
        record = reverse("admin:organizations_auditevent_changelist")
        return HttpResponseRedirect(f"{record}?{urlencode({'q': code})}")
    return render(request, "organizations/staff_reference.html", {"typed": typed})


def is_reference(code: str) -> bool:
    return len(code) == REFERENCE_LENGTH and not set(code) - set(REFERENCE_ALPHABET)


def has_events(code: str) -> bool:
    with across_organizations("staff look for a reference that a person read out"):
        return AuditEvent.objects.filter(reference=code).exists()
