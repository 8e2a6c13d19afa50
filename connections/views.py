"""The Account Connections screen and the trips to Seller Central."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from connections import (
    catalogue,
    departures,
    list_address,
    question,
    removal,
    screen,
    services,
    timeline,
)
from connections.answers import PAGE, answer_changed, back_to_list, render_changes, say
from connections.forms import NewConnectionForm, RenameForm
from connections.models import Connection
from connections.reach import may_add_rows, within_reach
from connections.selection import ticks_owner
from connections.strip import strip_later
from marketplaces import services as marketplace_services
from marketplaces.choices import marketplace_choices
from ppc.screen import marketplace_names
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.errors import OutsideOfReach
from sellerlegend.organizations.access import (
    OrganizationRequest,
    organization_view,
    render_part,
)
from sellerlegend.organizations.limits import costly, opens_trip
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.services import remember_organization
from sellerlegend.organizations.step_up import ask_for_proof, has_fresh_sign_in

form_page = require_http_methods(["GET", "HEAD", "POST"])


def connection_of(request: OrganizationRequest, connection_id: UUID) -> Connection:
    """The organization's row, or 404: the same answer for a foreign and an unknown id, and for one
    outside of the member's reach."""
    rows = within_reach(
        Connection.objects.for_organization(request.organization), request.membership
    )
    connection: Connection = get_object_or_404(
        rows.select_related("organization"), pk=connection_id
    )
    return connection


# The screen --------------------------------------------------------------------------------


@require_GET
@organization_view(Role.VIEWER)
def account_connections(request: OrganizationRequest) -> HttpResponse:
    remember_organization(user=request.user, organization=request.organization)
    chosen = list_address.with_rows(request)
    if chosen is not None:
        return chosen
    context = screen.page_context(request)
    owner = {"ticks_owner": ticks_owner(request)}
    response = render(request, PAGE, context | owner)
    list_address.remember_query(request, response, context["poll_query"])
    return response


@require_GET
@organization_view(Role.VIEWER)
def connection_changes(request: OrganizationRequest) -> HttpResponse:
    """What changed since the page's revision; 204 when nothing did."""
    since = list_address.revision_from(request.GET.get("since", ""))
    if request.organization.revision <= since:
        return HttpResponse(status=204)
    strip = {"strip": strip_later(request)}
    if request.organization.listed_at_revision > since or screen.is_narrowed(request):
        return render_changes(request, "changed-list", screen.page_context(request) | strip, {})
    context = screen.changes_context(request, since) | strip
    return render_changes(request, "changed-rows", context, {})


@require_GET
@organization_view(Role.VIEWER)
def connection_details(request: OrganizationRequest, connection_id: UUID) -> HttpResponse:
    connection = connection_of(request, connection_id)
    context = screen.details_context(request, connection)
    return render_part(request, "connections/details.html", "dialog", context)


@require_GET
@organization_view(Role.VIEWER)
def connection_timeline(request: OrganizationRequest, connection_id: UUID) -> HttpResponse:
    connection = connection_of(request, connection_id)
    names = marketplace_names(connection)
    context = timeline.timeline_context(connection, request.GET.get("page", ""), names)
    context["may_administer"] = request.membership.may(Role.ADMIN)
    return render(request, "connections/timeline.html", context)


# Adding and changing rows ------------------------------------------------------------------


def require_may_add(request: OrganizationRequest) -> None:
    """403 for whoever is limited to rows that are there."""
    if not may_add_rows(request.membership):
        raise OutsideOfReach("a limited member adds no connection")


@form_page
@organization_view(Role.MEMBER)
@costly
@opens_trip
def connection_new(request: OrganizationRequest) -> HttpResponseBase:
    require_may_add(request)
    form = NewConnectionForm(request.POST or None, choices=marketplace_choices(Region))
    if request.method == "POST" and form.is_valid():
        try:
            connection = services.create_connection(
                organization=request.organization,
                name=form.cleaned_data["name"],
                marketplace_id=form.cleaned_data["marketplace"],
                actor=request.actor(),
            )
        except services.NameTaken:
            form.add_error("name", _("You already have a connection with this name."))
        else:
            return leave_or_ask_client(request, connection)
    return show_form(request, "connections/new.html", form)


