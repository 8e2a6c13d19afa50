"""Bringing a list of clients and their stores: a file, a look, and a result for each row."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from connections import client_lists, client_table, import_pages
from connections.answers import back_to_list
from connections.client_table import checked_list
from connections.forms import holds_a_token
from connections.import_models import ClientList
from connections.import_views import TableForm, limited, table_of, tell_unread
from connections.uploaded_tables import TableRefused, titles_of
from connections.views import form_page
from sellerlegend.organizations.access import (
    OrganizationRequest,
    organization_view,
)
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role


@form_page
@organization_view(Role.ADMIN)
@limited
def client_list_new(request: OrganizationRequest) -> HttpResponseBase:
    error, pasted = "", request.POST.get("text", "")
    if request.method == "POST":
        try:
            data = table_of(request)
            lines = checked_list(data, request.organization.pk)
        except TableRefused as refusal:
            error = str(refusal)
        else:
            kept = client_lists.keep(
                organization=request.organization, lines=lines, actor=request.actor()
            )
            tell_unread(request, data, client_table.COLUMNS)
            return HttpResponseRedirect(url_of(request, kept), status=303)
    context = {
        "form": form_with(pasted, error),
        "error": error,
        "columns": titles_of(client_table.COLUMNS),
        "recent": import_pages.recent_lists(request.organization),
    }
    return render(
        request, "connections/client_list_new.html", context, status=422 if error else 200
    )


def form_with(pasted: str, error: str) -> TableForm:
    """What was pasted stays, to be mended, unless it is a table of tokens on the wrong page."""
    return TableForm(initial={"text": "" if holds_a_token(pasted) else pasted}, error=error)


@form_page
@organization_view(Role.ADMIN)
@costly
def client_list(request: OrganizationRequest, list_id: UUID) -> HttpResponseBase:
    """Before the confirmation what would happen, after it what happened to each row."""
    lists = ClientList.objects.for_organization(request.organization)
    found: ClientList = get_object_or_404(lists, pk=list_id)
    action = request.POST.get("action", "")
    if request.method == "POST" and action == "confirm":
        return confirmed(request, found)
    if request.method == "POST" and action == "discard" and client_lists.discard(found):
        messages.success(request, _("The list was discarded. Nothing was changed."))
        return HttpResponseRedirect(back_to_list(request), status=303)
    context = import_pages.client_list_context(request.organization, found)
    status = 422 if request.method == "POST" else 200
    return render(request, "connections/client_list.html", context, status=status)


def confirmed(request: OrganizationRequest, found: ClientList) -> HttpResponse:
    """The page of the list says itself what became of it."""
    client_lists.confirm(client_list=found, actor=request.actor())
    return HttpResponseRedirect(url_of(request, found), status=303)


def url_of(request: OrganizationRequest, found: ClientList) -> str:
    return reverse("client_list", args=[request.organization.slug, found.pk])
