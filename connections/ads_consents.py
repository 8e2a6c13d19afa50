"""Whose an Ads consent is: one definition, for whoever reads, checks, shows or ends it.

A consent names no row. It is of the rows that it feeds and of those whose seller it sees; where
its profiles name no row at all, it is of the row it was given for.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from connections import refusals
from connections.models import AdsGrant, Connection, Grant
from sellerlegend.organizations.scoping import ScopedQuerySet

# From a row to the consents that feed it.
FEEDS = "marketplace_accounts__ppc_link__profile__grant"


def of_row(connection: Connection) -> list[AdsGrant]:
    """The living ones."""
    rows = Connection.with_removed.for_organization(connection.organization_id)
    mine = of_rows(connection.organization_id, rows.filter(pk=connection.pk))
    return list(mine.exclude(status=Grant.Status.DISCONNECTED).order_by("pk"))


def of_rows(organization_id: UUID, rows: QuerySet[Any, Any]) -> ScopedQuerySet[AdsGrant]:
    """Those of any of these rows, ended ones too."""
    grants = AdsGrant.objects.for_organization(organization_id)
    feeds = Q(profiles__links__account__connection__in=rows.values("pk"))
    sellers = rows.filter(selling_partner_id__isnull=False).values("selling_partner_id")
    sees = Q(profiles__account_id__in=sellers, profiles__is_listed=True)
    given = Q(pk__in=_of_no_row(organization_id).filter(asked_for__in=rows.values("pk")))
    # Apart from the joins: whoever asks may narrow and order what comes back.
    mine: ScopedQuerySet[AdsGrant] = grants.filter(
        pk__in=grants.filter(feeds | sees | given).values("pk")
    )
    return mine


def rows_of(grants: list[AdsGrant]) -> list[UUID]:
    """The other way round: every row, in sight or not, that has one of these."""
    if not grants:
        return []
    organization_id = grants[0].organization_id
    these = AdsGrant.objects.for_organization(organization_id).filter(
        pk__in=[grant.pk for grant in grants]
    )
    found = _rows(organization_id, these)
    return list(found.distinct().order_by("pk").values_list("pk", flat=True))


def those_with_one(
    organization_id: UUID, row_ids: list[UUID], grants: ScopedQuerySet[AdsGrant]
) -> set[UUID]:
    """Of these rows, in one statement, those that have one of these consents."""
    found = _rows(organization_id, grants).filter(pk__in=row_ids)
    return set(found.values_list("pk", flat=True))


def _rows(organization_id: UUID, grants: ScopedQuerySet[AdsGrant]) -> QuerySet[Connection]:
    """Every row that has one of these consents, maybe several times."""
    seen = grants.filter(profiles__is_listed=True).values("profiles__account_id")
    given = _of_no_row(organization_id).filter(pk__in=grants.values("pk")).values("asked_for")
    rows: QuerySet[Connection] = Connection.with_removed.for_organization(organization_id)
    return rows.filter(
        Q(**{f"{FEEDS}__in": grants.values("pk")})
        | Q(selling_partner_id__in=seen)
        | Q(pk__in=given)
    )


def by_row(grants: ScopedQuerySet[AdsGrant], rows: list[Connection]) -> dict[UUID, set[UUID]]:
    """Which of these consents are of each row, in three statements; rows without one are left
    out."""
    if not rows:
        return {}
    by_seller: dict[str | None, list[UUID]] = {}
    for row in rows:
        by_seller.setdefault(row.selling_partner_id, []).append(row.pk)
    ids = [row.pk for row in rows]
    row_fed = "profiles__links__account__connection"
    feeds = grants.filter(**{f"{row_fed}__in": ids}).values_list(row_fed, "pk")
    sees = grants.filter(profiles__account_id__in=filter(None, by_seller), profiles__is_listed=True)
    given = grants.filter(asked_for__in=ids, pk__in=_of_no_row(rows[0].organization_id))
    pairs = [*feeds, *given.values_list("asked_for", "pk")]
    for seller, grant in sees.values_list("profiles__account_id", "pk").distinct():
        pairs += [(row_id, grant) for row_id in by_seller[seller]]
    found: dict[UUID, set[UUID]] = {}
    for row_id, grant in pairs:
        found.setdefault(row_id, set()).add(grant)
    return found


def living(organization_id: UUID) -> ScopedQuerySet[AdsGrant]:
    grants = AdsGrant.objects.for_organization(organization_id)
    found: ScopedQuerySet[AdsGrant] = grants.exclude(status=Grant.Status.DISCONNECTED)
    return found


def askable(organization_id: UUID) -> ScopedQuerySet[AdsGrant]:
    """Those that Amazon can be asked about."""
    grants = AdsGrant.objects.for_organization(organization_id)
    found: ScopedQuerySet[AdsGrant] = grants.filter(refusals.askable())
    return found


def _of_no_row(organization_id: UUID) -> ScopedQuerySet[AdsGrant]:
    """Consents that feed no row and see the seller of none: never listed, or of somebody else."""
    rows = Connection.with_removed.for_organization(organization_id)
    sellers = rows.filter(selling_partner_id__isnull=False).values("selling_partner_id")
    grants = AdsGrant.objects.for_organization(organization_id)
    tied = grants.filter(
        Q(profiles__links__isnull=False)
        | Q(profiles__is_listed=True, profiles__account_id__in=sellers),
        pk=OuterRef("pk"),
    )
    of_none: ScopedQuerySet[AdsGrant] = grants.exclude(Exists(tied))
    return of_none
