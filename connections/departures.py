"""The way out: a trip to Amazon is opened, and the browser is told where to go."""

from __future__ import annotations

import logging
import secrets
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase

from connections import authorization
from connections.client_link_models import ClientLink
from connections.models import AuthorizationRequest, Connection
from connections.queue_models import ReconnectItem
from sellerlegend import crypto
from sellerlegend.amazon import consent
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.organizations import staff_notices
from sellerlegend.organizations.models import Organization, User

logger = logging.getLogger(__name__)

Kind = AuthorizationRequest.Kind


class CredentialsMissing(RuntimeError):
    """The application's own Amazon credentials are not configured."""


class VaultClosed(RuntimeError):
    """The organization's data key does not open: what Amazon gives could not be kept."""


def require_open_vault(organization: Organization) -> None:
    """Before anybody is sent to Amazon, and before a code is spent. Raises VaultClosed."""
    try:
        crypto.newest_kid(organization.data_key, organization.pk)
    except crypto.DataKeyUnreadable as error:
        logger.error("vault_key_missing", extra={"cause": str(error)})
        staff_notices.tell("vault_key_missing")
        raise VaultClosed(organization.slug) from None


def start_spapi_authorization(
    *,
    connection: Connection,
    user: User,
    session: SessionBase,
    expected_seller: str | None = None,
    reconnect_item: ReconnectItem | None = None,
) -> str:
    """Open a trip to Seller Central and return the consent URL. Raises CredentialsMissing,
    VaultClosed.

    `expected_seller` overrides what the row expects; "" accepts any seller. `reconnect_item`: of
    the queue from which the person sets out.
    """
    require_ready_for_spapi(connection.organization)
    if expected_seller is None:
        expected_seller = expected_by(connection)
    state, _ = authorization.open_request(
        organization=connection.organization,
        user=user,
        session=session,
        kind=Kind.SPAPI,
        region=connection.region,
        connection=connection,
        expected_selling_partner_id=expected_seller,
        reconnect_item=reconnect_item,
    )
    return spapi_consent_url(connection, state)


def start_client_authorization(*, link: ClientLink, browser: str) -> str:
    """The same for whoever holds a client link, in the browser that was given this value. Raises
    CredentialsMissing, VaultClosed, LinkOver.
    """
    require_ready_for_spapi(link.organization)
    connection = link.connection
    state, _ = authorization.open_request_by_link(
        link=link,
        browser=browser,
        kind=Kind.SPAPI,
        region=connection.region,
        connection=connection,
        expected_selling_partner_id=expected_by(connection),
    )
    return spapi_consent_url(connection, state)


def require_ready_for_spapi(organization: Organization) -> None:
    """Raises CredentialsMissing, VaultClosed."""
    if not (settings.SPAPI_APPLICATION_ID and settings.SPAPI_CLIENT.client_id):
        raise CredentialsMissing("spapi")
    require_open_vault(organization)


def expected_by(connection: Connection) -> str:
    return connection.selling_partner_id or connection.expected_selling_partner_id


def spapi_consent_url(connection: Connection, state: str) -> str:
    return consent.spapi_consent_url(
        endpoints=settings.AMAZON_ENDPOINTS,
        application_id=settings.SPAPI_APPLICATION_ID,
        marketplace_id=connection.marketplace_id,
        state=state,
        redirect_uri=settings.SPAPI_REDIRECT_URI,
        draft=settings.SPAPI_DRAFT_APPLICATION,
    )


def start_ads_authorization(
    *, connection: Connection, user: User, session: SessionBase, account_ids: list[UUID]
) -> str:
    """Open a trip to Amazon Ads (PKCE S256, RFC 7636) for the chosen marketplace accounts.
    Raises CredentialsMissing, VaultClosed.
    """
    if not settings.ADS_CLIENT.client_id:
        raise CredentialsMissing("ads")
    require_open_vault(connection.organization)
    code_verifier = Secret(secrets.token_urlsafe(64))
    state, _ = authorization.open_request(
        organization=connection.organization,
        user=user,
        session=session,
        kind=Kind.ADS,
        region=connection.region,
        connection=connection,
        chosen=[str(account_id) for account_id in account_ids],
        code_verifier=code_verifier,
    )
    return consent.ads_consent_url(
        endpoints=settings.AMAZON_ENDPOINTS,
        region=Region(connection.region),
        client_id=settings.ADS_CLIENT.client_id,
        redirect_uri=settings.ADS_REDIRECT_URI,
        state=state,
        code_challenge=consent.code_challenge(code_verifier),
    )
