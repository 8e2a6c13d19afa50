"""All links to clients that one person made: to look at, and to end at once."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import ngettext

from connections import client_links
from connections.client_link_models import ClientLink
from connections.client_link_words import lines_of
from connections.views import form_page
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Membership, Role, User

LINES_SHOWN = 100


@form_page
@organization_view(Role.ADMIN)
def client_links_of_person(request: OrganizationRequest, person_id: UUID) -> HttpResponse:
    """Of a member, or of somebody who left; whoever made none here is the same as nobody."""
    links = ClientLink.objects.for_organization(request.organization).filter(made_by=person_id)
    if not links.exists():
        raise Http404("made no link here")
    maker = User.objects.get(pk=person_id)
    if request.method == "POST":
        ended = client_links.revoke_all_of(
            organization=request.organization, maker=maker, actor=request.actor()
        )
        words = ngettext("%(count)d link is over.", "%(count)d links are over.", ended)
        messages.success(request, words % {"count": ended})
        url = reverse("client_links", args=[request.organization.slug])
        return HttpResponseRedirect(url, status=303)
    still_open = client_links.open_links_of(request.organization.pk).filter(made_by=maker)
    shown = still_open.select_related("organization", "connection", "made_by")
    members = Membership.objects.for_organization(request.organization)
    context = {
        "maker": maker,
        "is_member": members.filter(user=maker).exists(),
        "count": still_open.count(),
        "lines": lines_of(shown.order_by("-created_at", "pk")[:LINES_SHOWN]),
    }
    return render(request, "connections/client_links_of_person.html", context)
