"""The operations that are asked for one item: roles, required parameters, whose listings."""

from __future__ import annotations

import pytest

from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import BLUE_HARBOR, NORTHSTAR
from tests.amazon_emulator.tests.conftest import Caller, error_of

US = "ATVPDKIKX0DER"
WHERE = {"marketplaceIds": US}
ORDERS, INVENTORY, FINANCES, LISTINGS, REPORTS = (
    "orders/2026-01-01/orders",
    "fba/inventory/v1/summaries",
    "finances/v0/financialEventGroups",
    f"listings/2021-08-01/items/{NORTHSTAR}",
    "reports/2021-06-30/reports",
)
GOOD = {
    ORDERS: WHERE | {"createdAfter": "2026-11-01T00:00:00Z"},
    INVENTORY: WHERE | {"granularityType": "Marketplace", "granularityId": US},
    FINANCES: {"MaxResultsPerPage": "1"},
    LISTINGS: WHERE | {"pageSize": "1"},
    REPORTS: {"reportTypes": "GET_SALES_AND_TRAFFIC_REPORT"},
}
ROLES = {
    ORDERS: "Inventory and Order Tracking",
    INVENTORY: "Amazon Fulfillment",
    FINANCES: "Finance and Accounting",
    LISTINGS: "Product Listing",
    REPORTS: "Brand Analytics",
}


@pytest.mark.parametrize("path", GOOD)
def test_a_good_call_finds_an_empty_page(caller: Caller, path: str) -> None:
    reply = caller.sellers(caller.spapi_token(), path, params=GOOD[path])

    assert reply.status_code == 200
    assert isinstance(reply.json(), dict)
    assert "x-amzn-RateLimit-Limit" in reply.headers


@pytest.mark.parametrize("path", GOOD)
def test_a_missing_role_is_403_without_details(
    emulator: RunningEmulator, caller: Caller, path: str
) -> None:
    token = caller.spapi_token()
    emulator.world.applications["spapi"].roles = ["Selling Partner Insights"]

    refused = caller.sellers(token, path, params=GOOD[path])
    emulator.world.applications["spapi"].roles = [ROLES[path]]

    assert error_of(refused) == (403, "Unauthorized", "")
    assert caller.sellers(token, path, params=GOOD[path]).status_code == 200


def test_another_sellers_listings_are_refused_as_a_missing_role_is(caller: Caller) -> None:
    foreign = LISTINGS.replace(NORTHSTAR, BLUE_HARBOR)

    reply = caller.sellers(caller.spapi_token(), foreign, params=GOOD[LISTINGS])

    assert error_of(reply) == (403, "Unauthorized", "")


@pytest.mark.parametrize("path", [ORDERS, INVENTORY, LISTINGS, REPORTS])
def test_a_call_without_what_it_must_name_is_400(caller: Caller, path: str) -> None:
    reply = caller.sellers(caller.spapi_token(), path)

    assert reply.status_code == 400
    assert reply.json()["errors"][0]["code"] == "InvalidInput"


def test_orders_take_one_window_only(caller: Caller) -> None:
    both = GOOD[ORDERS] | {"lastUpdatedAfter": "2026-11-01T00:00:00Z"}

    assert caller.sellers(caller.spapi_token(), ORDERS, params=both).status_code == 400


def test_each_operation_has_a_plan_of_its_own(caller: Caller) -> None:
    token = caller.spapi_token()

    codes = [caller.sellers(token, INVENTORY, params=GOOD[INVENTORY]).status_code for _ in range(8)]

    assert codes[:2] == [200, 200]
    assert 429 in codes
    assert caller.sellers(token, LISTINGS, params=GOOD[LISTINGS]).status_code == 200
