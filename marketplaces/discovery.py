"""Marketplaces that a seller joins or leaves after the consent, as readings show it.

What the first reading of a row lists is where it starts; from then on each that comes or goes is
dated and recorded once. Nothing is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connections import observations, verification
from connections.health_models import CapabilityCheck
from connections.models import Connection, SpApiGrant
from marketplaces.models import MarketplaceAccount
from sellerlegend.amazon.errors import UnexpectedReply
from sellerlegend.amazon.regions import MARKETPLACES
from sellerlegend.amazon.sellers import OPERATION, Participation
from sellerlegend.organizations.audit import WORKER, record_event


@dataclass
class Changes:
    """What one reading shows against the one before. True when there is anything."""

    connection: Connection
    now: datetime
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.events)

    def columns_of(self, item: Participation, before: MarketplaceAccount | None) -> dict[str, Any]:
        """For a marketplace that Amazon lists."""
        was_there = before is not None and before.is_participating
        if item.is_participating and not was_there:
            return self._joined(item.marketplace_id)
        if was_there and not item.is_participating:
            return self._left(item.marketplace_id, is_listed=True)
        return {}

    def columns_of_missing(self, before: MarketplaceAccount) -> dict[str, Any]:
        """For one that Amazon no longer lists."""
        if not before.is_participating:
            return {}
        return self._left(before.marketplace_id, is_listed=False)

    def record(self) -> None:
        for code, marketplace_id, details in self.events:
            record_event(
                code,
                actor=WORKER,
                subject=self.connection,
                marketplace_id=marketplace_id,
                **details,
            )

    def _joined(self, marketplace_id: str) -> dict[str, Any]:
        if self.connection.participations_read_at is None:
            return {"lost_at": None}
        known = MARKETPLACES.get(marketplace_id)
        if known is None:
            return {"joined_at": self.now, "lost_at": None}
        if known.region != self.connection.region:
            return {"lost_at": None}  # nothing that this row's consent could begin
        self.events.append(("marketplace_added", marketplace_id, {}))
        return {"joined_at": self.now, "lost_at": None}

    def _left(self, marketplace_id: str, *, is_listed: bool) -> dict[str, Any]:
        known = MARKETPLACES.get(marketplace_id)
        if known is not None and known.region == self.connection.region:
            self.events.append(("marketplace_lost", marketplace_id, {"is_listed": is_listed}))
        return {"lost_at": self.now, "joined_at": None}


def note_proof(connection: Connection) -> None:
    """A reading proves the consent. After the first one its roles are asked for soon."""
    grant = _grant_of(connection)
    if grant is not None:
        checks = CapabilityCheck.objects.for_organization(connection.organization_id)
        is_known = checks.filter(connection=connection).exists()
        verification.note_proof(grant, is_incomplete=not is_known)


def note_partial(connection: Connection) -> None:
    """A part of the reading was unreadable: Amazon's failure, no proof, and to be read again."""
    grant = _grant_of(connection)
    if grant is not None:
        observations.note_failure(grant, UnexpectedReply(operation=OPERATION))
        verification.note_doubt(grant)


def _grant_of(connection: Connection) -> SpApiGrant | None:
    grants = SpApiGrant.objects.for_organization(connection.organization_id)
    found: SpApiGrant | None = grants.filter(connection=connection).first()
    return found
