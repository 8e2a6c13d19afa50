"""What a notice says of a role that our application got after a consent was given: nothing was
refused, so that it must not read as if Amazon had taken something away."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils import translation
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.detail_facts import UNLOCKS
from connections.due_notices import ROLE_STEP
from connections.models import AdsGrant, SpApiGrant
from connections.notice_models import Notice
from sellerlegend.applications.models import ApplicationRole, LwaApplication
from sellerlegend.organizations.scoping import across_organizations


def roles_lacked(notices: Iterable[Notice]) -> dict[UUID, list[str]]:
    """By notice, the roles that its consent is older than; without those whose consent is refused
    something besides, which is the greater news. No query without such a notice."""
    told = [notice for notice in notices if notice.step.startswith(ROLE_STEP)]
    if not told:
        return {}
    refused = _refused_something({notice.subject_id for notice in told})
    told = [notice for notice in told if notice.subject_id not in refused]
    roles = list(ApplicationRole.objects.order_by("added_at", "name"))
    return {
        notice.pk: [
            role.name
            for role in roles
            if role.application == _application_of(notice) and role.added_at > notice.consent_at
        ]
        for notice in told
    }


def _refused_something(grants: set[UUID]) -> set[UUID]:
    with across_organizations("what notices are about, whose organization the caller knows"):
        return {
            key
            for model in (SpApiGrant, AdsGrant)
            for key in model.objects.filter(
                pk__in=grants, permission_missing_since__isnull=False
            ).values_list("pk", flat=True)
        }


def _application_of(notice: Notice) -> LwaApplication:
    return LwaApplication.ADS if notice.ads_grant_id is not None else LwaApplication.SPAPI


def role_title(roles: list[str]) -> str:
    words = ngettext(
        "The consent lacks the new permission %(roles)s",
        "The consent lacks the new permissions %(roles)s",
        len(roles),
    )
    return words % {"roles": get_text_list(roles, _("and"))}


def role_impact(roles: list[str]) -> str:
    words = ngettext(
        "Amazon gave it to our application after this consent. What arrives now goes on; what "
        "needs the new permission comes with a new consent.",
        "Amazon gave them to our application after this consent. What arrives now goes on; what "
        "needs the new permissions comes with a new consent.",
        len(roles),
    )
    return " ".join([words, *_unlocked(roles)])


def _unlocked(roles: list[str]) -> list[str]:
    """What we know to need one of them; staff write roles down as Amazon names them."""
    with translation.override("en"):
        known = {str(role): unlocks for unlocks, role in UNLOCKS.values()}
    return [
        _("%(role)s: %(unlocks)s") % {"role": role, "unlocks": known[role]}
        for role in roles
        if role in known
    ]
