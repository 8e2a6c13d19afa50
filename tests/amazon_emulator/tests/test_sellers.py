from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

from tests.amazon_emulator import RunningEmulator, demo
from tests.amazon_emulator.accounts import Participation
from tests.amazon_emulator.marketplaces import MARKETPLACES
from tests.amazon_emulator.tests.conftest import Caller, error_of

REVOKED = "The access token you provided is revoked, malformed or invalid."
EXPIRED = "The access token you provided has expired."
MISSING = "Access token is missing in the request header."
SECRET_EXPIRED = "The LWA secret token you provided has expired."
WRONG_REGION = "The marketplaces you provided are not valid for region."

# From Amazon's sellers.json model: everything is required.
PARTICIPATION_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["marketplace", "storeName", "participation"],
    "properties": {
        "marketplace": {
            "type": "object",
            "additionalProperties": False,
            "required": [
                "id",
                "name",
                "countryCode",
                "defaultCurrencyCode",
                "defaultLanguageCode",
                "domainName",
            ],
            "properties": {
                "id": {"type": "string"},
                "name": {"type": "string"},
                "countryCode": {"type": "string", "pattern": "^[A-Z]{2}$"},
                "defaultCurrencyCode": {"type": "string", "pattern": "^[A-Z]{3}$"},
                "defaultLanguageCode": {"type": "string", "pattern": "^[a-z]{2}_[A-Z]{2}$"},
                "domainName": {"type": "string"},
            },
        },
        "storeName": {"type": "string"},
        "participation": {
            "type": "object",
            "additionalProperties": False,
            "required": ["isParticipating", "hasSuspendedListings"],
            "properties": {
                "isParticipating": {"type": "boolean"},
                "hasSuspendedListings": {"type": "boolean"},
            },
        },
    },
}


def test_participations_follow_the_published_model(caller: Caller) -> None:
    for region in ("na", "eu", "fe"):
        token = caller.spapi_token(region=region.upper())
        reply = caller.sellers(token, region=region)

        body = reply.json()
        assert reply.status_code == 200
        assert list(body) == ["payload"]
        assert body["payload"]
        for entry in body["payload"]:
            jsonschema.validate(entry, PARTICIPATION_SCHEMA)


def test_northstar_in_america_has_one_marketplace_of_each_sort(caller: Caller) -> None:
    payload = caller.sellers(caller.spapi_token()).json()["payload"]

    assert {
        entry["marketplace"]["id"]: entry["participation"]["isParticipating"] for entry in payload
    } == {
        "ATVPDKIKX0DER": True,
        "A2EUQ1WTGCTBG2": True,
        "A1AM78C64UM0Y8": True,
        "A2ZV50J4W1RKNI": True,
        "A2Q3Y263D00KWC": False,
    }


def test_europe_says_GB_and_has_a_suspended_listing(caller: Caller) -> None:
    payload = caller.sellers(caller.spapi_token(region="EU"), region="eu").json()["payload"]

    facts = {entry["marketplace"]["countryCode"]: entry for entry in payload}
    assert sorted(facts) == ["DE", "ES", "FR", "GB", "IT", "NL"]
    assert [
        country
        for country, entry in facts.items()
        if entry["participation"]["hasSuspendedListings"]
    ] == ["IT"]


def test_the_middle_east_has_another_merchant_token(caller: Caller) -> None:
    token = caller.spapi_token(demo.DESERT_ROSE, "EU")

    payload = caller.sellers(token, region="eu").json()["payload"]

    assert [entry["marketplace"]["countryCode"] for entry in payload] == ["AE", "SA"]


def test_no_reply_names_the_seller(caller: Caller) -> None:
    token = caller.spapi_token()

    participations = caller.sellers(token)
    account = caller.sellers(token, "sellers/v1/account")

    for reply in (participations, account):
        assert "sellerId" not in reply.text
        assert demo.NORTHSTAR not in reply.text


def test_a_seller_without_marketplaces_has_an_empty_list(caller: Caller) -> None:
    assert caller.sellers(caller.spapi_token(demo.LONELY)).json() == {"payload": []}


