"""Tags and clients: what an organization sorts its connections by. One path for every caller."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import (
    Aggregate,
    CharField,
    Count,
    Exists,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce, NullIf
from django.utils.translation import gettext as _

from connections import revisions
from connections.grouping_models import Client, Tag, Tagging
from connections.listing import WITHOUT_ID, Chosen
from connections.models import Connection, SpApiGrant
from connections.reach import within_reach
from sellerlegend.alphabet import Alphabetical
from sellerlegend.organizations.audit import Actor, record_event, record_events
from sellerlegend.organizations.models import Membership, Organization

# More are no help to anybody, and each is a line of a menu.
MOST_TAGS, MOST_CLIENTS = 200, 2_000
BETWEEN = "\x1f"


class NameTaken(ValueError):
    """The organization has a tag or client of this name, ignoring case."""


class TooMany(ValueError):
    """The organization has as many as it can."""


@dataclass(frozen=True)
class Groups:
    """By id, each in the order of its names: what rows can be told apart by."""

    tags: dict[int, str]
    clients: dict[UUID, str]
    people: dict[UUID, str]

    def known(self, chosen: Chosen) -> Chosen:
        """What is not of this organization, or gone, is as not chosen."""
        tags = tuple(tag for tag in chosen.tag if tag in self.tags)
        return replace(
            chosen,
            tag=tags,
            client=chosen.client if is_known(chosen.client, self.clients) else "",
            authorised=chosen.authorised if is_known(chosen.authorised, self.people) else "",
        )


def is_known(text: str, ids: Collection[UUID]) -> bool:
    return text in WITHOUT_ID or UUID(text) in ids


def groups_of(reader: Membership) -> Groups:
    """A limited member's: those of the rows that they see."""
    organization_id = reader.organization_id
    tags = Tag.objects.for_organization(organization_id).order_by(Alphabetical("name"))
    clients = Client.objects.for_organization(organization_id).order_by(Alphabetical("name"))
    return Groups(
        tags=dict(within_reach(tags, reader, "taggings__connection").values_list("pk", "name")),
        clients=dict(within_reach(clients, reader, "connections").values_list("pk", "name")),
        people=people_of(reader),
    )


def people_of(reader: Membership) -> dict[UUID, str]:
    words = _("%(name)s, no member any more")
    return {
        key: name if is_member else words % {"name": name}
        for key, name, is_member in authorisers(reader)
    }


def authorisers(reader: Membership) -> QuerySet[Any, Any]:
    """Who gave a consent of Selling Partner that a row has now."""
    every = SpApiGrant.objects.for_organization(reader.organization_id)
    grants = within_reach(every, reader, "connection")
    name = Coalesce(
        NullIf("authorized_by__name", Value("")),
        "authorized_by__email",
        output_field=CharField(),
    )
    members = Membership.objects.for_organization(reader.organization_id).filter(
        user=OuterRef("authorized_by")
    )
    people: QuerySet[Any, Any] = (
        grants.filter(authorized_by__isnull=False)
        .annotate(person=name, is_member=Exists(members))
        .values_list("authorized_by_id", "person", "is_member")
    )
    return people.distinct()


def groups_named(reader: Membership, chosen: Chosen) -> Groups:
    """Asks the database only when the choice names something of the organization's."""
    return groups_of(reader) if chosen.names_groups else Groups({}, {}, {})


# On the rows -------------------------------------------------------------------------------


class Joined(Aggregate):
    """Many names as one text, in no order."""

    function = "STRING_AGG"
    name = "Joined"

    def __init__(self, column: Any) -> None:
        super().__init__(column, Value(BETWEEN), output_field=CharField())

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, function="GROUP_CONCAT", **context)


def tag_names(organization_id: UUID) -> Subquery:
    """For a query of connections; NULL for a row without a tag."""
    tagged = Tagging.objects.for_organization(organization_id).filter(connection=OuterRef("pk"))
    names = tagged.order_by().values("connection").annotate(names=Joined("tag__name"))
    return Subquery(names.values("names"))


def names_in(joined: str | None) -> list[str]:
    return sorted(joined.split(BETWEEN), key=str.casefold) if joined else []


