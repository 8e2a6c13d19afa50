"""Which Ads profile belongs to which marketplace account. Pure: no rows are read or written.

The key is type seller, account id = Seller ID, and marketplace id; never less. Country codes
disagree between Amazon's APIs (GB, UK) and are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class ListedProfile(Protocol):
    """What the match looks at. Attributes, since model fields are descriptors to the checker."""

    account_type: Any
    account_id: Any
    marketplace_id: Any
    can_edit: Any


P = TypeVar("P", bound=ListedProfile)


@dataclass(frozen=True)
class Match(Generic[P]):
    """Either a profile, or the reason why there is none. `view_only` goes with both."""

    profile: P | None
    reason: str = ""


def match_profile(
    profiles: Iterable[P], *, selling_partner_id: str, marketplace_id: str
) -> Match[P]:
    """The seller's profile in the marketplace. Without one, the most telling reason.

    Reasons: ads_view_only, ads_no_profile, ads_vendor_only, ads_agency_only, ads_other_seller,
    ads_nothing_listed.
    """
    listed = list(profiles)
    own = [
        profile
        for profile in listed
        if selling_partner_id  # a row without consent has none, and is nobody's
        and profile.account_type == "seller"
        and profile.account_id == selling_partner_id
    ]
    here = [profile for profile in own if profile.marketplace_id == marketplace_id]
    for profile in here:
        if profile.can_edit:
            return Match(profile)
    if here:
        return Match(None, "ads_view_only")
    return Match(None, _why_none(listed, own, marketplace_id))


def _why_none(listed: list[P], own: list[P], marketplace_id: str) -> str:
    if not listed:
        return "ads_nothing_listed"
    if own:
        return "ads_no_profile"
    here = {profile.account_type for profile in listed if profile.marketplace_id == marketplace_id}
    types = {profile.account_type for profile in listed}
    for found in (here, types):
        if found == {"vendor"}:
            return "ads_vendor_only"
        if found == {"agency"}:
            return "ads_agency_only"
    return "ads_other_seller" if "seller" in types else "ads_no_profile"
