"""Where to send the browser for a consent, and what comes back with it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.regions import Marketplace, Region
from sellerlegend.amazon.secret import Secret

# What Seller Central adds to the redirect URI. `mws_auth_token` came with hybrid applications
# only. No region, no marketplace and no documented refusal come back.
SPAPI_CALLBACK_FIELDS = ("state", "selling_partner_id", "spapi_oauth_code", "mws_auth_token")

ADS_SCOPE = "advertising::campaign_management"


def spapi_consent_url(
    *,
    endpoints: Endpoints,
    application_id: str,
    marketplace_id: str,
    state: str,
    redirect_uri: str,
    draft: bool,
) -> str:
    """The page on the seller's own Seller Central. A draft application must be asked for as beta.

    Raises KeyError for an unknown marketplace, ValueError for a redirect URI with a fragment
    (Amazon's MD5110). https://developer-docs.amazon.com/sp-api/docs/website-authorization-workflow
    """
    if "#" in redirect_uri:
        raise ValueError("Amazon refuses a redirect URI with a fragment.")
    parameters = {"application_id": application_id, "state": state, "redirect_uri": redirect_uri}
    if draft:
        parameters["version"] = "beta"
    page = f"{endpoints.seller_central(marketplace_id)}/apps/authorize/consent"
    return f"{page}?{urlencode(parameters, quote_via=quote, safe='')}"


def appstore_callback_uris(
    *, endpoints: Endpoints, application_id: str
) -> Mapping[str, tuple[Marketplace, ...]]:
    """Every `amazon_callback_uri` that is one, letter for letter, with the marketplaces it may be
    about. What is not in it is nobody's: nothing of a stranger's address is parsed.

    Empty without an application. https://developer-docs.amazon.com/sp-api/docs/selling-partner-appstore-authorization-workflow
    """
    if not application_id:
        return {}
    return {
        f"{door}/apps/authorize/confirm/{application_id}": marketplaces
        for door, marketplaces in endpoints.appstore_doors().items()
    }


def appstore_confirm_url(
    *, callback_uri: str, amazon_state: str, state: str, redirect_uri: str, draft: bool
) -> str:
    """Back to Amazon, which then calls our redirect URI: its own state unchanged, and ours.

    `callback_uri` is one of `appstore_callback_uris`.
    """
    parameters = {"redirect_uri": redirect_uri, "amazon_state": amazon_state, "state": state}
    if draft:
        parameters["version"] = "beta"
    return f"{callback_uri}?{urlencode(parameters, quote_via=quote, safe='')}"


def ads_consent_url(
    *,
    endpoints: Endpoints,
    region: Region,
    client_id: str,
    redirect_uri: str,
    state: str,
    code_challenge: str,
) -> str:
    """Login with Amazon for the Ads scope, with PKCE.

    https://advertising.amazon.com/API/docs/en-us/guides/account-management/authorization/authorization-grants
    """
    parameters = {
        "client_id": client_id,
        "scope": ADS_SCOPE,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": code_challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoints.ads_authorize(region)}?{urlencode(parameters, quote_via=quote, safe='')}"


def code_challenge(code_verifier: Secret) -> str:
    """S256 of RFC 7636, section 4.2."""
    digest = hashlib.sha256(code_verifier.reveal().encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
