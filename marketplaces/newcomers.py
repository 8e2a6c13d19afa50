"""What Amazon says to a token that is not stored: whose it is, and whether it reads anything.

Asked of the tokens of a file, and of a new consent before it takes the place of one that works.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from django.conf import settings

from connections.health_models import Capability, CapabilityCheck
from connections.models import Connection
from marketplaces.models import MarketplaceAccount
from sellerlegend.amazon import probes, sellers
from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    HeldBack,
)
from sellerlegend.amazon.probes import ProbeKind
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.sellers import ParticipationReply
from sellerlegend.jobs import breakers, outcomes, rates

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0


class NotProved(RuntimeError):
    """Amazon lets the new consent read nothing, or shows other stores than this seller's."""


class Proof(Enum):
    NOT_ASKED = auto()
    OF_ITS_STORES = auto()
    OF_THE_SELLER = auto()


@dataclass(frozen=True)
class Newcomer:
    """A token with the seller that it is said to be of."""

    organization_id: UUID
    region: str
    selling_partner_id: str
    marketplace_id: str
    access_token: Secret


def prove(known: Connection, seller: str, access_token: Secret) -> Proof:
    """What a consent shows that is to take the place of the one that works in this row.

    The Seller ID came with the browser. Where no call confirms it (a role may be missing), the
    stores that the consent sees have to be those that we know of this seller. Where we may not ask
    for the stores now, one call a minute being Amazon's plan, the other call alone is proof, so
    that no code is spent in vain. Raises NotProved, and AmazonUnavailable, ClientMisconfigured or
    UnexpectedReply when it cannot be told.
    """
    newcomer = Newcomer(
        organization_id=known.organization_id,
        region=known.region,
        selling_partner_id=seller,
        marketplace_id=known.marketplace_id,
        access_token=access_token,
    )
    stores = _known_stores(known)
    if not stores:
        return _prove_where_nothing_was_read(newcomer)
    reply, held = _participations_or_the_wait(newcomer)
    if _is_certainly_of_the_seller(newcomer, reply):
        return Proof.OF_THE_SELLER
    if held is not None:
        raise held
    if reply is None:
        is_as_good = _lost_its_stores(known)
    else:
        seen = {(item.marketplace_id, item.store_name[:200]) for item in reply.participations}
        is_as_good = bool(stores & seen)
    if not is_as_good:
        raise NotProved(seller)
    return Proof.OF_ITS_STORES


def _prove_where_nothing_was_read(newcomer: Newcomer) -> Proof:
    """The consent in its place has shown nothing either: the new one is no worse."""
    try:
        reply = _participations_if_allowed(newcomer)
        is_confirmed = is_seller_confirmed(newcomer, reply)
    except AmazonUnavailable:
        is_confirmed = False
    return Proof.OF_THE_SELLER if is_confirmed else Proof.OF_ITS_STORES


def _participations_if_allowed(newcomer: Newcomer) -> ParticipationReply | None:
    try:
        return _participations_of_a_young_token(newcomer)
    except AccessTokenRejected as error:
        raise NotProved(newcomer.selling_partner_id) from error
    except AccessDenied:
        return None


def _participations_or_the_wait(
    newcomer: Newcomer,
) -> tuple[ParticipationReply | None, AmazonUnavailable | None]:
    try:
        return _participations_if_allowed(newcomer), None
    except AmazonUnavailable as error:
        if not error.throttled:
            raise
        return None, error


def _is_certainly_of_the_seller(newcomer: Newcomer, reply: ParticipationReply | None) -> bool:
    """Where the stores were read, they can tell without this answer."""
    try:
        return is_seller_confirmed(newcomer, reply)
    except AmazonUnavailable:
        if reply is None:
            raise
        return False


def _participations_of_a_young_token(newcomer: Newcomer) -> ParticipationReply:
    """Its age is counted in seconds: one refusal may mean that Amazon has not heard of it yet."""
    try:
        return participations(newcomer)
    except AccessTokenRejected:
        logger.info("young_token_rejected")
        time.sleep(PAUSE_SECONDS)
        return participations(newcomer)


def _lost_its_stores(known: Connection) -> bool:
    """Whether the consent in use reads them no more either: its role may be gone."""
    lost = CapabilityCheck.objects.for_organization(known.organization_id).filter(
        connection=known,
        capability=Capability.MARKETPLACES,
        state=CapabilityCheck.State.MISSING,
    )
    return bool(lost.exists())


def _known_stores(known: Connection) -> set[tuple[str, str]]:
    """By marketplace and name, as the consent in use read them last."""
    accounts = MarketplaceAccount.objects.for_organization(known.organization_id)
    named = accounts.filter(connection=known).exclude(store_name="")
    return set(named.values_list("marketplace_id", "store_name"))


def participations(newcomer: Newcomer) -> ParticipationReply:
    """Within Amazon's plan, as for a consent that is stored already. Raises AmazonError kinds."""
    plan = rates.MARKETPLACE_PARTICIPATIONS
    _take_turn(newcomer, plan)
    with (
        outcomes.on_behalf_of(newcomer.organization_id),
        breakers.guarded(f"sellers.{newcomer.region}", operation=plan.operation),
    ):
        return sellers.get_marketplace_participations(
            endpoints=settings.AMAZON_ENDPOINTS,
            region=Region(newcomer.region),
            access_token=newcomer.access_token,
        )


def is_seller_confirmed(newcomer: Newcomer, reply: ParticipationReply | None) -> bool:
    """Whether the call that names the Seller ID succeeds with this token. Any answer but that one
    proves nothing: a role may be missing. Raises AmazonUnavailable."""
    marketplace_id = _probed_marketplace(newcomer, reply)
    plan = rates.PROBES[ProbeKind.LISTINGS]
    try:
        _take_turn(newcomer, plan)
        with (
            outcomes.on_behalf_of(newcomer.organization_id),
            breakers.guarded(f"{ProbeKind.LISTINGS}.{newcomer.region}", operation=plan.operation),
        ):
            return probes.has_role(
                ProbeKind.LISTINGS,
                endpoints=settings.AMAZON_ENDPOINTS,
                region=Region(newcomer.region),
                access_token=newcomer.access_token,
                selling_partner_id=newcomer.selling_partner_id,
                marketplace_id=marketplace_id,
            )
    except AmazonUnavailable:
        raise
    except (AmazonError, ValueError) as error:
        logger.info("seller_not_confirmed", extra={"cause": type(error).__name__})
        return False


def _probed_marketplace(newcomer: Newcomer, reply: ParticipationReply | None) -> str:
    """Where the seller sells, the one that was asked for if it is among them."""
    selling = sorted(
        item.marketplace_id
        for item in (reply.participations if reply is not None else ())
        if item.is_participating and item.marketplace_id in MARKETPLACES
    )
    if newcomer.marketplace_id in selling or not selling:
        return newcomer.marketplace_id
    return selling[0]


def _take_turn(newcomer: Newcomer, plan: rates.UsagePlan) -> None:
    """Raises HeldBack when Amazon's plan for this seller is spent."""
    key = rates.bucket_key(
        application_id=settings.SPAPI_APPLICATION_ID,
        organization_id=newcomer.organization_id,
        selling_partner_id=newcomer.selling_partner_id,
        region=newcomer.region,
        plan=plan,
    )
    wait = rates.take(key, plan)
    if wait:
        raise HeldBack(operation=plan.operation, retry_after=wait, throttled=True)
