"""P5's yardstick: the list as JSON the way plain Django does it. The same text as the product's.

No tenancy guard, no reach of a member, no filters, and only the states of the data set.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from connections.models import AdsGrant, Connection
from sellerlegend.organizations.models import Organization

YEAR = timedelta(days=365)
DAY = timedelta(days=1)
PAGE_SIZE = 100


def connections_json(request: Any, slug: str) -> JsonResponse:
    organization = get_object_or_404(Organization, slug=slug, memberships__user=request.user)
    every = Connection._base_manager.filter(organization=organization, removed_at=None)
    rows = every.select_related("spapi_grant__authorized_by", "client").prefetch_related(
        "taggings__tag"
    )
    shown = list(rows.order_by("name")[:PAGE_SIZE])
    fed = Connection._base_manager.filter(pk__in=[row.pk for row in shown])
    by_row: dict[Any, list[Any]] = {}
    path = "marketplace_accounts__ppc_link__profile__grant"
    linked = fed.filter(marketplace_accounts__ppc_link__profile__isnull=False)
    pairs = list(linked.values_list("pk", path).distinct())
    grants = AdsGrant._base_manager.in_bulk({grant for _row, grant in pairs})
    for row_id, grant_id in pairs:
        by_row.setdefault(row_id, []).append(grants[grant_id])
    total = every.count()
    return JsonResponse(
        {
            "connections": [as_object(row, by_row.get(row.pk, [])) for row in shown],
            "total": total,
            "page": 1,
            "pages": max(1, -(-total // PAGE_SIZE)),
        },
        json_dumps_params={"ensure_ascii": False, "separators": (",", ":")},
    )


def as_object(row: Any, ads: list[Any]) -> dict[str, Any]:
    grant = row.spapi_grant
    return {
        "id": row.pk,
        "name": row.name,
        "seller_id": row.selling_partner_id,
        "region": row.region,
        "client": row.client.name if row.client else None,
        "tags": sorted(tagging.tag.name for tagging in row.taggings.all()),
        "created_at": row.created_at.isoformat(),
        "marketplaces_read_at": row.participations_read_at.isoformat(),
        "selling_partner": {
            "health": health_of(grant),
            "since": grant.status_changed_at.isoformat(),
            "consented_at": grant.authorized_at.isoformat(),
            "renew_by": (grant.authorized_at + YEAR).isoformat(),
            "authorized_by": grant.authorized_by.name,
            "authorized_by_client": grant.authorized_by is None,
            "verified_at": grant.verified_at,
            "last_success_at": grant.last_success_at.isoformat(),
            "last_failure_at": grant.last_failure_at,
            "last_failure": grant.last_failure_code or None,
        },
        "ppc": {
            "health": health_of(ads[0]),
            "renew_by": (ads[0].authorized_at + YEAR).isoformat(),
        },
    }


def health_of(grant: Any) -> str:
    is_fresh = grant.last_success_at > timezone.now() - DAY
    return "connected" if grant.status == "active" and is_fresh else "stale"
