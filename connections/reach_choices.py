"""Choosing how far a member sees, and saying it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from connections.grouping_models import Client, Reach, Tag
from connections.models import Connection
from sellerlegend.alphabet import Alphabetical
from sellerlegend.organizations import members
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Membership, Organization, Role

# More than these are told as a number.
NAMES_SHOWN = 3


@dataclass(frozen=True)
class Extent:
    """What a limited member sees: the rows of tags and clients, and single rows, by their ids."""

    tags: tuple[int, ...] = ()
    clients: tuple[UUID, ...] = ()
    connections: tuple[UUID, ...] = ()

    def rows(self, member: Membership) -> list[Reach]:
        """Only of things that the member's organization has."""
        return [
            Reach(organization_id=member.organization_id, membership=member, **{column: key})
            for column, model, wanted in (
                ("tag_id", Tag, self.tags),
                ("client_id", Client, self.clients),
                ("connection_id", Connection, self.connections),
            )
            for key in _known(model, member.organization_id, wanted)
        ]


def _known(model: type[Any], organization_id: UUID, wanted: Iterable[Any]) -> list[Any]:
    rows = model.objects.for_organization(organization_id).filter(pk__in=list(wanted))
    return list(rows.values_list("pk", flat=True))


def extent_of(member: Membership) -> Extent:
    rows = Reach.objects.for_organization(member.organization_id).filter(membership=member)
    found = list(rows.values_list("tag_id", "client_id", "connection_id"))
    return Extent(
        tags=tuple(tag for tag, _client, _row in found if tag),
        clients=tuple(client for _tag, client, _row in found if client),
        connections=tuple(row for _tag, _client, row in found if row),
    )


def set_reach(*, by: Membership, member_id: UUID, extent: Extent | None) -> Membership:
    """From the person's next request on. None: everything. Raises members.NotAMember,
    members.RoleTooLow: administrators and owners see everything."""
    with transaction.atomic():
        mine, theirs = members.in_force(by, member_id)
        if not members.may_manage(mine, theirs) or theirs.may(Role.ADMIN):
            raise members.RoleTooLow(theirs.role)
        reaches = Reach.objects.for_organization(theirs.organization_id)
        reaches.filter(membership=theirs).delete()
        rows = extent.rows(theirs) if extent is not None else []
        reaches.bulk_create(rows)
        theirs.is_limited = extent is not None
        same = Membership.objects.for_organization(theirs.organization_id).filter(pk=theirs.pk)
        same.update(is_limited=theirs.is_limited)
        record_event(
            "member_reach_changed",
            actor=Actor.person(mine.user),
            organization=Organization(pk=theirs.organization_id),
            subject=theirs.user,
            is_limited=theirs.is_limited,
            chosen=len(rows),
        )
    return theirs


# In words -----------------------------------------------------------------------------------


def reach_words(reader: Membership) -> dict[UUID, str]:
    """Of each limited member of the reader's organization, by membership. Names of tags, clients
    and rows are for who sees all of them, and for oneself."""
    names: dict[UUID, list[str]] = {}
    rows = Reach.objects.for_organization(reader.organization_id).order_by("pk")
    for key, *found in rows.values_list(
        "membership_id", "tag__name", "client__name", "connection__name"
    ):
        names.setdefault(key, []).append(next(name for name in found if name is not None))
    limited = Membership.objects.for_organization(reader.organization_id).filter(is_limited=True)
    return {
        key: (
            _("A part of the connections")
            if reader.is_limited and key != reader.pk
            else names_in_words(names.get(key, []))
        )
        for key in limited.values_list("pk", flat=True)
    }


def names_in_words(names: list[str]) -> str:
    if not names:
        return _("Nothing yet")
    shown, more = ", ".join(names[:NAMES_SHOWN]), len(names) - NAMES_SHOWN
    if more <= 0:
        return shown
    return _("%(names)s and %(count)d more") % {"names": shown, "count": more}


def choices_of(organization_id: UUID) -> dict[str, list[tuple[str, str]]]:
    """What can be chosen, by name."""
    tags = Tag.objects.for_organization(organization_id).order_by(Alphabetical("name"))
    clients = Client.objects.for_organization(organization_id).order_by(Alphabetical("name"))
    rows = Connection.objects.for_organization(organization_id).order_by(
        Alphabetical("name"), "region"
    )
    return {
        "tags": [(str(tag.pk), tag.name) for tag in tags],
        "clients": [(str(client.pk), client.name) for client in clients],
        "connections": [
            (str(key), f"{name} ({', '.join(filter(None, [region, seller]))})")
            for key, name, region, seller in rows.values_list(
                "pk", "name", "region", "selling_partner_id"
            )
        ],
    }
