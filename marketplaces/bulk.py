"""*Start onboarding* for a selection of rows: what would start in each, and why nothing would.

It starts what waits in each row, through the same service as *Start Now*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F
from django.utils.translation import gettext as _

from connections import question
from connections.countries import marketplace_name
from connections.models import Grant
from connections.queue_rows import rows_in_sight
from marketplaces import onboarding
from marketplaces.models import MarketplaceAccount
from sellerlegend.folding import plain
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Membership

Onboarding = MarketplaceAccount.Onboarding
# Short transactions: open pages and workers of the organization wait for its lock.
ROWS_AT_ONCE = 50


@dataclass(frozen=True)
class Plan:
    """One row: the marketplaces that would start, or the obstacle because of which none would."""

    id: UUID
    name: str
    seller_id: str
    region: str
    account_ids: tuple[UUID, ...]
    marketplaces: str
    obstacle_words: str


@dataclass(frozen=True)
class Result:
    """`started`: how many marketplaces."""

    plan: Plan
    started: int


def plans_of(membership: Membership, ids: Sequence[UUID]) -> list[Plan]:
    """In the given order."""
    rows: dict[UUID, Any] = {
        fact["id"]: fact
        for fact in rows_in_sight(membership)
        .filter(pk__in=ids)
        .annotate(
            grant_status=F("spapi_grant__status"),
            is_asked=question.asks(membership.organization_id),
        )
        .values(*ROW_COLUMNS, "grant_status", "is_asked")
    }
    pending = pending_of(membership.organization_id, list(rows))
    states = states_of(membership.organization_id, list(rows))
    return [
        plan_of(rows[row_id], pending.get(row_id, []), states.get(row_id, Counter()))
        for row_id in ids
        if row_id in rows
    ]


ROW_COLUMNS = (
    "id",
    "name",
    "selling_partner_id",
    "region",
    "participations_read_at",
)


def pending_of(organization_id: UUID, ids: list[UUID]) -> dict[UUID, list[MarketplaceAccount]]:
    """What *Start Now* could start and nobody has tried yet, by row."""
    able = onboarding.startable_in(organization_id).filter(onboarding=Onboarding.PENDING)
    found: dict[UUID, list[MarketplaceAccount]] = {}
    for account in able.filter(connection__in=ids):
        found.setdefault(account.connection_id, []).append(account)
    return found


def states_of(organization_id: UUID, ids: list[UUID]) -> dict[UUID, Counter[str]]:
    accounts = MarketplaceAccount.objects.for_organization(organization_id)
    found: dict[UUID, Counter[str]] = {}
    for row_id, state in accounts.filter(connection__in=ids).values_list(
        "connection_id", "onboarding"
    ):
        found.setdefault(row_id, Counter())[state] += 1
    return found


def plan_of(row: dict[str, Any], pending: list[MarketplaceAccount], states: Counter[str]) -> Plan:
    obstacle = obstacle_of(row, pending, states)
    wanted = [] if obstacle else sorted(pending, key=lambda account: plain(name_of(account)))
    return Plan(
        id=row["id"],
        name=row["name"],
        seller_id=row["selling_partner_id"] or "",
        region=row["region"],
        account_ids=tuple(account.pk for account in wanted),
        marketplaces=", ".join(name_of(account) for account in wanted),
        obstacle_words=obstacle,
    )


def name_of(account: MarketplaceAccount) -> str:
    return marketplace_name(account.marketplace_id)


def obstacle_of(
    row: dict[str, Any], pending: list[MarketplaceAccount], states: Counter[str]
) -> str:
    """The first thing that has to be done before. A consent that is doubted may still serve."""
    if row["selling_partner_id"] is None:
        return _("It waits for its consent. Use Resume in its row.")
    if row["grant_status"] not in (Grant.Status.ACTIVE, Grant.Status.DOUBTED):
        return _("It has no consent that works. Reconnect it first.")
    if row["is_asked"]:
        return _("Its row still asks whether it is the right store. Answer that first.")
    if row["participations_read_at"] is None:
        return _("Its marketplaces are not known yet. They are being read from Amazon.")
    return "" if pending else nothing_pending(states)


def nothing_pending(states: Counter[str]) -> str:
    if states[Onboarding.WORKING]:
        return _("It is being onboarded already.")
    if states[Onboarding.NEEDS_ATTENTION]:
        return _("What is left of it needs you. Look at its row.")
    if states[Onboarding.ONBOARDED]:
        return _("Everything that can be onboarded is.")
    return _("It takes part in no marketplace that we support.")


def begin(*, membership: Membership, plans: Sequence[Plan], actor: Actor) -> list[Result]:
    """A short transaction for each handful of rows: what was started before an interruption goes
    on, and what was started elsewhere meanwhile is left as it is."""
    counts: Counter[UUID] = Counter()
    able = [plan for plan in plans if plan.account_ids]
    for first in range(0, len(able), ROWS_AT_ONCE):
        some = able[first : first + ROWS_AT_ONCE]
        started = onboarding.begin_onboarding_of_rows(
            organization_id=membership.organization_id,
            connection_ids=[plan.id for plan in some],
            account_ids=[account_id for plan in some for account_id in plan.account_ids],
            actor=actor,
        )
        counts.update(account.connection_id for account in started)
    return [Result(plan, counts[plan.id]) for plan in plans]
