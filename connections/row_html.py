"""The HTML of rows: rendered once per row, revision and kind of reader, then stored.

The key is (row, revision, health, the last turn of an incident or a role, language, time zone,
rights, hour), and the look of this release:
a row that did not change costs one cache look-up. Parts that many rows share are rendered once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.cache import cache
from django.template.loader import get_template
from django.templatetags.static import static
from django.urls import reverse
from django.utils import translation
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from connections.bulk_actions import MOST_SELECTED, actions_for
from connections.filters import Chip
from connections.health_words import SideHealth
from connections.list_address import FULL, ROWS, SHORT
from connections.listing import SORT_WORDS, Chosen
from connections.reader import Reader
from connections.rows import ConnectionRow
from connections.words import HOLES, Cell, Facts, MarketplaceLine

logger = logging.getLogger(__name__)

PAGE = "connections/account_connections.html"
STORED_SECONDS = 86_400
URGENCY = ("danger", "warning", "progress", "success", "info", "neutral")
ID_HOLE, NAME_HOLE = map(str, HOLES)
Compose = Callable[[list[Facts]], list[ConnectionRow]]


@dataclass(frozen=True)
class RenderedRow:
    id: UUID
    html: SafeString


def rendered_rows(
    facts: list[Facts], reader: Reader, compose: Compose
) -> tuple[list[RenderedRow], bool]:
    """The HTML of each row, from the store where it is there; and whether anything moves.

    `compose` is asked once for the rows that are not stored.
    """
    keys = storage_keys(facts, reader)
    stored = stored_rows(keys)
    missing = [fact for fact, key in zip(facts, keys, strict=True) if key not in stored]
    if missing:
        rows = compose(missing)
        fresh = dict(zip(storage_keys(missing, reader), entries_of(rows), strict=True))
        store_rows(fresh)
        stored |= fresh
    entries = [stored[key] for key in keys]
    shown = [
        RenderedRow(fact["id"], mark_safe(entry[1:]))  # noqa: S308  # our own template's output
        for fact, entry in zip(facts, entries, strict=True)
    ]
    return shown, any(entry.startswith("1") for entry in entries)


def entries_of(rows: list[ConnectionRow]) -> list[str]:
    """Each row's HTML behind one sign: "1" while something in it moves by itself, else "0"."""
    printing = Printing(look(), translation.get_language() or "en", static("img/icons.svg"))
    template = get_template(f"{PAGE}#connection-row")
    return [f"{int(row.is_moving)}{html_of(row, printing, template)}" for row in rows]


def html_of(row: ConnectionRow, printing: Printing, template: Any) -> str:
    shared, name = SharedParts(row, printing), f"{row.name} {row.region}"
    context = {
        "row": row,
        "row_id": str(row.id),
        "row_name": name,
        "icons": printing.icons,
        "menu": shared.menu(),
        "details": shared.details(),
        "spapi_health": shared.health(
            replace(row.spapi_health, since="") if row.is_end_its_state else row.spapi_health
        ),
        "ppc_health": shared.health(row.ppc_health),
        "spapi_head": shared.head(row.spapi, row.spapi_health, _("Selling Partner")),
        "spapi_lines": states_html(row.spapi.lines, printing),
        "ppc_head": shared.head(row.ppc, row.ppc_health, _("PPC")),
        "ppc_lines": states_html(row.ppc.lines, printing),
    }
    html = template.render(context)
    html = html.replace(ID_HOLE, str(row.id)).replace(NAME_HOLE, escape(name))
    # Tags leave empty lines behind, and a page holds 25 rows.
    return "\n".join([line for line in html.split("\n") if line])


# Parts that many rows share ----------------------------------------------------------------


@dataclass(frozen=True)
class Printing:
    """What every part depends on: another release, language or sprite is another text."""

    release: str
    language: str
    icons: str


@dataclass(frozen=True)
class SharedParts:
    """Parts that differ between rows by id and name alone: rendered once, with holes that the whole
    row fills."""

    row: ConnectionRow
    printing: Printing

    def menu(self) -> str:
        return shared_html("row-menu", self.printing, buttons=self.row.menu)

    def details(self) -> str:
        if not self.row.selling_partner_id:
            return ""
        url = self._hole(self.row.details_url)
        return shared_html("row-details", self.printing, details_url=url)

    def health(self, health: SideHealth | None) -> str:
        if health is None:
            return ""
        return shared_html("health", self.printing, sign=health.sign, since=health.since)

    def head(self, cell: Cell, health: SideHealth | None, side: str) -> str:
        """The roll-up of the marketplaces, unless its word is the one that health says above.
        Its button names its side to who does not see the column."""
        sign = cell.sign
        if health is not None and sign is not None and sign.word == health.sign.word:
            sign = None
        if not (sign or cell.button):
            return ""
        button = cell.button.at(self._hole(cell.button.url)) if cell.button else None
        parts = {"sign": sign, "progress": cell.progress, "button": button, "side": side}
        return shared_html("cell-head", self.printing, **parts)

    def _hole(self, url: str) -> str:
        return url.replace(str(self.row.id), ID_HOLE)


