"""Amazon's marketplaces and hosts as the emulator knows them.

Typed again here and not imported from the product, so that a wrong id in one of the two tables
shows as a failing test. Sources: SP-API "Marketplace IDs", "Seller Central URLs" and "SP-API
endpoints"; the Amazon Ads profiles specification for time zones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

Region = Literal["NA", "EU", "FE"]
REGIONS: tuple[Region, ...] = ("NA", "EU", "FE")


@dataclass(frozen=True, slots=True)
class Marketplace:
    """`country_code` is ISO (GB), as the Sellers API says it; `ads_country_code` is the Ads
    API's (UK). Off-Amazon stores have neither a Seller Central host nor Ads."""

    marketplace_id: str
    name: str
    country_code: str
    ads_country_code: str
    region: Region
    seller_central: str
    domain_name: str
    currency_code: str
    language_code: str
    timezone: str

    @property
    def is_amazon(self) -> bool:
        return bool(self.seller_central)


# id, country, region, Seller Central, domain, currency, language, Ads time zone
_REAL = """
A2EUQ1WTGCTBG2 CA NA sellercentral.amazon.ca amazon.ca CAD en_CA America/Los_Angeles
ATVPDKIKX0DER US NA sellercentral.amazon.com amazon.com USD en_US America/Los_Angeles
A1AM78C64UM0Y8 MX NA sellercentral.amazon.com.mx amazon.com.mx MXN es_MX America/Los_Angeles
A2Q3Y263D00KWC BR NA sellercentral.amazon.com.br amazon.com.br BRL pt_BR America/Sao_Paulo
A28R8C7NBKEWEA IE EU sellercentral.amazon.ie amazon.ie EUR en_IE Europe/Dublin
A1RKKUPIHCS9HS ES EU sellercentral-europe.amazon.com amazon.es EUR es_ES Europe/Paris
A1F83G8C2ARO7P UK EU sellercentral-europe.amazon.com amazon.co.uk GBP en_GB Europe/London
A13V1IB3VIYZZH FR EU sellercentral-europe.amazon.com amazon.fr EUR fr_FR Europe/Paris
AMEN7PMS3EDWL BE EU sellercentral.amazon.com.be amazon.com.be EUR fr_BE Europe/Brussels
A1805IZSGTT6HS NL EU sellercentral.amazon.nl amazon.nl EUR nl_NL Europe/Amsterdam
A1PA6795UKMFR9 DE EU sellercentral-europe.amazon.com amazon.de EUR de_DE Europe/Paris
APJ6JRA9NG5V4 IT EU sellercentral-europe.amazon.com amazon.it EUR it_IT Europe/Paris
A2NODRKZP88ZB9 SE EU sellercentral.amazon.se amazon.se SEK sv_SE Europe/Stockholm
AE08WJ6YKNBMC ZA EU sellercentral.amazon.co.za amazon.co.za ZAR en_ZA Africa/Johannesburg
A1C3SOZRARQ6R3 PL EU sellercentral.amazon.pl amazon.pl PLN pl_PL Europe/Warsaw
ARBP9OOSHTCHU EG EU sellercentral.amazon.eg amazon.eg EGP ar_AE Africa/Cairo
A33AVAJ2PDY3EV TR EU sellercentral.amazon.com.tr amazon.com.tr TRY tr_TR Europe/Istanbul
A17E79C6D8DWNP SA EU sellercentral.amazon.sa amazon.sa SAR ar_AE Asia/Riyadh
A2VIGQ35RCS4UG AE EU sellercentral.amazon.ae amazon.ae AED en_AE Asia/Dubai
A21TJRUUN4KGV IN EU sellercentral.amazon.in amazon.in INR en_IN Asia/Kolkata
A19VAU5U5O7RUS SG FE sellercentral.amazon.sg amazon.sg SGD en_SG Asia/Singapore
A39IBJ37TRP1C6 AU FE sellercentral.amazon.com.au amazon.com.au AUD en_AU Australia/Sydney
A1VC38T7YXB528 JP FE sellercentral.amazon.co.jp amazon.co.jp JPY ja_JP Asia/Tokyo
"""

