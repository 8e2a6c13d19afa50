"""The overview of an organization's connections: loaded after the list, and a page of its own."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from connections.pictures import pictures_context
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.models import Role


@require_GET
@organization_view(Role.VIEWER)
def connections_overview(request: OrganizationRequest) -> HttpResponse:
    context = pictures_context(request, with_health=not request.htmx)
    return render_part(request, "connections/pictures.html", "pictures", context)
