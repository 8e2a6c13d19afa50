"""Amazon Ads: the advertiser profiles that a consent can see."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from sellerlegend.amazon import reading
from sellerlegend.amazon.classify import ads_error, unusable_body
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.http import Reply, parse_json, send
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret

AccessLevel = Literal["edit", "view"]

OPERATION = "listProfiles"
NAME_LENGTH = 255
CODE_LENGTH = 64


@dataclass(frozen=True)
class Profile:
    """One advertiser in one marketplace.

    `account_id` is the Seller ID when `account_type` is "seller", else an ENTITY id. Join on
    `marketplace_id`: `country_code` says UK where the Sellers API says GB. `profile_id` is kept
    as text, digit for digit. `access` is the level that was asked for. Fields that Amazon may
    omit are empty: marketplace_id, currency_code, timezone, account_name, sub_type.
    """

    profile_id: str
    country_code: str
    currency_code: str
    timezone: str
    account_type: str
    account_id: str
    account_name: str
    marketplace_id: str
    sub_type: str
    access: AccessLevel


@dataclass(frozen=True)
class ProfileReply:
    """`dropped` counts the malformed items that were left out."""

    profiles: tuple[Profile, ...]
    dropped: int


def list_profiles(
    *,
    endpoints: Endpoints,
    region: Region,
    client_id: str,
    access_token: Secret,
    access_level: AccessLevel = "edit",
) -> ProfileReply:
    """The profiles on one region's host. Empty is a normal answer: another login, another region,
    no campaign yet, or (for "edit") rights to view only.

    Raises AccessTokenRejected, AccessDenied, AmazonUnavailable, UnexpectedReply.
    https://advertising.amazon.com/API/docs/en-us/guides/account-management/authorization/profiles
    """
    reply = send(
        "GET",
        f"{endpoints.ads_api(region)}/v2/profiles",
        endpoints=endpoints,
        operation=OPERATION,
        params={"accessLevel": access_level},
        headers={
            "Authorization": Secret(f"Bearer {access_token.reveal()}"),
            "Amazon-Advertising-API-ClientId": client_id,
        },
    )
    if reply.status != HTTPStatus.OK:
        raise ads_error(reply, operation=OPERATION)
    items = _items(reply)
    if items is None:
        raise unusable_body(reply, operation=OPERATION)
    profiles, dropped = reading.readable_items(items, lambda item: _profile(item, access_level))
    unique: dict[str, Profile] = {}
    for profile in profiles:
        unique.setdefault(profile.profile_id, profile)
    return ProfileReply(tuple(unique.values()), dropped)


def _items(reply: Reply) -> list[object] | None:
    items = parse_json(reply.body)
    return items if isinstance(items, list) else None


def _profile(item: object, access_level: AccessLevel) -> Profile:
    account = reading.mapping(item, "accountInfo")
    return Profile(
        profile_id=reading.number_as_text(item, "profileId"),
        country_code=reading.country_code(item, "countryCode"),
        currency_code=reading.text(item, "currencyCode", CODE_LENGTH),
        timezone=reading.text(item, "timezone", CODE_LENGTH),
        account_type=reading.identifier(account, "type"),
        account_id=reading.identifier(account, "id"),
        account_name=reading.text(account, "name", NAME_LENGTH),
        marketplace_id=reading.text(account, "marketplaceStringId", CODE_LENGTH),
        sub_type=reading.text(account, "subType", CODE_LENGTH),
        access=access_level,
    )
