from __future__ import annotations

import pytest

from tests.amazon_emulator import RunningEmulator, demo
from tests.amazon_emulator.applications import SPAPI_CLIENT_ID
from tests.amazon_emulator.marketplaces import ADS_CONSENT_HOSTS
from tests.amazon_emulator.tests.conftest import Caller, query_of

CALLBACK = "http://localhost:8000/amazon/ads/callback"
AMERICA = "advertising-api.amazon.com"
EU = "advertising-api-eu.amazon.com"
FE = "advertising-api-fe.amazon.com"


# Consent ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", sorted(ADS_CONSENT_HOSTS))
def test_every_consent_host_asks_and_comes_back_with_a_code(caller: Caller, host: str) -> None:
    page = caller.get(caller.ads_path(host))
    reply = caller.allow(demo.NORTHSTAR_LOGIN, host)

    query = query_of(reply)
    assert page.status_code == 200
    assert '<label for="login">' in page.text
    assert reply.status_code == 302
    assert reply.headers["Location"].startswith(f"{CALLBACK}?")
    assert sorted(query) == ["code", "scope", "state"]
    assert query["scope"] == "advertising::campaign_management"
    assert query["state"] == "the-state"


def test_without_state_none_comes_back(caller: Caller) -> None:
    assert sorted(query_of(caller.allow(state=None))) == ["code", "scope"]


def test_refusing_comes_back_with_access_denied_and_state(
    emulator: RunningEmulator, caller: Caller
) -> None:
    reply = caller.post(caller.ads_path(), data={"login": demo.NORTHSTAR_LOGIN, "decision": "deny"})

    query = query_of(reply)
    assert reply.status_code == 302
    assert sorted(query) == ["error", "error_description", "state"]
    assert (query["error"], query["state"]) == ("access_denied", "the-state")
    assert not emulator.world.grants


@pytest.mark.parametrize(
    "redirect_uri",
    [f"{CALLBACK}/", f"{CALLBACK}?x=1", "http://localhost:8000/", "", "http://evil.example/"],
)
def test_a_wrong_redirect_uri_is_never_followed(caller: Caller, redirect_uri: str) -> None:
    for reply in (
        caller.get(caller.ads_path(redirect_uri=redirect_uri)),
        caller.allow(redirect_uri=redirect_uri),
    ):
        assert reply.status_code == 400
        assert "Location" not in reply.headers


@pytest.mark.parametrize("client_id", ["", "other", SPAPI_CLIENT_ID])
def test_only_the_ads_client_may_ask(caller: Caller, client_id: str) -> None:
    reply = caller.allow(client_id=client_id)

    assert reply.status_code == 400
    assert "Location" not in reply.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"code_challenge": "x", "code_challenge_method": "S512"}, "invalid_request"),
    ],
)
def test_other_mistakes_go_back_as_errors(
    caller: Caller, changes: dict[str, str | None], error: str
) -> None:
    query = query_of(caller.get(caller.ads_path(**changes)))

    assert (query["error"], query["state"]) == (error, "the-state")
    assert "code" not in query


def test_the_browser_may_be_signed_in_as_somebody_else(
    emulator: RunningEmulator, caller: Caller
) -> None:
    emulator.scenario("wrong_login", login=demo.PERSONAL_LOGIN)

    page = caller.get(caller.ads_path())
    reply = caller.post(caller.ads_path(), data={"decision": "allow"})
    token = caller.exchange_ads(query_of(reply)["code"]).json()["access_token"]

    assert f'<option value="{demo.PERSONAL_LOGIN}" selected>' in page.text
    assert caller.profiles(token).json() == []


def test_an_unknown_login_cannot_consent(caller: Caller) -> None:
    assert caller.allow("nobody@example.com").status_code == 403


# Profiles -----------------------------------------------------------------------------------


def test_each_host_lists_the_profiles_of_its_region(caller: Caller) -> None:
    token = caller.ads_token()

    listed = {
        host: [item["countryCode"] for item in caller.profiles(token, host).json()]
        for host in (AMERICA, EU, FE)
    }

    assert listed == {
        AMERICA: ["US", "CA", "US", "US"],
        EU: ["UK", "DE"],
        FE: [],
    }


def test_a_seller_profile_is_as_amazon_describes_it(caller: Caller) -> None:
    uk, _ = caller.profiles(caller.ads_token(), EU).json()

    assert sorted(uk) == [
        "accountInfo",
        "countryCode",
        "currencyCode",
        "dailyBudget",
        "profileId",
        "timezone",
    ]
    assert (uk["countryCode"], uk["currencyCode"], uk["timezone"]) == (
        "UK",
        "GBP",
        "Europe/London",
    )
    assert isinstance(uk["profileId"], int)
    assert 2**53 < uk["profileId"] < 2**63
    assert uk["accountInfo"] == {
        "marketplaceStringId": "A1F83G8C2ARO7P",
        "id": demo.NORTHSTAR,
        "type": "seller",
        "name": "Northstar Outdoors",
    }


def test_vendor_and_agency_profiles_have_entity_ids(caller: Caller) -> None:
    profiles = caller.profiles(caller.ads_token()).json()

    others = {item["accountInfo"]["type"]: item for item in profiles[2:]}
    assert sorted(others) == ["agency", "vendor"]
    assert all(item["accountInfo"]["id"].startswith("ENTITY") for item in others.values())
    assert others["vendor"]["accountInfo"]["validPaymentMethod"] is True
    assert "dailyBudget" not in others["vendor"]


