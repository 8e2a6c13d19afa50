"""Where Amazon is: every address this package may contact or send a browser to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self
from urllib.parse import urlsplit

from sellerlegend.amazon.regions import MARKETPLACES, Marketplace, Region

# Codes and tokens are global, so one token host serves SP-API and all three Ads regions:
# https://advertising.amazon.com/API/docs/en-us/guides/account-management/authorization/access-tokens
_LWA_TOKEN = "https://api.amazon.com/auth/o2/token"  # noqa: S105

# https://developer-docs.amazon.com/sp-api/docs/sp-api-endpoints
_SPAPI = MappingProxyType(
    {
        Region.NA: "https://sellingpartnerapi-na.amazon.com",
        Region.EU: "https://sellingpartnerapi-eu.amazon.com",
        Region.FE: "https://sellingpartnerapi-fe.amazon.com",
    }
)

# https://advertising.amazon.com/API/docs/en-us/guides/account-management/authorization/authorization-grants
_ADS_AUTHORIZE = MappingProxyType(
    {
        Region.NA: "https://www.amazon.com/ap/oa",
        Region.EU: "https://eu.account.amazon.com/ap/oa",
        Region.FE: "https://apac.account.amazon.com/ap/oa",
    }
)

# https://advertising.amazon.com/API/docs/en-us/reference/api-overview
_ADS_API = MappingProxyType(
    {
        Region.NA: "https://advertising-api.amazon.com",
        Region.EU: "https://advertising-api-eu.amazon.com",
        Region.FE: "https://advertising-api-fe.amazon.com",
    }
)

# The Appstore's own door, beside those of the 23 stores. It tells no region.
# https://developer-docs.amazon.com/sp-api/docs/selling-partner-appstore-authorization-workflow
_APPSTORE = "https://amazon.com"


@dataclass(frozen=True)
class Endpoints:
    """Amazon's addresses, or the same ones below the origin of an emulator.

    Addresses carry no trailing slash. On an emulator each real host is a path prefix:
    `http://127.0.0.1:9001/api.amazon.com/auth/o2/token`.
    """

    emulator_url: str = ""

    @classmethod
    def amazon(cls) -> Self:
        return cls()

    @classmethod
    def emulator(cls, base_url: str) -> Self:
        """Raises ValueError unless `base_url` is a bare http(s) origin."""
        parts = urlsplit(base_url)
        origin = f"{parts.scheme}://{parts.netloc}"
        is_origin = base_url.rstrip("/") == origin and "@" not in parts.netloc
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_origin:
            raise ValueError("The emulator's address is an origin such as http://127.0.0.1:9001.")
        return cls(emulator_url=origin)

    def seller_central(self, marketplace_id: str) -> str:
        """Raises KeyError for a marketplace that is not one of the 23."""
        return self._at(MARKETPLACES[marketplace_id].seller_central)

    def appstore_doors(self) -> Mapping[str, tuple[Marketplace, ...]]:
        """Every page on which the Appstore flow may go on, with the marketplaces it may be about:
        those of one Seller Central, or all of them at the door that tells no region."""
        doors: dict[str, tuple[Marketplace, ...]] = {}
        for marketplace in MARKETPLACES.values():
            page = self._at(marketplace.seller_central)
            doors[page] = (*doors.get(page, ()), marketplace)
        return doors | {self._at(_APPSTORE): tuple(MARKETPLACES.values())}

    def lwa_token(self) -> str:
        return self._at(_LWA_TOKEN)

    def spapi(self, region: Region) -> str:
        return self._at(_SPAPI[region])

    def ads_authorize(self, region: Region) -> str:
        return self._at(_ADS_AUTHORIZE[region])

    def ads_api(self, region: Region) -> str:
        return self._at(_ADS_API[region])

    def hosts_for_form_action(self) -> tuple[str, ...]:
        """CSP sources: browsers apply `form-action` to the redirect that answers a form, too."""
        if self.emulator_url:
            return (self.emulator_url,)
        pages = [marketplace.seller_central for marketplace in MARKETPLACES.values()]
        pages.extend([*_ADS_AUTHORIZE.values(), _APPSTORE])
        return tuple(sorted({f"https://{urlsplit(page).netloc}" for page in pages}))

    def may_be_called(self, url: str) -> bool:
        """Whether this process may speak to the address itself: its scheme, host and port are
        exactly those of an API here. Pages for browsers are not among them."""
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}" in self._callable_origins()

    def _callable_origins(self) -> frozenset[str]:
        if self.emulator_url:
            return frozenset({self.emulator_url})
        addresses = [_LWA_TOKEN, *_SPAPI.values(), *_ADS_API.values()]
        return frozenset(f"https://{urlsplit(address).netloc}" for address in addresses)

    def _at(self, address: str) -> str:
        if not self.emulator_url:
            return address
        return f"{self.emulator_url}/{address.removeprefix('https://')}"
