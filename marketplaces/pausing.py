"""Pausing one marketplace, and going on where it stood, without a new consent.

A paused one is not imported, and counts neither as started nor as missing. Its PPC link stays.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from connections import revisions
from connections.models import Connection
from marketplaces.models import MarketplaceAccount
from marketplaces.onboarding import onboarding_job
from marketplaces.services import has_working_consent
from sellerlegend.jobs import ledger
from sellerlegend.organizations.audit import Actor
from sellerlegend.transitions import advance

Onboarding = MarketplaceAccount.Onboarding
PAUSABLE = (Onboarding.WORKING, Onboarding.ONBOARDED, Onboarding.NEEDS_ATTENTION)


def pause(*, connection: Connection, account_id: UUID, actor: Actor) -> bool:
    """False, and nothing is changed, when there is nothing to pause: it is paused already, or was
    never started. Work that is under way ends, and a running worker's late write is refused."""
    with transaction.atomic():
        account = _account(connection, account_id)
        if account is None or account.onboarding not in PAUSABLE:
            return False
        ledger.cancel_live(organization_id=account.organization_id, subject_ids=[account.pk])
        _move(account, Onboarding.PAUSED, actor, reason="paused_by_person")
    return True


class SellerLeft(ValueError):
    """The seller takes no part in the marketplace, so no data of it would flow."""


def resume(*, connection: Connection, account_id: UUID, actor: Actor) -> str:
    """Onboarded again if it ever was, else its onboarding goes on; where the row has no consent
    that works, it is pending until somebody starts it. Returns the new state, "" when it is not
    paused. Raises SellerLeft, and changes nothing, until the seller joins the marketplace again."""
    with transaction.atomic():
        account = _account(connection, account_id)
        if account is None or account.onboarding != Onboarding.PAUSED:
            return ""
        if not account.is_participating:
            raise SellerLeft(account.marketplace_id)
        to = _after_the_pause(account)
        _move(account, to, actor, reason="resumed")
        if to == Onboarding.WORKING:
            onboarding_job(account)
    return str(to)


def _after_the_pause(account: MarketplaceAccount) -> Onboarding:
    if account.onboarded_at is not None:
        return Onboarding.ONBOARDED
    has_consent = has_working_consent(account.organization_id, account.connection_id)
    return Onboarding.WORKING if has_consent else Onboarding.PENDING


def _account(connection: Connection, account_id: UUID) -> MarketplaceAccount | None:
    """As it is under the organization's lock: of two clicks the second finds the first's."""
    revisions.touch(connection.organization_id, [connection.pk])
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    account: MarketplaceAccount | None = accounts.filter(
        connection=connection, pk=account_id
    ).first()
    return account


def _move(account: MarketplaceAccount, to: str, actor: Actor, *, reason: str) -> None:
    advance(
        account,
        to=to,
        actor=actor,
        reason=reason,
        onboarding_changed_at=timezone.now(),
        attention_reason="",
    )