def test_unknown_marketplaces_can_be_added(emulator: RunningEmulator, caller: Caller) -> None:
    facts = {"id": "AHRY1CZE9ZY4H", "name": "US Invoicing Shadow Marketplace"}
    emulator.world.add_participation(
        demo.LONELY, Participation("AHRY1CZE9ZY4H", "Lonely", "NA", facts=facts)
    )

    (entry,) = caller.sellers(caller.spapi_token(demo.LONELY)).json()["payload"]

    assert entry["marketplace"] == facts


def test_the_account_has_the_shape_of_the_model(caller: Caller) -> None:
    payload = caller.sellers(caller.spapi_token(), "sellers/v1/account").json()["payload"]

    assert (payload["businessType"], payload["sellingPlan"]) == ("PRIVATE_LIMITED", "PROFESSIONAL")
    for entry in payload["marketplaceParticipationList"]:
        jsonschema.validate(entry, PARTICIPATION_SCHEMA)
    for part in ("business", "primaryContact"):
        assert payload[part]["name"]
    assert {"addressLine1", "countryCode"} <= set(payload["primaryContact"]["address"])


# Refusals: 403, and only the details differ ------------------------------------------------


def test_token_trouble_is_403_with_amazons_four_texts(
    emulator: RunningEmulator, caller: Caller
) -> None:
    token = caller.spapi_token()
    tampered = token[:-2] + ("aa" if token[-2:] != "aa" else "bb")

    missing = caller.sellers(None)
    malformed = [caller.sellers(value) for value in ("Atza|garbage", "garbage", tampered, "Atza|ü")]
    emulator.advance_clock(3600)
    expired = caller.sellers(token)
    emulator.scenario("expired_secret")
    secret = caller.sellers(caller.spapi_token())

    assert error_of(missing) == (403, "Unauthorized", MISSING)
    assert [error_of(reply) for reply in malformed] == [(403, "Unauthorized", REVOKED)] * 4
    assert error_of(expired) == (403, "Unauthorized", EXPIRED)
    assert error_of(secret) == (403, "Unauthorized", SECRET_EXPIRED)
    for reply in (missing, *malformed, expired, secret):
        (error,) = reply.json()["errors"]
        assert error["message"] == "Access to requested resource is denied."
        assert reply.headers["x-amzn-ErrorType"] == "AccessDeniedException"
        assert "WWW-Authenticate" not in reply.headers


def test_an_access_token_lives_one_hour(emulator: RunningEmulator, caller: Caller) -> None:
    token = caller.spapi_token()

    emulator.advance_clock(3590)
    still = caller.sellers(token)
    emulator.advance_clock(10)

    assert still.status_code == 200
    assert error_of(caller.sellers(token))[2] == EXPIRED


def test_an_ads_token_is_no_selling_partner_token(caller: Caller) -> None:
    assert error_of(caller.sellers(caller.ads_token())) == (403, "Unauthorized", REVOKED)


@pytest.mark.parametrize("region", ["eu", "fe"])
def test_a_token_of_one_region_is_refused_by_the_others(caller: Caller, region: str) -> None:
    reply = caller.sellers(caller.spapi_token(demo.NORTHSTAR, "NA"), region=region)

    assert error_of(reply) == (403, "Unauthorized", WRONG_REGION)


@pytest.mark.parametrize(
    "path", ["", "sellers/v1/unknown", "sellers/v2/marketplaceParticipations", "auth/o2/token"]
)
def test_an_unknown_path_is_403_with_empty_details(caller: Caller, path: str) -> None:
    reply = caller.sellers(caller.spapi_token(), path)

    assert error_of(reply) == (403, "Unauthorized", "")


def test_an_unknown_method_is_403_with_empty_details(caller: Caller) -> None:
    reply = caller.post(
        "/sellingpartnerapi-na.amazon.com/sellers/v1/marketplaceParticipations",
        headers={"x-amz-access-token": caller.spapi_token()},
    )

    assert error_of(reply) == (403, "Unauthorized", "")


def test_a_missing_role_is_403_with_empty_details(
    emulator: RunningEmulator, caller: Caller
) -> None:
    token = caller.spapi_token()
    emulator.scenario("missing_role")

    participations = caller.sellers(token)
    account_in_america = caller.sellers(token, "sellers/v1/account")
    account_in_europe = caller.sellers(
        caller.spapi_token(region="EU"), "sellers/v1/account", region="eu"
    )

    assert error_of(participations) == (403, "Unauthorized", "")
    assert account_in_america.status_code == 200
    assert error_of(account_in_europe) == (403, "Unauthorized", "")