# Tags --------------------------------------------------------------------------------------


def tags_with_counts(reader: Membership) -> QuerySet[Any, Any]:
    every = Tag.objects.for_organization(reader.organization_id)
    tags: QuerySet[Any, Any] = within_reach(every, reader, "taggings__connection")
    living = Q(taggings__connection__removed_at=None)
    counted: QuerySet[Any, Any] = tags.annotate(rows=Count("taggings", filter=living))
    return counted.order_by(Alphabetical("name"))


def create_tag(*, organization: Organization, name: str, actor: Actor) -> Tag:
    """Raises NameTaken, TooMany."""
    tags = Tag.objects.for_organization(organization)
    try:
        with transaction.atomic():
            revisions.touch(organization.pk, [])
            if tags.count() >= MOST_TAGS:
                raise TooMany
            tag: Tag = tags.create(name=name)
            record_event("tag_created", actor=actor, organization=organization, new=name)
    except IntegrityError:
        raise NameTaken(name) from None
    return tag


def tag_named(*, organization: Organization, name: str, actor: Actor) -> Tag:
    """The tag of this name, ignoring case; made when there is none. Raises NameTaken, TooMany."""
    tags = Tag.objects.for_organization(organization)
    found: Tag | None = tags.filter(name__iexact=name).first()
    return found or create_tag(organization=organization, name=name, actor=actor)


def rename_tag(*, tag: Tag, name: str, actor: Actor) -> None:
    """Raises NameTaken."""
    try:
        with transaction.atomic():
            touch_tagged(tag)
            tags = Tag.objects.for_organization(tag.organization_id)
            tags.filter(pk=tag.pk).update(name=name)
            organization = tag.organization
            record_event(
                "tag_renamed", actor=actor, organization=organization, old=tag.name, new=name
            )
    except IntegrityError:
        raise NameTaken(name) from None
    tag.name = name


def delete_tag(*, tag: Tag, actor: Actor) -> None:
    """From every row; the rows stay."""
    with transaction.atomic():
        touch_tagged(tag)
        record_event("tag_deleted", actor=actor, organization=tag.organization, old=tag.name)
        tag.delete()


def touch_tagged(tag: Tag) -> None:
    """The lock comes first, as everywhere; then it is known which rows have the tag."""
    revisions.touch_list(tag.organization_id)
    tagged = Tagging.objects.for_organization(tag.organization_id).filter(tag=tag)
    revisions.show(tag.organization_id, tagged.values_list("connection_id", flat=True))


def set_tags(*, connection: Connection, tag_ids: Iterable[int], actor: Actor) -> None:
    """Exactly these, of the organization's own."""
    wanted = known_tags(connection.organization_id, tag_ids)
    with transaction.atomic():
        revisions.touch(connection.organization_id, [connection.pk])
        taggings = Tagging.objects.for_organization(connection.organization_id)
        present = set(taggings.filter(connection=connection).values_list("tag_id", flat=True))
        gone, fresh = present - wanted.keys(), wanted.keys() - present
        if not (gone or fresh):
            return
        taggings.filter(connection=connection, tag_id__in=gone).delete()
        taggings.bulk_create(
            Tagging(organization_id=connection.organization_id, connection=connection, tag_id=tag)
            for tag in sorted(fresh)
        )
        names = ", ".join(sorted(wanted.values(), key=str.casefold))
        record_event("connection_tagged", actor=actor, subject=connection, new=names)


def known_tags(organization_id: UUID, tag_ids: Iterable[int]) -> dict[int, str]:
    tags = Tag.objects.for_organization(organization_id).filter(pk__in=list(tag_ids))
    return dict(tags.values_list("pk", "name"))


def tag_rows(
    *, organization: Organization, rows: Collection[UUID], tag: Tag, actor: Actor
) -> list[UUID]:
    """Put a tag on many rows; returns those that had it not."""
    with transaction.atomic():
        revisions.touch(organization.pk, rows)
        taggings = Tagging.objects.for_organization(organization)
        tagged = taggings.filter(tag=tag, connection_id__in=list(rows))
        having = set(tagged.values_list("connection_id", flat=True))
        fresh = connections_of(organization.pk, [row for row in rows if row not in having])
        taggings.bulk_create(
            [Tagging(organization=organization, connection=row, tag=tag) for row in fresh],
            batch_size=500,
        )
        record_events("connection_tag_added", actor=actor, subjects=fresh, new=tag.name)
    return [row.pk for row in fresh]


