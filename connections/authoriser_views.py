"""Who authorised what, and all that one person authorised."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from connections.authorisers import ads_of, authorisers_of, stores_of
from connections.queue_rows import uuid_of
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Role


@require_GET
@organization_view(Role.VIEWER)
def authorisers(request: OrganizationRequest) -> HttpResponse:
    """Everybody with a living consent; with `?person=`, what that person gave. Whoever gave
    nothing here is the same as nobody."""
    known = authorisers_of(request.membership)
    may_act = request.membership.may(Role.MEMBER)
    if "person" not in request.GET:
        context = {"authorisers": known, "may_act": may_act}
        return render(request, "connections/authorisers.html", context)
    person = uuid_of(request.GET["person"])
    who = next((one for one in known if one.id == person), None)
    if who is None:
        raise Http404("gave no consent here")
    context = {
        "who": who,
        "stores": stores_of(request.membership, who.id),
        "ads": ads_of(request.membership, who.id),
        "may_act": may_act,
    }
    return render(request, "connections/authoriser.html", context)
