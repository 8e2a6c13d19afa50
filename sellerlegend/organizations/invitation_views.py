"""Inviting by mail, and what the invited sees."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from sellerlegend import crypto
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import invitation_mails, invitations, limits
from sellerlegend.organizations.access import (
    OrganizationRequest,
    SignedInRequest,
    ask_first,
    organization_view,
    render_part,
)
from sellerlegend.organizations.invitations import NotInvitable, OtherAddress
from sellerlegend.organizations.models import Invitation, Role
from sellerlegend.organizations.people_forms import InviteForm
from sellerlegend.organizations.people_views import back
from sellerlegend.organizations.step_up import recently_authenticated

SESSION_KEY = "invitation"
PAGE = "organizations/invitation.html"


# By administrators --------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.ADMIN)
@recently_authenticated
def member_invite(request: OrganizationRequest) -> HttpResponseBase:
    bound = request.POST if request.method == "POST" else None
    form = InviteForm(bound, inviter=request.membership)
    if form.is_bound and form.is_valid():
        wait = invitations.wait_before_mail(request.organization.pk, form.cleaned_data["email"])
        if wait:
            return too_many_requests(request, wait)
        try:
            invitation, token = invitations.invite(
                by=request.membership,
                email=form.cleaned_data["email"],
                role=Role(form.cleaned_data["role"]),
                is_limited=form.cleaned_data["is_limited"],
            )
        except NotInvitable as refusal:
            is_of_address = refusal.code == "member"
            form.add_error("email" if is_of_address else None, refusal_words(refusal))
        else:
            return send_and_say(request, invitation, token)
    status = 422 if form.is_bound else 200
    return render_part(request, "organizations/invite.html", "dialog", {"form": form}, status)


def refusal_words(refusal: NotInvitable) -> str:
    words = {
        "member": _("This person is a member already. Change the role on the page of people."),
        "too_many": _(
            "Too many invitations are open. Revoke those that nobody needs, then invite."
        ),
        "gone": _("This invitation was used or revoked already."),
    }
    return words.get(refusal.code, _("Your role does not allow this any more."))


def send_and_say(request: OrganizationRequest, invitation: Invitation, token: str) -> HttpResponse:
    if invitation_mails.send(invitation, token):
        words = _("The invitation is on its way to %(email)s. Its link works for %(days)d days.")
        facts = {"email": invitation.email, "days": Invitation.LIFETIME.days}
        messages.success(request, words % facts)
    else:
        words = _(
            "No mail could be sent to %(email)s. Look at the address, or send it again later."
        )
        messages.error(request, words % {"email": invitation.email})
    return back(request)


@require_POST
@organization_view(Role.ADMIN)
@recently_authenticated
def invitation_resend(request: OrganizationRequest, invitation_id: UUID) -> HttpResponseBase:
    """A new link; the one before it opens nothing any more."""
    invitation = invitation_of(request, invitation_id)
    wait = invitations.wait_before_mail(request.organization.pk, invitation.email)
    if wait:
        return too_many_requests(request, wait)
    try:
        fresh, token = invitations.renew(by=request.membership, invitation_id=invitation_id)
    except NotInvitable as refusal:
        messages.error(request, refusal_words(refusal))
        return back(request)
    return send_and_say(request, fresh, token)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.ADMIN)
@recently_authenticated
def invitation_revoke(request: OrganizationRequest, invitation_id: UUID) -> HttpResponseBase:
    invitation = invitation_of(request, invitation_id)
    if request.method != "POST":
        return ask_first(
            request,
            title=_("Revoke the invitation of %(email)s?") % {"email": invitation.email},
            intro=_("The link in the mail opens nothing any more. You can invite again later."),
            deed=_("Revoke"),
            back_url=reverse("people", args=[request.organization.slug]),
        )
    if invitations.revoke(invitation, actor=request.actor()):
        messages.success(request, _("The invitation was revoked. Its link opens nothing any more."))
    return back(request)


def invitation_of(request: OrganizationRequest, invitation_id: UUID) -> Invitation:
    rows = Invitation.objects.for_organization(request.organization)
    found: Invitation = get_object_or_404(rows, pk=invitation_id)
    return found


# By the invited -----------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD"])
@login_not_required
def invitation_link(request: HttpRequest, token: str) -> HttpResponseBase:
    """The link of the mail. The browser goes on at once to an address without the secret; the
    session remembers its digest, also through a sign-in."""
    wait = limits.take((invitations.LINKS, limits.client_address(request)))
    if wait:
        return too_many_requests(request, wait)
    if invitations.known_by_link(token) is None:
        return over(request)
    request.session[SESSION_KEY] = crypto.digest(token)
    response = HttpResponseRedirect(reverse("invitation"), status=303)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@require_GET
@login_not_required
def invitation(request: HttpRequest) -> HttpResponse:
    """Who invites to what; looking changes nothing."""
    found = invitations.known(request.session.get(SESSION_KEY, ""))
    if found is None:
        return over(request)
    user: Any = request.user  # may be nobody yet
    if user.is_authenticated and not invitations.is_for(found, user):
        return for_another(request)
    context = {"invitation": found, "url": reverse("invitation")}
    return render(request, PAGE, context)


@require_POST
def invitation_accept(request: SignedInRequest) -> HttpResponseBase:
    try:
        member = invitations.accept(request.session.get(SESSION_KEY, ""), request.user)
    except NotInvitable:
        return over(request)
    except OtherAddress:
        return for_another(request)
    del request.session[SESSION_KEY]
    words = _("You are a member of %(name)s now.") % {"name": member.organization.name}
    messages.success(request, words)
    url = reverse("account_connections", args=[member.organization.slug])
    return HttpResponseRedirect(url, status=303)


def over(request: HttpRequest) -> HttpResponse:
    """Unknown, expired, used, revoked: one answer."""
    return render(request, "organizations/invitation_over.html", status=404)


def for_another(request: HttpRequest) -> HttpResponse:
    """Names neither the organization nor the address: this person may be anybody."""
    return render(request, "organizations/invitation_other.html", status=403)
