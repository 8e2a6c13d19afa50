"""The *Selling Partner* cell. Pure: facts in, strings out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from connections.countries import marketplace_name
from connections.detail_facts import late_words
from connections.health import Health
from connections.health_models import DataSet
from connections.health_words import is_flowing
from connections.models import Grant
from connections.reader import Reader
from connections.reasons import Reason, reason_for
from connections.verification import LIVING
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
    reconnect_button,
    url_of,
    waiting_words,
)
from marketplaces.models import MarketplaceAccount
from sellerlegend.amazon.regions import MARKETPLACES

Onboarding = MarketplaceAccount.Onboarding

SPAPI_DATA_SETS = frozenset(DataSet) - {DataSet.ADS}

ONBOARDING_SIGNS: dict[str, Callable[[], Sign]] = {
    Onboarding.PENDING: lambda: Sign(_("Pending"), "dashed", "neutral"),
    Onboarding.WORKING: lambda: Sign(_("Working"), "progress", "progress"),
    Onboarding.NEEDS_ATTENTION: lambda: Sign(_("Needs you"), "alert", "warning"),
    Onboarding.PAUSED: lambda: Sign(_("Paused"), "pause", "neutral"),
}


def done_sign(word: str, *, is_flowing: bool) -> Sign:
    """Green only while the consent works: what was started once proves no data."""
    return Sign(word, "check-circle", "success") if is_flowing else Sign(word, "check", "neutral")


def onboarding_sign(part: Facts, *, is_flowing: bool) -> Sign:
    if part["job_reason"] and part["onboarding"] == Onboarding.WORKING:
        return Sign(waiting_words(part["job_reason"], part["job_due"]), "clock", "progress")
    if part["onboarding"] == Onboarding.PENDING and not part["is_supported"]:
        return Sign(_("Not supported yet"), "dashed", "neutral")
    if part["onboarding"] == Onboarding.PENDING and not part["is_participating"]:
        word = _("No longer participating") if part["lost_at"] else _("Not participating")
        return Sign(word, "minus", "neutral")
    if part["onboarding"] == Onboarding.ONBOARDED and not part["is_participating"]:
        return Sign(_("Onboarded"), "minus", "neutral")  # once: nothing flows any more
    if part["onboarding"] == Onboarding.ONBOARDED:
        return done_sign(_("Onboarded"), is_flowing=is_flowing)
    return ONBOARDING_SIGNS[part["onboarding"]]()


def spapi_line(part: Facts, language: str, *, is_flowing: bool) -> MarketplaceLine:
    if part["job_reason"]:  # its words hold a time
        sign = onboarding_sign(part, is_flowing=is_flowing)
        return line_with(sign, part["marketplace_id"], part)
    return usual_line(
        language,
        is_flowing,
        part["marketplace_id"],
        part["onboarding"],
        part["is_supported"],
        part["is_participating"],
        part["lost_at"] is not None,
    )


@lru_cache(maxsize=4096)
def usual_line(
    _language: str,
    is_flowing: bool,  # a part of the key
    marketplace_id: str,
    *states: Any,
) -> MarketplaceLine:
    """Most lines of a page are equal to another one."""
    names = ("onboarding", "is_supported", "is_participating", "lost_at")
    part = {**dict(zip(names, states, strict=True)), "job_reason": None}
    return line_with(onboarding_sign(part, is_flowing=is_flowing), marketplace_id, part)


def line_with(sign: Sign, marketplace_id: str, part: Facts) -> MarketplaceLine:
    marketplace = MARKETPLACES[marketplace_id]
    return MarketplaceLine(
        name=marketplace_name(marketplace_id),
        code=marketplace.ads_country_code,
        is_done=part["onboarding"] == Onboarding.ONBOARDED,
        sign=sign,
        note=participation_note(part),
    )


def participation_note(part: Facts) -> str:
    """For what was begun before the seller left; a pending marketplace says it as its state."""
    if part["is_participating"] or part["onboarding"] == Onboarding.PENDING:
        return ""
    return _("no longer participating") if part["lost_at"] else _("not participating")


def counted(part: Facts) -> bool:
    """Part of the roll-up: supported, participating and not paused."""
    return bool(
        part["is_supported"]
        and part["is_participating"]
        and part["onboarding"] != Onboarding.PAUSED
    )


def spapi_cell(fact: Facts, known: list[Facts], reader: Reader) -> Cell:
    if fact["selling_partner_id"] is None:
        return waiting_cell(fact, reader)
    if fact["grant_status"] == Grant.Status.DISCONNECTED:
        return disconnected_cell(known, reader)
    counts = [part for part in known if counted(part)]
    done = sum(part["onboarding"] == Onboarding.ONBOARDED for part in counts)
    startable = any(
        part["onboarding"] in (Onboarding.PENDING, Onboarding.NEEDS_ATTENTION) for part in counts
    )
    is_working = fact["grant_status"] in LIVING
    button = None
    if startable and is_working and reader.may_act:
        url = url_of("marketplaces_onboard", reader, fact["id"])
        button = Button(_("Continue"), url, is_primary=True)
    flows = is_flowing(fact["spapi_health"], fact)
    notes = (
        reading_words(fact)
        or nothing_listed(fact, known)
        or (joined_words(counts) if is_working else ""),
        late_words(fact.get("late", ()), SPAPI_DATA_SETS) if flows else "",
    )
    return Cell(
        sign=roll_up_sign(counts, done, is_flowing=flows) or paused_sign(known),
        lines=tuple(spapi_line(part, reader.language, is_flowing=flows) for part in known),
        progress=progress_words(done, len(counts)),
        button=button,
        note=" ".join(filter(None, notes)),
        is_moving=fact["reading_due"] is not None
        or any(part["onboarding"] == Onboarding.WORKING for part in known),
    )


def waiting_cell(fact: Facts, reader: Reader) -> Cell:
    return Cell(
        sign=Sign(_("Waiting for consent"), "clock", "warning"),
        lines=(),
        progress="",
        button=reconnect_button(fact, reader, primary=True),
    )


def disconnected_cell(known: list[Facts], reader: Reader) -> Cell:
    """What was onboarded stays readable; the row's own button reconnects it."""
    return Cell(
        sign=Sign(_("Disconnected"), "minus", "neutral"),
        lines=tuple(spapi_line(part, reader.language, is_flowing=False) for part in known),
        progress="",
        button=None,
    )