def leave_or_ask_client(request: OrganizationRequest, connection: Connection) -> HttpResponseBase:
    """The second button of the form: somebody else has to give this consent."""
    if "ask_client" not in request.POST:
        return leave_for_seller_central(request, connection)
    url = reverse("client_link_new", args=[request.organization.slug, connection.pk])
    return HttpResponseRedirect(url, status=303)


def show_form(
    request: OrganizationRequest, template: str, form: Any, **context: Any
) -> HttpResponse:
    """A form as page or dialog; 422 when it came back with mistakes."""
    status = 422 if form.is_bound and form.errors else 200
    return render_part(request, template, "dialog", {"form": form, **context}, status=status)


def leave_for_seller_central(
    request: OrganizationRequest, connection: Connection, **options: Any
) -> HttpResponseBase:
    """Send the browser to Amazon: always the answer to a plain form post."""
    try:
        url = departures.start_spapi_authorization(
            connection=connection, user=request.user, session=request.session, **options
        )
    except (departures.CredentialsMissing, departures.VaultClosed) as error:
        return cannot_leave(request, error)
    return HttpResponseRedirect(url)


def cannot_leave(request: OrganizationRequest, error: RuntimeError) -> HttpResponse:
    """Our own fault, told before Amazon asks anything of the person."""
    is_vault = isinstance(error, departures.VaultClosed)
    name = "vault_closed" if is_vault else "not_configured"
    context = {"entry": catalogue.page_entry(name)}
    return render(request, f"connections/{name}.html", context, status=503)