@lru_cache(maxsize=4096)
def states_html(lines: tuple[MarketplaceLine, ...], printing: Printing) -> SafeString:
    """Marketplaces that are in the same state share a line. What needs somebody comes first, what
    the seller takes no part in last."""
    names: dict[MarketplaceLine, list[str]] = {}
    for line in lines:
        names.setdefault(replace(line, name="", code=""), []).append(line.name)
    html = [
        shared_html("marketplaces", printing, state=state, names=", ".join(names[state]))
        for state in sorted(names, key=urgency)
    ]
    return SafeString("".join(html))


def urgency(state: MarketplaceLine) -> tuple[int, bool]:
    return URGENCY.index(state.sign.tone), state.sign.icon == "minus"


@lru_cache(maxsize=8192)
def shared_html(part: str, printing: Printing, **values: Any) -> SafeString:
    context = {"icons": printing.icons, "row_id": ID_HOLE, "row_name": NAME_HOLE, **values}
    return SafeString(get_template(f"{PAGE}#{part}").render(context))


@lru_cache(maxsize=512)
def list_head(
    slug: str,
    _language: str,
    *,
    may_act: bool,
    may_add: bool,
    may_administer: bool,
    has_rows: bool,
) -> SafeString:
    """Title, buttons and menu of the page."""
    context = {
        "slug": slug,
        "may_act": may_act,
        "may_add": may_add,
        "may_administer": may_administer,
        "has_rows": has_rows,
    }
    return SafeString(get_template("connections/list_head.html").render(context))


@lru_cache(maxsize=512)
def filter_bar(slug: str, _language: str, chosen: Chosen, chips: tuple[Chip, ...]) -> SafeString:
    """The bar above the list: few differ, and every page has one."""
    context = {
        "chosen": chosen,
        "chips": chips,
        "list_url": reverse("account_connections", args=[slug]),
        "filters_url": f"{reverse('connection_filters', args=[slug])}?{chosen.query}",
        "sorts": [(name, words()) for name, words in SORT_WORDS.items()],
    }
    return SafeString(get_template("connections/filter_bar.html").render(context))


@lru_cache(maxsize=512)
def bulk_bar(
    slug: str, _language: str, rights: str, chosen: Chosen, total: int, *, are_short: bool
) -> SafeString:
    """What can be done with the ticked rows, and how tall all are."""
    list_url = reverse("account_connections", args=[slug])
    other = urlencode([*chosen.fields, (ROWS, FULL if are_short else SHORT)])
    context = {
        "are_short": are_short,
        "rows_url": f"{list_url}?{other}",
        "chosen": chosen,
        "total": total,
        "most": MOST_SELECTED,
        "list_url": list_url,
        "actions": actions_for(slug, rights),
    }
    return SafeString(get_template("connections/bulk_bar.html").render(context))


# Stored HTML -------------------------------------------------------------------------------


def storage_keys(facts: list[Facts], reader: Reader) -> list[str]:
    if not facts:
        return []
    kind = f"{reader.language}:{reader.time_zone}:{reader.rights}:{reader.hour}:{look()}"
    kind = f"{facts[0]['turned_at'].timestamp()}:{kind}"  # of the installation, not of a row
    return [
        f"row:{fact['id'].hex}:{fact['revision']}:{fact['spapi_health']}:{kind}" for fact in facts
    ]


def look() -> str:
    """Another release's template or icons make another key."""
    template: Any = get_template(PAGE)
    source = f"{template.template.source}{static('img/icons.svg')}"
    return hashlib.sha256(source.encode()).hexdigest()[:8]


def stored_rows(keys: list[str]) -> dict[str, str]:
    try:
        return dict(cache.get_many(keys))
    except Exception as error:  # noqa: BLE001  # a cache that is down is a cache miss
        logger.warning("cache_unavailable", extra={"cause": type(error).__name__})
        return {}


def store_rows(html: dict[str, str]) -> None:
    try:
        cache.set_many(html, STORED_SECONDS)
    except Exception as error:  # noqa: BLE001  # the row was rendered all the same
        logger.warning("cache_unavailable", extra={"cause": type(error).__name__})
