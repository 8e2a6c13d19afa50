"""The page that shows every component, with made-up values. Development only."""

from __future__ import annotations

import itertools
from types import SimpleNamespace as Sample
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from django import forms
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.views.decorators.http import require_GET

from connections.health_words import SideHealth
from connections.reasons import REASONS
from connections.row_html import entries_of
from connections.rows import ConnectionRow
from connections.words import Button, Cell, MarketplaceLine, Sign
from sellerlegend.organizations.access import SignedInRequest

TONES = ("neutral", "info", "progress", "success", "warning", "danger")
LEVELS = ("success", "info", "warning", "error")
EUROPE = (
    "Belgium",
    "Egypt",
    "France",
    "Germany",
    "India",
    "Ireland",
    "Italy",
    "Netherlands",
    "Poland",
    "Spain",
    "Sweden",
    "United Arab Emirates",
    "United Kingdom",
)
PENDING = Sign("Pending", "dashed", "neutral")
WORKING = Sign("Working", "progress", "progress")
WAITING = Sign("Waiting for Amazon, next try 10:42", "clock", "progress")
NEEDS_YOU = Sign("Needs you", "alert", "warning")
ONBOARDED = Sign("Onboarded", "check-circle", "success")
CONNECTED = Sign("Connected", "check-circle", "success")
STARTED = Sign("Started", "check-circle", "success")
EXPIRING = Sign("Expiring", "clock", "warning")


class SampleForm(forms.Form):
    name = forms.CharField(label="Name", max_length=80, help_text="1 to 80 characters.")
    note = forms.CharField(label="Note", required=False)
    marketplace = forms.ChoiceField(
        label="Marketplace",
        choices=[
            ("North America", [("US", "United States"), ("CA", "Canada")]),
            ("Europe", [("DE", "Germany"), ("FR", "France")]),
        ],
    )
    regions = forms.MultipleChoiceField(
        label="Regions",
        choices=[("NA", "North America"), ("EU", "Europe"), ("FE", "Far East")],
        widget=forms.CheckboxSelectMultiple,
    )
    agrees = forms.BooleanField(label="I am the primary user of this account")


@require_GET
def components_page(request: SignedInRequest) -> HttpResponse:
    return render(request, "components_page.html", samples())


def samples() -> dict[str, Any]:
    form = SampleForm({"name": "", "marketplace": "DE", "regions": ["EU"]}, auto_id="sample_%s")
    form.add_error(None, "Two things need a correction.")
    return {
        "tones": TONES,
        "form": form,
        "page": Paginator(range(120), 25).page(2),
        "steps": [
            Sample(title="Name the connection", tone="success"),
            Sample(title="Approve in Seller Central", text="As the primary user.", tone="progress"),
            Sample(title="Choose marketplaces", text="Only those you sell in."),
        ],
        "facts": [("Seller ID", "A1NORTHSTAR001"), ("Region", "Europe"), ("Currency", "EUR")],
        "rows": rows(),
        "toasts": [toast(f"The page brings this: {level}.", level) for level in LEVELS],
        "segments": [
            Sample(sign=CONNECTED, count=3, x=0, width=750, url="#connected"),
            Sample(sign=NEEDS_YOU, count=1, x=750, width=250, url="#needs-you"),
        ],
        "lines": [
            Sample(
                time="10:42",
                sign=CONNECTED,
                note="",
                who="Olivia Owner",
                reference="",
                has_proof=False,
            ),
            Sample(
                time="10:40",
                sign=NEEDS_YOU,
                note="Amazon refused once more.",
                who="Amazon",
                reference="K7Q2-9XMD",
                has_proof=False,
            ),
        ],
        "icons": static("img/icons.svg"),
    }


class Toast(str):
    """Of django.contrib.messages, as far as its template looks."""

    tags: str


def toast(words: str, level: str) -> Toast:
    made = Toast(words)
    made.tags = level
    return made


def rows() -> list[str]:
    """Made-up rows, printed as the list prints its own."""
    return [entry[1:] for entry in entries_of([quiet_row(), busy_row(), waiting_row()])]


def quiet_row() -> ConnectionRow:
    return row(
        "Northstar Outdoors",
        spapi=cell(STARTED, lines(("Canada", "United States"), ONBOARDED)),
        ppc=cell(CONNECTED, lines(("Canada", "United States"), CONNECTED)),
    )


def busy_row() -> ConnectionRow:
    signs = (ONBOARDED, PENDING, WORKING, ONBOARDED, NEEDS_YOU, WAITING)
    mixed = [lines((name,), sign) for name, sign in zip(EUROPE, itertools.cycle(signs))]
    return row(
        "Northstar Outdoors Europe",
        region="EU",
        region_name="Europe",
        client="Harbor Trading",
        tags=("Key account",),
        spapi=cell(NEEDS_YOU, sum(mixed, ()), "5 of 13", button("Continue", "onboard")),
        ppc=cell(PENDING, lines(EUROPE[:9], PENDING), "0 of 9", button("Continue", "ppc")),
        consent_ends="Consent ends in 24 days, on Dec. 17, 2026",
        consent_sign=EXPIRING,
        spapi_health=SideHealth("expiring", EXPIRING, "ends in 24 days, on Dec. 17, 2026"),
        trouble=REASONS["grant_invalid"],
        trouble_button=button("Reconnect", "authorize", is_primary=True),
        trouble_tone="warning",
    )


def waiting_row() -> ConnectionRow:
    waiting = Sign("Waiting for consent", "clock", "warning")
    return row(
        "Desert Rose",
        selling_partner_id="",
        authorized="",
        consent_ends="",
        spapi=cell(waiting, (), go=button("Resume", "authorize", is_primary=True)),
        ppc=Cell(sign=None, lines=(), progress="", button=None),
        spapi_health=SideHealth("waiting", waiting, "since Nov. 23, 2026"),
        ppc_health=None,
    )


def row(name: str, **values: Any) -> ConnectionRow:
    usual: dict[str, Any] = {
        "id": uuid5(NAMESPACE_DNS, name),
        "name": name,
        "selling_partner_id": "A1NORTHSTAR001",
        "client": "",
        "tags": (),
        "region": "NA",
        "region_name": "North America",
        "authorized": "Authorised by Olivia Owner on Nov. 23, 2026",
        "consent_ends": "Consent ends in 365 days, on Nov. 23, 2027",
        "consent_ends_exact": "Nov. 23, 2027, noon",
        "consent_sign": None,
        "asked_client": "",
        "mws": "",
        "mws_updated": "",
        "question": "",
        "question_buttons": (),
        "trouble": None,
        "trouble_button": None,
        "trouble_tone": "info",
        "spapi_health": SideHealth("connected", CONNECTED, "since Nov. 23, 2026"),
        "ppc_health": SideHealth("connected", CONNECTED, "since Nov. 23, 2026"),
        "menu": (button("Reconnect", "authorize"), button("Disconnect", "end", is_dangerous=True)),
        "details_url": "#",
    }
    return ConnectionRow(**(usual | values))


def cell(
    sign: Sign, parts: tuple[MarketplaceLine, ...], progress: str = "", go: Button | None = None
) -> Cell:
    return Cell(sign=sign, lines=parts, progress=progress, button=go)


def lines(names: tuple[str, ...], sign: Sign) -> tuple[MarketplaceLine, ...]:
    is_done = sign in (ONBOARDED, CONNECTED)
    return tuple(MarketplaceLine(name, "", is_done, sign) for name in names)


def button(label: str, key: str, **values: bool) -> Button:
    """Its id is the end of its address, as in the list."""
    return Button(label, f"/o/sample/connections/{key}", **values)
