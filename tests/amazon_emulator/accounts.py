"""Who can consent: selling accounts with their participations, Ads logins with their profiles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tests.amazon_emulator.marketplaces import MARKETPLACES, Region, find_marketplace

Access = Literal["edit", "view"]
AccountType = Literal["seller", "vendor", "agency"]
Revoke = Callable[[str, str | None], int]


@dataclass
class Participation:
    """`facts` replaces the `marketplace` object of the reply, for ids outside the table."""

    marketplace_id: str
    store_name: str
    region: Region
    is_participating: bool = True
    has_suspended_listings: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    def as_wire(self) -> dict[str, Any]:
        """One element of getMarketplaceParticipations; it names no seller."""
        return {
            "marketplace": self.facts or _marketplace_facts(self.marketplace_id),
            "storeName": self.store_name,
            "participation": {
                "isParticipating": self.is_participating,
                "hasSuspendedListings": self.has_suspended_listings,
            },
        }


def _marketplace_facts(marketplace_id: str) -> dict[str, Any]:
    known = MARKETPLACES[marketplace_id]
    return {
        "id": known.marketplace_id,
        "name": known.name,
        "countryCode": known.country_code,
        "defaultCurrencyCode": known.currency_code,
        "defaultLanguageCode": known.language_code,
        "domainName": known.domain_name,
    }


@dataclass
class Seller:
    """One merchant token. Its participations may span regions; a grant never does."""

    seller_id: str
    name: str
    regions: list[Region]
    participations: list[Participation] = field(default_factory=list)
    is_vendor: bool = False
    # The person signed in to Seller Central is not the primary user of the account.
    is_secondary_user: bool = False
    _revoke: Revoke = field(default=lambda _seller, _region: 0, repr=False, compare=False)

    def participations_in(self, region: str) -> list[Participation]:
        return [item for item in self.participations if item.region == region]

    def participation(self, identifier: str) -> Participation:
        """By marketplace id or Ads country code; KeyError if the seller has no such entry."""
        known = find_marketplace(identifier).marketplace_id
        return {item.marketplace_id: item for item in self.participations}[known]

    def add_marketplace(
        self,
        identifier: str,
        *,
        store_name: str | None = None,
        is_participating: bool = True,
        has_suspended_listings: bool = False,
    ) -> Participation:
        """Adds it, or replaces the entry of the same marketplace."""
        known = find_marketplace(identifier)
        self.lose_marketplace(known.marketplace_id)
        added = Participation(
            known.marketplace_id,
            store_name or self.name,
            known.region,
            is_participating,
            has_suspended_listings,
        )
        self.participations.append(added)
        if known.region not in self.regions:
            self.regions.append(known.region)
        return added

    def lose_marketplace(self, identifier: str) -> None:
        """The entry is no longer in Amazon's reply at all."""
        known = find_marketplace(identifier).marketplace_id
        self.participations = [item for item in self.participations if item.marketplace_id != known]

    def revoke_grant(self, region: str | None = None) -> int:
        """Disable authorization in Manage Your Apps; returns how many grants ended."""
        return self._revoke(self.seller_id, region)

    def as_dict(self) -> dict[str, Any]:
        value = {name: item for name, item in vars(self).items() if not name.startswith("_")}
        return {**value, "participations": [asdict(item) for item in self.participations]}

    @classmethod
    def from_dict(cls, value: dict[str, Any], revoke: Revoke) -> Seller:
        entries = [Participation(**item) for item in value.pop("participations")]
        return cls(**value, participations=entries, _revoke=revoke)


@dataclass
class AdsProfile:
    """An advertiser account in one marketplace, and what this login may do with it."""

    profile_id: int
    marketplace_id: str
    account_id: str
    account_type: AccountType
    account_name: str | None
    access: Access = "edit"
    sub_type: str | None = None
    daily_budget: float | None = None
    valid_payment_method: bool | None = None

    @property
    def region(self) -> Region:
        return MARKETPLACES[self.marketplace_id].region

    def as_wire(self) -> dict[str, Any]:
        known = MARKETPLACES[self.marketplace_id]
        optional = {
            "name": self.account_name,
            "subType": self.sub_type,
            "validPaymentMethod": self.valid_payment_method,
        }
        account = {
            "marketplaceStringId": self.marketplace_id,
            "id": self.account_id,
            "type": self.account_type,
            **{name: value for name, value in optional.items() if value is not None},
        }
        item: dict[str, Any] = {
            "profileId": self.profile_id,
            "countryCode": known.ads_country_code,
            "currencyCode": known.currency_code,
            "timezone": known.timezone,
            "accountInfo": account,
        }
        if self.daily_budget is not None:
            item["dailyBudget"] = self.daily_budget
        return item


def _profile_id(*parts: str) -> int:
    """The same account has the same profile whoever looks at it. Between 2**53, where a
    JavaScript number would lose digits, and 2**63."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return 2**53 + int.from_bytes(digest[:8], "big") % 2**62


@dataclass
class AdsLogin:
    """An Amazon login on the Ads side: often another person than the seller's primary user."""

    login: str
    name: str
    profiles: list[AdsProfile] = field(default_factory=list)
    _revoke: Revoke = field(default=lambda _login, _region: 0, repr=False, compare=False)

    def add_profile(
        self,
        identifier: str,
        *,
        account_id: str,
        account_type: AccountType = "seller",
        account_name: str | None = None,
        access: Access = "edit",
        profile_id: int | None = None,
        sub_type: str | None = None,
    ) -> AdsProfile:
        """`identifier` is a marketplace id or an Ads country code. Only sellers have a daily
        budget and only vendors a payment method, as in the Ads profiles specification."""
        marketplace_id = find_marketplace(identifier).marketplace_id
        profile = AdsProfile(
            profile_id=profile_id or _profile_id(account_id, account_type, marketplace_id),
            marketplace_id=marketplace_id,
            account_id=account_id,
            account_type=account_type,
            account_name=account_name,
            access=access,
            sub_type=sub_type,
            daily_budget=999999999.0 if account_type == "seller" else None,
            valid_payment_method=True if account_type == "vendor" else None,
        )
        self.profiles.append(profile)
        return profile

    def revoke_grant(self) -> int:
        """Removed from the linked apps of the Amazon account; returns how many grants ended."""
        return self._revoke(self.login, None)

    def as_dict(self) -> dict[str, Any]:
        return {
            "login": self.login,
            "name": self.name,
            "profiles": [asdict(item) for item in self.profiles],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any], revoke: Revoke) -> AdsLogin:
        profiles = [AdsProfile(**item) for item in value.pop("profiles")]
        return cls(**value, profiles=profiles, _revoke=revoke)
