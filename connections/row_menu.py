"""The menu of a row: what can be done with it besides its next step.

Few differ, so each is built once for all rows and readers that are alike, with a hole in its
addresses where a row's id stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from django.utils import translation
from django.utils.translation import gettext as _

from connections.models import Grant
from connections.reader import Reader
from connections.words import HOLES, Button, Facts, url_of

ROW = HOLES[0]


@dataclass(frozen=True)
class MenuFacts:
    """What the menu of a row depends on. `can_be_checked`: either side has a consent that Amazon
    can be asked about."""

    waits: bool
    can_be_checked: bool
    is_disconnected: bool
    has_ads_consent: bool


def menu_of(fact: Facts, reader: Reader) -> tuple[Button, ...]:
    facts = MenuFacts(
        waits=fact["selling_partner_id"] is None,
        can_be_checked=bool(fact["is_spapi_askable"] or fact.get("is_ads_askable")),
        is_disconnected=fact["grant_status"] == Grant.Status.DISCONNECTED,
        has_ads_consent=fact.get("has_ads_consent", False),
    )
    return menu_like(facts, reader, translation.get_language())


@lru_cache(maxsize=4096)
def menu_like(facts: MenuFacts, reader: Reader, _language: str | None) -> tuple[Button, ...]:
    buttons: list[Button] = []
    if reader.may_act:
        buttons += waiting_menu(reader) if facts.waits else connected_menu(facts, reader)
        if reader.may_add:
            buttons.append(Button(_("Tags and client"), of_row("connection_groups", reader)))
    story = of_row("connection_timeline", reader)
    buttons.append(Button(_("Timeline"), story, is_page=True))
    if reader.may_administer:
        buttons.append(Button(_("Rename"), of_row("connection_rename", reader)))
        buttons += [] if facts.waits else ending_menu(facts, reader)
    return tuple(buttons)


def waiting_menu(reader: Reader) -> list[Button]:
    return [client_button(reader), remove_button(reader)]


def connected_menu(facts: MenuFacts, reader: Reader) -> list[Button]:
    """*Reconnect* is always there, also while all is well: renew before the holidays."""
    beside = Button(_("Connect another region"), of_row("connection_another_region", reader))
    check = Button(_("Check now"), of_row("connection_check", reader), opens=False)
    return [
        Button(_("Reconnect"), of_row("connection_authorize", reader)),
        client_button(reader),
        *([beside] if reader.may_add else []),
        *([check] if facts.can_be_checked else []),
    ]


def ending_menu(facts: MenuFacts, reader: Reader) -> list[Button]:
    """A consent is ended first; only then the row may go. An Ads consent may outlive that of
    Selling Partner, also one that no link uses."""
    url = of_row("connection_disconnect", reader)
    disconnect = Button(_("Disconnect"), url, is_dangerous=True)
    if not facts.is_disconnected:
        return [disconnect]
    return [
        *([disconnect] if facts.has_ads_consent else []),
        Button(_("Proof of disconnection"), of_row("disconnect_proof", reader)),
        remove_button(reader),
    ]


def client_button(reader: Reader) -> Button:
    """For stores whose primary user has no login here."""
    return Button(_("Ask the client by link"), of_row("client_link_new", reader))


def remove_button(reader: Reader) -> Button:
    return Button(_("Remove"), of_row("connection_remove", reader), is_dangerous=True)


def of_row(name: str, reader: Reader) -> str:
    return url_of(name, reader, ROW)