def test_a_profile_is_the_same_for_every_login_that_sees_it(caller: Caller) -> None:
    own = caller.profiles(caller.ads_token(demo.NORTHSTAR_LOGIN)).json()[0]
    agency = caller.profiles(caller.ads_token(demo.AGENCY_LOGIN)).json()[0]

    assert own == agency


def test_view_only_profiles_are_listed_on_request(caller: Caller) -> None:
    token = caller.ads_token(demo.AGENCY_LOGIN)

    def countries(**query: str) -> list[tuple[str, str]]:
        return [
            (item["accountInfo"]["id"], item["countryCode"])
            for item in caller.profiles(token, params=query).json()
        ]

    editable = [(demo.NORTHSTAR, "US"), (demo.BLUE_HARBOR, "US")]
    assert countries() == countries(accessLevel="edit") == editable
    assert countries(accessLevel="view") == [
        (demo.NORTHSTAR, "US"),
        (demo.NORTHSTAR, "CA"),
        (demo.BLUE_HARBOR, "US"),
        (demo.BLUE_HARBOR, "CA"),
    ]
    assert caller.profiles(token, params={"accessLevel": "all"}).status_code == 400


def test_filters_by_type_and_payment_method(caller: Caller) -> None:
    token = caller.ads_token()

    def types(**query: str) -> list[str]:
        return [item["accountInfo"]["type"] for item in caller.profiles(token, params=query).json()]

    assert types(profileTypeFilter="seller") == ["seller", "seller"]
    assert types(profileTypeFilter="vendor,agency") == ["vendor", "agency"]
    assert types(validPaymentMethodFilter="true") == ["vendor"]


def test_there_are_no_pages(caller: Caller) -> None:
    token = caller.ads_token()

    reply = caller.profiles(token, params={"count": "1", "startIndex": "1"})

    assert reply.json() == caller.profiles(token).json()
    assert "Link" not in reply.headers


def test_missing_wrong_and_expired_tokens_are_401(
    emulator: RunningEmulator, caller: Caller
) -> None:
    token = caller.ads_token()

    missing = caller.profiles(None)
    garbage = caller.profiles("Atza|garbage")
    of_the_other_client = caller.profiles(caller.spapi_token())
    without_client = caller.profiles(token, headers={"Amazon-Advertising-API-ClientId": ""})
    wrong_client = caller.profiles(
        token, headers={"Amazon-Advertising-API-ClientId": SPAPI_CLIENT_ID}
    )
    good = caller.profiles(token)
    emulator.advance_clock(3600)
    expired = caller.profiles(token)

    refused = [missing, garbage, of_the_other_client, without_client, wrong_client, expired]
    assert good.status_code == 200
    assert [reply.status_code for reply in refused] == [401] * 6
    assert all(sorted(reply.json()) == ["code", "details"] for reply in refused)


def test_a_revoked_grant_is_401_and_refreshing_is_invalid_grant(
    emulator: RunningEmulator, caller: Caller
) -> None:
    refresh_token = emulator.world.authorize_ads(demo.NORTHSTAR_LOGIN)
    token = caller.refresh(refresh_token, "ads").json()["access_token"]

    emulator.scenario("revoked_grant", seller=demo.NORTHSTAR_LOGIN)

    assert caller.profiles(token).status_code == 401
    assert caller.refresh(refresh_token, "ads").json()["error"] == "invalid_grant"


def test_a_consent_without_the_ads_scope_opens_nothing(
    emulator: RunningEmulator, caller: Caller
) -> None:
    grant = emulator.world.add_grant("ads", demo.NORTHSTAR_LOGIN, scope="profile")
    refresh_token = emulator.world.issue_refresh_token(grant)
    token = caller.refresh(refresh_token, "ads").json()["access_token"]

    assert caller.profiles(token).status_code == 401


def test_a_wrong_scope_header_is_401(caller: Caller) -> None:
    token = caller.ads_token()
    own = str(caller.profiles(token).json()[0]["profileId"])

    def status(scope: str, host: str = AMERICA) -> int:
        return caller.profiles(
            token, host, headers={"Amazon-Advertising-API-Scope": scope}
        ).status_code

    assert status(own) == 200
    assert status("1") == 401
    assert status(own, EU) == 401


def test_one_profile_can_be_read_on_its_own_host_only(caller: Caller) -> None:
    token = caller.ads_token()
    first = caller.profiles(token).json()[0]
    path = f"v2/profiles/{first['profileId']}"

    assert caller.profiles(token, AMERICA, path).json() == first
    assert caller.profiles(token, EU, path).status_code == 401


def test_there_are_no_seller_test_accounts_and_no_sandbox(caller: Caller) -> None:
    token = caller.ads_token()

    assert caller.profiles(token, AMERICA, "testAccounts").status_code == 404
    assert caller.profiles(token, AMERICA, "v1/profiles").status_code == 404
    assert caller.profiles(token, "advertising-api-test.amazon.com").status_code == 404


def test_throttling_says_when_to_come_back(emulator: RunningEmulator, caller: Caller) -> None:
    token = caller.ads_token()
    emulator.scenario("throttled", surface="ads", retry_after=7, times=1)

    refused, afterwards = caller.profiles(token), caller.profiles(token)

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert afterwards.status_code == 200
