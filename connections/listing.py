"""What a reader chose to see of the list, and in which order: parameters of its address.

Read leniently (an old bookmark still shows the list) and written canonically: one choice has one
address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.utils.translation import gettext as _

from connections.health import Health
from sellerlegend.amazon.http import clean_text
from sellerlegend.amazon.regions import MARKETPLACES, Region

ATTENTION = "attention"
BY_NAME = "name"
SPAPI, PPC = "spapi", "ppc"
OVERDUE = "overdue"
WINDOWS = ("7", "30", "60", "90")
# Rows without a client, or authorised by somebody whose login was deleted.
NONE = "none"
# Rows that clients authorised, by links.
BY_LINK = "link"
# No choice of a client or an authoriser, or one that names no id.
WITHOUT_ID = ("", NONE, BY_LINK)
MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
LONGEST_SEARCH = 100
MOST_TAGS = 10

# Each order and, behind a "-", the same the other way round.
SORT_WORDS: dict[str, Callable[[], str]] = {
    BY_NAME: lambda: _("Name, A to Z"),
    "-name": lambda: _("Name, Z to A"),
    "renew_by": lambda: _("Renew by, soonest first"),
    "-renew_by": lambda: _("Renew by, latest first"),
    "authorised": lambda: _("Authorised by, A to Z"),
    "-authorised": lambda: _("Authorised by, Z to A"),
    "client": lambda: _("Client, A to Z"),
    "-client": lambda: _("Client, Z to A"),
    "region": lambda: _("Region: North America, Europe, Far East"),
    "-region": lambda: _("Region: Far East, Europe, North America"),
    "created": lambda: _("Added, newest first"),
    "-created": lambda: _("Added, oldest first"),
    "last_verified": lambda: _("Last verified, longest ago first"),
    "-last_verified": lambda: _("Last verified, newest first"),
    "last_success": lambda: _("Last success, longest ago first"),
    "-last_success": lambda: _("Last success, newest first"),
    "last_failure": lambda: _("Last failure, newest first"),
    "-last_failure": lambda: _("Last failure, longest ago first"),
}


@dataclass(frozen=True)
class Chosen:
    """Values that nobody knows are as none. `side` says which consent `show`, `health` and
    `expiry` mean; without it either side's state counts, and the end of Selling Partner's."""

    q: str = ""
    show: str = ""
    health: str = ""
    side: str = ""
    expiry: str = ""
    region: str = ""
    marketplace: str = ""
    tag: tuple[int, ...] = ()
    client: str = ""
    authorised: str = ""
    sort: str = BY_NAME

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Chosen:
        def one(name: str, known: Iterable[str]) -> str:
            value = parameters.get(name, "")
            return value if value in known else ""

        show, health = one("show", [ATTENTION]), one("health", Health.values)
        expiry = expiry_from(parameters.get("expiry", ""))
        return cls(
            q=" ".join(clean_text(parameters.get("q", ""), LONGEST_SEARCH).split()),
            show=show,
            health=health,
            side=one("side", [SPAPI, PPC]) if show or health or expiry else "",
            expiry=expiry,
            region=one("region", [region.value for region in Region]),
            marketplace=one("marketplace", MARKETPLACES),
            tag=tags_from(parameters),
            client=id_from(parameters.get("client", "")),
            authorised=giver_from(parameters.get("authorised", "")),
            sort=one("sort", SORT_WORDS) or BY_NAME,
        )

    def only_sorted(self) -> Chosen:
        """The same order of all rows."""
        return Chosen(sort=self.sort)

    def without(self, name: str, tag: int | None = None) -> Chosen:
        """One choice taken back; of several tags that one."""
        if tag is not None:
            return replace(self, tag=tuple(one for one in self.tag if one != tag))
        fresh = self.having(**{name: ""})
        if not (fresh.show or fresh.health or fresh.expiry):
            fresh = replace(fresh, side="")
        return fresh

    def having(self, **values: Any) -> Chosen:
        """Chosen besides, or instead."""
        return replace(self, **values)

    @property
    def is_default(self) -> bool:
        return self == Chosen()

    @property
    def is_filter(self) -> bool:
        return replace(self, sort=BY_NAME) != Chosen()

    @property
    def names_groups(self) -> bool:
        """Whether it names rows of the organization, which may be somebody else's or gone."""
        return bool(self.tag or self.client or self.authorised)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Name and value of each choice, in one order for ever: hidden fields of a form."""
        found: list[tuple[str, str]] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "tag":
                found += [("tag", str(tag)) for tag in value]
            elif value and (field.name, value) != ("sort", BY_NAME):
                found.append((field.name, value))
        return found

    @property
    def filter_fields(self) -> list[tuple[str, str]]:
        """Those of the folded part of the filter bar."""
        return [(name, value) for name, value in self.fields if name not in ("q", "sort")]

    @property
    def query(self) -> str:
        """As it stands in the address; "" for the list as it is."""
        return urlencode(self.fields)


def expiry_from(text: str) -> str:
    """A window in days, a month as `2027-03`, or what is over."""
    return text if text in (*WINDOWS, OVERDUE) or MONTH.fullmatch(text) else ""


def id_from(text: str) -> str:
    if text == NONE:
        return text
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def giver_from(text: str) -> str:
    return text if text == BY_LINK else id_from(text)


def tags_from(parameters: Mapping[str, str]) -> tuple[int, ...]:
    """All of the `tag=` of an address, each once, in order."""
    one = parameters.get("tag", "")
    texts = parameters.getlist("tag") if hasattr(parameters, "getlist") else [one]
    numbers = {int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19}
    return tuple(sorted(numbers)[:MOST_TAGS])
