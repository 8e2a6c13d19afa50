"""How far a member sees: all of the organization's rows, or those that a tag, a client or an
administrator's choice of rows leads to.

One place decides it, for lists, counts, single rows, mails and feeds alike. A row outside the
reach is to that person what a foreign one is: not there. A limited member without any reach sees
nothing, so that a deleted tag opens nothing.
"""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet

from connections import ads_consents
from connections.ads_consents import FEEDS
from connections.grouping_models import Reach, Tagging
from connections.models import Connection
from sellerlegend.organizations.models import Membership

Rows = TypeVar("Rows", bound=QuerySet[Any, Any])


def within_reach(rows: Rows, membership: Membership | None, path: str = "pk") -> Rows:
    """Those of `rows` that the member sees. `path` leads from a row to its connection's id. None
    stands for nobody in particular: workers see everything."""
    if membership is None or not membership.is_limited:
        return rows
    return rows.filter(**{f"{path}__in": reached(membership)})


def is_within(membership: Membership | None, connection_id: UUID | None) -> bool:
    """The same of one row by its id."""
    if membership is None or not membership.is_limited:
        return True
    return connection_id is not None and reached(membership).filter(pk=connection_id).exists()


def reached(membership: Membership) -> QuerySet[Any, Any]:
    """The ids of the rows that a limited member sees."""
    organization_id = membership.organization_id
    given = Reach.objects.for_organization(organization_id).filter(membership=membership.pk)
    tagged = Tagging.objects.for_organization(organization_id).filter(
        tag__in=given.exclude(tag=None).values("tag")
    )
    rows = Connection.objects.for_organization(organization_id)
    found: QuerySet[Any, Any] = rows.filter(
        Q(pk__in=given.exclude(connection=None).values("connection"))
        | Q(client__in=given.exclude(client=None).values("client"))
        | Q(pk__in=tagged.values("connection"))
    )
    return found.values("pk")


def may_add_rows(membership: Membership) -> bool:
    """Whoever is limited looks after rows that are there: a new one would belong to nobody's
    tag or client, and could be one that stands outside of the reach already."""
    return not membership.is_limited


# What hangs on rows -------------------------------------------------------------------------


def ads_grants_within(rows: Rows, membership: Membership | None) -> Rows:
    """Those Ads consents that are of a row which the member sees."""
    if membership is None or not membership.is_limited:
        return rows
    seen = Connection.objects.for_organization(membership.organization_id).filter(
        pk__in=reached(membership)
    )
    mine = ads_consents.of_rows(membership.organization_id, seen)
    return rows.filter(pk__in=mine.values("pk"))


def notices_within(rows: Rows, membership: Membership | None) -> Rows:
    """Those about such rows, about consents that feed one of them, and of incidents, which are
    about no row."""
    if membership is None or not membership.is_limited:
        return rows
    about_none = Q(connection=None, ads_grant=None)
    about_rows = Q(connection__in=reached(membership))
    feeding = reached(membership).filter(**{f"{FEEDS}__isnull": False}).values(FEEDS)
    about_consents = Q(ads_grant__in=feeding)
    return rows.filter(about_none | about_rows | about_consents)
