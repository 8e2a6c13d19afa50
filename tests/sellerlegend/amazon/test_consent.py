from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from sellerlegend.amazon import consent
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret

REDIRECT_URI = "https://app.example/amazon/spapi/callback"


def _spapi(*, draft: bool = False, redirect_uri: str = REDIRECT_URI) -> str:
    return consent.spapi_consent_url(
        endpoints=Endpoints.amazon(),
        application_id="amzn1.sp.solution.demo-0000",
        marketplace_id="A1F83G8C2ARO7P",
        state="st te&=+/",
        redirect_uri=redirect_uri,
        draft=draft,
    )


def test_a_published_application_is_asked_for_without_a_version() -> None:
    address = urlsplit(_spapi())

    assert address.netloc == "sellercentral-europe.amazon.com"
    assert address.path == "/apps/authorize/consent"
    assert parse_qs(address.query, strict_parsing=True) == {
        "application_id": ["amzn1.sp.solution.demo-0000"],
        "state": ["st te&=+/"],
        "redirect_uri": [REDIRECT_URI],
    }


def test_a_draft_application_is_asked_for_as_beta() -> None:
    assert parse_qs(urlsplit(_spapi(draft=True)).query)["version"] == ["beta"]


def test_spaces_are_not_sent_as_plus_signs() -> None:
    assert "state=st%20te%26%3D%2B%2F" in _spapi()


def test_a_redirect_uri_has_no_fragment() -> None:
    with pytest.raises(ValueError, match="fragment"):
        _spapi(redirect_uri=f"{REDIRECT_URI}#top")


def test_the_callback_has_the_fields_amazon_documents() -> None:
    assert consent.SPAPI_CALLBACK_FIELDS == (
        "state",
        "selling_partner_id",
        "spapi_oauth_code",
        "mws_auth_token",
    )


def test_ads_are_asked_for_with_pkce() -> None:
    address = urlsplit(
        consent.ads_consent_url(
            endpoints=Endpoints.amazon(),
            region=Region.EU,
            client_id="amzn1.application-oa2-client.demo-ads",
            redirect_uri="https://app.example/amazon/ads/callback",
            state="state",
            code_challenge="challenge",
        )
    )

    assert f"{address.scheme}://{address.netloc}{address.path}" == (
        "https://eu.account.amazon.com/ap/oa"
    )
    assert parse_qs(address.query, strict_parsing=True) == {
        "client_id": ["amzn1.application-oa2-client.demo-ads"],
        "scope": ["advertising::campaign_management"],
        "response_type": ["code"],
        "redirect_uri": ["https://app.example/amazon/ads/callback"],
        "state": ["state"],
        "code_challenge": ["challenge"],
        "code_challenge_method": ["S256"],
    }


def test_the_challenge_is_the_one_of_the_rfc() -> None:
    """RFC 7636, appendix B."""
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")

    assert consent.code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
