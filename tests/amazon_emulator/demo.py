"""The accounts a fresh world starts with; the README has the same table in words."""

from __future__ import annotations

from tests.amazon_emulator.world import World

NORTHSTAR = "A1NORTHSTAR001"
BLUE_HARBOR = "A2BLUEHARBOR02"
SAKURA = "A3SAKURATEA003"
DESERT_ROSE = "A4DESERTROSE04"
LONELY = "A5LONELYSHOP05"
VENDOR = "V1PAPERVENDOR1"

NORTHSTAR_LOGIN = "ads@northstar.example"
AGENCY_LOGIN = "agency@ads.example"
PERSONAL_LOGIN = "personal@example.com"


def fill(world: World) -> None:
    with world.lock:
        _add_sellers(world)
        _add_ads_logins(world)


def _add_sellers(world: World) -> None:
    northstar = world.add_seller(
        NORTHSTAR,
        "Northstar Outdoors",
        marketplaces=("US", "CA", "MX", "A2ZV50J4W1RKNI"),
        not_participating=("BR",),
    )
    for country in ("UK", "DE", "FR", "IT", "ES", "NL"):
        northstar.add_marketplace(
            country,
            store_name="Northstar Outdoors EU",
            has_suspended_listings=country == "IT",
        )
    northstar.add_marketplace("JP", store_name="ノーススター・アウトドア")
    world.add_seller(BLUE_HARBOR, "Blue Harbor Kitchen", marketplaces=("US", "CA"))
    world.add_seller(SAKURA, "Sakura Tea", marketplaces=("JP", "AU", "SG"))
    # Middle East: region EU, but a merchant token of its own.
    world.add_seller(DESERT_ROSE, "Desert Rose", marketplaces=("AE", "SA"))
    world.add_seller(LONELY, "Lonely Shop", regions=("NA",))
    world.add_seller(VENDOR, "Paper Vendor Inc. (vendor)", regions=("NA", "EU"), is_vendor=True)


def _add_ads_logins(world: World) -> None:
    northstar = world.add_ads_login(NORTHSTAR_LOGIN, "Northstar marketing")
    for country in ("US", "CA", "UK", "DE"):
        northstar.add_profile(country, account_id=NORTHSTAR, account_name="Northstar Outdoors")
    northstar.add_profile(
        "US",
        account_id="ENTITY3NORTHVENDOR",
        account_type="vendor",
        account_name="Northstar Wholesale",
    )
    northstar.add_profile(
        "US",
        account_id="ENTITY3NORTHAGENCY",
        account_type="agency",
        account_name="Northstar DSP",
    )
    agency = world.add_ads_login(AGENCY_LOGIN, "Brightside Agency")
    agency.add_profile("US", account_id=NORTHSTAR, account_name="Northstar Outdoors")
    agency.add_profile("CA", account_id=NORTHSTAR, account_name="Northstar Outdoors", access="view")
    # The name is optional: older profiles of sellers come without one.
    agency.add_profile("US", account_id=BLUE_HARBOR)
    agency.add_profile("CA", account_id=BLUE_HARBOR, access="view")
    world.add_ads_login(PERSONAL_LOGIN, "A personal account")
