"""One row of the screen, complete: who, where, how long, what is next. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.countries import region_name
from connections.groups import names_in
from connections.health import EXPIRING_DAYS, Health
from connections.health_words import (
    SIGNS,
    SideHealth,
    dated_end,
    days_until,
    is_end_unknown,
    spapi_health,
    who_words,
)
from connections.models import Grant
from connections.reader import Reader
from connections.reasons import Reason, reason_for
from connections.row_menu import menu_of
from connections.verification import SOON
from connections.words import (
    Button,
    Cell,
    Facts,
    Sign,
    exact_day,
    exact_time,
    reconnect_button,
    url_of,
)
from sellerlegend.applications.models import LwaApplication

Part = TypeVar("Part", Cell, SideHealth)
LIVING = (Grant.Status.ACTIVE, Grant.Status.DOUBTED)
# What holds only for a while and mends itself: a refused reading of the marketplaces leads.
PASSING = (Health.CONNECTED, Health.EXPIRING, Health.THROTTLED, Health.STALE, Health.INCIDENT)


@dataclass(frozen=True)
class ConnectionRow:
    """Everything the row's template shows, as finished strings."""

    id: UUID
    name: str
    selling_partner_id: str
    client: str
    tags: tuple[str, ...]
    region: str
    region_name: str
    authorized: str
    consent_ends: str
    consent_ends_exact: str
    consent_sign: Sign | None
    asked_client: str
    mws: str
    mws_updated: str
    question: str
    question_buttons: tuple[Button, ...]
    trouble: Reason | None
    trouble_button: Button | None
    trouble_tone: str
    spapi_health: SideHealth
    ppc_health: SideHealth | None
    spapi: Cell
    ppc: Cell
    # Its addresses have a hole where the row's id stands: see `row_menu`.
    menu: tuple[Button, ...]
    details_url: str

    @property
    def asks_for_you(self) -> bool:
        """Not what mends itself: that is only told."""
        is_trouble = self.trouble is not None and self.trouble_tone != "info"
        is_ppc = self.ppc_health is not None and self.ppc_health.needs_a_person
        return bool(self.question) or is_trouble or is_ppc

    @property
    def is_end_its_state(self) -> bool:
        """Then each is said once: the state beside Selling Partner, its day with the account."""
        return self.consent_sign == self.spapi_health.sign

    @property
    def has_notices(self) -> bool:
        is_ppc = self.ppc_health is not None and self.ppc_health.reason is not None
        return bool(self.question) or self.trouble is not None or is_ppc

    @property
    def trouble_text(self) -> str:
        return f"{self.trouble.meaning} {self.trouble.next_step}" if self.trouble else ""

    @property
    def trouble_buttons(self) -> tuple[Button, ...]:
        return (self.trouble_button,) if self.trouble_button else ()

    @property
    def is_moving(self) -> bool:
        """Whether something in the row changes by itself soon."""
        return self.spapi.is_moving or self.ppc.is_moving


def build_row(
    fact: Facts,
    stores: list[str],
    *,
    spapi: Cell,
    ppc: Cell,
    ppc_health: SideHealth | None,
    reader: Reader,
) -> ConnectionRow:
    """`fact` is what `screen` read of the connection; the cells are built by their own apps."""
    health = spapi_health(fact, reader)
    trouble, is_reading = trouble_of(fact, health)
    if ppc_health is not None and ppc_health.button:  # one next step for each side
        ppc = replace(ppc, button=None)
    asked = question_buttons(fact, reader)
    to_act = trouble_button(fact, trouble, reader) if is_reading else health.button
    to_link = ppc_health.button if ppc_health else None
    _keep, to_act, spapi_button, to_link, ppc_button = one_primary(
        asked[0] if asked else None, to_act, spapi.button, to_link, ppc.button
    )
    return ConnectionRow(
        id=fact["id"],
        name=fact["name"],
        selling_partner_id=fact["selling_partner_id"] or "",
        client=fact["client_name"] or "",
        tags=tuple(names_in(fact["tag_names"])),
        region=fact["region"],
        region_name=region_name(fact["region"]),
        authorized=authorized_words(fact),
        **consent_words(fact),
        asked_client=fact.get("asked_client", ""),
        mws=mws_words(fact),
        mws_updated=exact_day(fact["mws_auth_token_updated_at"]),
        question=question_words(fact, stores),
        question_buttons=asked,
        trouble=trouble,
        trouble_button=to_act,
        trouble_tone="warning" if is_reading else health.tone,
        spapi_health=health,
        ppc_health=having(ppc_health, to_link) if ppc_health else None,
        spapi=having(spapi, spapi_button),
        ppc=having(ppc, ppc_button),
        menu=menu_of(fact, reader),
        details_url=url_of("connection_details", reader, fact["id"]),
    )


