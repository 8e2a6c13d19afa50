"""Asking a client by link: the dialog, the list of links, sending again, ending."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from connections import client_links, client_reminders
from connections.answers import answer_changed
from connections.client_link_forms import AskClientForm
from connections.client_link_models import ClientLink
from connections.client_link_words import line_of, lines_of, state_choices
from connections.models import Connection
from connections.notice_sending import absolute
from connections.reach import within_reach
from connections.views import connection_of
from sellerlegend.amazon.secret import Secret
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations.access import (
    OrganizationRequest,
    ask_first,
    organization_view,
    render_part,
)
from sellerlegend.organizations.kept_forms import take_kept_form
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import changes_want_proof, sending_wants_proof

LINKS_A_PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.MEMBER)
@sending_wants_proof
@costly
def client_link_new(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """Whom to ask, and with what words; then the link goes out, or is shown once."""
    connection = connection_of(request, connection_id)
    typed = request.POST if request.method == "POST" else take_kept_form(request)
    form = AskClientForm(typed, initial=known_client(request, connection))
    if request.method == "POST" and form.is_valid():
        wait = wait_for_mail(request, form.recipient.email)
        if wait:
            return too_many_requests(request, wait)
        return answer_made(request, *made(request, connection, form))
    context = {"form": form, "connection": connection, "earlier": live_line(connection)}
    status = 422 if request.method == "POST" else 200
    return render_part(request, "connections/client_link_new.html", "dialog", context, status)


def made(
    request: OrganizationRequest, connection: Connection, form: AskClientForm
) -> tuple[ClientLink, Secret]:
    try:
        return client_links.make(
            connection=connection,
            recipient=form.recipient,
            message=form.cleaned_data["message"],
            days=form.cleaned_data["days"],
            actor=request.actor(),
        )
    except client_links.RowGone:
        raise Http404("removed a moment ago") from None


def known_client(request: OrganizationRequest, connection: Connection) -> dict[str, Any]:
    client = connection.client
    return {
        "recipient_name": client.contact_name if client else "",
        "recipient_email": client.contact_email if client else "",
        "language": request.LANGUAGE_CODE,
        "days": client_links.DAYS,
    }


def live_line(connection: Connection) -> Any:
    link = client_links.latest_of(connection)
    return line_of(link) if link is not None and link.is_live else None


def wait_for_mail(request: OrganizationRequest, address: str) -> float:
    return client_links.wait_for_mail(request.organization.pk, address)


def answer_made(request: OrganizationRequest, link: ClientLink, token: Secret) -> HttpResponseBase:
    """Sent by mail: back to the row. Else the answer to this POST is the only place where the link
    ever stands: it goes into no session, cookie or redirect."""
    if link.recipient_email:
        words = _("We are sending the link for %(name)s to %(address)s.")
        values = {"name": link.connection.name, "address": link.recipient_email}
        messages.success(request, words % values)
        return answer_changed(request, link.connection)
    url = absolute(reverse("client_link", args=[token.reveal()]))
    context = {"link": link, "connection": link.connection, "url": url}
    return render_part(request, "connections/client_link_made.html", "dialog", context)


# The list ----------------------------------------------------------------------------------


def links_of(request: OrganizationRequest) -> QuerySet[ClientLink]:
    """Those of the rows that this member sees."""
    links: QuerySet[ClientLink] = ClientLink.objects.for_organization(request.organization)
    seen = within_reach(links, request.membership, "connection")
    return seen.select_related("organization", "connection", "made_by")


LinkView = Callable[[OrganizationRequest, ClientLink], HttpResponseBase]


def of_link(view: LinkView) -> Callable[..., HttpResponseBase]:
    """Resolve `link_id` among those that the member may see, else 404."""

    @wraps(view)
    def resolved(request: OrganizationRequest, link_id: UUID) -> HttpResponseBase:
        return view(request, get_object_or_404(links_of(request), pk=link_id))

    return resolved


@require_GET
@organization_view(Role.MEMBER)
def client_link_list(request: OrganizationRequest) -> HttpResponse:
    """The newest first; `?state=` narrows it."""
    asked = request.GET.get("state", "")
    state = asked if asked in ClientLink.Status.values else ""
    links = links_of(request).order_by("-created_at", "pk")
    if state:
        links = links.filter(status=state)
    page = Paginator(links, LINKS_A_PAGE).get_page(request.GET.get("page", ""))
    context = {
        "page": page,
        "lines": lines_of(page.object_list),
        "states": state_choices(),
        "may_end_all": request.membership.may(Role.ADMIN),
        "state": state,
    }
    return render(request, "connections/client_links.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.MEMBER)
@of_link
def client_link_revoke(request: OrganizationRequest, link: ClientLink) -> HttpResponseBase:
    if request.method != "POST":
        return ask_first(
            request,
            title=_("End the link for %(name)s?") % {"name": link.connection.name},
            intro=_("Whoever has it cannot open it any more. You can make another one later."),
            deed=_("End the link"),
            back_url=list_url(request),
        )
    if client_links.revoke(link=link, actor=request.actor()):
        messages.success(request, _("The link does not work any more."))
    else:
        messages.info(request, _("The link was over already."))
    return HttpResponseRedirect(list_url(request), status=303)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.MEMBER)
@changes_want_proof
@costly
@of_link
def client_link_again(request: OrganizationRequest, link: ClientLink) -> HttpResponseBase:
    """Whom it was sent to and what became of it; then a new link to the same person, and the
    earlier one ends."""
    connection = connection_of(request, link.connection_id)
    if request.method != "POST":
        context = {"line": line_of(link), "earlier": live_line(connection)}
        return render(request, "connections/client_link_again.html", context)
    wait = wait_for_mail(request, link.recipient_email)
    if wait:
        return too_many_requests(request, wait)
    fresh, token = client_links.make_again(link=link, actor=request.actor())
    return answer_made(request, fresh, token)


@require_POST
@organization_view(Role.ADMIN)
def client_reminders_switch(request: OrganizationRequest) -> HttpResponseBase:
    """Whether clients are asked by themselves when a consent comes to its end."""
    is_on = request.POST.get("on") == "yes"
    client_reminders.switch(organization=request.organization, is_on=is_on, actor=request.actor())
    told = _("Clients are asked automatically.") if is_on else _("Clients are asked by you alone.")
    messages.success(request, told)
    url = reverse("notifications", args=[request.organization.slug])
    return HttpResponseRedirect(url, status=303)


def list_url(request: OrganizationRequest) -> str:
    return reverse("client_links", args=[request.organization.slug])
