"""An unfolded row: every marketplace with its store, states, reasons and next steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.utils.translation import get_language_info
from django.utils.translation import gettext as _

from connections.countries import marketplace_name
from connections.health_words import (
    SideHealth,
    ads_health,
    consent_facts,
    feeding,
    spapi_health,
)
from connections.reader import Reader
from connections.words import Button, Facts, Side, exact_day, reconnect_button, url_of
from sellerlegend.applications.models import LwaApplication


@dataclass(frozen=True)
class Detail:
    """One marketplace when the row is unfolded. `ppc` is None where there is no Amazon Ads."""

    name: str
    store_name: str
    facts: tuple[tuple[str, str], ...]
    spapi: Side
    ppc: Side | None


@dataclass(frozen=True)
class Consent:
    """One consent of a row when it is unfolded."""

    title: str
    health: SideHealth
    facts: tuple[tuple[str, str], ...]
    # The one of its next step; and the renewal, which is always possible.
    buttons: tuple[Button, ...] = ()


def build_consents(fact: Facts, parts: list[Facts], reader: Reader) -> list[Consent]:
    """Selling Partner first, then each Amazon Ads consent that feeds the row."""
    found = []
    if fact["authorized_at"] is not None:
        spapi = LwaApplication.SPAPI
        health = spapi_health(fact, reader)
        renewal = reconnect_button(fact, reader)
        facts = consent_facts(spapi, health.state, fact)
        found.append(Consent(_("Selling Partner"), health, facts, buttons_of(health, renewal)))
    for consent in feeding(parts).values():
        health = ads_health(consent, fact, reader)
        facts = consent_facts(LwaApplication.ADS, health.state, consent)
        renewal = ads_button(fact, reader)
        found.append(Consent(_("PPC"), health, facts, buttons_of(health, renewal)))
    return found


def ads_button(fact: Facts, reader: Reader) -> Button | None:
    if not reader.may_act:
        return None
    return Button(_("Connect Amazon Ads again"), url_of("ppc_connect", reader, fact["id"]))


def buttons_of(health: SideHealth, renewal: Button | None) -> tuple[Button, ...]:
    """The next step's, then the renewal, unless that is the same. The row that they unfold from
    says already which one leads."""
    urls = {button.url for button in health.buttons}
    also = (renewal,) if renewal is not None and renewal.url not in urls else ()
    return tuple(replace(button, is_primary=False) for button in (*health.buttons, *also))


def build_detail(part: Facts, *, spapi: Side, ppc: Side | None) -> Detail:
    """The sides are built by the apps that own them."""
    return Detail(
        name=marketplace_name(part["marketplace_id"]),
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
        (_("Language"), language_words(part["language"])),
        (_("Listings"), listing),
    )


def language_words(code: str) -> str:
    """Amazon's locale in words: "en_CA" is English. A code that nobody knows stays."""
    try:
        return str(get_language_info(code.partition("_")[0])["name_translated"])
    except KeyError:
        return code


def other_words(part: Facts) -> str:
    """Stores outside Amazon's marketplaces that the Sellers API lists as well."""
    name = part["name"] or part["marketplace_id"]
    return f"{name} ({part['marketplace_id']})"
