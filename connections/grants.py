"""Reading one consent for a call: a hot query for each kind of grant, with the data key beside it.

Every call of Amazon begins here, so it is one statement whose SQL the ORM wrote once.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Q, QuerySet

from connections.models import AdsGrant, Connection, SpApiGrant
from connections.token_cache import AnyGrant
from sellerlegend.prepared import PreparedQuery, PreparedReturning, PreparedUpdate

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


# What every refresh writes: conditional on the version, as all of `credentials.py` ---------


def free_lease(model: Any, *, pk: UUID, version: int, now: datetime, until: datetime) -> Any:
    is_free = Q(refresh_lease_until__isnull=True) | Q(refresh_lease_until__lt=now)
    mine = model._base_manager.filter(is_free, pk=pk, version=version)
    return mine, {"refresh_lease_until": until}


def held_lease(model: Any, *, pk: UUID, version: int, lease: datetime) -> Any:
    mine = model._base_manager.filter(pk=pk, version=version, refresh_lease_until=lease)
    return mine, {"refresh_lease_until": None}


def same_token(
    model: Any,
    *,
    pk: UUID,
    version: int,
    fingerprint: str,
    at: datetime,
    client_id: str,
    lease: datetime,
) -> Any:
    mine = model._base_manager.filter(
        pk=pk, version=version, fingerprint=fingerprint, refresh_lease_until=lease
    )
    return mine, {"last_refreshed_at": at, "client_id": client_id, "refresh_lease_until": None}


# What a neighbour may have changed of this very consent since the caller read it.
CHANGING = (
    "status",
    "status_changed_at",
    "refresh_token",
    "fingerprint",
    "client_id",
    "refresh_lease_until",
    "last_refreshed_at",
    "last_refused_at",
    "first_refused_at",
    "refusals_counted_from",
    "refusals",
    "last_error_code",
    "last_success_at",
    "last_failure_at",
    "last_failure_code",
    "throttled_since",
    "permission_missing_since",
)
KEY: dict[str, type] = {"pk": UUID, "version": int}
TAKE = {
    model: PreparedReturning(
        partial(free_lease, model), CHANGING, **KEY, now=datetime, until=datetime
    )
    for model in (SpApiGrant, AdsGrant)
}
RELEASE = {
    model: PreparedUpdate(partial(held_lease, model), **KEY, lease=datetime)
    for model in (SpApiGrant, AdsGrant)
}
ACCEPT = {
    model: PreparedUpdate(
        partial(same_token, model),
        **KEY,
        fingerprint=str,
        at=datetime,
        client_id=str,
        lease=datetime,
    )
    for model in (SpApiGrant, AdsGrant)
}


def take_lease(grant: AnyGrant, *, now: datetime, until: datetime) -> bool:
    """And read again what may have changed. False while somebody else has one, or when the row
    holds another consent."""
    take, values = TAKE[type(grant)], {"pk": grant.pk, "version": grant.version}
    if not take.is_known():
        if take.run(**values, now=now, until=until) != 1:
            return False
        look_again(grant)
        return bool(grant.refresh_lease_until == until)
    for row in take.rows(**values, now=now, until=until):
        vars(grant).update(row)
        return True
    return False


def release_lease(grant: AnyGrant, lease: datetime) -> bool:
    """Only ours: after a long freeze somebody else may hold it, and then this is False."""
    return RELEASE[type(grant)].run(pk=grant.pk, version=grant.version, lease=lease) == 1


def note_refresh(grant: AnyGrant, *, at: datetime, client_id: str, lease: datetime) -> bool:
    """Amazon accepted the token of this row, and our lease is free. By fingerprint, not by text: a
    rotation may have sealed the same token anew meanwhile. False: the row holds another one, or
    somebody took our lease over."""
    accepted = ACCEPT[type(grant)].run(
        pk=grant.pk,
        version=grant.version,
        fingerprint=grant.fingerprint,
        at=at,
        client_id=client_id,
        lease=lease,
    )
    return accepted == 1
