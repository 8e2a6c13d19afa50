"""What the actions of the staff's lists do, each by one service, and why a row was left out."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from connections import superseding
from connections.models import AdsGrant, Connection, SpApiGrant
from marketplaces import services as marketplace_services
from ppc import asking, retrying, upkeep
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoped_admin import Words

NO_CONSENT_YET = _("waiting for the first consent")
NOT_ASKABLE = _("Amazon cannot be asked before the customer gives a new consent")
NOT_SHOWN = _("removed from the customer's list")


def resync_connection(connection: Connection, actor: Actor, reason: str) -> bool:
    return bool(upkeep.begin_resync(connection=connection, actor=actor, reason=reason))


def resync_spapi_grant(grant: SpApiGrant, actor: Actor, reason: str) -> bool:
    if not marketplace_services.is_askable(grant.connection):
        return False
    return resync_connection(grant.connection, actor, reason)


def resync_ads_grant(grant: AdsGrant, actor: Actor, reason: str) -> bool:
    return bool(upkeep.begin_grant_resync(grant=grant, actor=actor, reason=reason))


def retry_connection(connection: Connection, actor: Actor) -> int:
    return retrying.retry_row(connection=connection, actor=actor)


def connection_left_out(connection: Connection) -> Words:
    """Why nothing was asked of Amazon about a row; "" where it could have been."""
    found = asking.obstacles(connection.organization_id, [connection.pk]).get(connection.pk)
    if found is None:
        return NOT_SHOWN if connection.removed_at else ""
    return NO_CONSENT_YET if found == asking.Obstacle.WAITS else NOT_ASKABLE


def spapi_grant_left_out(grant: SpApiGrant) -> Words:
    return "" if marketplace_services.is_askable(grant.connection) else NOT_ASKABLE


def ads_grant_left_out(grant: AdsGrant) -> Words:
    return "" if upkeep.is_askable(grant) else NOT_ASKABLE


def require_reconnect(grant: SpApiGrant | AdsGrant, actor: Actor, reason: str) -> bool:
    return superseding.require_reconnect(grant, actor=actor, reason=reason)


def require_reconnect_of_connection(connection: Connection, actor: Actor, reason: str) -> bool:
    grant = SpApiGrant.objects.filter(connection=connection).first()
    return grant is not None and require_reconnect(grant, actor, reason)
