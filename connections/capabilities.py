"""Which roles the consent of a row has at Amazon, one capability each, and when that changed.

An answer that tells nothing never replaces one that did. Every write is conditional on the
version of the consent that was asked: what an older one met says nothing about a newer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from connections import revisions
from connections.health_models import Capability, CapabilityCheck
from connections.models import Connection, SpApiGrant
from sellerlegend.organizations.audit import WORKER, record_event

State = CapabilityCheck.State

# Each is asked once a week; one without an answer, and one that was refused, every day.
ASKED_EVERY = timedelta(days=7)
ASKED_AGAIN_AFTER = timedelta(hours=18)
# Of those that are due again. Those that nobody asked for yet go all at once.
AT_ONCE = 2

PROBED = tuple(each for each in Capability if each != Capability.MARKETPLACES)


def due(connection: Connection, *, is_checked_by_hand: bool = False) -> list[Capability]:
    """What to ask with the next proof of the consent. By hand: whatever is not granted, too."""
    now = timezone.now()
    known = {check.capability: check for check in checks_of(connection)}
    never = [each for each in PROBED if each not in known]
    again = [
        check
        for check in known.values()
        if check.capability in PROBED
        and (
            now - check.checked_at > ASKED_EVERY
            or (
                check.state != State.GRANTED
                and (is_checked_by_hand or now - check.checked_at > ASKED_AGAIN_AFTER)
            )
        )
    ]
    again.sort(key=lambda check: check.checked_at)
    limit = None if is_checked_by_hand else AT_ONCE
    return never + [Capability(check.capability) for check in again[:limit]]


def checks_of(connection: Connection) -> list[CapabilityCheck]:
    checks = CapabilityCheck.objects.for_organization(connection.organization_id)
    return list(checks.filter(connection=connection))


def record(grant: SpApiGrant, answers: Mapping[Capability, State]) -> None:
    """Write what Amazon answered to this consent, and what follows for the grant.

    Takes the organization's lock first, as a new consent does.
    """
    with transaction.atomic():
        told = [capability for capability, state in answers.items() if state != State.UNKNOWN]
        if not _changes_something(grant, answers):
            _checks(grant).filter(capability__in=told).update(checked_at=timezone.now())
            return
        revisions.touch(grant.owner_id(), [grant.connection_id])
        if not _present(grant).exists():
            return
        known = {check.capability: check for check in _checks(grant)}
        for capability, state in answers.items():
            _write(grant, known.get(capability), capability, state)
        _follow(grant)


def forget(connection: Connection) -> None:
    """A new consent starts clean, in the caller's transaction: its seller, too, is a claim of the
    browser until a call proves it."""
    checks = CapabilityCheck.objects.for_organization(connection.organization_id)
    checks.filter(connection=connection).delete()
    _rows(connection).update(seller_proved_at=None)


def confirm_seller(grant: SpApiGrant, selling_partner_id: str) -> None:
    """A call that names the Seller ID succeeded with this consent: the claim is proved."""
    row = grant.connection
    with transaction.atomic():
        claimed = _rows(row).filter(selling_partner_id=selling_partner_id, seller_proved_at=None)
        if not claimed.exists():
            return
        revisions.touch(grant.owner_id(), [row.pk])
        if _present(grant).exists() and claimed.update(seller_proved_at=timezone.now()):
            record_event(
                "seller_confirmed",
                actor=WORKER,
                subject=row,
                selling_partner_id=selling_partner_id,
            )


def _rows(connection: Connection) -> Any:
    rows = Connection.objects.for_organization(connection.organization_id)
    return rows.filter(pk=connection.pk)


def _changes_something(grant: SpApiGrant, answers: Mapping[Capability, State]) -> bool:
    known = dict(_checks(grant).values_list("capability", "state"))
    return any(
        capability not in known or state not in (State.UNKNOWN, known[capability])
        for capability, state in answers.items()
    )


def _write(
    grant: SpApiGrant, known: CapabilityCheck | None, capability: Capability, state: State
) -> None:
    now = timezone.now()
    before = known.state if known else ""
    columns: dict[str, Any] = {"checked_at": now}
    if state != before:
        columns |= {"state": state, "changed_at": now}
    if known is None:
        _checks(grant).create(connection_id=grant.connection_id, capability=capability, **columns)
    elif state != State.UNKNOWN:
        _checks(grant).filter(pk=known.pk).update(**columns)
    is_news = state == State.MISSING or (state == State.GRANTED and before == State.MISSING)
    if is_news and state != before:
        record_event(
            f"capability_{state}", actor=WORKER, subject=grant.connection, capability=capability
        )


def _follow(grant: SpApiGrant) -> None:
    """The grant misses a permission since the oldest one that is missing."""
    missing = _checks(grant).filter(state=State.MISSING)
    since = missing.aggregate(since=Min("changed_at"))["since"]
    _present(grant).update(permission_missing_since=since)
    grant.permission_missing_since = since


def _checks(grant: SpApiGrant) -> Any:
    checks = CapabilityCheck.objects.for_organization(grant.owner_id())
    return checks.filter(connection_id=grant.connection_id)


def _present(grant: SpApiGrant) -> Any:
    """The row, only while it still holds the consent that was asked."""
    return SpApiGrant._base_manager.filter(pk=grant.pk, version=grant.version)
