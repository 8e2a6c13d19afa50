"""Made-up values for the page that shows every component. Development only."""

from __future__ import annotations

import itertools
from types import SimpleNamespace as Sample
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.templatetags.static import static

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
PENDING = Sample(word="Pending", icon="dashed", tone="neutral")
WORKING = Sample(word="Working", icon="progress", tone="progress")
WAITING = Sample(word="Waiting for Amazon, next try 10:42", icon="clock", tone="progress")
NEEDS_YOU = Sample(word="Needs you", icon="alert", tone="warning")
ONBOARDED = Sample(word="Onboarded", icon="check-circle", tone="success")
CONNECTED = Sample(word="Connected", icon="check-circle", tone="success")
STARTED = Sample(word="Started", icon="check-circle", tone="success")

_numbers = itertools.count(1)


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


def rows() -> list[Sample]:
    signs = [ONBOARDED, PENDING, WORKING, ONBOARDED, NEEDS_YOU, WAITING]
    many = [line(name, signs[index % len(signs)]) for index, name in enumerate(EUROPE)]
    ads = [line(name, CONNECTED if index % 2 else PENDING) for index, name in enumerate(EUROPE[:9])]
    return [
        row(
            "Northstar Outdoors",
            spapi=cell(STARTED, [line("Canada", ONBOARDED), line("United States", ONBOARDED)]),
            ppc=cell(CONNECTED, [line("Canada", CONNECTED), line("United States", CONNECTED)]),
        ),
        row(
            "Northstar Outdoors Europe",
            region="EU",
            spapi=cell(NEEDS_YOU, many, "5 of 13", button("Continue")),
            ppc=cell(PENDING, ads, "4 of 9", button("Continue")),
            consent_sign=Sample(word="Expiring", icon="clock", tone="warning"),
            consent_ends="Consent ends in 24 days, on Dec. 17, 2026",
            asks_for_you=True,
            trouble=Sample(title="A permission is missing"),
            trouble_text="Amazon let us in but refused this information. Reconnect the account.",
            trouble_buttons=[button("Reconnect")],
        ),
        row(
            "Desert Rose",
            selling_partner_id="",
            authorized="",
            consent_ends="",
            spapi=cell(
                Sample(word="Waiting for consent", icon="clock", tone="warning"),
                [],
                "",
                button("Resume"),
            ),
            ppc=cell(None, []),
        ),
    ]


def row(name: str, **values: Any) -> Sample:
    slug = name.lower().replace(" ", "-")
    menu = [button(label, f"{slug}-{label}") for label in ("Reconnect", "Rename", "Disconnect")]
    menu[-1].is_dangerous = True
    return Sample(
        **{
            "id": slug,
            "name": name,
            "selling_partner_id": "A1NORTHSTAR001",
            "region": "NA",
            "region_name": "North America",
            "authorized": "Authorised by Olivia Owner on Nov. 23, 2026",
            "consent_ends": "Consent ends on Nov. 23, 2027",
            "consent_ends_exact": "",
            "consent_sign": None,
            "mws": "",
            "mws_updated": "",
            "question": "",
            "question_buttons": (),
            "asks_for_you": False,
            "trouble": None,
            "menu": menu,
            "details_url": "#",
        }
        | values
    )


def cell(
    sign: Sample | None, lines: list[Sample], progress: str = "", go: Sample | None = None
) -> Sample:
    short = len(lines) < 6
    return Sample(sign=sign, lines=lines, progress=progress, button=go, note="", is_short=short)


def line(name: str, sign: Sample) -> Sample:
    return Sample(name=name, sign=sign, note="", is_done=sign in (ONBOARDED, CONNECTED))


def button(label: str, key: str = "") -> Sample:
    return Sample(
        label=label,
        url="#",
        id=f"sample-{key or next(_numbers)}".lower(),
        opens=True,
        tone="primary" if label in ("Continue", "Resume") else "secondary",
        is_dangerous=False,
    )
