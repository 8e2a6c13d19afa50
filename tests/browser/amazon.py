"""The fake Amazon as a test arranges it: sellers and Ads logins that no other run has."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import requests


@dataclass(frozen=True)
class Seller:
    seller_id: str
    name: str


class Amazon:
    def __init__(self, url: str) -> None:
        self.url = url
        self._grantors: list[str] = []

    def add_seller(self, name: str, *marketplaces: str, **options: Any) -> Seller:
        """Marketplaces by Ads country code; the Seller ID is new at every call."""
        seller = Seller(f"A9{secrets.token_hex(5).upper()}", name)
        self._post(
            "sellers",
            {"seller_id": seller.seller_id, "name": name, "marketplaces": marketplaces, **options},
        )
        self._grantors.append(seller.seller_id)
        return seller

    def add_ads_login(self, seller: Seller, *marketplaces: str, **options: Any) -> str:
        """A login that runs the seller's campaigns in these marketplaces."""
        login = f"ads-{seller.seller_id.lower()}@example.com"
        for marketplace in marketplaces:
            facts = {"account_id": seller.seller_id, "account_name": seller.name, **options}
            self._post("profiles", {"login": login, "marketplace": marketplace, **facts})
        self._grantors.append(login)
        return login

    def consent_elsewhere(self, seller: Seller, region: str) -> str:
        """The refresh token that another tool with the same Amazon application holds."""
        reply = self._post("consents", {"seller_id": seller.seller_id, "region": region})
        return str(reply["refresh_token"])

    def leave(self) -> None:
        """An unlisted application has 25 places: a demo that is walked often must not run out."""
        for grantor in self._grantors:
            self._post("scenarios/revoked_grant", {"seller": grantor})

    def _post(self, path: str, value: dict[str, Any]) -> Any:
        reply = requests.post(f"{self.url}/_control/api/{path}", json=value, timeout=10)
        reply.raise_for_status()
        return reply.json()
