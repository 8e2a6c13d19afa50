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
    """Where both say one thing; each column may hold either. None: unknown, or they differ."""
    if not (region and marketplace):
        return _place_by(region or marketplace)
    found, beside = _place_by(marketplace), _place_by(region)
    if found is None or beside is None or found.region != beside.region:
        return None
    return found if marketplace_of(marketplace) else beside


def _place_by(text: str) -> Place | None:
    marketplace_id, region = marketplace_of(text), region_of(text)
    if marketplace_id:
        return Place(MARKETPLACES[marketplace_id].region, marketplace_id)
    return Place(region, MAIN_MARKETPLACE[region]) if region else None
