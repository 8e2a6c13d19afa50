"""The proof of a disconnect, from the record: who, when, which consents, and what remains.

It needs no row: the record outlives it by a year.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from connections.models import KEPT_AFTER_END, Connection
from connections.retention import AUDIT_DAYS
from ppc import following
from ppc.disconnecting import Side
from sellerlegend.organizations.models import AuditEvent


@dataclass(frozen=True)
class DestroyedConsent:
    """One token that was overwritten. `given_at` and `marketplaces`: None in older records."""

    is_ads: bool
    fingerprint: str
    given_at: datetime | None = None
    marketplaces: int | None = None


@dataclass(frozen=True)
class Proof:
    """One disconnect. `erased_on`: when the row's data goes; None while it is connected again or
    its PPC lives on, and for an end of Amazon Ads alone."""

    event: int
    at: datetime
    who: str
    consents: tuple[DestroyedConsent, ...]
    ended_spapi: bool
    ended_ppc: bool
    erased_on: datetime | None
    record_until: datetime


@dataclass(frozen=True)
class Proofs:
    """Of one connection, the newest first."""

    connection_id: UUID
    name: str
    selling_partner_id: str
    region: str
    found: tuple[Proof, ...]


def proofs_of(organization_id: UUID, connection_id: UUID) -> Proofs | None:
    """None: the record knows no disconnect of such a connection of the organization."""
    events = AuditEvent.objects.for_organization(organization_id).filter(
        connection_id=connection_id, code="connection_disconnected"
    )
    found = list(events.select_related("actor").order_by("-pk"))
    if not found:
        return None
    rows = Connection.with_removed.for_organization(organization_id)
    row = rows.select_related("spapi_grant").filter(pk=connection_id).first()
    return Proofs(
        connection_id=connection_id,
        name=row.name if row else "",
        selling_partner_id=(row.selling_partner_id or "") if row else "",
        region=row.region if row else "",
        found=tuple(_proof(event, row) for event in found),
    )


def _proof(event: AuditEvent, row: Connection | None) -> Proof:
    has_ended_row = Side.SPAPI in event.details.get("sides", ())
    is_connected = row is not None and (
        row.spapi_grant.held_since > event.at or following.lives_on_ppc(row)
    )
    return Proof(
        event=event.pk,
        at=event.at,
        who=_who(event),
        consents=tuple(_consent(facts) for facts in event.details.get("destroyed", ())),
        ended_spapi=has_ended_row,
        ended_ppc=Side.PPC in event.details.get("sides", ()),
        erased_on=event.at + KEPT_AFTER_END if has_ended_row and not is_connected else None,
        record_until=event.at + timedelta(days=AUDIT_DAYS),
    )


def _who(event: AuditEvent) -> str:
    """Empty for a person who left. Nobody ends the Ads consent of a row that is erased."""
    if event.actor_kind in (AuditEvent.ActorKind.WORKER, AuditEvent.ActorKind.COMMAND):
        return _("Nobody: it ended by itself when the row was erased")
    return str(event.actor) if event.actor else ""


def _consent(facts: dict[str, Any]) -> DestroyedConsent:
    return DestroyedConsent(
        is_ads=facts.get("side") == Side.PPC,
        fingerprint=str(facts.get("fingerprint", "")),
        given_at=parse_datetime(str(facts.get("given_at", ""))),
        marketplaces=facts.get("marketplaces"),
    )
