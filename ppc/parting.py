"""A person's membership ends: what else they had in the organization ends with it.

It reaches over all apps, so it stands in the topmost. Consents that the person gave belong to the
organization and stay.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from connections import client_links
from connections.feed_models import CalendarFeed
from connections.grouping_models import SavedView
from connections.models import AuthorizationRequest
from connections.notice_models import NoticeSnooze, NotificationChoice
from ppc.disconnecting import end_open_trips
from sellerlegend.organizations import members
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Membership, Organization, User

OWN = (NotificationChoice, NoticeSnooze, CalendarFeed, SavedView)


def remove_member(*, by: Membership, member_id: UUID, ends_links: bool = False) -> User:
    """One transaction; access ends at the person's next request. `ends_links`: what the person
    handed out to clients ends too, else it goes on. Raises members.NotAMember,
    members.RoleTooLow, members.LastOwner."""
    actor = Actor.person(by.user)
    with transaction.atomic():
        gone = members.end_membership(by=by, member_id=member_id)
        end_what_is_theirs(gone, actor=actor)
        if ends_links:
            owner = Organization(pk=gone.organization_id)
            client_links.revoke_all_of(organization=owner, maker=gone.user, actor=actor)
    return gone.user


def leave(*, member: Membership) -> None:
    """The same by oneself. Raises members.NotAMember, members.LastOwner."""
    remove_member(by=member, member_id=member.pk)


def end_what_is_theirs(gone: Membership, *, actor: Actor) -> None:
    """In the caller's transaction, for a membership that is no more: its reach went with it. Mails
    that are planned find no reader, and are dropped."""
    organization_id, user = gone.organization_id, gone.user
    for model in OWN:
        model.objects.for_organization(organization_id).filter(user=user).delete()
    last = User.objects.filter(pk=user.pk, last_organization=organization_id)
    last.update(last_organization=None)
    trips = AuthorizationRequest.objects.for_organization(organization_id)
    end_open_trips(trips.filter(user=user), actor=actor, reason="member_left")
