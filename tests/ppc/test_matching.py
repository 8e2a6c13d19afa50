"""Which profile belongs to a marketplace, and the most telling reason when none does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.reasons import REASONS
from ppc.matching import match_profile
from tests.factories import CANADA, UK, US

OURS, OTHER = "A1NORTHSTAR001", "A2BLUEHARBOR02"


@dataclass
class Profile:
    account_type: str = "seller"
    account_id: str = OURS
    marketplace_id: str = US
    can_edit: bool = True


def reason_of(*profiles: Profile) -> str:
    match = match_profile(profiles, selling_partner_id=OURS, marketplace_id=US)
    assert match.profile is None
    return match.reason


def test_the_sellers_profile_in_the_marketplace_matches() -> None:
    profile = Profile()
    others = [Profile(marketplace_id=CANADA), Profile(account_id=OTHER), Profile("vendor")]

    match = match_profile([*others, profile], selling_partner_id=OURS, marketplace_id=US)

    assert match.profile is profile
    assert match.reason == ""


@pytest.mark.parametrize(
    "profile",
    [
        Profile(account_type="vendor"),
        Profile(account_type="agency"),
        Profile(account_id=OTHER),
        Profile(account_id=OURS.lower()),
        Profile(marketplace_id=UK),
        Profile(marketplace_id=""),
        Profile(account_id=""),
        Profile(can_edit=False),
    ],
)
def test_less_than_all_three_keys_and_edit_rights_is_no_match(profile: Profile) -> None:
    assert match_profile([profile], selling_partner_id=OURS, marketplace_id=US).profile is None


def test_a_profile_that_may_be_edited_goes_before_one_that_may_be_viewed() -> None:
    editable = Profile()

    match = match_profile(
        [Profile(can_edit=False), editable], selling_partner_id=OURS, marketplace_id=US
    )

    assert match.profile is editable


def test_of_two_profiles_the_first_one_is_used() -> None:
    first, second = Profile(), Profile()

    match = match_profile([first, second], selling_partner_id=OURS, marketplace_id=US)

    assert match.profile is first


def test_an_unknown_seller_matches_nothing() -> None:
    """A row without consent has no Seller ID; a vendor's profile may have an empty one."""
    match = match_profile([Profile(account_id="")], selling_partner_id="", marketplace_id=US)

    assert match.profile is None


@pytest.mark.parametrize(
    ("profiles", "reason"),
    [
        ([], "ads_nothing_listed"),
        ([Profile(can_edit=False)], "ads_view_only"),
        ([Profile(can_edit=False), Profile(marketplace_id=CANADA)], "ads_view_only"),
        ([Profile(marketplace_id=CANADA)], "ads_no_profile"),
        ([Profile(marketplace_id=CANADA), Profile("vendor")], "ads_no_profile"),
        ([Profile("vendor")], "ads_vendor_only"),
        ([Profile("vendor", marketplace_id=CANADA)], "ads_vendor_only"),
        ([Profile("agency")], "ads_agency_only"),
        ([Profile("agency", marketplace_id=CANADA)], "ads_agency_only"),
        ([Profile(account_id=OTHER)], "ads_other_seller"),
        ([Profile(account_id=OTHER, marketplace_id=CANADA)], "ads_other_seller"),
        ([Profile(account_id=OTHER), Profile("vendor")], "ads_other_seller"),
        ([Profile(account_id=OTHER, marketplace_id=CANADA), Profile("vendor")], "ads_vendor_only"),
        ([Profile("vendor", marketplace_id=CANADA), Profile("agency")], "ads_agency_only"),
        ([Profile("vendor"), Profile("agency")], "ads_no_profile"),
        ([Profile("something new")], "ads_no_profile"),
    ],
)
def test_the_most_telling_reason(profiles: list[Profile], reason: str) -> None:
    assert reason_of(*profiles) == reason
    assert reason in REASONS


@given(
    st.lists(
        st.builds(
            Profile,
            st.sampled_from(["seller", "vendor", "agency", "x"]),
            st.sampled_from([OURS, OTHER, ""]),
            st.sampled_from([US, CANADA]),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_every_listing_gives_a_profile_or_a_known_reason(profiles: list[Profile]) -> None:
    match = match_profile(profiles, selling_partner_id=OURS, marketplace_id=US)

    exact = Profile() in profiles
    assert (match.profile == Profile()) is exact
    assert match.reason in ({""} if exact else REASONS)
