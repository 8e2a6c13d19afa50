"""Who authorised what, and all that one person authorised."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from connections import client_links
from connections.authorisers import ads_of, authoriser_of, authorisers_of, stores_of
from connections.listing import Chosen
from connections.queue_rows import giver_of, uuid_of
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Role


@require_GET
@organization_view(Role.VIEWER)
def authorisers(request: OrganizationRequest) -> HttpResponse:
    """Everybody with a living consent; with `?person=`, what that person gave, and with `?of=` a
    row, what its authoriser gave. Whoever gave nothing here is the same as nobody."""
    known = authorisers_of(request.membership)
    may_act = request.membership.may(Role.MEMBER)
    if not {"person", "of"} & request.GET.keys():
        context = {"authorisers": known, "may_act": may_act}
        return render(request, "connections/authorisers.html", context)
    person = asked_person(request)
    who = next((one for one in known if one.id == person), None)
    if who is None:
        raise Http404("gave no consent here")
    context = {
        "who": who,
        "stores": stores_of(request.membership, who.id),
        "ads": ads_of(request.membership, who.id),
        "may_act": may_act,
        "list_url": list_url(request, who.id),
        "open_links": open_links(request, who.id),
    }
    return render(request, "connections/authoriser.html", context)


def list_url(request: OrganizationRequest, person: UUID) -> str:
    """The same rows as a choice of the list."""
    chosen = Chosen(authorised=giver_of(person))
    return f"{reverse('account_connections', args=[request.organization.slug])}?{chosen.query}"


def open_links(request: OrganizationRequest, person: UUID) -> int:
    """To clients, for administrators, who may end them all."""
    if not request.membership.may(Role.ADMIN):
        return 0
    return client_links.open_links_by_maker(request.organization.pk).get(person, 0)


def asked_person(request: OrganizationRequest) -> UUID | None:
    if "person" in request.GET:
        return uuid_of(request.GET["person"])
    row = uuid_of(request.GET["of"])
    return authoriser_of(request.membership, row) if row is not None else None
