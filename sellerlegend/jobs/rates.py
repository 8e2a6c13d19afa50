"""Amazon's usage plans, kept across all workers: token buckets in the database.

One conditional UPDATE takes a token; the loser of a race reads again. A 429 drains the bucket,
since Amazon sends no Retry-After and no rate header with it (Selling Partner API usage plans).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from sellerlegend.jobs.models import RateBucket

TRIES = 20


@dataclass(frozen=True)
class UsagePlan:
    """`rate` in requests per second, `burst` in requests."""

    operation: str
    rate: float
    burst: int


MARKETPLACE_PARTICIPATIONS = UsagePlan("sellers.getMarketplaceParticipations", 0.016, 15)
# Of the calls that only ask whether we may (Amazon's API models of 2026-08-05).
PROBES = {
    "orders": UsagePlan("orders.searchOrders", 0.0056, 20),
    "inventory": UsagePlan("fbaInventory.getInventorySummaries", 2.0, 2),
    "finances": UsagePlan("finances.listFinancialEventGroups", 0.5, 30),
    "listings": UsagePlan("listings.searchListingsItems", 5.0, 5),
    "reports": UsagePlan("reports.getReports", 0.0222, 10),
}


def bucket_key(
    *,
    application_id: str,
    organization_id: UUID,
    selling_partner_id: str,
    region: str,
    plan: UsagePlan,
) -> str:
    """Whose allowance a call uses up.

    The Seller ID is a claim of the browser, so it counts within its organization only: a false
    one must neither starve the real seller elsewhere nor tell that there is one. Where two
    organizations hold the same seller, Amazon's 429 is the referee.
    """
    owner = (application_id, organization_id.hex, selling_partner_id, region)
    text = "\x1f".join((*owner, plan.operation))
    return hashlib.sha256(text.encode()).hexdigest()


def take(key: str, plan: UsagePlan) -> float:
    """Take one token. Returns 0.0 when the call may go out now, else the seconds to wait."""
    for _ in range(TRIES):
        now = timezone.now()
        bucket, created = RateBucket.objects.get_or_create(
            key=key, defaults={"tokens": plan.burst - 1.0, "updated_at": now}
        )
        if created:
            return 0.0
        elapsed = max(0.0, (now - bucket.updated_at).total_seconds())
        tokens = min(float(plan.burst), bucket.tokens + elapsed * plan.rate)
        if tokens < 1.0:
            return (1.0 - tokens) / plan.rate
        unchanged = RateBucket.objects.filter(
            key=key, tokens=bucket.tokens, updated_at=bucket.updated_at
        )
        if unchanged.update(tokens=tokens - 1.0, updated_at=max(now, bucket.updated_at)):
            return 0.0
    return 1.0


def drain_bucket(key: str) -> None:
    """Amazon said 429: whatever we believed, nothing is left."""
    RateBucket.objects.filter(key=key).update(tokens=0.0, updated_at=timezone.now())
