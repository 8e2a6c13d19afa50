"""Account Settings → People: who is here, what each may do, and who changed it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods

from connections import client_links
from connections.authorisers import authorisers_of
from connections.reach_choices import reach_words
from connections.words import Jump
from ppc import parting
from sellerlegend.organizations import invitations, members, people_history
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.models import Membership, Role
from sellerlegend.organizations.people_forms import RoleForm, TransferForm
from sellerlegend.organizations.people_page import member_lines
from sellerlegend.organizations.step_up import recently_authenticated

form_page = require_http_methods(["GET", "HEAD", "POST"])


@require_GET
@organization_view(Role.VIEWER)
def people(request: OrganizationRequest) -> HttpResponseBase:
    """Everybody of the organization sees it; administrators act."""
    is_admin = request.membership.may(Role.ADMIN)
    links = client_links.open_links_by_maker(request.organization.pk) if is_admin else {}
    context = {
        "members": member_lines(
            request.membership,
            reach_words(request.membership),
            consents={one.id: one.words for one in authorisers_of(request.membership)},
            links=links,
        ),
        "invitations": invitations.pending(request.organization.pk),
        "changes": people_history.changes(request.organization),
        "may_invite": is_admin,
        "may_transfer": request.membership.may(Role.OWNER),
    }
    return render(request, "organizations/people.html", context)


def member_of(request: OrganizationRequest, member_id: UUID) -> Membership:
    """The organization's member, or 404; 403 where the role is above the reader's."""
    rows = Membership.objects.for_organization(request.organization).select_related("user")
    member: Membership = get_object_or_404(rows, pk=member_id)
    if not members.may_manage(request.membership, member):
        raise PermissionDenied("a role above the own one")
    return member


def back(request: OrganizationRequest) -> HttpResponse:
    return HttpResponseRedirect(reverse("people", args=[request.organization.slug]), status=303)


def change(request: OrganizationRequest, act: Callable[[], object], done: str) -> HttpResponseBase:
    """Do it, or say why not. What was true when the page was shown may have changed since."""
    try:
        act()
    except members.NotAMember:
        raise Http404("no such member") from None
    except members.RoleTooLow:
        raise PermissionDenied("a role above the own one") from None
    except members.LastOwner:
        words = _(
            "Nothing was changed: somebody has to own the organization. Make another person owner "
            "first."
        )
        messages.error(request, words)
    else:
        messages.success(request, done)
    return back(request)


@form_page
@organization_view(Role.ADMIN)
@recently_authenticated
def member_role(request: OrganizationRequest, member_id: UUID) -> HttpResponseBase:
    member = member_of(request, member_id)
    roles = members.roles_to_give(request.membership)
    form = RoleForm(
        request.POST if request.method == "POST" else None,
        roles=roles,
        initial={"role": member.role},
    )
    if form.is_bound and form.is_valid():
        role = Role(form.cleaned_data["role"])
        done = _("%(who)s is %(role)s now.") % {"who": member.user, "role": role.label}
        return change(
            request,
            lambda: members.change_role(by=request.membership, member_id=member_id, role=role),
            done,
        )
    context = {"form": form, "member": member}
    status = 422 if form.is_bound else 200
    return render_part(request, "organizations/member_role.html", "dialog", context, status)


@form_page
@organization_view(Role.ADMIN)
@recently_authenticated
def member_remove(request: OrganizationRequest, member_id: UUID) -> HttpResponseBase:
    member = member_of(request, member_id)
    if member.pk == request.membership.pk:
        return HttpResponseRedirect(reverse("member_leave", args=[request.organization.slug]))
    links = client_links.open_links_by_maker(request.organization.pk).get(member.user_id, 0)
    consents = consents_of(request, member)
    if request.method == "POST":
        ends_links = request.POST.get("end_links") == "yes"
        done = _("%(who)s has no access any more.") % {"who": member.user}
        if links and not ends_links:
            done += " " + _("The links to clients that they made go on.")
        if consents is not None:
            done = format_html('{} <a href="{}">{}</a>', done, consents.url, consents.label)
        return change(
            request,
            lambda: parting.remove_member(
                by=request.membership, member_id=member_id, ends_links=ends_links
            ),
            done,
        )
    context = {"member": member, "links": links, "consents": consents}
    return render_part(request, "organizations/member_remove.html", "dialog", context)


def consents_of(request: OrganizationRequest, member: Membership) -> Jump | None:
    """To what this person authorised, all of which goes on without them. None: nothing."""
    known = authorisers_of(request.membership)
    given = next((one for one in known if one.id == member.user_id), None)
    if given is None:
        return None
    count = given.stores + given.ads
    words = ngettext(
        "Replace the consent they gave, which goes on until it ends at Amazon",
        "Replace the %(count)d consents they gave, which go on until they end at Amazon",
        count,
    )
    url = reverse("authorisers", args=[request.organization.slug])
    return Jump(words % {"count": count}, count, f"{url}?person={member.user_id}")


@form_page
@organization_view(Role.VIEWER)
@recently_authenticated
def member_leave(request: OrganizationRequest) -> HttpResponseBase:
    """By oneself."""
    if request.method == "POST":
        done = _("You left %(name)s.") % {"name": request.organization.name}
        answer = change(request, lambda: parting.leave(member=request.membership), done)
        rows = Membership.objects.for_organization(request.organization)
        is_gone = not rows.filter(pk=request.membership.pk).exists()
        return HttpResponseRedirect(reverse("home"), status=303) if is_gone else answer
    context = {"has_to_stay": members.is_last_owner(request.membership)}
    return render_part(request, "organizations/member_leave.html", "dialog", context)


@form_page
@organization_view(Role.OWNER)
@recently_authenticated
def ownership_transfer(request: OrganizationRequest) -> HttpResponseBase:
    """The new owner owns; the old one becomes an administrator."""
    bound = request.POST if request.method == "POST" else None
    form = TransferForm(bound, owner=request.membership)
    if form.is_bound and form.is_valid():
        chosen = UUID(form.cleaned_data["member"])
        return change(
            request,
            lambda: members.transfer_ownership(by=request.membership, member_id=chosen),
            _("The organization has a new owner. You are an administrator now."),
        )
    status = 422 if form.is_bound else 200
    context = {"form": form, "has_others": bool(form.fields["member"].choices)}  # type: ignore[attr-defined]  # a ChoiceField
    return render_part(request, "organizations/transfer.html", "dialog", context, status)
