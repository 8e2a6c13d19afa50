"""The time without access that a new consent ends: since when Amazon, staff or the organization
itself had ended the one before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connections.models import Grant
from connections.token_cache import AnyGrant
from sellerlegend.organizations.audit import Actor, record_event

ENDED = (Grant.Status.DOUBTED, Grant.Status.INVALID, Grant.Status.DISCONNECTED)


@dataclass(frozen=True)
class Gap:
    started_at: datetime
    ended_at: datetime
    cause: str

    @property
    def days(self) -> int:
        """Whole days, so that an hour's gap has none."""
        return (self.ended_at - self.started_at).days


def gap_before(previous: AnyGrant, consented_at: datetime) -> Gap | None:
    """None while the previous consent worked until the new one was given."""
    started_at, cause = _lost_at(previous)
    if started_at is None or started_at >= consented_at:
        return None
    return Gap(started_at, consented_at, cause)


def _lost_at(grant: AnyGrant) -> tuple[datetime | None, str]:
    """When access was lost, and how: the first refusal counts, not the third that was believed,
    and before it the end of the year, unless a call has succeeded since."""
    over_at = grant.reauthorize_by
    if over_at and grant.last_success_at and grant.last_success_at > over_at:
        over_at = None
    if grant.status not in ENDED:
        return over_at, "expired"
    refused_at = grant.first_refused_at or grant.status_changed_at
    if over_at is not None and over_at < refused_at:
        return over_at, "expired"
    return refused_at, grant.status


def columns_of(gap: Gap) -> dict[str, Any]:
    """What the new consent remembers; of an older gap no longer. Renewed in time, it keeps the
    gap of the one before."""
    return {"gap_started_at": gap.started_at, "gap_ended_at": gap.ended_at}


def record(gap: Gap | None, *, grant: AnyGrant, actor: Actor) -> None:
    """In the transaction that stores the consent."""
    if gap is None:
        return
    record_event(
        "access_gap",
        actor=actor,
        subject=grant,
        started_at=gap.started_at.isoformat(),
        ended_at=gap.ended_at.isoformat(),
        days=gap.days,
        cause=gap.cause,
    )