def test_a_grantless_token_opens_no_account(caller: Caller) -> None:
    token = caller.grantless_token("sellingpartnerapi::notifications")

    assert error_of(caller.sellers(token)) == (403, "Unauthorized", "")


def test_a_get_with_a_body_is_400(caller: Caller) -> None:
    reply = caller.sellers(caller.spapi_token(), data=b"{}")

    assert reply.status_code == 400
    assert reply.json()["errors"] == [{"code": "InvalidInput", "message": "Invalid Input"}]
    assert reply.headers["x-amzn-RateLimit-Limit"] == "0.016"


# Rate limits and headers --------------------------------------------------------------------


def test_after_fifteen_calls_it_is_429_without_any_hint(caller: Caller) -> None:
    token = caller.spapi_token()

    statuses = [caller.sellers(token).status_code for _ in range(15)]
    refused = caller.sellers(token)

    assert statuses == [200] * 15
    assert refused.status_code == 429
    (error,) = refused.json()["errors"]
    assert error["code"] == "QuotaExceeded"
    assert error["message"] == "You exceeded your quota for the requested resource."
    assert "Retry-After" not in refused.headers
    assert "x-amzn-RateLimit-Limit" not in refused.headers
    assert refused.headers["x-amzn-RequestId"]


def test_the_bucket_fills_once_a_minute_on_the_emulators_clock(
    emulator: RunningEmulator, caller: Caller
) -> None:
    token = caller.spapi_token()
    for _ in range(16):
        caller.sellers(token)

    emulator.advance_clock(50)
    too_early = caller.sellers(token).status_code
    emulator.advance_clock(13)
    one_more, none_left = caller.sellers(token).status_code, caller.sellers(token).status_code

    assert (too_early, one_more, none_left) == (429, 200, 429)


def test_buckets_are_apart_by_seller_operation_and_region(caller: Caller) -> None:
    token = caller.spapi_token()
    for _ in range(16):
        caller.sellers(token)

    assert caller.sellers(token).status_code == 429
    assert caller.sellers(caller.spapi_token()).status_code == 429
    assert caller.sellers(token, "sellers/v1/account").status_code == 200
    assert caller.sellers(caller.spapi_token(demo.BLUE_HARBOR)).status_code == 200
    assert caller.sellers(caller.spapi_token(region="EU"), region="eu").status_code == 200


def test_refused_tokens_cost_nothing(caller: Caller) -> None:
    token = caller.spapi_token()
    for _ in range(20):
        caller.sellers(token, region="eu")

    assert caller.sellers(token).status_code == 200


def test_the_rate_header_comes_with_success_only(emulator: RunningEmulator, caller: Caller) -> None:
    token = caller.spapi_token()

    good, refused = caller.sellers(token), caller.sellers(None)

    assert good.headers["x-amzn-RateLimit-Limit"] == "0.016"
    assert "x-amzn-RateLimit-Limit" not in refused.headers
    ids = {good.headers["x-amzn-RequestId"], refused.headers["x-amzn-RequestId"]}
    assert len(ids) == 2
    assert all(re.fullmatch(r"[0-9a-f-]{36}", value) for value in ids)


def test_the_table_has_23_real_marketplaces_each_in_one_region() -> None:
    real = [item for item in MARKETPLACES.values() if item.is_amazon]

    assert len(real) == 23
    assert {item.region for item in real} == {"NA", "EU", "FE"}
    assert MARKETPLACES["A1F83G8C2ARO7P"].country_code == "GB"
    assert MARKETPLACES["A1F83G8C2ARO7P"].ads_country_code == "UK"


def test_the_emulator_imports_nothing_of_the_product() -> None:
    package = Path(__file__).parent.parent
    product = re.compile(
        r"^\s*(?:from|import) (?:sellerlegend|connections|marketplaces|ppc)\b", re.MULTILINE
    )

    assert [path.name for path in package.rglob("*.py") if product.search(path.read_text())] == []
