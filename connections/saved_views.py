"""Saved views: what one person often looks at, the query of the list's address under a name."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import QueryDict

from connections.grouping_models import SavedView
from connections.groups import NameTaken, TooMany
from connections.listing import Chosen
from sellerlegend.alphabet import Alphabetical
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Organization, User

MOST_VIEWS = 50
LONGEST_QUERY = 1_000


def views_of(organization: Organization, user: User) -> QuerySet[SavedView]:
    views: QuerySet[SavedView] = SavedView.objects.for_organization(organization)
    return views.filter(user=user).order_by(Alphabetical("name"))


def canonical(query: str) -> str:
    """What a query means, as the list writes it: nothing else is kept."""
    return Chosen.of(QueryDict(query[: 2 * LONGEST_QUERY])).query


def save_view(
    *, organization: Organization, user: User, name: str, query: str, actor: Actor
) -> SavedView:
    """Raises NameTaken, TooMany."""
    query = canonical(query)
    if len(query) > LONGEST_QUERY:
        raise TooMany
    views = SavedView.objects.for_organization(organization)
    try:
        with transaction.atomic():
            # One of the person's own tabs after the other, so that the limit holds.
            User.objects.select_for_update().get(pk=user.pk)
            if views.filter(user=user).count() >= MOST_VIEWS:
                raise TooMany
            view: SavedView = views.create(user=user, name=name, query=query)
            record_event("view_saved", actor=actor, organization=organization, new=name)
    except IntegrityError:
        raise NameTaken(name) from None
    return view


def rename_view(*, view: SavedView, name: str, actor: Actor) -> None:
    """Raises NameTaken."""
    organization = view.organization
    views = SavedView.objects.for_organization(organization)
    try:
        with transaction.atomic():
            views.filter(pk=view.pk).update(name=name)
            record_event(
                "view_renamed", actor=actor, organization=organization, old=view.name, new=name
            )
    except IntegrityError:
        raise NameTaken(name) from None


def delete_view(*, view: SavedView, actor: Actor) -> None:
    with transaction.atomic():
        record_event("view_deleted", actor=actor, organization=view.organization, old=view.name)
        view.delete()
