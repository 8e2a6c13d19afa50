"""What stands around the list: filters with their counts, and a person's saved views."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from connections import groups, list_json, saved_views, screen
from connections.dialogs import leave_for
from connections.forms import ViewForm
from connections.grouping_models import SavedView
from connections.list_address import page_number
from connections.listing import SORT_WORDS, Chosen
from connections.strip import strip_context
from connections.views import form_page, show_form
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role

FORM_PAGE = "connections/view_form.html"


@require_GET
@organization_view(Role.VIEWER)
def connection_filters(request: OrganizationRequest) -> HttpResponse:
    """The filters with their counts: a part of the list, and a page that works alone."""
    context = screen.panel_context(request) | {
        "sorts": [(name, words()) for name, words in SORT_WORDS.items()]
    }
    return render_part(request, "connections/filters.html", "panel", context)


@require_GET
@organization_view(Role.VIEWER)
def connection_overview(request: OrganizationRequest) -> HttpResponse:
    """The strip above the list, and a page that works alone."""
    return render_part(request, "connections/overview.html", "strip", strip_context(request))


@require_GET
@organization_view(Role.VIEWER)
def connections_json(request: OrganizationRequest) -> HttpResponse:
    """What the page of the same query shows, for programs."""
    number = page_number(request.GET.get("page", ""))
    page = list_json.page_of_list(request.membership, Chosen.of(request.GET), number)
    return HttpResponse(list_json.encoded(page), content_type="application/json")


@form_page
@organization_view(Role.VIEWER)
@costly
def view_save(request: OrganizationRequest) -> HttpResponseBase:
    form = ViewForm(request.POST or None)
    query = Chosen.of(request.GET).query
    if request.method == "POST":
        query = saved_views.canonical(request.POST.get("query", ""))
    if request.method == "POST" and form.is_valid():
        try:
            saved_views.save_view(
                organization=request.organization,
                user=request.user,
                name=form.cleaned_data["name"],
                query=query,
                actor=request.actor(),
            )
        except groups.NameTaken:
            form.add_error("name", _("You already have a view with this name."))
        except groups.TooMany:
            form.add_error(None, _("You have 50 views, which is the most. Delete one first."))
        else:
            told = _("The view %(name)s is saved.") % {"name": form.cleaned_data["name"]}
            messages.success(request, told)
            return to_list(request, query)
    return show_form(request, FORM_PAGE, form, query=query)


def to_list(request: OrganizationRequest, query: str) -> HttpResponse:
    url = reverse("account_connections", args=[request.organization.slug])
    return leave_for(request, f"{url}?{query}" if query else url)


def view_of(request: OrganizationRequest) -> SavedView | None:
    """The one that `view=` names, of one's own: another member's is as little there as another
    organization's. None when it names nothing."""
    text = request.GET.get("view", "")
    if not text:
        return None
    views = saved_views.views_of(request.organization, request.user)
    is_number = text.isascii() and text.isdigit() and len(text) < 19
    view = views.select_related("organization").filter(pk=int(text)).first() if is_number else None
    if view is None:
        raise Http404("no such view of this person")
    return view


@require_GET
@organization_view(Role.VIEWER)
def saved_views_page(request: OrganizationRequest) -> HttpResponse:
    return show_views(request)


def show_views(request: OrganizationRequest) -> HttpResponse:
    views = saved_views.views_of(request.organization, request.user)
    context: dict[str, Any] = {"views": views, "most": saved_views.MOST_VIEWS}
    return render(request, "connections/saved_views.html", context)


@form_page
@organization_view(Role.VIEWER)
@costly
def view_rename(request: OrganizationRequest) -> HttpResponseBase:
    view = view_of(request)
    if view is None:
        return show_views(request)
    form = ViewForm(request.POST or None, initial={"name": view.name})
    if request.method == "POST" and form.is_valid():
        try:
            saved_views.rename_view(
                view=view, name=form.cleaned_data["name"], actor=request.actor()
            )
        except groups.NameTaken:
            form.add_error("name", _("You already have a view with this name."))
        else:
            messages.success(request, _("The view has its new name."))
            return to_views(request)
    return show_form(request, FORM_PAGE, form, view=view)


@form_page
@organization_view(Role.VIEWER)
@costly
def view_delete(request: OrganizationRequest) -> HttpResponseBase:
    view = view_of(request)
    if view is None:
        return show_views(request)
    if request.method == "POST":
        saved_views.delete_view(view=view, actor=request.actor())
        messages.success(request, _("The view %(name)s was deleted.") % {"name": view.name})
        return to_views(request)
    context = {
        "name": view.name,
        "text": _("Only the name and what it filters by goes; no connection changes."),
        "back_url": reverse("saved_views", args=[request.organization.slug]),
    }
    return render_part(request, "connections/group_delete.html", "dialog", context)


def to_views(request: OrganizationRequest) -> HttpResponse:
    return leave_for(request, reverse("saved_views", args=[request.organization.slug]))
