from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import responses

from sellerlegend.amazon import ads, http
from sellerlegend.amazon.ads import Profile, ProfileReply
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    UnexpectedReply,
)
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret

HOSTS = {
    Region.NA: "advertising-api.amazon.com",
    Region.EU: "advertising-api-eu.amazon.com",
    Region.FE: "advertising-api-fe.amazon.com",
}


@pytest.fixture
def amazon() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def _answer(
    amazon: responses.RequestsMock, status: int = 200, region: Region = Region.NA, **options: Any
) -> None:
    amazon.get(f"https://{HOSTS[region]}/v2/profiles", status=status, **options)


def _list(
    region: Region = Region.NA, access_level: Literal["edit", "view"] = "edit"
) -> ProfileReply:
    return ads.list_profiles(
        endpoints=Endpoints.amazon(),
        region=region,
        client_id="amzn1.application-oa2-client.demo-ads",
        access_token=Secret("Atza|ads"),
        access_level=access_level,
    )


def _item(**changes: object) -> dict[str, Any]:
    account: dict[str, object] = {
        "marketplaceStringId": "A1F83G8C2ARO7P",
        "id": "A1NORTHSTAR001",
        "type": "seller",
        "name": "Northstar Outdoors",
    }
    account |= {k: v for k, v in changes.items() if k in account or k == "subType"}
    item: dict[str, object] = {
        "profileId": 1152921504606846977,
        "countryCode": "UK",
        "currencyCode": "GBP",
        "dailyBudget": 999999999.0,
        "timezone": "Europe/London",
        "accountInfo": {k: v for k, v in account.items() if v is not None},
    }
    item |= {k: v for k, v in changes.items() if k in item}
    return item


@pytest.mark.parametrize("region", list(Region))
@pytest.mark.parametrize("access_level", ["edit", "view"])
def test_each_region_has_its_host(
    amazon: responses.RequestsMock, region: Region, access_level: Literal["edit", "view"]
) -> None:
    _answer(amazon, region=region, json=[])

    assert _list(region, access_level) == ProfileReply((), 0)

    request = amazon.calls[0].request
    assert request.url == f"https://{HOSTS[region]}/v2/profiles?accessLevel={access_level}"
    assert request.headers["Authorization"] == "Bearer Atza|ads"
    assert request.headers["Amazon-Advertising-API-ClientId"] == (
        "amzn1.application-oa2-client.demo-ads"
    )
    assert "Amazon-Advertising-API-Scope" not in request.headers


def test_a_profile_is_read(amazon: responses.RequestsMock) -> None:
    _answer(amazon, json=[_item(subType="KDP_AUTHOR")])

    assert _list(access_level="view").profiles == (
        Profile(
            profile_id="1152921504606846977",
            country_code="UK",
            currency_code="GBP",
            timezone="Europe/London",
            account_type="seller",
            account_id="A1NORTHSTAR001",
            account_name="Northstar Outdoors",
            marketplace_id="A1F83G8C2ARO7P",
            sub_type="KDP_AUTHOR",
            access="view",
        ),
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (1152921504606846977, "1152921504606846977"),
        (18446744073709551615, "18446744073709551615"),
        ("123", "123"),
        ("00123", "00123"),
    ],
)
def test_a_profile_id_is_kept_digit_for_digit(
    amazon: responses.RequestsMock, sent: object, kept: str
) -> None:
    _answer(amazon, json=[_item(profileId=sent)])

    assert _list().profiles[0].profile_id == kept


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        7,
        {},
        _item(accountInfo=None),
        _item(accountInfo="seller"),
        _item(profileId=None),
        _item(profileId=True),
        _item(profileId=-1),
        _item(profileId=1.5),
        _item(profileId="12a"),
        _item(profileId=10**30),
        _item(countryCode="GBR"),
        _item(type=None),
        _item(type=7),
        _item(id=None),
        _item(id="A" * 65),
        _item(timezone=7),
        _item(name={}),
    ],
)
def test_a_malformed_profile_is_left_out_and_counted(
    amazon: responses.RequestsMock, malformed: object
) -> None:
    _answer(amazon, json=[malformed, _item(profileId=2)])

    answer = _list()

    assert [profile.profile_id for profile in answer.profiles] == ["2"]
    assert answer.dropped == 1


def test_fields_that_amazon_may_omit_are_empty(amazon: responses.RequestsMock) -> None:
    _answer(amazon, json=[_item(type="agency", name=None, marketplaceStringId=None)])

    [profile] = _list().profiles

    assert (profile.account_name, profile.marketplace_id, profile.sub_type) == ("", "", "")


def test_a_profile_listed_twice_is_one(amazon: responses.RequestsMock) -> None:
    _answer(amazon, json=[_item(name="first"), _item(profileId=2), _item(name="second")])

    answer = _list()

    assert [(p.profile_id, p.account_name) for p in answer.profiles] == [
        ("1152921504606846977", "first"),
        ("2", "Northstar Outdoors"),
    ]


def test_five_thousand_profiles_are_read(amazon: responses.RequestsMock) -> None:
    _answer(amazon, body=json.dumps([_item(profileId=number) for number in range(5000)]))

    assert len(_list().profiles) == 5000


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, '{"code": "401", "details": "HTTP 401 Unauthorized"}', AccessTokenRejected),
        (403, '{"code": "403"}', AccessDenied),
        (400, '{"code": "400"}', UnexpectedReply),
        (307, "", UnexpectedReply),
        (500, '{"code": "500"}', AmazonUnavailable),
        (504, "<html>", AmazonUnavailable),
        (200, "<html>", AmazonUnavailable),
        (200, "", AmazonUnavailable),
        (200, "{}", AmazonUnavailable),
        (200, '{"code": "500"}', AmazonUnavailable),
    ],
)
def test_nothing_but_a_list_is_taken_for_success(
    amazon: responses.RequestsMock, status: int, body: str, expected: type[AmazonError]
) -> None:
    _answer(amazon, status=status, body=body, headers={"x-amzn-RequestId": "req-7"})

    with pytest.raises(AmazonError) as caught:
        _list()

    assert type(caught.value) is expected
    assert (caught.value.operation, caught.value.request_id) == ("listProfiles", "req-7")


@pytest.mark.parametrize("status", [401, 403])
def test_a_page_of_more_than_ten_megabytes_refuses_nobody(
    amazon: responses.RequestsMock, status: int
) -> None:
    page = b"<!DOCTYPE html><html><body>" + b"." * http.BODY_BYTES
    _answer(amazon, status=status, body=page, headers={"Content-Type": "text/html"})

    with pytest.raises(AmazonError) as caught:
        _list()

    assert type(caught.value) is AmazonUnavailable


def test_amazon_says_how_long_to_wait(amazon: responses.RequestsMock) -> None:
    _answer(amazon, status=429, headers={"Retry-After": "5"})

    with pytest.raises(AmazonUnavailable) as caught:
        _list()

    assert (caught.value.throttled, caught.value.retry_after) == (True, 5.0)
