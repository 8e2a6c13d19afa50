"""The *PPC* cell. Pure: facts in, strings out."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from connections import health
from connections.countries import marketplace_name
from connections.detail_facts import late_words
from connections.health import Health
from connections.health_models import DataSet
from connections.health_words import SideHealth, ads_health, feeding
from connections.models import Grant
from connections.reader import Reader
from connections.reasons import ads_reason_for
from connections.words import (
    Button,
    Cell,
    Facts,
    MarketplaceLine,
    Side,
    Sign,
    exact_time,
    next_button,
    progress_words,
    url_of,
    waiting_words,
)
from ppc.models import PpcLink
from sellerlegend.amazon.regions import MARKETPLACES

Link = PpcLink.Status

LINK_SIGNS: dict[str, Callable[[], Sign]] = {
    Link.PENDING: lambda: Sign(_("Pending"), "dashed", "neutral"),
    Link.WORKING: lambda: Sign(_("Working"), "progress", "progress"),
    Link.LINKED: lambda: Sign(_("Connected"), "check-circle", "success"),
    Link.NEEDS_ATTENTION: lambda: Sign(_("Needs you"), "alert", "warning"),
    Link.UNLINKED: lambda: Sign(_("Unlinked"), "dashed", "neutral"),
}


# What has worked until the consent behind it did not, or the seller left: no green word beside a
# red one.
FLOWING = (Health.CONNECTED, Health.EXPIRING)


def is_flowing(part: Facts) -> bool:
    is_living = part["is_participating"] and part["ads_health"] in FLOWING
    return bool(is_living and part["link_status"] == Link.LINKED)


def linked_sign() -> Sign:
    return Sign(_("Linked"), "link", "neutral")


def ppc_sign(part: Facts) -> Sign:
    status = part["link_status"] or Link.PENDING
    if status == Link.WORKING and part["link_job_reason"]:
        return Sign(
            waiting_words(part["link_job_reason"], part["link_job_due"]), "clock", "progress"
        )
    if status == Link.NEEDS_ATTENTION and part["link_reason"] == "ads_no_profile":
        return Sign(_("No Ads profile"), "dashed", "neutral")
    if status == Link.LINKED and not is_flowing(part):
        return linked_sign()
    return LINK_SIGNS[status]()


def has_ppc(part: Facts) -> bool:
    return bool(part["is_supported"] and part["has_ads"] and part["is_participating"]) or bool(
        part["link_status"]
    )


def ppc_line(part: Facts, language: str) -> MarketplaceLine:
    if part["link_job_reason"]:  # its words hold a time
        return line_with(ppc_sign(part), part["marketplace_id"], part)
    return usual_line(
        language,
        part["marketplace_id"],
        part["link_status"],
        part["link_reason"],
        part["ads_health"],
        part["is_participating"],
    )


@lru_cache(maxsize=4096)
def usual_line(_language: str, marketplace_id: str, *states: Any) -> MarketplaceLine:
    """Most lines of a page are equal to another one."""
    names = ("link_status", "link_reason", "ads_health", "is_participating")
    part = {**dict(zip(names, states, strict=True)), "link_job_reason": None}
    return line_with(ppc_sign(part), marketplace_id, part)


def line_with(sign: Sign, marketplace_id: str, part: Facts) -> MarketplaceLine:
    marketplace = MARKETPLACES[marketplace_id]
    return MarketplaceLine(
        name=marketplace_name(marketplace_id),
        code=marketplace.ads_country_code,
        is_done=part["link_status"] == Link.LINKED,
        sign=sign,
    )


def ppc_cell(fact: Facts, known: list[Facts], reader: Reader) -> Cell:
    parts = [part for part in known if has_ppc(part)]
    if fact["selling_partner_id"] is None or not parts:
        return Cell(sign=None, lines=(), progress="", button=None)
    # A marketplace without a profile is nothing to wait for.
    countable = [part for part in parts if part["link_reason"] != "ads_no_profile"]
    done = sum(part["link_status"] == Link.LINKED for part in countable)
    button = None
    is_open = any(part["link_status"] not in (Link.LINKED, Link.WORKING) for part in parts)
    # Without Selling Partner the row's one next step is *Reconnect*: it is erased unless it is had
    # back. What is linked goes on meanwhile.
    is_ended = fact["grant_status"] == Grant.Status.DISCONNECTED
    if is_open and reader.may_act and not is_ended:
        url = url_of("ppc_connect", reader, fact["id"])
        button = Button(_("Continue"), url, is_primary=done < len(countable))
    return Cell(
        sign=ppc_roll_up(countable, done, is_ended=is_ended),
        lines=tuple(ppc_line(part, reader.language) for part in parts),
        progress=progress_words(done, len(countable)),
        button=button,
        note=finish_words(parts, is_ended=is_ended) or late_data_words(fact, parts),
        is_moving=any(part["link_status"] == Link.WORKING for part in parts),
    )


def ppc_health(fact: Facts, known: list[Facts], reader: Reader) -> SideHealth | None:
    """The worst of the consents that feed the row; None where there is nothing to link."""
    if fact["selling_partner_id"] is None or not any(has_ppc(part) for part in known):
        return None
    consents = list(feeding(known).values())
    worst = health.worst([consent["health"] for consent in consents])
    waiting: Facts = {"health": worst}
    speaker = next((consent for consent in consents if consent["health"] == worst), waiting)
    return ads_health(speaker, fact, reader)


def late_data_words(fact: Facts, parts: list[Facts]) -> str:
    """A consent that works is green; that its data flows, only the importers know."""
    is_green = any(map(is_flowing, parts))
    return late_words(fact.get("late", ()), (DataSet.ADS,)) if is_green else ""


def finish_words(parts: list[Facts], *, is_ended: bool) -> str:
    """After an end: what only the owner of the consent can do, and what comes after *Reconnect*."""
    ended = [part for part in parts if part["link_status"] == Link.UNLINKED]
    words = []
    if any(part["ads_health"] == Health.DISCONNECTED for part in ended):
        words.append(
            _(
                "The Amazon Ads token is destroyed. To finish at Amazon, whoever approved it "
                "removes our app there, under Login with Amazon."
            )
        )
    if ended and is_ended:
        words.append(_("PPC must be connected again, once the account is reconnected."))
    return " ".join(words)


def ppc_roll_up(countable: list[Facts], done: int, *, is_ended: bool) -> Sign | None:
    """None: nothing is to come before the row is connected again."""
    if countable and done == len(countable):
        present = [part for part in countable if part["is_participating"]]
        is_all_flowing = bool(present) and all(map(is_flowing, present))
        return LINK_SIGNS[Link.LINKED]() if is_all_flowing else linked_sign()
    if any(part["link_status"] == Link.NEEDS_ATTENTION for part in countable):
        return Sign(_("Needs you"), "alert", "warning")
    if any(part["link_status"] == Link.WORKING for part in countable):
        return Sign(_("Working"), "progress", "progress")
    return None if is_ended else Sign(_("Pending"), "dashed", "neutral")


def ppc_side(part: Facts, fact: Facts, reader: Reader) -> Side | None:
    """The unfolded state: which profile, why not, and the one next step."""
    if not has_ppc(part):
        return None
    needs_you = part["link_status"] == Link.NEEDS_ATTENTION
    code = part["link_reason"] if needs_you else part["link_job_reason"]
    problem = ads_reason_for(code) if code else None
    button = next_button("ppc_retry", problem, part, fact, reader) if needs_you else None
    return Side(
        sign=ppc_sign(part),
        since=exact_time(part["link_changed_at"]),
        note=part["profile_name"] or "",
        problem=problem,
        button=button,
    )
