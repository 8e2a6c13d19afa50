from __future__ import annotations

from collections import Counter

import pytest

from sellerlegend.amazon.regions import MARKETPLACES, SELLER_CENTRAL_HOSTS, Region


def test_there_are_23_marketplaces_in_three_regions() -> None:
    assert len(MARKETPLACES) == 23
    assert Counter(m.region for m in MARKETPLACES.values()) == {
        Region.NA: 4,
        Region.EU: 16,
        Region.FE: 3,
    }


def test_the_table_agrees_with_python_amazon_sp_api() -> None:
    from sp_api.base import Marketplaces

    theirs = {
        member.marketplace_id: (member.name, member.endpoint.split("-")[-1][:2].upper())
        for member in Marketplaces
    }

    assert {m.marketplace_id: (m.country_code, m.region) for m in MARKETPLACES.values()} == theirs


def test_the_united_kingdom_is_gb_for_sellers_and_uk_for_ads() -> None:
    kingdom = MARKETPLACES["A1F83G8C2ARO7P"]

    assert (kingdom.country_code, kingdom.ads_country_code) == ("GB", "UK")


def test_every_other_country_has_one_code() -> None:
    different = [m.country_code for m in MARKETPLACES.values() if m.country_code != "GB"]

    assert different == [
        m.ads_country_code for m in MARKETPLACES.values() if m.country_code != "GB"
    ]
    assert all(m.has_ads for m in MARKETPLACES.values())


@pytest.mark.parametrize(
    ("marketplace_id", "address", "domain", "currency", "language"),
    [
        ("ATVPDKIKX0DER", "https://sellercentral.amazon.com", "www.amazon.com", "USD", "en_US"),
        (
            "A1PA6795UKMFR9",
            "https://sellercentral-europe.amazon.com",
            "www.amazon.de",
            "EUR",
            "de_DE",
        ),
        ("A28R8C7NBKEWEA", "https://sellercentral.amazon.ie", "www.amazon.ie", "EUR", "en_IE"),
        (
            "AE08WJ6YKNBMC",
            "https://sellercentral.amazon.co.za",
            "www.amazon.co.za",
            "ZAR",
            "en_ZA",
        ),
        (
            "A1VC38T7YXB528",
            "https://sellercentral.amazon.co.jp",
            "www.amazon.co.jp",
            "JPY",
            "ja_JP",
        ),
    ],
)
def test_a_marketplace_knows_its_seller_central(
    marketplace_id: str, address: str, domain: str, currency: str, language: str
) -> None:
    found = MARKETPLACES[marketplace_id]

    assert (found.seller_central, found.domain) == (address, domain)
    assert (found.currency, found.language) == (currency, language)


def test_five_countries_share_one_of_the_19_seller_central_hosts() -> None:
    shared = [
        m.country_code
        for m in MARKETPLACES.values()
        if m.seller_central == "https://sellercentral-europe.amazon.com"
    ]

    assert sorted(shared) == ["DE", "ES", "FR", "GB", "IT"]
    assert len(SELLER_CENTRAL_HOSTS) == 19
    assert "sellercentral.amazon.com.au" in SELLER_CENTRAL_HOSTS


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        MARKETPLACES["X"] = MARKETPLACES["ATVPDKIKX0DER"]  # type: ignore[index]
