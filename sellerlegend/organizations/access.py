"""Who may enter an organization's pages, and how a page answers as a whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from sellerlegend import log_facts
from sellerlegend.errors import OutsideOfReach
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Membership, Organization, Role, User
from sellerlegend.prepared import PreparedQuery

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """After LoginRequiredMiddleware and HtmxMiddleware."""

    user: User
    htmx: HtmxDetails


class OrganizationRequest(SignedInRequest):
    """A member's request to a page of one organization."""

    organization: Organization
    membership: Membership
    actor: Callable[[], Actor]


MEMBER_COLUMNS = [field.attname for field in Membership._meta.concrete_fields]
TENANT_COLUMNS = [field.attname for field in Organization._meta.concrete_fields]


def memberships(user_id: UUID, slug: str) -> QuerySet[Any, Any]:
    own: QuerySet[Any, Any] = Membership.objects.for_user(User(pk=user_id)).filter(
        organization__slug=slug
    )
    return own.values(*MEMBER_COLUMNS, *(f"organization__{name}" for name in TENANT_COLUMNS))


# Every page of an organization begins with it, the poll twice in three seconds.
MEMBERSHIPS = PreparedQuery(memberships, user_id=UUID, slug=str)


def membership_of(user: User, slug: str) -> Membership | None:
    """The person's membership of the organization at this address, with the organization."""
    for row in MEMBERSHIPS.rows(user_id=user.pk, slug=slug):
        values = list(row.values())
        mine, theirs = values[: len(MEMBER_COLUMNS)], values[len(MEMBER_COLUMNS) :]
        membership = Membership.from_db(DEFAULT_DB_ALIAS, MEMBER_COLUMNS, mine)
        membership.organization = Organization.from_db(DEFAULT_DB_ALIAS, TENANT_COLUMNS, theirs)
        return membership
    return None


OrganizationView = Callable[Concatenate[OrganizationRequest, P], HttpResponseBase]


def organization_view(role: Role) -> Callable[[OrganizationView[P]], Callable[..., Any]]:
    """Resolve `slug` through the person's own memberships and require a role.

    Not a member: 404, the same answer as for an organization that does not exist.
    A member whose role is too low: 403.
    """

    def decorate(view: OrganizationView[P]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(request: Any, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            membership = membership_of(request.user, slug)
            if membership is None:
                raise Http404("no such organization for this person")
            if not membership.may(role):
                raise PermissionDenied(f"needs {role}")
            request.organization = membership.organization
            log_facts.add(
                organization=membership.organization.pk, connection=kwargs.get("connection_id")
            )
            request.membership = membership
            request.actor = partial(Actor.person, request.user)
            return view(request, *args, **kwargs)

        guarded.required_role = role  # type: ignore[attr-defined]  # read by the URL table test
        return guarded

    return decorate


def unlimited(view: OrganizationView[P]) -> Callable[..., Any]:
    """For members who see every row of the organization; 403 for one whose reach is limited."""

    @wraps(view)
    def guarded(request: OrganizationRequest, *args: P.args, **kwargs: P.kwargs) -> Any:
        if request.membership.is_limited:
            raise OutsideOfReach("needs the whole organization")
        return view(request, *args, **kwargs)

    return guarded


def render_part(
    request: Any,
    template: str,
    part: str,
    context: Mapping[str, Any],
    status: int = 200,
) -> HttpResponse:
    """The whole page, or under htmx only its named partial. One template serves both."""
    name = f"{template}#{part}" if request.htmx else template
    response = render(request, name, dict(context), status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def ask_first(request: Any, *, title: str, intro: str, deed: str, back_url: str) -> HttpResponse:
    """The question before a deed that cannot be taken back: a POST to the same address does it."""
    context = {"title": title, "intro": intro, "deed": deed, "back_url": back_url}
    return render_part(request, "organizations/question.html", "dialog", context)
