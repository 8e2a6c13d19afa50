from __future__ import annotations

import pytest

from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.regions import SELLER_CENTRAL_HOSTS, Region

AMAZON = Endpoints.amazon()
EMULATOR = Endpoints.emulator("http://127.0.0.1:9001")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (AMAZON.lwa_token(), "https://api.amazon.com/auth/o2/token"),
        (AMAZON.spapi(Region.NA), "https://sellingpartnerapi-na.amazon.com"),
        (AMAZON.spapi(Region.EU), "https://sellingpartnerapi-eu.amazon.com"),
        (AMAZON.spapi(Region.FE), "https://sellingpartnerapi-fe.amazon.com"),
        (AMAZON.ads_authorize(Region.NA), "https://www.amazon.com/ap/oa"),
        (AMAZON.ads_authorize(Region.EU), "https://eu.account.amazon.com/ap/oa"),
        (AMAZON.ads_authorize(Region.FE), "https://apac.account.amazon.com/ap/oa"),
        (AMAZON.ads_api(Region.NA), "https://advertising-api.amazon.com"),
        (AMAZON.ads_api(Region.EU), "https://advertising-api-eu.amazon.com"),
        (AMAZON.ads_api(Region.FE), "https://advertising-api-fe.amazon.com"),
        (AMAZON.seller_central("A1PA6795UKMFR9"), "https://sellercentral-europe.amazon.com"),
    ],
)
def test_amazon_is_where_its_documents_say(address: str, expected: str) -> None:
    assert address == expected


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (EMULATOR.lwa_token(), "api.amazon.com/auth/o2/token"),
        (EMULATOR.spapi(Region.EU), "sellingpartnerapi-eu.amazon.com"),
        (EMULATOR.ads_authorize(Region.FE), "apac.account.amazon.com/ap/oa"),
        (EMULATOR.ads_api(Region.NA), "advertising-api.amazon.com"),
        (EMULATOR.seller_central("ATVPDKIKX0DER"), "sellercentral.amazon.com"),
    ],
)
def test_on_an_emulator_each_host_is_a_path(address: str, path: str) -> None:
    assert address == f"http://127.0.0.1:9001/{path}"


def test_an_unknown_marketplace_has_no_seller_central() -> None:
    with pytest.raises(KeyError):
        AMAZON.seller_central("A2ZV50J4W1RKNI")


def test_form_action_allows_every_page_a_form_may_lead_to() -> None:
    allowed = AMAZON.hosts_for_form_action()

    assert allowed == tuple(sorted(allowed))
    assert set(allowed) == {f"https://{host}" for host in SELLER_CENTRAL_HOSTS} | {
        "https://amazon.com",
        "https://www.amazon.com",
        "https://eu.account.amazon.com",
        "https://apac.account.amazon.com",
    }


def test_form_action_allows_only_the_emulator_when_there_is_one() -> None:
    assert EMULATOR.hosts_for_form_action() == ("http://127.0.0.1:9001",)


def test_a_trailing_slash_is_no_part_of_an_origin() -> None:
    assert Endpoints.emulator("https://amazon.test/") == Endpoints(
        emulator_url="https://amazon.test"
    )


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:9001",
        "ftp://127.0.0.1",
        "http://",
        "http://:9001",
        "http://user:word@127.0.0.1",
        "http://127.0.0.1/path",
        "http://127.0.0.1?query",
        "http://127.0.0.1#fragment",
    ],
)
def test_an_emulator_must_be_a_bare_origin(address: str) -> None:
    with pytest.raises(ValueError, match="is an origin such as"):
        Endpoints.emulator(address)
