"""The floor: psycopg2, two queries, f-strings, bare WSGI. The same text as the page's list.

Nothing here is a way to build a product: no languages, no time zones, no roles, no tenancy
guard, and only the states that the data set has. `benchmarks.screen` checks that the text is
the product's, ignoring white space.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import psycopg2

CONNECTIONS = """
    SELECT c.id::text, c.name, c.region, c.selling_partner_id, g.authorized_at, u.name,
           g.status_changed_at
    FROM connections_connection c
    JOIN connections_spapigrant g ON g.connection_id = c.id
    JOIN organizations_user u ON u.id = g.authorized_by_id
    WHERE c.organization_id = %s ORDER BY lower(c.name) LIMIT %s
"""
MARKETPLACES = """
    SELECT a.connection_id::text, m.name, a.onboarding, l.status, g.status_changed_at
    FROM marketplaces_marketplaceaccount a
    JOIN marketplaces_marketplace m ON m.marketplace_id = a.marketplace_id
    LEFT JOIN ppc_ppclink l ON l.account_id = a.id
    LEFT JOIN ppc_adsprofile p ON p.id = l.profile_id
    LEFT JOIN connections_adsgrant g ON g.id = p.grant_id
    WHERE a.connection_id = ANY(%s::uuid[]) ORDER BY m.name
"""
REGIONS = {"NA": "North America", "EU": "Europe", "FE": "Far East"}
# fmt: off
MONTHS = [
    "", "Jan.", "Feb.", "March", "April", "May", "June",
    "July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec.",
]
# fmt: on
# Word, icon, tone; what needs somebody comes first.
ONBOARDING = {
    "needs_attention": ("Needs you", "alert", "warning"),
    "onboarded": ("Onboarded", "check-circle", "success"),
    "pending": ("Pending", "dashed", "neutral"),
}
LINK = {
    "linked": ("Connected", "check-circle", "success"),
    None: ("Pending", "dashed", "neutral"),
}
DONE = ("onboarded", "linked")
Line = tuple[str, Any]


class Floor:
    """A bare WSGI application for one organization: every path is its list."""

    def __init__(self, database: str, organization_id: str, icons: str, slug: str) -> None:
        self.connection = psycopg2.connect(database)
        self.connection.autocommit = True
        self.organization_id = organization_id
        self.icons = icons
        self.slug = slug
        self.limit = 1_000

    def __call__(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        body = self.html().encode()
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    def html(self) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(CONNECTIONS, [self.organization_id, self.limit])
            connections = cursor.fetchall()
            cursor.execute(MARKETPLACES, [[row[0] for row in connections]])
            stores: dict[str, tuple[list[Line], list[Line]]] = {}
            fed_since: dict[str, datetime] = {}
            for key, name, onboarding, link, since in cursor.fetchall():
                cells = stores.setdefault(key, ([], []))
                cells[0].append((name, onboarding))
                cells[1].append((name, link))
                if since:
                    fed_since[key] = since
        return (
            TOP
            + self.bar(len(connections))
            + HEAD
            + "".join([self.row((*row, fed_since[row[0]]), *stores[row[0]]) for row in connections])
            + FOOT
        )

    def bar(self, total: int) -> str:
        base = f"/o/{self.slug}/"
        buttons = "".join(
            [
                f'<button class="button button--secondary button--small" type="submit" '
                f'id="bulk-{number}" formaction="{base}{path}" hx-post="{base}{path}" '
                f'hx-include="#row-actions" hx-vals=\'{{"ask": "1"}}\' hx-target="#dialog" '
                f'hx-swap="innerHTML">{label}'
                f'<span class="visually-hidden"> the ticked connections</span></button>'
                for number, (label, path) in enumerate(BULK, start=1)
            ]
        )
        return f"""
<form class="bulk-bar" id="selection" method="get" action="{base}connections/" \
aria-label="With the ticked connections" data-total="{total}" data-most="1000">
<span data-ticked-away hidden></span>
<label class="bulk-bar__page"><input type="checkbox" id="select-page">
Select the page</label>
<label class="bulk-bar__all"><input type="checkbox" name="all" value="1" id="select-all">
All {total} that match</label>
<a class="bulk-bar__rows" id="rows-height" href="{base}connections/?rows=short">Short rows</a>
<div class="bulk-bar__actions"><p class="bulk-bar__count" data-selected-count hidden \
data-one="1 selected" data-many="{{count}} selected" \
data-one-away="1 selected, not on this page" \
data-many-away="{{count}} selected, {{away}} of them not on this page" \
data-full=" (no more in one go)"></p>\
<button class="button button--quiet button--small" type="button" id="bulk-untick" hidden \
data-untick="Nothing is selected any more.">Clear the selection</button>{buttons}</div></form>"""

    def row(self, row: tuple[Any, ...], spapi: list[Line], ppc: list[Line]) -> str:
        key, name, region, seller, authorized_at, who, since, fed_since = row
        name = escape(name)
        ends = authorized_at + timedelta(days=365)
        left = (ends.date() - datetime.now(UTC).date()).days
        url = f"/o/{self.slug}/connections/{key}/"
        row_name = f"{name} {region}"
        context = f'<span class="visually-hidden"> {row_name}</span>'
        return f"""
