"""Which region and marketplace somebody means who writes it into a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sellerlegend.amazon.regions import MARKETPLACES, Region

# Decides only which Seller Central would ask for a new consent: one covers the whole region.
MAIN_MARKETPLACE: Mapping[Region, str] = {
    Region.NA: "ATVPDKIKX0DER",
    Region.EU: "A1PA6795UKMFR9",
    Region.FE: "A1VC38T7YXB528",
}
REGION_NAMES: Mapping[str, Region] = {
    "na": Region.NA,
    "north america": Region.NA,
    "us-east-1": Region.NA,
    "eu": Region.EU,
    "europe": Region.EU,
    "eu-west-1": Region.EU,
    "fe": Region.FE,
    "far east": Region.FE,
    "us-west-2": Region.FE,
}


@dataclass(frozen=True)
class Place:
    region: Region
    marketplace_id: str


def _known_names() -> dict[str, str]:
    """Ids, countries' codes and names, and addresses, in lower case."""
    names: dict[str, str] = {}
    for row in MARKETPLACES.values():
        address = row.domain.removeprefix("www.")
        spellings = (row.marketplace_id, row.country_code, row.ads_country_code, row.name)
        for spelling in (*spellings, address, row.domain):
            names[spelling.lower()] = row.marketplace_id
    return names


_NAMES = _known_names()


def region_of(text: str) -> Region | None:
    return REGION_NAMES.get(text.strip().lower())


def marketplace_of(text: str) -> str:
    """The id; "" for what is none of Amazon's."""
    return _NAMES.get(text.strip().lower().removeprefix("https://").rstrip("/"), "")


def place_of(region: str, marketplace: str) -> Place | None:
    """Both may be given, if they agree; a marketplace may stand in either column."""
    told = marketplace_of(marketplace or region)
    if marketplace and not told:
        return None
    wanted = region_of(region) if region and not (told and not marketplace) else None
    if not told:
        return Place(wanted, MAIN_MARKETPLACE[wanted]) if wanted else None
    found = MARKETPLACES[told].region
    if region and marketplace and region_of(region) != found:
        return None
    return Place(found, told)