# Off-Amazon stores that the Sellers API lists beside the real ones: seen by developers, in no
# table of Amazon's. The domains after the first two are filled in after the Canadian pattern.
# id, country, region, domain, currency, language, name
_NON_AMAZON = """
A2ZV50J4W1RKNI US NA sim1.stores.amazon.com USD en_US Non-Amazon US
A1MQXOICRS2Z7M CA NA siprod.stores.amazon.ca CAD en_CA SI CA Prod Marketplace
A3H6HPSLHAK3XG MX NA siprod.stores.amazon.com.mx MXN es_MX Non-Amazon MX
A38D8NSA03LJTC DE EU siprod.stores.amazon.de EUR de_DE Non-Amazon DE
AFQLKURYRPEL8 ES EU siprod.stores.amazon.es EUR es_ES Non-Amazon ES
A1ZFFQZ3HTUKT9 FR EU siprod.stores.amazon.fr EUR fr_FR Non-Amazon FR
A62U237T8HV6N IT EU siprod.stores.amazon.it EUR it_IT SI Prod IT Marketplace
AZMDEXL2RVFNN GB EU siprod.stores.amazon.co.uk GBP en_GB SI UK Prod Marketplace
"""


def _real(line: str) -> Marketplace:
    marketplace_id, country, region, seller_central, domain, currency, language, timezone = (
        line.split()
    )
    return Marketplace(
        marketplace_id=marketplace_id,
        name=domain.capitalize(),
        country_code="GB" if country == "UK" else country,
        ads_country_code=country,
        region=cast(Region, region),
        seller_central=seller_central,
        domain_name=f"www.{domain}",
        currency_code=currency,
        language_code=language,
        timezone=timezone,
    )


def _non_amazon(line: str) -> Marketplace:
    marketplace_id, country, region, domain, currency, language, name = line.split(maxsplit=6)
    return Marketplace(
        marketplace_id=marketplace_id,
        name=name,
        country_code=country,
        ads_country_code="",
        region=cast(Region, region),
        seller_central="",
        domain_name=domain,
        currency_code=currency,
        language_code=language,
        timezone="",
    )


_ALL = [_real(line) for line in _REAL.strip().splitlines()]
BY_COUNTRY: dict[str, Marketplace] = {item.ads_country_code: item for item in _ALL}
_ALL += [_non_amazon(line) for line in _NON_AMAZON.strip().splitlines()]
MARKETPLACES: dict[str, Marketplace] = {item.marketplace_id: item for item in _ALL}

SELLER_CENTRAL_HOSTS: dict[str, Region] = {
    item.seller_central: item.region for item in BY_COUNTRY.values()
}
LWA_TOKEN_HOSTS: tuple[str, ...] = ("api.amazon.com", "api.amazon.co.uk", "api.amazon.co.jp")
SPAPI_HOSTS: dict[str, Region] = {
    f"sellingpartnerapi-{region.lower()}.amazon.com": region for region in REGIONS
}
ADS_CONSENT_HOSTS: dict[str, Region] = {
    "www.amazon.com": "NA",
    "eu.account.amazon.com": "EU",
    "apac.account.amazon.com": "FE",
}
ADS_API_HOSTS: dict[str, Region] = {
    "advertising-api.amazon.com": "NA",
    "advertising-api-eu.amazon.com": "EU",
    "advertising-api-fe.amazon.com": "FE",
}


def find_marketplace(identifier: str) -> Marketplace:
    """Finds by marketplace id or by the Ads country code (`US`, `UK`); KeyError if neither."""
    return BY_COUNTRY.get(identifier) or MARKETPLACES[identifier]
