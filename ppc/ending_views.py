"""After an end: its proof, and rows that are removed and can be restored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from connections import ads_consents, services
from connections.answers import back_to_list
from connections.models import Connection
from connections.views import confirmed_removal, connection_of, form_page
from ppc import disconnecting, proof, removing
from sellerlegend.folding import plain
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import ask_for_proof, has_fresh_sign_in


@require_GET
@organization_view(Role.ADMIN)
def disconnect_proof(request: OrganizationRequest, connection_id: UUID) -> HttpResponse:
    """To print or copy. It stays as long as the record does, also without the row."""
    proofs = proof.proofs_of(request.organization.pk, connection_id)
    if proofs is None:
        connection_of(request, connection_id)  # 404 for what is not of this organization
    return render(request, "ppc/proof.html", {"proofs": proofs})


@form_page
@organization_view(Role.MEMBER)
def connection_remove(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """A row that never got a consent goes without ceremony; a disconnected one takes its
    history along, and an administrator with a fresh sign-in."""
    connection = connection_of(request, connection_id)
    name = {"name": connection.name}
    if connection.waits_for_consent or not request.membership.may(Role.ADMIN):
        return confirmed_removal(
            request,
            connection,
            "connections/remove.html",
            services.remove_waiting_connection,
            _("%(name)s was removed.") % name,
        )
    if not has_fresh_sign_in(request):
        return ask_for_proof(request)
    if request.method != "POST":
        context = {"connection": connection, **what_becomes_of_ads(connection)}
        return render_part(request, "ppc/remove.html", "dialog", context)
    try:
        has_ended_ads = removing.remove(
            connection=connection, actor=request.actor(), ends_ads="end_ads" in request.POST
        )
    except services.NotRemovable:
        messages.error(request, _("This connection can no longer be removed here."))
    else:
        messages.success(request, removed_words(connection.name, has_ended_ads=has_ended_ads))
    return HttpResponseRedirect(back_to_list(request), status=303)


def what_becomes_of_ads(connection: Connection) -> dict[str, Any]:
    """Which of the row's Ads consents would be left without a row, and whom the others serve."""
    own = disconnecting.own_ads_grants(connection)
    kept = [grant for grant in ads_consents.of_row(connection) if grant not in own]
    fed = [disconnecting.fed_rows([grant], connection) for grant in kept]
    # A consent that only sees the seller of this row is of others, and nothing becomes of it here.
    uses = [rows for rows in fed if any(row.is_own for row in rows)]
    names = sorted({row.name for rows in uses for row in rows if not row.is_own}, key=plain)
    is_unused = any(all(row.is_own for row in rows) for rows in uses)
    return {"has_own_ads": bool(own), "shared_with": names, "is_left_unused": is_unused}


def removed_words(name: str, *, has_ended_ads: bool) -> str:
    words = [
        _(
            "%(name)s was removed. You can restore it under Removed connections, in the menu More "
            "of the list."
        )
    ]
    if has_ended_ads:
        words.append(
            _(
                "Its Amazon Ads token was destroyed; the proof is there, too. To finish for Amazon "
                "Ads, whoever approved it removes our app at Amazon, under Login with Amazon."
            )
        )
    return " ".join(words) % {"name": name}


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
    messages.success(request, restored_words(row))
    return HttpResponseRedirect(back_to_list(request, row), status=303)


def restored_words(row: Connection) -> str:
    words = [_("%(name)s is back in the list, still disconnected. Reconnect it to go on.")]
    if removing.is_linking(row):
        words.append(_("Its PPC links are being made again."))
    if removing.must_connect_ppc_again(row):
        words.append(_("After that, PPC must be connected again."))
    return " ".join(words) % {"name": row.name}