def untag_rows(
    *, organization: Organization, rows: Collection[UUID], tag: Tag, actor: Actor
) -> list[UUID]:
    """Take it off; returns those that had it."""
    with transaction.atomic():
        revisions.touch(organization.pk, rows)
        taggings = Tagging.objects.for_organization(organization)
        tagged = taggings.filter(tag=tag, connection_id__in=list(rows))
        having = connections_of(organization.pk, tagged.values_list("connection_id", flat=True))
        tagged.delete()
        record_events("connection_tag_removed", actor=actor, subjects=having, old=tag.name)
    return [row.pk for row in having]


def connections_of(organization_id: UUID, ids: Iterable[UUID]) -> list[Connection]:
    rows = Connection.objects.for_organization(organization_id)
    return list(rows.filter(pk__in=list(ids)))


# Clients -----------------------------------------------------------------------------------


def clients_with_counts(reader: Membership) -> QuerySet[Any, Any]:
    every = Client.objects.for_organization(reader.organization_id)
    clients: QuerySet[Any, Any] = within_reach(every, reader, "connections")
    living = Q(connections__removed_at=None)
    counted: QuerySet[Any, Any] = clients.annotate(rows=Count("connections", filter=living))
    return counted.order_by(Alphabetical("name"))


def create_client(
    *, organization: Organization, actor: Actor, name: str, contact_name: str, contact_email: str
) -> Client:
    """Raises NameTaken, TooMany."""
    clients = Client.objects.for_organization(organization)
    try:
        with transaction.atomic():
            revisions.touch(organization.pk, [])
            if clients.count() >= MOST_CLIENTS:
                raise TooMany
            client: Client = clients.create(
                name=name, contact_name=contact_name, contact_email=contact_email
            )
            record_event("client_created", actor=actor, subject=client, new=name)
    except IntegrityError:
        raise NameTaken(name) from None
    return client


def change_client(
    *, client: Client, actor: Actor, name: str, contact_name: str, contact_email: str
) -> None:
    """Raises NameTaken."""
    fresh = {"name": name, "contact_name": contact_name, "contact_email": contact_email}
    changed = [column for column, value in fresh.items() if getattr(client, column) != value]
    try:
        with transaction.atomic():
            touch_client(client)
            clients = Client.objects.for_organization(client.organization_id)
            clients.filter(pk=client.pk).update(**fresh)
            # Which columns, not what was in them: a contact is a person outside.
            record_event(
                "client_changed",
                actor=actor,
                subject=client,
                old=client.name,
                new=name,
                columns=changed,
            )
    except IntegrityError:
        raise NameTaken(name) from None


def delete_client(*, client: Client, actor: Actor) -> None:
    """Its rows stay, and are nobody's."""
    with transaction.atomic():
        touch_client(client)
        record_event("client_deleted", actor=actor, subject=client, old=client.name)
        client.delete()


def touch_client(client: Client) -> None:
    revisions.touch_list(client.organization_id)
    rows = Connection.objects.for_organization(client.organization_id).filter(client_id=client.pk)
    revisions.show(client.organization_id, list(rows.values_list("pk", flat=True)))


def give_to_client(
    *, organization: Organization, rows: Collection[UUID], client: Client | None, actor: Actor
) -> list[UUID]:
    """These rows are this client's (None: nobody's); returns those that were not."""
    client_id = client.pk if client else None
    with transaction.atomic():
        revisions.touch(organization.pk, [])
        found = connections_of(organization.pk, rows)
        moved = [row for row in found if row.client_id != client_id]
        revisions.show(organization.pk, [row.pk for row in moved], client_id=client_id)
        if client is None:
            record_events("connection_client_taken", actor=actor, subjects=moved)
        else:
            record_events("connection_client_set", actor=actor, subjects=moved, new=client.name)
    return [row.pk for row in moved]
