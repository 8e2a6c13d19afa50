"""Pages about people and organizations: where to land, names, settings, first run for staff."""

from __future__ import annotations

from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.usersessions.internal.flows import sessions
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from connections import appstore
from ppc import erasure, farewell, leaving
from sellerlegend.applications.ages import secret_ages
from sellerlegend.organizations import people_history, services, setup
from sellerlegend.organizations.access import (
    OrganizationRequest,
    SignedInRequest,
    organization_view,
)
from sellerlegend.organizations.forms import (
    DeleteLoginForm,
    DeleteOrganizationForm,
    OrganizationForm,
    ProfileForm,
)
from sellerlegend.organizations.key_states import key_states
from sellerlegend.organizations.logins import left_without_owner, organizations_of
from sellerlegend.organizations.models import Membership, Organization, Role
from sellerlegend.organizations.step_up import recently_authenticated

form_page = require_http_methods(["GET", "HEAD", "POST"])


@require_GET
def home(request: SignedInRequest) -> HttpResponse:
    """The connections of the organization used last; without one, *Name your organization*."""
    own = Membership.objects.for_user(request.user).select_related("organization")
    memberships: dict[UUID | None, Organization] = {
        row.organization_id: row.organization for row in own.order_by("created_at")
    }
    if not memberships:
        return redirect("staff_setup" if request.user.is_staff else "organization_new")
    last_id = request.user.last_organization_id
    first = next(iter(memberships.values()))
    organization = memberships.get(last_id, first)
    return redirect("account_connections", slug=organization.slug)


@form_page
def organization_new(request: SignedInRequest) -> HttpResponse:
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        is_first = not Membership.objects.for_user(request.user).exists()
        organization = services.create_organization(
            name=form.cleaned_data["name"], owner=request.user
        )
        # Who came from Amazon and needed an organization goes on there.
        ticket = request.GET.get("start", "")
        start = appstore.kept(request.session, ticket)
        if start is None and is_first:
            start = appstore.unfinished(request.session)
        if start is not None:
            return redirect("appstore_start", start.ticket)
        return redirect("account_connections", slug=organization.slug)
    status = 422 if form.is_bound else 200
    is_member = Membership.objects.for_user(request.user).exists()
    left = "" if is_member else people_history.last_organization_of(request.user)
    context = {"form": form, "left": left}
    return render(request, "organizations/new.html", context, status=status)


@form_page
@organization_view(Role.VIEWER)
def organization_settings(request: OrganizationRequest) -> HttpResponseBase:
    """Everybody reads; administrators rename."""
    may_rename = request.membership.may(Role.ADMIN)
    bound = request.POST if request.method == "POST" and may_rename else None
    if request.method == "POST" and not may_rename:
        return render(request, "403.html", status=403)
    form = OrganizationForm(bound, initial={"name": request.organization.name})
    if form.is_bound and form.is_valid():
        services.rename_organization(
            organization=request.organization,
            name=form.cleaned_data["name"],
            actor=request.actor(),
        )
        messages.success(request, _("Saved."))
        return redirect("organization_settings", slug=request.organization.slug)
    context = {
        "form": form,
        "may_rename": may_rename,
        "may_delete": request.membership.may(Role.OWNER),
    }
    status = 422 if form.is_bound else 200
    return render(request, "organizations/settings.html", context, status=status)


@form_page
@organization_view(Role.OWNER)
@recently_authenticated
def organization_delete(request: OrganizationRequest) -> HttpResponseBase:
    """For good, after a fresh sign-in and the typed name."""
    organization = request.organization
    bound = request.POST if request.method == "POST" else None
    form = DeleteOrganizationForm(bound, organization=organization)
    ending = farewell.of_organization(organization)
    if form.is_bound and form.is_valid():
        erasure.delete_organization(
            organization=organization, actor=request.actor(), with_receipt=True
        )
        words = _(
            "%(name)s was deleted, and every consent in it ended. A mail to you says what ended "
            "and how to finish at Amazon."
        )
        messages.success(request, words % {"name": ending.name})
        return redirect("home")
    status = 422 if form.is_bound else 200
    context = {"form": form, "ending": ending}
    return render(request, "organizations/delete.html", context, status=status)


@form_page
def profile(request: SignedInRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        request.user.save(update_fields=["name", "language", "time_zone"])
        messages.success(request, _("Saved."))
        return redirect("profile")
    status = 422 if form.is_bound else 200
    return render(request, "organizations/profile.html", {"form": form}, status=status)


@form_page
@recently_authenticated
def login_delete(request: SignedInRequest) -> HttpResponseBase:
    """One's own, for good, after a fresh sign-in and the typed address; or why not, and what to
    do first."""
    user = request.user
    form = DeleteLoginForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_bound and form.is_valid():
        try:
            leaving.delete_login(user)
        except (leaving.OnlyOwner, leaving.StaffLogin):
            pass  # the page below says why
        else:
            logout(request)
            messages.success(request, _("Your login was deleted."))
            return redirect("account_login")
    context = {
        "form": form,
        "organizations": organizations_of(user),
        "owned_alone": left_without_owner(user),
        "is_staff": user.is_staff or user.is_superuser,
    }
    status = 422 if form.is_bound else 200
    return render(request, "organizations/login_delete.html", context, status=status)


@require_GET
def security(request: SignedInRequest) -> HttpResponse:
    """Where password, second step and open sessions are looked after."""
    kinds = set(Authenticator.objects.filter(user=request.user).values_list("type", flat=True))
    context = {
        "has_totp": Authenticator.Type.TOTP in kinds,
        "has_passkey": Authenticator.Type.WEBAUTHN in kinds,
        "sessions": UserSession.objects.filter(user=request.user).count(),
    }
    return render(request, "organizations/security.html", context)


@require_POST
def session_end(request: SignedInRequest, pk: int) -> HttpResponse:
    """Sign out one device of one's own; the same answer for somebody else's and for none."""
    device = get_object_or_404(UserSession, pk=pk, user=request.user)
    sessions.end_sessions(request, [device])
    messages.success(request, _("That device is signed out."))
    return redirect("usersessions_list")


@require_GET
def staff_setup(request: SignedInRequest) -> HttpResponse:
    """First run: what Amazon still needs from us. Staff only; nobody else learns it exists."""
    if not request.user.is_staff:
        raise Http404("staff only")
    context = setup.checklist() | {
        "secret_ages": secret_ages(),
        "key_states": key_states(),
    }
    return render(request, "organizations/staff_setup.html", context)
