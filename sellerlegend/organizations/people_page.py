"""The members as the page shows them, every string ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from sellerlegend.organizations.members import is_last_owner, may_manage, members_of
from sellerlegend.organizations.models import Membership, Role


@dataclass(frozen=True)
class MemberLine:
    """`may_manage`: the reader may change the role and remove; `may_limit`: and the reach.
    `consents`: which the person gave, of those that the reader sees, in words; `links`: how many
    open ones to clients."""

    id: UUID
    person: UUID
    name: str
    email: str
    role: str
    is_owner: bool
    is_self: bool
    is_switched_off: bool
    since: datetime
    last_seen: datetime | None
    reach: str
    consents: str
    links: int
    may_manage: bool
    may_limit: bool


def member_lines(
    reader: Membership,
    reaches: Mapping[UUID, str],
    *,
    consents: Mapping[UUID, str],
    links: Mapping[UUID | None, int],
) -> list[MemberLine]:
    return [
        line_of(
            member,
            reader,
            reaches,
            consents=consents.get(member.user_id, ""),
            links=links.get(member.user_id, 0),
        )
        for member in members_of(reader.organization)
    ]


def line_of(
    member: Membership,
    reader: Membership,
    reaches: Mapping[UUID, str],
    *,
    consents: str,
    links: int,
) -> MemberLine:
    is_free = may_manage(reader, member) and not is_last_owner(member)
    return MemberLine(
        id=member.pk,
        person=member.user_id,
        name=str(member.user),
        email=member.user.email if member.user.name else "",
        role=str(Role(member.role).label),
        is_owner=member.role == Role.OWNER,
        is_self=member.pk == reader.pk,
        is_switched_off=not member.user.is_active,
        since=member.created_at,
        last_seen=member.user.last_login,
        reach=reaches.get(member.pk, "") if member.is_limited else _("Everything"),
        consents=consents,
        links=links,
        may_manage=is_free,
        may_limit=is_free and not member.may(Role.ADMIN),
    )