<tbody class="connection-row" id="connection-{key}" hx-swap-oob="true">
<tr>
<th scope="row" abbr="{row_name}">
<div class="connection-account">
<span class="connection-account__head"><input class="connection-account__tick" type="checkbox" \
id="select-{key}" name="row" value="{key}" form="selection" aria-label="Select {name} {region}">\
<span class="connection-account__name">{name}</span></span>
<span class="connection-account__where"><span class="connection-account__id">{escape(seller)}\
</span> {REGIONS[region]} ({region})</span>
<ul class="connection-account__facts">
<li title="{day(ends)}, {clock(ends)}">Consent ends in {left} days, on {day(ends)}</li>
<li>Authorised by {escape(who)} on {day(authorized_at)}</li>
</ul>
<details class="menu connection-account__menu" id="menu-{key}">
<summary><span class="menu__label">Actions</span>{context}{self.icon("chevron-down")}</summary>
<div class="menu__panel"><ul>
{opener("Reconnect", f"go-{key}-authorize", f"{url}authorize")}
{opener("Ask the client by link", f"go-{key}-ask-client", f"{url}ask-client")}
{opener("Connect another region", f"go-{key}-another-region", f"{url}another-region")}
<li><button class="menu__item" id="go-{key}-check" type="submit" form="row-actions" \
formaction="{url}check" hx-post="{url}check" hx-include="#row-actions" hx-swap="none">\
Check now</button></li>
{opener("Tags and client", f"go-{key}-groups", f"{url}groups")}
<li><a class="menu__item" id="go-{key}-timeline" href="{url}timeline">Timeline</a></li>
{opener("Rename", f"go-{key}-rename", f"{url}rename")}
{opener("Disconnect", f"go-{key}-disconnect", f"{url}disconnect", " menu__item--danger")}
</ul></div>
</details>
</div>
</th>
<td data-label="MWS Authentication Token"><div class="connection-mws">
Amazon no longer issues it (ended April 2024)
</div></td>
<td data-label="Selling Partner">
{self.connected(since)}
{self.cell(spapi, ONBOARDING, "needs_attention", f"go-{key}-onboard", f"{url}onboard", row_name)}
</td>
<td data-label="PPC">
{self.connected(fed_since)}
{self.cell(ppc, LINK, None, f"go-{key}-ppc", f"{url}ppc", row_name, "PPC")}
</td>
</tr>
<tr class="connection-details"><td colspan="4">
<details class="disclosure" id="details-{key}" hx-get="{url}" hx-trigger="toggle once" \
hx-target="#details-body-{key}" hx-swap="innerHTML">
<summary>{self.icon("chevron-right")}Details{context}</summary>
<div class="connection-details__body" id="details-body-{key}"><p><a href="{url}">\
Stores, currencies, languages and states</a></p></div>
</details>
</td></tr>
</tbody>"""

    def connected(self, since: datetime) -> str:
        return (
            f'<p class="connection-health"><span class="status tone-success">'
            f"{self.icon('check-circle')}<span>Connected</span></span> "
            f'<span class="connection-health__since">since {day(since)}</span></p>'
        )

    def cell(
        self,
        lines: list[Line],
        signs: Any,
        worst: Any,
        button: str,
        url: str,
        row_name: str,
        side: str = "Selling Partner",
    ) -> str:
        rank = "secondary" if side == "PPC" else "primary"
        word, icon, tone = signs[worst]
        done = sum(state in DONE for _name, state in lines)
        items = "".join([self.state(lines, state, *signs[state]) for state in signs])
        return f"""
<div class="connection-cell">
<div class="connection-cell__head">
<span class="connection-cell__summary">
<span class="status tone-{tone}">{self.icon(icon)}<span>{word}</span></span>
<span class="connection-cell__count">{done} of {len(lines)}</span>
</span>
<span class="connection-cell__actions"><a class="button button--small button--{rank}" \
id="{button}" href="{url}" hx-get="{url}" hx-target="#dialog" hx-swap="innerHTML">\
Continue<span class="visually-hidden"> {side} {row_name}</span></a></span>
</div>
<ul class="marketplace-list">{items}</ul>
</div>"""

    def state(self, lines: list[Line], state: Any, word: str, icon: str, tone: str) -> str:
        names = ", ".join([escape(name) for name, found in lines if found == state])
        if not names:
            return ""
        tag = "strong" if state in DONE else "span"
        return (
            f'<li class="marketplaces tone-{tone}">{self.icon(icon)}<span>'
            f'<{tag} class="marketplaces__names">{names}</{tag}> '
            f'<span class="marketplaces__state">{word}</span></span></li>\n'
        )

    def icon(self, name: str) -> str:
        return (
            f'<svg class="icon" aria-hidden="true" focusable="false">'
            f'<use href="{self.icons}#{name}"></use></svg>'
        )


def opener(label: str, key: str, url: str, more: str = "") -> str:
    return (
        f'<li><a class="menu__item{more}" id="{key}" href="{url}" hx-get="{url}" '
        f'hx-target="#dialog" hx-swap="innerHTML">{label}</a></li>'
    )


def day(moment: datetime) -> str:
    return f"{MONTHS[moment.month]} {moment.day}, {moment.year}"


def clock(moment: datetime) -> str:
    half = "AM" if moment.hour < 12 else "PM"
    return f"{moment.hour % 12 or 12}:{moment.minute:02d} {half}"


BULK = (
    ("Check now", "connections/check"),
    ("Tag", "connections/tag"),
    ("Client", "connections/client"),
    ("Reconnect queue", "reconnect-queue/add"),
    ("Start onboarding", "connections/onboard"),
    ("Export", "connections/export"),
)
TOP = '<div id="connection-list">'
HEAD = """<div class="connections"><table class="connections__table">
<caption class="visually-hidden">Account connections, one for each Seller ID and region</caption>
<thead><tr>
<th class="connections__account" scope="col">Account</th>
<th class="connections__mws" scope="col">MWS Authentication Token</th>
<th class="connections__selling-partner" scope="col">Selling Partner</th>
<th class="connections__ppc" scope="col">PPC</th>
</tr></thead>"""
FOOT = "</table></div></div>"
