"""The end of a login: the person's row and everything that hangs on it goes.

Audit events and consents stay and name nobody any more; the screen then says "a deleted login".
"""

from __future__ import annotations

from allauth.usersessions.models import UserSession

from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.invitations import revoke_beyond
from sellerlegend.organizations.models import Membership, Organization, Role, User
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.organizations.sessions import SessionStore


def organizations_of(user: User) -> list[Organization]:
    """The living ones."""
    own = Membership.objects.for_user(user).filter(organization__deleted_at=None)
    return [row.organization for row in own.select_related("organization").order_by("created_at")]


def left_without_owner(user: User) -> list[Organization]:
    """Organizations in which nobody else who can sign in is an owner."""
    own = Membership.objects.for_user(user).filter(role=Role.OWNER).values("organization")
    with across_organizations("who else owns a person's own organizations"):
        others = Membership.objects.filter(role=Role.OWNER, user__is_active=True).exclude(user=user)
        owned = Organization.objects.filter(pk__in=own, deleted_at=None)
        return list(owned.exclude(pk__in=others.values("organization")).order_by("name"))


def erase_person(user: User, *, actor: Actor, reason: str = "") -> None:
    """In the caller's transaction. Sessions, devices, second factors, addresses, passwords,
    memberships and trips go with the row; what it is mentioned in forgets it."""
    keys = UserSession.objects.filter(user=user).values_list("session_key", flat=True)
    record_event("login_deleted", actor=actor, subject=user, reason=reason)
    for organization in organizations_of(user):
        record_event("member_left", actor=actor, organization=organization, subject=user)
        revoke_beyond(organization.pk, user, None)
    SessionStore.get_model_class().objects.filter(session_key__in=list(keys)).delete()
    User.objects.filter(pk=user.pk).delete()
