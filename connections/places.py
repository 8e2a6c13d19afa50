"""Which region and marketplace somebody means who writes it into a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from django.conf import settings
from django.utils import translation

from connections.countries import marketplace_names, region_name
from sellerlegend.amazon.regions import MARKETPLACES, Region

T = TypeVar("T")

# Decides only which Seller Central would ask for a new consent: one covers the whole region.
MAIN_MARKETPLACE: Mapping[Region, str] = {
    Region.NA: "ATVPDKIKX0DER",
    Region.EU: "A1PA6795UKMFR9",
    Region.FE: "A1VC38T7YXB528",
}
AMAZONS_NAMES: Mapping[str, Region] = {
    "us-east-1": Region.NA,
    "eu-west-1": Region.EU,
    "us-west-2": Region.FE,
}
# As people write them whose files nobody made for us, by country code.
ALSO_CALLED: Mapping[str, str] = {
    "usa": "US",
    "united states of america": "US",
    "great britain": "GB",
    "england": "GB",
    "uae": "AE",
    "ksa": "SA",
}


@dataclass(frozen=True)
class Place:
    region: Region
    marketplace_id: str


def _in_every_language(names: Callable[[], Mapping[T, str]]) -> dict[str, T]:
    """As our own pages and exports write them, whatever the reader's language."""
    found: dict[str, T] = {}
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            found |= {name.lower(): key for key, name in names().items()}
    return found


@cache
def _region_names() -> Mapping[str, Region]:
    names = _in_every_language(lambda: {region: region_name(region) for region in Region})
    return {**{region.lower(): region for region in Region}, **names, **AMAZONS_NAMES}


@cache
def _marketplace_names() -> Mapping[str, str]:
    """Ids by ids, countries' codes and names, and addresses, in lower case."""
    names = _in_every_language(marketplace_names)
    for row in MARKETPLACES.values():
        address = row.domain.removeprefix("www.")
        spellings = (row.marketplace_id, row.country_code, row.ads_country_code, row.name)
        for spelling in (*spellings, address, row.domain):
            names[spelling.lower()] = row.marketplace_id
    return names | {other: names[code.lower()] for other, code in ALSO_CALLED.items()}


def region_of(text: str) -> Region | None:
    return _region_names().get(text.strip().lower())


def marketplace_of(text: str) -> str:
    """The id; "" for what is none of Amazon's."""
    return _marketplace_names().get(text.strip().lower().removeprefix("https://").rstrip("/"), "")


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