def one_primary(*buttons: Button | None) -> list[Button | None]:
    """A row has one next step, the first of these; what else it offers does not stand out."""
    first = next((button for button in buttons if button and button.is_primary), None)
    return [
        replace(button, is_primary=False)
        if button and button.is_primary and button is not first
        else button
        for button in buttons
    ]


def having(part: Part, button: Button | None) -> Part:
    """The same cell or side with this button."""
    return part if part.button is button else replace(part, button=button)


def authorized_words(fact: Facts) -> str:
    if fact["authorized_at"] is None:
        return ""
    who = who_words(fact)
    if fact["imported_at"] is not None:
        day = exact_day(fact["imported_at"])
        return _("Imported by %(who)s on %(day)s") % {"who": who, "day": day}
    day = exact_day(fact["authorized_at"])
    if fact["grant_status"] == Grant.Status.DISCONNECTED:  # what the person gave is no more
        return _("Was authorised by %(who)s on %(day)s") % {"who": who, "day": day}
    return _("Authorised by %(who)s on %(day)s") % {"who": who, "day": day}


def consent_words(fact: Facts) -> dict[str, Any]:
    """The end of Amazon's consent, 365 days after it was given, as date and distance."""
    ends = dated_end(LwaApplication.SPAPI, fact)
    nothing = {"consent_ends": "", "consent_ends_exact": "", "consent_sign": None}
    if is_end_unknown(fact) and fact["grant_status"] in LIVING:
        return nothing | {"consent_ends": _("End of the consent unknown: reconnect to know")}
    if ends is None or fact["grant_status"] == Grant.Status.DISCONNECTED:
        return nothing
    # The same moments as `health` compares with, so that both say the same.
    left = ends - timezone.now()
    if fact["grant_status"] == Grant.Status.INVALID and fact["status_changed_at"] < ends:
        return nothing  # it was over before that day
    days = days_until(ends)
    sign = None
    words = ngettext(
        "Consent ends in %(days)d day, on %(day)s",
        "Consent ends in %(days)d days, on %(day)s",
        days,
    )
    if left < timedelta():
        words, sign = _("Renewal was due on %(day)s"), SIGNS[Health.EXPIRED]()
    elif left < timedelta(days=EXPIRING_DAYS):
        sign = SIGNS[Health.EXPIRING]()
        words = words if days else _("Consent ends today, %(day)s")
    return {
        "consent_ends": words % {"days": days, "day": exact_day(ends)},
        "consent_ends_exact": exact_time(ends),
        "consent_sign": sign,
    }


def mws_words(fact: Facts) -> str:
    if fact["mws_auth_token_tail"]:
        return f"amzn.mws.…{fact['mws_auth_token_tail']}"
    return ""


def question_words(fact: Facts, stores: list[str]) -> str:
    """After a first consent: which store was it, and is that right?"""
    if not fact["is_asked"]:
        return ""
    if is_still_a_claim(fact) and stores:
        words = _(
            "Connected %(stores)s. Amazon has not confirmed the Seller ID %(seller)s yet. "
            "Is this right?"
        )
    elif is_still_a_claim(fact):
        words = _(
            "Connected. Amazon has not confirmed the Seller ID %(seller)s yet. Is this right?"
        )
    elif stores:
        words = _("Connected %(stores)s, Seller ID %(seller)s. Is this right?")
    else:
        words = _("Connected Seller ID %(seller)s. Is this right?")
    return words % {"stores": ", ".join(stores), "seller": fact["selling_partner_id"]}


def is_still_a_claim(fact: Facts) -> bool:
    """The Seller ID is one of a browser or of a file until a call proves it. That call comes
    within minutes of a consent, and nobody is alarmed before it."""
    is_asked = timezone.now() - fact["authorized_at"] > 2 * SOON
    return is_asked and fact["seller_proved_at"] is None


def question_buttons(fact: Facts, reader: Reader) -> tuple[Button, ...]:
    if not fact["is_asked"] or not reader.may_act:
        return ()
    return (
        Button(
            _("Yes, keep it"),
            url_of("connection_confirm", reader, fact["id"]),
            opens=False,
            is_primary=True,
        ),
        Button(_("No, undo"), url_of("connection_undo", reader, fact["id"]), is_dangerous=True),
    )


def trouble_of(fact: Facts, health: SideHealth) -> tuple[Reason | None, bool]:
    """What stops the whole row, and whether that is the reading of the marketplaces rather than
    the consent: one notice, never both."""
    if fact["reading_error"] and health.state in PASSING:
        return reason_for(fact["reading_error"]), True
    return health.reason, False


def trouble_button(fact: Facts, trouble: Reason | None, reader: Reader) -> Button | None:
    if trouble is None or not reader.may_act:
        return None
    if trouble.action == "retry":
        url = url_of("connection_read_again", reader, fact["id"])
        return Button(_("Retry"), url, opens=False, is_primary=True)
    return reconnect_button(fact, reader, primary=True)
