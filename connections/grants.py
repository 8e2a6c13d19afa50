"""Reading one consent for a call: a hot query for each kind of grant, with the data key beside it.

Every call of Amazon begins here, so it is one statement whose SQL the ORM wrote once.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, QuerySet

from connections.models import AdsGrant, Connection, SpApiGrant
from connections.token_cache import AnyGrant
from sellerlegend.prepared import PreparedQuery

SPAPI_COLUMNS = [field.attname for field in SpApiGrant._meta.concrete_fields]
ADS_COLUMNS = [field.attname for field in AdsGrant._meta.concrete_fields]


def of_connections(organization_id: UUID, connection_id: UUID) -> QuerySet[Any, Any]:
    grants = SpApiGrant.objects.for_organization(organization_id)
    rows: QuerySet[Any, Any] = grants.filter(connection_id=connection_id).annotate(
        data_key=F("connection__organization__data_key")
    )
    return rows.values(*SPAPI_COLUMNS, "data_key")


def of_ads(organization_id: UUID, grant_id: UUID) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = AdsGrant.objects.for_organization(organization_id)
    return rows.filter(pk=grant_id).values(*ADS_COLUMNS)


OF_CONNECTIONS = PreparedQuery(of_connections, organization_id=UUID, connection_id=UUID)
OF_ADS = PreparedQuery(of_ads, organization_id=UUID, grant_id=UUID)


def spapi_grant_of(connection: Connection) -> tuple[SpApiGrant | None, str]:
    """The connection's consent, and the organization's data key as it is at this moment."""
    ids = {"organization_id": connection.organization_id, "connection_id": connection.pk}
    for row in OF_CONNECTIONS.rows(**ids):
        data_key: str = row.pop("data_key")
        grant = SpApiGrant.from_db(DEFAULT_DB_ALIAS, SPAPI_COLUMNS, list(row.values()))
        grant.connection = connection
        return grant, data_key
    return None, ""


def look_again(grant: AnyGrant) -> None:
    """The row's columns as they are now. Raises ObjectDoesNotExist when it is gone."""
    if isinstance(grant, SpApiGrant):
        found = OF_CONNECTIONS.rows(
            organization_id=grant.owner_id(), connection_id=grant.connection_id
        )
    else:
        found = OF_ADS.rows(organization_id=grant.organization_id, grant_id=grant.pk)
    for row in found:
        row.pop("data_key", None)
        if row["id"] == grant.pk:
            vars(grant).update(row)
            return
    raise ObjectDoesNotExist(str(grant.pk))
