"""Becoming a member by mail. The link opens once, for the address it was sent to, for a week.

Whoever has a dead link learns nothing: unknown, expired, used and revoked are one answer. Looking
changes nothing, so a mail scanner that opens the link uses nothing up.
"""

from __future__ import annotations

import re
import secrets
from uuid import UUID

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from sellerlegend import crypto
from sellerlegend.organizations import limits
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.limits import Limit
from sellerlegend.organizations.models import Invitation, Membership, Organization, Role, User
from sellerlegend.organizations.scoping import across_organizations
from sellerlegend.transitions import StaleState, advance

Status = Invitation.Status

MOST_OPEN = 50
TOKEN_BYTES = 32
TOKEN_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")
# Of an organization: mails to people who did not ask for them.
SENDING = Limit("invitation", burst=20, seconds=180)
# Of an address, whoever invites it.
SENDING_TO_ADDRESS = Limit("invitation_to_address", burst=4, seconds=600)
# Of a client's address: looking at links.
LINKS = Limit("invitation_link", burst=40, seconds=6)


class NotInvitable(ValueError):
    """`code`: member, too_many, role or gone. Nothing was changed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class OtherAddress(ValueError):
    """The invitation is for an address that is not a verified one of this person."""


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


# By administrators --------------------------------------------------------------------------


def invite(
    *, by: Membership, email: str, role: Role, is_limited: bool = False
) -> tuple[Invitation, str]:
    """A new invitation and its token, which is nowhere else. One that is open for the address
    ends. Raises NotInvitable."""
    with transaction.atomic():
        mine = _inviter(by, role)
        rows = Invitation.objects.for_organization(by.organization_id)
        members = Membership.objects.for_organization(by.organization_id)
        if members.filter(user__email=email).exists():
            raise NotInvitable("member")
        for before in rows.filter(status=Status.OPEN, email=email):
            revoke(before, actor=Actor.person(mine.user), reason="replaced")
        if open_ones(by.organization_id).count() >= MOST_OPEN:
            raise NotInvitable("too_many")
        token = new_token()
        invitation: Invitation = rows.create(
            organization_id=by.organization_id,
            email=email,
            role=role,
            is_limited=is_limited and role != Role.ADMIN,
            token_hash=crypto.digest(token),
            invited_by=mine.user,
            expires_at=timezone.now() + Invitation.LIFETIME,
        )
        _record("invitation_sent", mine, invitation)
    return invitation, token


def renew(*, by: Membership, invitation_id: UUID) -> tuple[Invitation, str]:
    """A new link for another week; the one before it opens nothing any more. Raises NotInvitable:
    also when there is no such open invitation."""
    with transaction.atomic():
        rows = Invitation.objects.for_organization(by.organization_id)
        seen = rows.filter(pk=invitation_id, status=Status.OPEN).first()
        if seen is None:
            raise NotInvitable("gone")
        mine = _inviter(by, Role(seen.role))
        token = new_token()
        fresh = {
            "token_hash": crypto.digest(token),
            "expires_at": timezone.now() + Invitation.LIFETIME,
            "invited_by": mine.user,
        }
        if not rows.filter(pk=seen.pk, status=Status.OPEN).update(**fresh):
            raise NotInvitable("gone")
        seen.refresh_from_db()
        _record("invitation_resent", mine, seen)
    return seen, token


def wait_before_mail(organization_id: UUID, email: str) -> float:
    """Seconds until this organization may write to this address; 0.0: now, and counted."""
    return limits.take((SENDING, organization_id.hex), (SENDING_TO_ADDRESS, email.lower()))


def _inviter(by: Membership, role: Role) -> Membership:
    """As the membership is now, under the organization's lock. Raises NotInvitable."""
    organizations = Organization.objects.select_for_update()
    is_alive = organizations.filter(pk=by.organization_id, deleted_at=None).first() is not None
    rows = Membership.objects.for_organization(by.organization_id).select_related("user")
    mine = rows.filter(pk=by.pk).first() if is_alive else None
    may_invite = mine is not None and mine.may(Role.ADMIN) and mine.may(role)
    if mine is None or not may_invite or role not in Invitation.ROLES:
        raise NotInvitable("role")
    return mine


def _record(code: str, mine: Membership, invitation: Invitation) -> None:
    record_event(code, actor=Actor.person(mine.user), subject=invitation, role=invitation.role)


def revoke(invitation: Invitation, *, actor: Actor, reason: str = "") -> bool:
    """False: it was used or revoked already."""
    if invitation.status != Status.OPEN:
        return False
    try:
        advance(invitation, to=Status.REVOKED, actor=actor, reason=reason, ended_at=timezone.now())
    except StaleState:
        return False
    return True


def revoke_beyond(organization_id: UUID, user: User, role: Role | None) -> None:
    """In the caller's transaction: open ones that this person could not make with this role, or
    as nobody's member any more."""
    rows = Invitation.objects.for_organization(organization_id)
    for invitation in rows.filter(status=Status.OPEN, invited_by=user):
        if role is None or not (role.covers(Role.ADMIN) and role.covers(Role(invitation.role))):
            revoke(invitation, actor=Actor.person(user), reason="inviter_left")


def open_ones(organization_id: UUID) -> QuerySet[Invitation]:
    """Those that somebody could still accept."""
    rows = Invitation.objects.for_organization(organization_id)
    return rows.filter(status=Status.OPEN, expires_at__gt=timezone.now())


def pending(organization_id: UUID) -> QuerySet[Invitation]:
    """For the page: also those that expired and can be sent again."""
    rows = Invitation.objects.for_organization(organization_id).filter(status=Status.OPEN)
    return rows.select_related("invited_by").order_by("-created_at", "pk")


# By the invited -----------------------------------------------------------------------------


def known(token_hash: str) -> Invitation | None:
    """The one that this link still opens. None for every other case alike."""
    with across_organizations("a link names its organization"):
        rows = Invitation.objects.select_related("organization", "invited_by")
        found: Invitation | None = rows.filter(
            token_hash=token_hash,
            status=Status.OPEN,
            expires_at__gt=timezone.now(),
            organization__deleted_at=None,
        ).first()
    return found


def known_by_link(token: str) -> Invitation | None:
    return known(crypto.digest(token)) if TOKEN_SHAPE.fullmatch(token) else None


def is_for(invitation: Invitation, user: User) -> bool:
    """By addresses that the person proved to read."""
    verified = EmailAddress.objects.filter(user=user, verified=True)
    wanted = invitation.email.lower()
    # In Python: a database may take letters for the same that are not.
    return any(email.lower() == wanted for email in verified.values_list("email", flat=True))


def accept(token_hash: str, user: User) -> Membership:
    """Once. Who is a member already stays what they are. Raises NotInvitable, OtherAddress."""
    with transaction.atomic():
        seen = known(token_hash)
        if seen is None:
            raise NotInvitable("gone")
        Organization.objects.select_for_update().get(pk=seen.organization_id)
        invitation = known(token_hash)  # again, under the lock
        if invitation is None:
            raise NotInvitable("gone")
        if not is_for(invitation, user):
            raise OtherAddress(str(invitation.pk))
        try:
            advance(
                invitation, to=Status.ACCEPTED, actor=Actor.person(user), ended_at=timezone.now()
            )
        except StaleState:  # who revokes one takes no lock
            raise NotInvitable("gone") from None
        members = Membership.objects.for_organization(invitation.organization_id)
        return members.get_or_create(
            user=user,
            defaults={
                "organization_id": invitation.organization_id,
                "role": invitation.role,
                "is_limited": invitation.is_limited,
            },
        )[0]
