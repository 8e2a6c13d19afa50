"""An unfolded row: every marketplace with its store, states, reasons and next steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from connections.words import Facts, Side, exact_day
from sellerlegend.amazon.regions import MARKETPLACES


@dataclass(frozen=True)
class Detail:
    """One marketplace when the row is unfolded. `ppc` is None where there is no Amazon Ads."""

    name: str
    store_name: str
    facts: tuple[tuple[str, str], ...]
    spapi: Side
    ppc: Side | None


def build_detail(part: Facts, *, spapi: Side, ppc: Side | None) -> Detail:
    """The sides are built by the apps that own them."""
    return Detail(
        name=MARKETPLACES[part["marketplace_id"]].name,
        store_name=part["store_name"],
        facts=detail_facts(part),
        spapi=spapi,
        ppc=ppc,
    )


def detail_facts(part: Facts) -> tuple[tuple[str, str], ...]:
    if part["has_suspended_listings"]:
        listing = _("Listings are switched off in Seller Central")
    elif part["is_participating"]:
        listing = _("Listings are active")
    else:
        listing = _("The seller does not take part in this marketplace")
    return (
        (_("Joined after the consent"), exact_day(part["joined_at"])),
        (_("Gone since"), exact_day(part["lost_at"])),
        (_("Currency"), part["currency"]),
        (_("Language"), part["language"]),
        (_("Listings"), listing),
    )


def other_words(part: Facts) -> str:
    """Stores outside Amazon's marketplaces that the Sellers API lists as well."""
    name = part["name"] or part["marketplace_id"]
    return f"{name} ({part['marketplace_id']})"
