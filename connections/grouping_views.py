"""Tags and clients: the page that manages them, and those of one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from connections import groups
from connections.answers import answer_changed, say
from connections.dialogs import leave_for
from connections.forms import ClientForm, TagForm
from connections.grouping_models import Client, Tag, Tagging
from connections.listing import Chosen
from connections.reader import Reader
from connections.views import connection_of, form_page, show_form
from sellerlegend.errors import OutsideOfReach
from sellerlegend.organizations.access import (
    OrganizationRequest,
    organization_view,
    render_part,
    unlimited,
)
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role

FORM_PAGE = "connections/group_form.html"
DELETE_PAGE = "connections/group_delete.html"


@require_GET
@organization_view(Role.VIEWER)
def connection_groups_page(request: OrganizationRequest) -> HttpResponse:
    tags = groups.tags_with_counts(request.membership)
    clients = groups.clients_with_counts(request.membership)
    context = {
        "tags": [(tag, rows_words(tag.rows), Chosen(tag=(tag.pk,)).query) for tag in tags],
        "clients": [
            (client, rows_words(client.rows), Chosen(client=str(client.pk)).query)
            for client in clients
        ],
        "may_act": Reader.of(request).may_add,
        "may_administer": request.membership.may(Role.ADMIN),
    }
    return render(request, "connections/groups.html", context)


def rows_words(count: int) -> str:
    return ngettext("%(count)d connection", "%(count)d connections", count) % {"count": count}


def group_form(
    request: OrganizationRequest,
    form: Any,
    save: Callable[[], object],
    *,
    title: str,
    action: str,
    taken: str,
) -> HttpResponse:
    """A small form in a dialog. Saved, it leads back to the page of the groups."""
    if request.method == "POST" and form.is_valid():
        try:
            save()
        except groups.NameTaken:
            form.add_error("name", taken)
        except groups.TooMany:
            form.add_error(None, _("You have as many as there can be. Delete one first."))
        else:
            messages.success(request, _("%(name)s is saved.") % form.cleaned_data)
            return done(request)
    back_url = groups_url(request)
    return show_form(request, FORM_PAGE, form, title=title, action=action, back_url=back_url)


def done(request: OrganizationRequest) -> HttpResponse:
    return leave_for(request, groups_url(request))


def groups_url(request: OrganizationRequest) -> str:
    return reverse("connection_groups_page", args=[request.organization.slug])


# Tags --------------------------------------------------------------------------------------


def tag_of(request: OrganizationRequest, tag_id: int) -> Tag:
    tags = Tag.objects.for_organization(request.organization).select_related("organization")
    tag: Tag | None = tags.filter(pk=tag_id).first() if tag_id < 2**63 else None
    if tag is None:
        raise Http404("no such tag of this organization")
    return tag


def tag_taken() -> str:
    return _("You already have a tag with this name.")


@form_page
@organization_view(Role.MEMBER)
@unlimited
@costly
def tag_new(request: OrganizationRequest) -> HttpResponseBase:
    form = TagForm(request.POST or None)

    def save() -> None:
        groups.create_tag(
            organization=request.organization,
            name=form.cleaned_data["name"],
            actor=request.actor(),
        )

    return group_form(
        request, form, save, title=_("New tag"), action=_("Create tag"), taken=tag_taken()
    )


@form_page
@organization_view(Role.MEMBER)
@unlimited
@costly
def tag_rename(request: OrganizationRequest, tag_id: int) -> HttpResponseBase:
    tag = tag_of(request, tag_id)
    form = TagForm(request.POST or None, initial={"name": tag.name})

    def save() -> None:
        groups.rename_tag(tag=tag, name=form.cleaned_data["name"], actor=request.actor())

    title = _("Rename %(name)s") % {"name": tag.name}
    return group_form(request, form, save, title=title, action=_("Rename"), taken=tag_taken())


@form_page
@organization_view(Role.ADMIN)
@costly
def tag_delete(request: OrganizationRequest, tag_id: int) -> HttpResponseBase:
    tag = tag_of(request, tag_id)
    if request.method == "POST":
        groups.delete_tag(tag=tag, actor=request.actor())
        messages.success(request, _("The tag %(name)s was deleted.") % {"name": tag.name})
        return done(request)
    context = {
        "name": tag.name,
        "back_url": groups_url(request),
        "text": _("It is taken off every connection. The connections stay."),
    }
    return render_part(request, DELETE_PAGE, "dialog", context)


# Clients -----------------------------------------------------------------------------------


def client_of(request: OrganizationRequest, client_id: UUID) -> Client:
    clients = Client.objects.for_organization(request.organization)
    client: Client | None = clients.filter(pk=client_id).first()
    if client is None:
        raise Http404("no such client of this organization")
    return client


def client_taken() -> str:
    return _("You already have a client with this name.")


@form_page
@organization_view(Role.ADMIN)
@costly
def client_new(request: OrganizationRequest) -> HttpResponseBase:
    form = ClientForm(request.POST or None)

    def save() -> None:
        groups.create_client(
            organization=request.organization, actor=request.actor(), **form.cleaned_data
        )

    return group_form(
        request, form, save, title=_("New client"), action=_("Create client"), taken=client_taken()
    )


@form_page
@organization_view(Role.ADMIN)
@costly
def client_change(request: OrganizationRequest, client_id: UUID) -> HttpResponseBase:
    client = client_of(request, client_id)
    initial = {name: getattr(client, name) for name in ("name", "contact_name", "contact_email")}
    form = ClientForm(request.POST or None, initial=initial)

    def save() -> None:
        groups.change_client(client=client, actor=request.actor(), **form.cleaned_data)

    title = _("Change %(name)s") % {"name": client.name}
    return group_form(request, form, save, title=title, action=_("Save"), taken=client_taken())


@form_page
@organization_view(Role.ADMIN)
@costly
def client_delete(request: OrganizationRequest, client_id: UUID) -> HttpResponseBase:
    client = client_of(request, client_id)
    if request.method == "POST":
        name = client.name
        groups.delete_client(client=client, actor=request.actor())
        messages.success(request, _("The client %(name)s was deleted.") % {"name": name})
        return done(request)
    context = {
        "name": client.name,
        "back_url": groups_url(request),
        "text": _("Its connections stay, and belong to no client then."),
    }
    return render_part(request, DELETE_PAGE, "dialog", context)


# Of one row --------------------------------------------------------------------------------


@form_page
@organization_view(Role.MEMBER)
@costly
def connection_groups(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """Which tags a row has, and whose it is."""
    connection = connection_of(request, connection_id)
    if request.membership.is_limited:
        raise OutsideOfReach("tags and clients are what a limited reach is made of")
    known = groups.groups_of(request.membership)
    error = ""
    if request.method == "POST":
        try:
            save_groups(request, connection, known)
        except (groups.NameTaken, groups.TooMany):
            error = _("This tag could not be made: choose it above, or delete another one first.")
        else:
            words = _("Tags and client of %(name)s are saved.")
            say(request, words % {"name": connection.name})
            return answer_changed(request, connection)
    taggings = Tagging.objects.for_organization(request.organization)
    ticked = set(taggings.filter(connection=connection).values_list("tag_id", flat=True))
    context = {
        "connection": connection,
        "tags": [(tag, name, tag in ticked) for tag, name in known.tags.items()],
        "clients": known.clients.items(),
        "may_administer": request.membership.may(Role.ADMIN),
        "error": error,
    }
    template, status = "connections/row_groups.html", 422 if error else 200
    return render_part(request, template, "dialog", context, status=status)


def save_groups(request: OrganizationRequest, connection: Any, known: groups.Groups) -> None:
    """Unknown tags and clients are as not sent. Raises NameTaken, TooMany."""
    organization, actor = request.organization, request.actor()
    tag_ids = [
        int(text) for text in request.POST.getlist("tag") if text.isascii() and text.isdigit()
    ]
    wanted = [tag for tag in tag_ids if tag in known.tags]
    typed = TagForm({"name": request.POST.get("new", "")})
    if typed.is_valid():
        name = typed.cleaned_data["name"]
        wanted.append(groups.tag_named(organization=organization, name=name, actor=actor).pk)
    groups.set_tags(connection=connection, tag_ids=wanted, actor=actor)
    text = request.POST.get("client", "")
    by_text = {str(client_id): client_id for client_id in known.clients}
    if text == "none" or text in by_text:
        client = client_of(request, by_text[text]) if text in by_text else None
        groups.give_to_client(
            organization=organization, rows=[connection.pk], client=client, actor=actor
        )
