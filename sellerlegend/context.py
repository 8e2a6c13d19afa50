"""What every template may know about the product and the reader."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import get_template
from django.utils import translation
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from connections import incident_banner
from connections.attention import Attention, attention_of
from sellerlegend.folding import plain
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.models import Membership, User
from sellerlegend.prepared import PreparedQuery


def product(request: HttpRequest) -> dict[str, Any]:
    """`organizations` is a lazy list: pages that do not show the switcher do not query it."""
    user: Any = getattr(request, "user", None)
    signed_in = user is not None and user.is_authenticated
    organization = getattr(request, "organization", None)
    choices: Any = SimpleLazyObject(lambda: own_organizations(user)) if signed_in else ()
    last_id = organization.pk if organization else getattr(user, "last_organization_id", None)
    current: Any = SimpleLazyObject(lambda: current_of(choices, last_id))
    attention: Any = SimpleLazyObject(lambda: attention_for(current))
    return {
        "site_name": settings.SITE_NAME,
        "amazon_emulator_url": settings.AMAZON_EMULATOR_URL,
        "organization": organization,
        "membership": getattr(request, "membership", None),
        "organizations": choices,
        "current_organization": current,
        "attention": attention,
        "menus": SimpleLazyObject(lambda: menus_of(choices, current, attention, request.path)),
        "quarantine_words": SimpleLazyObject(quarantine_words),
        "incident_words": SimpleLazyObject(lambda: incident_words_for(current)),
        "debug": settings.DEBUG,
    }


def quarantine_words() -> str:
    """For everybody, on every page, while it lasts."""
    cause = quarantine.shown_cause()
    if cause == quarantine.ORDERED:
        return _(
            "We have paused everything that asks Amazon and check something first. "
            "Nothing is lost: it goes on by itself."
        )
    if cause:
        return _("We restored a backup and check it first. Until then we ask nothing of Amazon.")
    return ""


@dataclass(frozen=True)
class Choice:
    """An organization in the switcher."""

    id: UUID
    name: str
    slug: str
    revision: int
    membership: Membership


class Place(NamedTuple):
    """An organization as the menus show it."""

    name: str
    slug: str


def menus_of(
    choices: list[Choice], current: Choice | None, attention: Attention, path: str
) -> SafeString:
    here = Place(current.name, current.slug) if current else None
    places = tuple([Place(choice.name, choice.slug) for choice in choices])
    return menus_html(translation.get_language(), places, here, attention.count, path)


@lru_cache(maxsize=512)
def menus_html(
    _language: str | None, places: tuple[Place, ...], here: Place | None, count: int, path: str
) -> SafeString:
    """The menus of the head: half of what is rendered for a page, and few differ."""
    context = {
        "organizations": places,
        "current": here,
        "attention": Attention(count),
        "path": path,
    }
    return SafeString(get_template("components/navigation_menus.html").render(context))


def memberships(user_id: UUID) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = Membership.objects.for_user(User(pk=user_id))
    names = ("name", "slug", "revision")
    own = ("pk", "is_limited")
    return rows.values("organization_id", *(f"organization__{name}" for name in names), *own)


MEMBERSHIPS = PreparedQuery(memberships, user_id=UUID)


def own_organizations(user: User) -> list[Choice]:
    choices = [choice_of(*row.values()) for row in MEMBERSHIPS.rows(user_id=user.pk)]
    return sorted(choices, key=lambda choice: plain(choice.name))


def choice_of(
    organization_id: UUID, name: str, slug: str, revision: int, membership_id: UUID, limited: bool
) -> Choice:
    own = Membership(pk=membership_id, organization_id=organization_id, is_limited=limited)
    return Choice(organization_id, name, slug, revision, own)


def current_of(choices: list[Choice], last_id: UUID | None) -> Choice | None:
    """The organization whose page this is, else the last one used, else any."""
    last = [choice for choice in choices if choice.id == last_id]
    return next(iter([*last, *choices]), None)


def incident_words_for(current: Choice | None) -> str:
    """Of an organization that the reader belongs to: one that was deleted has no consent left."""
    return incident_banner.words_for(current.id, current.revision) if current else ""


def attention_for(current: Choice | None) -> Attention:
    """What the menu counts; the list's own page brings it along."""
    if not current:  # lazy, so never None itself
        return Attention(0)
    return attention_of(current.id, current.revision, current.membership)