def roll_up_sign(counts: list[Facts], done: int, *, is_flowing: bool) -> Sign | None:
    if counts and done == len(counts):
        return done_sign(_("Started"), is_flowing=is_flowing)
    if any(part["onboarding"] == Onboarding.NEEDS_ATTENTION for part in counts):
        return Sign(_("Needs you"), "alert", "warning")
    if any(part["onboarding"] == Onboarding.WORKING for part in counts):
        return Sign(_("Working"), "progress", "progress")
    return Sign(_("Pending"), "dashed", "neutral") if counts else None


def paused_sign(known: list[Facts]) -> Sign | None:
    """When everything that would count is paused."""
    if any(part["onboarding"] == Onboarding.PAUSED for part in known):
        return ONBOARDING_SIGNS[Onboarding.PAUSED]()
    return None


def nothing_listed(fact: Facts, known: list[Facts]) -> str:
    """Where the consent asks for something else, or for nothing until it is there again, that is
    the one next step."""
    is_listed = any(part["is_participating"] for part in known)
    if is_listed or fact["participations_read_at"] is None or fact["grant_status"] not in LIVING:
        return ""
    if fact["spapi_health"] != Health.CONNECTED:
        return _("Amazon lists no active marketplace for this seller in this region.")
    return _(
        "Amazon lists no active marketplace for this seller in this region. Check the account in "
        "Seller Central, then check again."
    )


def joined_words(counts: list[Facts]) -> str:
    """What the seller joined since the consent and nobody has started: *Continue* leads on."""
    new = [
        marketplace_name(part["marketplace_id"])
        for part in counts
        if part["joined_at"] and part["onboarding"] == Onboarding.PENDING
    ]
    if not new:
        return ""
    return _("New: %(names)s. Press Continue to start onboarding.") % {"names": ", ".join(new)}


def reading_words(fact: Facts) -> str:
    """What the first look at the seller's marketplaces waits for."""
    if fact["reading_due"] is None:
        return ""
    if fact["reading_reason"]:
        return waiting_words(fact["reading_reason"], fact["reading_due"])
    return _("Reading the marketplaces from Amazon…")


def spapi_side(part: Facts, fact: Facts, reader: Reader) -> Side:
    """The unfolded state: since when, why, and the one next step."""
    needs_you = part["onboarding"] == Onboarding.NEEDS_ATTENTION
    code = part["attention_reason"] if needs_you else part["job_reason"]
    problem = reason_for(code) if code else None
    return Side(
        sign=onboarding_sign(part, is_flowing=is_flowing(fact["spapi_health"], fact)),
        since=exact_time(state_began_at(part)),
        problem=problem,
        button=attention_button(problem, part, fact, reader) if needs_you else None,
        action=pause_button(part, fact, reader),
    )


def state_began_at(part: Facts) -> datetime:
    """Of what the sign says. What nobody had started is pending since the seller joined, and no
    longer since he left."""
    began_at: datetime = part["onboarding_changed_at"]
    if part["onboarding"] != Onboarding.PENDING:
        return began_at
    turned_at = part["joined_at"] if part["is_participating"] else part["lost_at"]
    return max(began_at, turned_at) if turned_at else began_at


def attention_button(
    problem: Reason | None, part: Facts, fact: Facts, reader: Reader
) -> Button | None:
    """Nothing can be tried again before there is a consent that works."""
    if reader.may_act and fact["grant_status"] not in LIVING:
        return reconnect_button(fact, reader)
    return next_button("marketplaces_retry", problem, part, fact, reader)


def pause_button(part: Facts, fact: Facts, reader: Reader) -> Button | None:
    """Nothing to pause before it was started, and nothing to go on with after a disconnect, or
    while the seller takes no part."""
    is_over = fact["grant_status"] == Grant.Status.DISCONNECTED
    if not reader.may_act or is_over or part["onboarding"] == Onboarding.PENDING:
        return None
    is_paused = part["onboarding"] == Onboarding.PAUSED
    if is_paused and not part["is_participating"]:
        return None
    name = "marketplace_resume" if is_paused else "marketplace_pause"
    label = _("Resume") if is_paused else _("Pause")
    return Button(label, url_of(name, reader, fact["id"], part["id"]), opens=False)
