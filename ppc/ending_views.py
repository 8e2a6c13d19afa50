"""After an end: its proof, and the rows that were removed and can be restored."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from connections.models import Connection
from connections.views import back_to_list, connection_of
from ppc import proof, removing
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Role


@require_GET
@organization_view(Role.ADMIN)
def disconnect_proof(request: OrganizationRequest, connection_id: UUID) -> HttpResponse:
    """To print or copy. It stays as long as the record does, also without the row."""
    proofs = proof.proofs_of(request.organization.pk, connection_id)
    if proofs is None:
        connection_of(request, connection_id)  # 404 for what is not of this organization
    return render(request, "ppc/proof.html", {"proofs": proofs})


@require_GET
@organization_view(Role.ADMIN)
def removed_connections(request: OrganizationRequest) -> HttpResponse:
    context = {"removed": removing.removed(request.organization.pk)}
    return render(request, "ppc/removed.html", context)


@require_POST
@organization_view(Role.ADMIN)
def connection_restore(request: OrganizationRequest, connection_id: UUID) -> HttpResponse:
    """A second click finds the row in the list, and says so."""
    known = Connection.with_removed.for_organization(request.organization)
    get_object_or_404(known, pk=connection_id)
    try:
        row = removing.restore(
            organization_id=request.organization.pk,
            connection_id=connection_id,
            actor=request.actor(),
        )
    except removing.NotRestorable:
        messages.info(request, _("This connection is not among the removed ones any more."))
        return HttpResponseRedirect(back_to_list(request), status=303)
    words = _("%(name)s is back in the list, still disconnected. Reconnect it to go on.")
    messages.success(request, words % {"name": row.name})
    return HttpResponseRedirect(back_to_list(request, row), status=303)
