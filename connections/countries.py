"""The marketplaces and regions in the reader's language. What Amazon calls them stands in
`sellerlegend.amazon.regions`, which knows no language."""

from __future__ import annotations

from functools import cache

from django.utils.translation import get_language, gettext, gettext_noop

from sellerlegend.amazon.regions import MARKETPLACES

# What the catalogues have to translate; a test compares it with Amazon's list.
NAMES = frozenset(
    {
        gettext_noop("Australia"),
        gettext_noop("Belgium"),
        gettext_noop("Brazil"),
        gettext_noop("Canada"),
        gettext_noop("Egypt"),
        gettext_noop("France"),
        gettext_noop("Germany"),
        gettext_noop("India"),
        gettext_noop("Ireland"),
        gettext_noop("Italy"),
        gettext_noop("Japan"),
        gettext_noop("Mexico"),
        gettext_noop("Netherlands"),
        gettext_noop("Poland"),
        gettext_noop("Saudi Arabia"),
        gettext_noop("Singapore"),
        gettext_noop("South Africa"),
        gettext_noop("Spain"),
        gettext_noop("Sweden"),
        gettext_noop("Turkey"),
        gettext_noop("United Arab Emirates"),
        gettext_noop("United Kingdom"),
        gettext_noop("United States"),
    }
)


def region_name(region: str) -> str:
    if region == "NA":
        return gettext("North America")
    return gettext("Europe") if region == "EU" else gettext("Far East")


def marketplace_name(marketplace_id: str, otherwise: str = "") -> str:
    """Of a marketplace that Amazon documents; `otherwise` of one that it does not."""
    return marketplace_names().get(marketplace_id, otherwise)


def marketplace_names() -> dict[str, str]:
    """Of all that Amazon documents, by marketplace id: for who says many of them."""
    return _names(get_language() or "")


@cache
def _names(_language: str) -> dict[str, str]:
    """A page of the list says three hundred of them."""
    return {key: gettext(known.name) for key, known in MARKETPLACES.items()}
