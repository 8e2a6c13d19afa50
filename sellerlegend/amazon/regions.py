"""The 23 marketplaces Amazon documents, and the region each belongs to.

Sources: https://developer-docs.amazon.com/sp-api/docs/marketplace-ids,
https://developer-docs.amazon.com/sp-api/docs/seller-central-urls and
https://advertising.amazon.com/API/docs/en-us/reference/api-overview
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import urlsplit


class Region(StrEnum):
    """One grant covers one region of one seller."""

    NA = "NA"
    EU = "EU"
    FE = "FE"


@dataclass(frozen=True)
class Marketplace:
    """Static facts. Join on `marketplace_id`: the two APIs disagree on country codes.

    `country_code` is ISO 3166 (GB), as in the Sellers API; `ads_country_code` is what Ads
    profiles say (UK). `seller_central` is an https address without a trailing slash. `language`
    is what Amazon typically reports; the Sellers API has the last word.
    """

    marketplace_id: str
    country_code: str
    name: str
    region: Region
    seller_central: str
    domain: str
    currency: str
    language: str
    has_ads: bool
    ads_country_code: str


# Five countries share one Seller Central; the others have it on their own domain.
_PAN_EU = "sellercentral-europe.amazon.com"
_ON_PAN_EU = frozenset({"DE", "ES", "FR", "GB", "IT"})


def _row(
    region: Region,
    marketplace_id: str,
    country_code: str,
    name: str,
    domain: str,
    currency: str,
    language: str,
) -> Marketplace:
    host = _PAN_EU if country_code in _ON_PAN_EU else f"sellercentral.{domain}"
    return Marketplace(
        marketplace_id=marketplace_id,
        country_code=country_code,
        name=name,
        region=region,
        seller_central=f"https://{host}",
        domain=f"www.{domain}",
        currency=currency,
        language=language,
        # The Ads profiles list every one of the 23.
        has_ads=True,
        ads_country_code="UK" if country_code == "GB" else country_code,
    )


_NA, _EU, _FE = Region.NA, Region.EU, Region.FE

_ALL = (
    _row(_NA, "A2EUQ1WTGCTBG2", "CA", "Canada", "amazon.ca", "CAD", "en_CA"),
    _row(_NA, "ATVPDKIKX0DER", "US", "United States", "amazon.com", "USD", "en_US"),
    _row(_NA, "A1AM78C64UM0Y8", "MX", "Mexico", "amazon.com.mx", "MXN", "es_MX"),
    _row(_NA, "A2Q3Y263D00KWC", "BR", "Brazil", "amazon.com.br", "BRL", "pt_BR"),
    _row(_EU, "A28R8C7NBKEWEA", "IE", "Ireland", "amazon.ie", "EUR", "en_IE"),
    _row(_EU, "A1RKKUPIHCS9HS", "ES", "Spain", "amazon.es", "EUR", "es_ES"),
    _row(_EU, "A1F83G8C2ARO7P", "GB", "United Kingdom", "amazon.co.uk", "GBP", "en_GB"),
    _row(_EU, "A13V1IB3VIYZZH", "FR", "France", "amazon.fr", "EUR", "fr_FR"),
    _row(_EU, "AMEN7PMS3EDWL", "BE", "Belgium", "amazon.com.be", "EUR", "fr_BE"),
    _row(_EU, "A1805IZSGTT6HS", "NL", "Netherlands", "amazon.nl", "EUR", "nl_NL"),
    _row(_EU, "A1PA6795UKMFR9", "DE", "Germany", "amazon.de", "EUR", "de_DE"),
    _row(_EU, "APJ6JRA9NG5V4", "IT", "Italy", "amazon.it", "EUR", "it_IT"),
    _row(_EU, "A2NODRKZP88ZB9", "SE", "Sweden", "amazon.se", "SEK", "sv_SE"),
    _row(_EU, "AE08WJ6YKNBMC", "ZA", "South Africa", "amazon.co.za", "ZAR", "en_ZA"),
    _row(_EU, "A1C3SOZRARQ6R3", "PL", "Poland", "amazon.pl", "PLN", "pl_PL"),
    _row(_EU, "ARBP9OOSHTCHU", "EG", "Egypt", "amazon.eg", "EGP", "ar_AE"),
    _row(_EU, "A33AVAJ2PDY3EV", "TR", "Turkey", "amazon.com.tr", "TRY", "tr_TR"),
    _row(_EU, "A17E79C6D8DWNP", "SA", "Saudi Arabia", "amazon.sa", "SAR", "ar_AE"),
    _row(_EU, "A2VIGQ35RCS4UG", "AE", "United Arab Emirates", "amazon.ae", "AED", "en_AE"),
    _row(_EU, "A21TJRUUN4KGV", "IN", "India", "amazon.in", "INR", "en_IN"),
    _row(_FE, "A19VAU5U5O7RUS", "SG", "Singapore", "amazon.sg", "SGD", "en_SG"),
    _row(_FE, "A39IBJ37TRP1C6", "AU", "Australia", "amazon.com.au", "AUD", "en_AU"),
    _row(_FE, "A1VC38T7YXB528", "JP", "Japan", "amazon.co.jp", "JPY", "ja_JP"),
)

MARKETPLACES: Mapping[str, Marketplace] = MappingProxyType({m.marketplace_id: m for m in _ALL})
SELLER_CENTRAL_HOSTS: frozenset[str] = frozenset(urlsplit(m.seller_central).netloc for m in _ALL)
