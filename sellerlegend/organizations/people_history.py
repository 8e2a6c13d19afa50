"""The last changes of people, in words for the organization's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sellerlegend.organizations.models import AuditEvent, Invitation, Organization, Role, User
from sellerlegend.organizations.scoping import across_organizations

Kind = AuditEvent.ActorKind
SHOWN = 20

CODES: dict[str, str | Promise] = {
    "invitation_sent": gettext_lazy("Invited %(person)s as %(role)s"),
    "invitation_resent": gettext_lazy("Invited %(person)s again, with a new link"),
    "invitation_revoked": gettext_lazy("The invitation of %(person)s was ended"),
    "invitation_accepted": gettext_lazy("%(person)s accepted the invitation"),
    "member_role_changed": gettext_lazy("%(person)s became %(role)s"),
    "member_reach_changed": gettext_lazy("Changed what %(person)s sees"),
    "member_removed": gettext_lazy("Removed %(person)s"),
    "member_left": gettext_lazy("%(person)s left"),
    "ownership_transferred": gettext_lazy("Made %(person)s the owner"),
}


def last_organization_of(user: User) -> str:
    """The name of the one in which somebody without a membership acted last, be it that they
    joined it. Empty for who is new here; one that was deleted is not told of."""
    with across_organizations("a person without a membership is told which one ended"):
        events = AuditEvent.objects.filter(actor=user, organization__deleted_at=None)
        last = events.exclude(organization=None).order_by("-id")
        return last.values_list("organization__name", flat=True).first() or ""


@dataclass(frozen=True)
class Change:
    at: datetime
    words: str
    who: str


def changes(organization: Organization) -> list[Change]:
    """The newest first, in three queries."""
    events = AuditEvent.objects.for_organization(organization).filter(code__in=CODES)
    found = list(events.select_related("actor").order_by("-at", "-id")[:SHOWN])
    names = names_of(organization, {event.subject_id for event in found if event.subject_id})
    return [
        Change(event.at, words_of(event, names), who_of(event.actor_kind, event.actor))
        for event in found
    ]


def names_of(organization: Organization, keys: set[UUID]) -> dict[UUID, str]:
    """Of people and of invitations; what is gone has none any more."""
    people = {key: str(user) for key, user in User.objects.in_bulk(keys).items()}
    rows = Invitation.objects.for_organization(organization).filter(pk__in=keys)
    return people | dict(rows.values_list("pk", "email"))


def words_of(event: AuditEvent, names: dict[UUID, str]) -> str:
    role = str(event.details.get("role", ""))
    person = names.get(event.subject_id) if event.subject_id else None
    return str(CODES[event.code]) % {
        "person": person or _("somebody"),
        "role": Role(role).label if role in Role.values else role,
    }


def who_of(kind: str, actor: User | None) -> str:
    """Staff and our operators are Support, as in the timeline of a connection."""
    if kind in (Kind.STAFF, Kind.COMMAND):
        return _("Support")
    if kind == Kind.WORKER:
        return _("Automatically")
    return str(actor) if actor else _("A deleted login")
