"""Roles given, changed and taken. Whoever acts must still be what the page took them for: each
change looks again under the organization's lock, so of two at once the second sees the first.

Nobody gives, takes or changes a role above their own. An organization never is without an owner
who can sign in.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from sellerlegend.folding import plain
from sellerlegend.organizations import invitations, people_log
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Membership, Organization, Role, User


class NotAMember(LookupError):
    """The person who acts, or the one it is about, is no member any more."""


class RoleTooLow(PermissionError):
    """It would give, take or change a role above the own one."""


class LastOwner(ValueError):
    """Nobody else who can sign in would own the organization."""


def may_manage(mine: Membership, theirs: Membership) -> bool:
    """Administrators look after everybody up to their own role."""
    return mine.may(Role.ADMIN) and mine.may(Role(theirs.role))


def roles_to_give(mine: Membership) -> tuple[Role, ...]:
    """Up to the own one."""
    return tuple(role for role in Role if mine.may(Role.ADMIN) and mine.may(role))


def in_force(by: Membership, member_id: UUID) -> tuple[Membership, Membership]:
    """Both memberships as they are now, in the caller's transaction, which holds the lock from
    here on. Raises NotAMember."""
    lock(by.organization_id)
    rows = Membership.objects.for_organization(by.organization_id).select_related("user")
    found = {row.pk: row for row in rows.filter(pk__in={by.pk, member_id})}
    if by.pk not in found or member_id not in found:
        raise NotAMember(str(member_id))
    return found[by.pk], found[member_id]


def lock(organization_id: UUID) -> Organization:
    """The first one in the order of locks. Raises NotAMember for one that was deleted."""
    rows = Organization.objects.select_for_update().filter(pk=organization_id, deleted_at=None)
    organization = rows.first()
    if organization is None:
        raise NotAMember(str(organization_id))
    return organization


def change_role(*, by: Membership, member_id: UUID, role: Role) -> Membership:
    """Raises NotAMember, RoleTooLow, LastOwner. The limits of a reach sleep while the role is one
    that knows none, and are there again afterwards."""
    with transaction.atomic():
        mine, theirs = in_force(by, member_id)
        if not may_manage(mine, theirs) or role not in roles_to_give(mine):
            raise RoleTooLow(role)
        if theirs.role == role:
            return theirs
        require_another_owner(theirs)
        _become(theirs, role)
        _record("member_role_changed", mine, theirs, role=role)
    return theirs


def transfer_ownership(*, by: Membership, member_id: UUID) -> Membership:
    """The new owner owns and the old one becomes an administrator, in one transaction. Raises
    NotAMember, RoleTooLow."""
    with transaction.atomic():
        mine, theirs = in_force(by, member_id)
        if not mine.may(Role.OWNER) or theirs.pk == mine.pk or not theirs.user.is_active:
            raise RoleTooLow(Role.OWNER)
        _become(theirs, Role.OWNER)
        _become(mine, Role.ADMIN)
        _record("ownership_transferred", mine, theirs)
    return theirs


def end_membership(*, by: Membership, member_id: UUID) -> Membership:
    """Removed by an administrator, or left by oneself: in the caller's transaction. Raises
    NotAMember, RoleTooLow, LastOwner, NotWritable.

    What else the person had here ends in `ppc/parting.py`, the one caller.
    """
    mine, theirs = in_force(by, member_id)
    is_own = mine.pk == theirs.pk
    if not is_own and not may_manage(mine, theirs):
        raise RoleTooLow(theirs.role)
    require_another_owner(theirs)
    people_log.note_membership(theirs)
    _record("member_left" if is_own else "member_removed", mine, theirs)
    invitations.revoke_beyond(theirs.organization_id, theirs.user, None)
    Membership.objects.for_organization(theirs.organization_id).filter(pk=theirs.pk).delete()
    return theirs


def require_another_owner(member: Membership) -> None:
    """Before an owner stops being one. Raises LastOwner."""
    if is_last_owner(member):
        raise LastOwner(str(member.organization_id))


def is_last_owner(member: Membership) -> bool:
    """Nobody else who can sign in is an owner."""
    if member.role != Role.OWNER:
        return False
    rows = Membership.objects.for_organization(member.organization_id)
    owners = rows.filter(role=Role.OWNER, user__is_active=True)
    return not owners.exclude(pk=member.pk).exists()


def _become(member: Membership, role: Role) -> None:
    """Invitations that the person could not make any more end with the role."""
    was_limited = member.is_limited or member.has_sleeping_limit
    member.role = role
    member.is_limited = was_limited and not role.covers(Role.ADMIN)
    member.has_sleeping_limit = was_limited and role.covers(Role.ADMIN)
    rows = Membership.objects.for_organization(member.organization_id).filter(pk=member.pk)
    rows.update(
        role=member.role,
        is_limited=member.is_limited,
        has_sleeping_limit=member.has_sleeping_limit,
    )
    invitations.revoke_beyond(member.organization_id, member.user, role)


def _record(code: str, mine: Membership, theirs: Membership, **details: str) -> None:
    """Under the person's id: the membership may be gone tomorrow."""
    record_event(
        code,
        actor=Actor.person(mine.user),
        organization=Organization(pk=theirs.organization_id),
        subject=theirs.user,
        **details,
    )


def members_of(organization: Organization) -> list[Membership]:
    """By rank, then by name."""
    rows = Membership.objects.for_organization(organization).select_related("user")
    return sorted(rows, key=lambda row: (-Role(row.role).rank, _name(row.user), str(row.pk)))


def _name(user: User) -> str:
    return plain(str(user))
