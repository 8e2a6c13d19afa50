"""Bulk actions on groups: a tag on many rows, a client for many rows."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _

from connections import bulk, groups
from connections.forms import TagForm
from connections.grouping_models import Client, Tag
from connections.selection import Selection, asked_by_form, selection_of
from connections.views import form_page
from connections.words import Facts
from sellerlegend.organizations.access import OrganizationRequest, organization_view, unlimited
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role

TAG_PAGE = "connections/bulk_tag.html"
CLIENT_PAGE = "connections/bulk_client.html"


@form_page
@organization_view(Role.MEMBER)
@unlimited
@asked_by_form
@costly
def connections_tag(request: OrganizationRequest) -> HttpResponseBase:
    """Put a tag on many rows, or take it off."""
    selection = selection_of(request)
    if request.method != "POST" or not selection.count:
        return ask_for_tag(request, selection)
    takes_off = {"add": False, "remove": True}.get(request.POST.get("do", ""))
    if takes_off is None:
        return ask_for_tag(request, selection, _("Put the tag on, or take it off: press one."))
    if words := choice_problem(request, takes_off=takes_off):
        return ask_for_tag(request, selection, words)
    try:
        tag = tag_from(request)
    except groups.NameTaken:
        return ask_for_tag(request, selection, _("You already have a tag with this name."))
    except groups.TooMany:
        return ask_for_tag(request, selection, _("You have as many tags as there can be."))
    if tag is None:
        return ask_for_tag(request, selection, tag_words(request))
    change = groups.untag_rows if takes_off else groups.tag_rows
    changed = set(
        change(
            organization=request.organization,
            rows=selection.ids,
            tag=tag,
            actor=request.actor(),
        )
    )
    done, left = (_("Taken off"), _("Did not have it")) if takes_off else (_("Tagged"), _("Had it"))
    lines = bulk.lines(
        request,
        selection.ids,
        lambda fact: (done, False) if fact["id"] in changed else (left, True),
    )
    title = _("Tag taken off: %(name)s") if takes_off else _("Tagged: %(name)s")
    return bulk.tell(request, title=title % {"name": tag.name}, lines=lines)


def choice_problem(request: OrganizationRequest, *, takes_off: bool) -> str:
    """Two tags at once: which one is meant, only the person knows."""
    if takes_off or not (request.POST.get("which") and request.POST.get("new", "").strip()):
        return ""
    return _("You chose a tag and typed a new one. Take one of them back, then press again.")


def tag_words(request: OrganizationRequest) -> str:
    if request.POST.get("which", "").isdecimal():
        return _("That tag is not there any more: somebody deleted it meanwhile. Choose another.")
    return _("Choose a tag, or type the name of a new one.")


def ask_for_tag(
    request: OrganizationRequest, selection: Selection, error: str = ""
) -> HttpResponse:
    """With what was chosen and typed, if it comes back."""
    lines = bulk.lines(request, selection.ids, lambda _fact: ("", False))
    context = {
        "tags": groups.groups_of(request.membership).tags.items(),
        "which": request.POST.get("which", ""),
        "new": request.POST.get("new", ""),
    }
    return bulk.ask(request, TAG_PAGE, selection=selection, lines=lines, error=error, **context)


def tag_from(request: OrganizationRequest) -> Tag | None:
    """The one that was chosen, or that of the name that was typed. Raises NameTaken, TooMany."""
    typed = TagForm({"name": request.POST.get("new", "")})
    if request.POST.get("do") != "remove" and typed.is_valid():
        name = typed.cleaned_data["name"]
        return groups.tag_named(organization=request.organization, name=name, actor=request.actor())
    number = request.POST.get("which", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return None
    return Tag.objects.for_organization(request.organization).filter(pk=int(number)).first()


@form_page
@organization_view(Role.MEMBER)
@unlimited
@asked_by_form
@costly
def connections_client(request: OrganizationRequest) -> HttpResponseBase:
    """Say whose stores they are."""
    selection = selection_of(request)
    which = request.POST.get("which", "")
    if request.method != "POST" or not selection.count:
        return ask_for_client(request, selection)
    client = client_from(request, which)
    if client is None and which != "none":
        return ask_for_client(request, selection, which_words(which))
    changed = set(
        groups.give_to_client(
            organization=request.organization,
            rows=selection.ids,
            client=client,
            actor=request.actor(),
        )
    )

    def words_of(fact: Facts) -> tuple[str, bool]:
        return (_("Changed"), False) if fact["id"] in changed else (_("Was so already"), True)

    lines = bulk.lines(request, selection.ids, words_of)
    title = _("Client: %(name)s") % {"name": client.name} if client else _("Without a client")
    return bulk.tell(request, title=title, lines=lines)


def which_words(which: str) -> str:
    if not which:
        return _("Choose a client.")
    return _("That client is not there any more: somebody deleted it meanwhile. Choose another.")


def ask_for_client(
    request: OrganizationRequest, selection: Selection, error: str = ""
) -> HttpResponse:
    lines = bulk.lines(request, selection.ids, lambda _fact: ("", False))
    clients = groups.groups_of(request.membership).clients
    context = {"clients": clients.items(), "may_administer": request.membership.may(Role.ADMIN)}
    return bulk.ask(request, CLIENT_PAGE, selection=selection, lines=lines, error=error, **context)


def client_from(request: OrganizationRequest, text: str) -> Client | None:
    known = {str(client_id) for client_id in groups.groups_of(request.membership).clients}
    if text not in known:
        return None
    found: Client | None = (
        Client.objects.for_organization(request.organization).filter(pk=text).first()
    )
    return found