@form_page
@organization_view(Role.MEMBER)
@opens_trip
def connection_authorize(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """Resume or reconnect: the checklist, then Seller Central. Asks Amazon nothing by itself, so
    it is not counted as costly."""
    connection = connection_of(request, connection_id)
    if request.method == "POST":
        return leave_for_seller_central(request, connection)
    context = {"connection": connection, "row": screen.row_of(request, connection)}
    return render_part(request, "connections/authorize.html", "dialog", context)


@require_POST
@organization_view(Role.MEMBER)
@costly
@opens_trip
def connection_add_as_new(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """After another seller came back than expected: a new consent, for a new row."""
    connection = connection_of(request, connection_id)
    require_may_add(request)
    fresh = services.create_beside(connection=connection, actor=request.actor())
    return leave_for_seller_central(request, fresh, expected_seller="")


@form_page
@organization_view(Role.ADMIN)
def connection_rename(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    connection = connection_of(request, connection_id)
    shown = {"name": connection.name, "known": connection.name}
    form = RenameForm(request.POST or None, initial=shown)
    if request.method == "POST" and form.is_valid():
        try:
            services.rename_connection(
                connection=connection,
                name=form.cleaned_data["name"],
                actor=request.actor(),
                known=form.cleaned_data["known"] or None,
            )
        except services.NameTaken:
            form.add_error("name", _("You already have a connection with this name."))
        except services.RenamedMeanwhile as meanwhile:
            form.data = request.POST.copy()
            form.data["known"] = str(meanwhile)  # now it is seen
            words = _("Somebody called it %(name)s meanwhile. Rename again if yours is to stand.")
            form.add_error("name", words % {"name": meanwhile})
        else:
            words = _("The connection is called %(name)s now.")
            say(request, words % {"name": form.cleaned_data["name"]})
            return answer_changed(request, connection)
    return show_form(request, "connections/rename.html", form, connection=connection)


def confirmed_removal(
    request: OrganizationRequest,
    connection: Connection,
    template: str,
    remove: Callable[..., None],
    done: str,
    refused: str = "",
) -> HttpResponseBase:
    """GET asks, POST does. A row that may not go this way any more says so."""
    if request.method != "POST":
        context = {"connection": connection, "row": screen.row_of(request, connection)}
        return render_part(request, template, "dialog", context)
    try:
        remove(connection=connection, actor=request.actor())
    except services.NotRemovable:
        messages.error(request, refused or _("This connection can no longer be removed here."))
    else:
        messages.success(request, done)
    return HttpResponseRedirect(back_to_list(request), status=303)


@form_page
@organization_view(Role.MEMBER)
def connection_undo(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """ "No, that is not the right store": the token is destroyed and the row goes. One click for
    who has just given the consent; everybody else, and that person later, proves who they are."""
    connection = connection_of(request, connection_id)
    is_own_step = services.has_just_consented(connection, request.user)
    if not (is_own_step or has_fresh_sign_in(request)):
        return ask_for_proof(request)
    name = {"name": connection.name}
    refused = _(
        "%(name)s is in use or was confirmed, so it is not undone. An administrator can end its "
        "consent with Disconnect, in the menu of its row."
    )
    if request.method != "POST" and not question.is_open(connection):
        context = {"connection": connection, "refused": refused % name}
        return render_part(request, "connections/undo.html", "dialog", context)
    return confirmed_removal(
        request,
        connection,
        "connections/undo.html",
        services.undo_connection,
        _("%(name)s was disconnected and its token destroyed.") % name,
        refused % name,
    )


@require_POST
@organization_view(Role.MEMBER)
def connection_confirm(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    connection = connection_of(request, connection_id)
    services.confirm_account(connection=connection, actor=request.actor())
    say(request, _("%(name)s is kept.") % {"name": connection.name})
    return answer_changed(request, connection)


@require_POST
@organization_view(Role.MEMBER)
@costly
def connection_read_again(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """Ask Amazon for the marketplaces again."""
    connection = connection_of(request, connection_id)
    if connection.waits_for_consent:
        raise Http404("nothing to read before a consent")
    marketplace_services.begin_reading(connection=connection)
    words = _("Amazon is asked for the marketplaces of %(name)s again.")
    say(request, words % {"name": connection.name}, messages.INFO)
    return answer_changed(request, connection)


@form_page
@organization_view(Role.MEMBER)
@costly
@opens_trip
def connection_another_region(
    request: OrganizationRequest, connection_id: UUID
) -> HttpResponseBase:
    """The same seller in a region the organization has no row for yet."""
    connection = connection_of(request, connection_id)
    require_may_add(request)
    regions = services.regions_without(connection)
    if connection.waits_for_consent:
        raise Http404("no other region to connect")
    if not regions:
        context = {"connection": connection}
        return render_part(request, "connections/every_region.html", "dialog", context)
    form = NewConnectionForm(
        request.POST or None,
        choices=marketplace_choices(regions),
        initial={"name": connection.name},
    )
    removed = removal.removed_elsewhere(connection)
    if request.method == "POST" and form.is_valid():
        row = row_in_another_region(request, connection, form, removed)
        if row is not None:
            return leave_for_seller_central(request, row)
    return show_form(
        request,
        "connections/another_region.html",
        form,
        connection=connection,
        removed=removed,
        may_bring_back=request.membership.may(Role.ADMIN),
    )


def row_in_another_region(
    request: OrganizationRequest,
    connection: Connection,
    form: NewConnectionForm,
    removed: list[Connection],
) -> Connection | None:
    """The seller's removed row of that region, for an administrator; else a new one, which waits
    for this seller. None: the form says why not."""
    marketplace_id = form.cleaned_data["marketplace"]
    region = MARKETPLACES[marketplace_id].region
    gone = next((row for row in removed if row.region == region), None)
    if gone is not None and request.membership.may(Role.ADMIN):
        return gone
    if gone is not None:
        words = _(
            "%(name)s of this seller was removed in this region. Ask an administrator to "
            "restore it."
        )
        form.add_error("marketplace", words % {"name": gone.name})
        return None
    try:
        return services.create_connection(
            organization=request.organization,
            name=form.cleaned_data["name"],
            marketplace_id=marketplace_id,
            actor=request.actor(),
            expected_selling_partner_id=connection.selling_partner_id or "",
        )
    except services.NameTaken:
        form.add_error("name", _("You already have a connection with this name."))
        return None
