"""The filters in words: what is chosen, what could be, and how many rows each choice shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.countries import marketplace_name, region_name
from connections.facets import FOUND, Counts
from connections.groups import Groups
from connections.health import Health
from connections.health_words import counted_sign
from connections.listing import (
    ATTENTION,
    BY_LINK,
    MONTH,
    NONE,
    OVERDUE,
    PPC,
    SPAPI,
    WINDOWS,
    Chosen,
)
from sellerlegend.amazon.regions import MARKETPLACES, Region
from sellerlegend.folding import plain


@dataclass(frozen=True)
class Chip:
    """One thing that is chosen, and the query without it."""

    label: str
    query: str


@dataclass(frozen=True)
class Option:
    value: str
    label: str
    count: int
    is_chosen: bool
    # Of the list with this choice.
    query: str

    @property
    def words(self) -> str:
        return f"{self.label} ({self.count})"


@dataclass(frozen=True)
class Select:
    """A drop-down of the panel."""

    name: str
    label: str
    anything: str
    options: tuple[Option, ...]


# What is chosen ----------------------------------------------------------------------------


def chips(chosen: Chosen, groups: Groups) -> tuple[Chip, ...]:
    found = [
        Chip(words(getattr(chosen, name), groups), chosen.without(name).query)
        for name, words in CHIP_WORDS.items()
        if getattr(chosen, name)
    ]
    found += [
        Chip(_("Tag: %(name)s") % {"name": groups.tags[tag]}, chosen.without("tag", tag).query)
        for tag in chosen.tag
    ]
    return tuple(found)


def side_words(side: str) -> str:
    return _("on PPC") if side == PPC else _("on Selling Partner")


def expiry_words(expiry: str) -> str:
    if expiry == OVERDUE:
        return _("Renewal overdue")
    if expiry.isdigit():
        days = int(expiry)
        return ngettext(
            "Consent ends in the next %(days)d day",
            "Consent ends in the next %(days)d days",
            days,
        ) % {"days": days}
    return _("Consent ends in %(month)s") % {"month": month_words(expiry)}


def month_words(month: str) -> str:
    year, number = month.split("-")
    return formats.date_format(date(int(year), int(number), 1), "YEAR_MONTH_FORMAT")


def client_words(client: str, groups: Groups) -> str:
    if client == NONE:
        return _("Without a client")
    return _("Client: %(name)s") % {"name": groups.clients[UUID(client)]}


def person_words(person: str, groups: Groups) -> str:
    if person == NONE:
        return _("Authorised by a deleted login")
    if person == BY_LINK:
        return _("Authorised by clients, by link")
    return _("Authorised by %(name)s") % {"name": groups.people[UUID(person)]}


CHIP_WORDS: dict[str, Callable[[str, Groups], str]] = {
    "q": lambda words, _groups: _("“%(words)s”") % {"words": words},
    "show": lambda _show, _groups: _("Needs you, on Selling Partner or PPC"),
    "health": lambda state, _groups: counted_sign(state).word,
    "expiry": lambda expiry, _groups: expiry_words(expiry),
    "side": lambda side, _groups: side_words(side),
    "region": lambda region, _groups: region_name(region),
    "marketplace": lambda key, _groups: marketplace_name(key),
    "client": client_words,
    "authorised": person_words,
}


def found_words(count: int) -> str:
    return ngettext("%(count)d connection found", "%(count)d connections found", count) % {
        "count": count
    }


# What could be -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """All filters with their counts. A value that no row has is offered only while chosen."""

    chosen: Chosen
    groups: Groups
    counts: Counts

    @property
    def found(self) -> int:
        return self.counts.get(FOUND, {}).get(FOUND, 0)

    @property
    def selects(self) -> list[Select]:
        return [
            Select("health", _("State"), _("Any state"), self.healths),
            Select(
                "side",
                _("Whose state and end is meant"),
                _("State of either, end of Selling Partner"),
                self.sides,
            ),
            Select("expiry", _("Consent ends"), _("At any time"), (*self.windows, *self.months)),
            Select("region", _("Region"), _("Every region"), self.regions),
            Select("marketplace", _("Marketplace"), _("Every marketplace"), self.marketplaces),
            Select("client", _("Client"), _("Every client"), self.clients),
            Select("authorised", _("Selling Partner authorised by"), _("Anybody"), self.people),
        ]

    @property
    def needing(self) -> Option:
        words = _("Needs you, on Selling Partner or PPC")
        (option,) = self._options("show", [(ATTENTION, words)], always=True)
        return option

    @property
    def healths(self) -> tuple[Option, ...]:
        return self._options(
            "health", [(state.value, counted_sign(state).word) for state in Health]
        )

    @property
    def sides(self) -> tuple[Option, ...]:
        names = [(SPAPI, _("Selling Partner")), (PPC, _("PPC"))]
        chosen = self.chosen
        return tuple(
            Option(value, label, 0, chosen.side == value, chosen.having(side=value).query)
            for value, label in names
        )

    @property
    def windows(self) -> tuple[Option, ...]:
        names = [(OVERDUE, _("Renewal overdue"))] + [
            (window, _("Next %(days)s days") % {"days": window}) for window in WINDOWS
        ]
        return self._options("expiry", names, counted="window")

    @property
    def months(self) -> tuple[Option, ...]:
        """From this month on: what is over has a choice of its own."""
        this = timezone.localdate().strftime("%Y-%m")
        known = {month for month in self.counts.get("month", {}) if month >= this}
        known |= {self.chosen.expiry} if MONTH.fullmatch(self.chosen.expiry) else set()
        names = [(month, month_words(month)) for month in sorted(known)]
        return self._options("expiry", names, counted="month")

    @property
    def regions(self) -> tuple[Option, ...]:
        return self._options("region", [(name, region_name(name)) for name in region_names()])

    @property
    def marketplaces(self) -> tuple[Option, ...]:
        names = [(key, marketplace_name(key)) for key in MARKETPLACES]
        return self._options("marketplace", sorted(names, key=lambda name: plain(name[1])))

    @property
    def clients(self) -> tuple[Option, ...]:
        names = [(str(key), name) for key, name in self.groups.clients.items()]
        return self._options("client", [*names, (NONE, _("Without a client"))])

    @property
    def people(self) -> tuple[Option, ...]:
        people = sorted(self.groups.people.items(), key=lambda person: plain(person[1]))
        names = [(str(key), name) for key, name in people]
        others = [(BY_LINK, _("Clients, by link")), (NONE, _("A deleted login"))]
        return self._options("authorised", [*names, *others])

    @property
    def tags(self) -> list[Option]:
        counts, chosen = self.counts.get("tag", {}), self.chosen
        return [
            Option(
                str(tag),
                name,
                counts.get(str(tag), 0),
                tag in chosen.tag,
                chosen.having(tag=tuple(sorted({*chosen.tag, tag}))).query,
            )
            for tag, name in self.groups.tags.items()
            if counts.get(str(tag)) or tag in chosen.tag
        ]

    def _options(
        self,
        name: str,
        names: Iterable[tuple[str, str]],
        *,
        counted: str = "",
        always: bool = False,
    ) -> tuple[Option, ...]:
        counts = self.counts.get(counted or name, {})
        present = getattr(self.chosen, name)
        return tuple(
            Option(
                value,
                label,
                counts.get(value, 0),
                present == value,
                self.chosen.having(**{name: value}).query,
            )
            for value, label in names
            if always or counts.get(value) or present == value
        )


def region_names() -> list[str]:
    return [region.value for region in Region]
