"""The Sellers API through python-amazon-sp-api, made safe for many sellers in one process.

The library keeps the request; ours are the access token (its cache is global and keyed by the
refresh token alone), the wire (deadline, proxies, Host) and the judgement of the answer (it takes
a 503 with HTML for success and turns an empty list into a dictionary).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from sp_api.api import Sellers

from sellerlegend.amazon import reading
from sellerlegend.amazon.classify import spapi_error, unusable_body
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.http import USER_AGENT, Reply, parse_json, send
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret

OPERATION = "getMarketplaceParticipations"
NAME_LENGTH = 255
CODE_LENGTH = 32


@dataclass(frozen=True)
class Participation:
    """One marketplace of a seller, Amazon's or not: filter by the ids of `regions.MARKETPLACES`.

    Texts for display are cleaned, and empty where Amazon left them out.
    """

    marketplace_id: str
    name: str
    country_code: str
    currency: str
    language: str
    domain_name: str
    store_name: str
    is_participating: bool
    has_suspended_listings: bool


@dataclass(frozen=True)
class ParticipationReply:
    """`dropped` counts the malformed items that were left out."""

    participations: tuple[Participation, ...]
    dropped: int


def get_marketplace_participations(
    *, endpoints: Endpoints, region: Region, access_token: Secret
) -> ParticipationReply:
    """Where the seller of this token sells; says nothing of who the seller is. May be empty.

    Of two entries for one marketplace the participating one counts. Plan: 0.016 requests/s,
    burst 15, per seller and application. Raises AccessTokenRejected, AccessDenied,
    ClientMisconfigured, AmazonUnavailable, UnexpectedReply.
    https://developer-docs.amazon.com/sp-api/docs/sellers-api-v1-reference
    """
    client = _SellersClient(endpoints=endpoints, region=region, access_token=access_token)
    reply: Reply = client.get_marketplace_participation()
    if reply.status != HTTPStatus.OK:
        raise spapi_error(reply, operation=OPERATION)
    payload = _payload(reply)
    if payload is None:
        raise unusable_body(reply, operation=OPERATION)
    items, dropped = reading.readable_items(payload, _participation)
    return ParticipationReply(_one_per_marketplace(items), dropped)


def _payload(reply: Reply) -> list[object] | None:
    body = parse_json(reply.body)
    payload = body.get("payload") if isinstance(body, dict) else None
    return payload if isinstance(payload, list) else None


def _participation(item: object) -> Participation:
    marketplace = reading.mapping(item, "marketplace")
    participation = reading.mapping(item, "participation")
    return Participation(
        marketplace_id=reading.identifier(marketplace, "id"),
        name=reading.text(marketplace, "name", NAME_LENGTH),
        country_code=reading.country_code(marketplace, "countryCode"),
        currency=reading.text(marketplace, "defaultCurrencyCode", CODE_LENGTH),
        language=reading.text(marketplace, "defaultLanguageCode", CODE_LENGTH),
        domain_name=reading.text(marketplace, "domainName", NAME_LENGTH),
        store_name=reading.text(item, "storeName", NAME_LENGTH),
        is_participating=reading.flag(participation, "isParticipating"),
        has_suspended_listings=reading.flag(participation, "hasSuspendedListings"),
    )


def _one_per_marketplace(items: list[Participation]) -> tuple[Participation, ...]:
    merged: dict[str, Participation] = {}
    for item in items:
        known = merged.setdefault(item.marketplace_id, item)
        if item.is_participating and not known.is_participating:
            merged[item.marketplace_id] = item
    return tuple(merged.values())


class _Wire:
    """Stands where the library keeps its httpx transport."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str | Secret],
        **_content: object,
    ) -> Reply:
        return send(
            method,
            url,
            endpoints=self.endpoints,
            operation=OPERATION,
            params=params,
            headers=headers,
        )


class _SellersClient(Sellers):  # type: ignore[misc]  # the library has no types
    def __init__(self, *, endpoints: Endpoints, region: Region, access_token: Secret) -> None:
        # Not super().__init__(): it looks for credentials in the environment, in files and at
        # AWS, lets SP_API_DEFAULT_MARKETPLACE override the endpoint, and opens a client that
        # obeys proxy variables.
        self.endpoint = endpoints.spapi(region)
        self.marketplace_id = ""
        self._access_token = access_token
        self._transport = _Wire(endpoints)

    @property
    def headers(self) -> dict[str, str | Secret]:
        """The token stays a Secret, since the library logs its headers. No Host: theirs loses the
        first letter on http, and `requests` knows it. No Content-Type: a GET has no content."""
        return {
            "User-Agent": USER_AGENT,
            "x-amz-access-token": self._access_token,
            "x-amz-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        }

    def _check_response(self, res: Reply, *_options: object) -> Reply:
        return res
