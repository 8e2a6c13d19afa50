"""The two pages of asking many clients: who would be asked with what words, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponseBase, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import client_link_batches as batches
from connections import client_links
from connections.client_link_batches import Fate, Prospect, Result, Words
from connections.client_link_forms import WordsForm, client_address
from connections.export_files import harmless
from connections.models import Connection
from connections.notice_sending import absolute
from connections.selection import ticked_ids
from connections.words import Sign
from sellerlegend.organizations.access import OrganizationRequest
from sellerlegend.organizations.kept_forms import take_kept_form


class BatchForm(WordsForm):
    # When the page was shown: what was asked since then is not asked again.
    since = forms.DateTimeField(widget=forms.HiddenInput)

    def clean_since(self) -> datetime:
        """A moment of the past: a later one would overlook what was just made."""
        since: datetime = self.cleaned_data["since"]
        return min(since, timezone.now())

    @property
    def words(self) -> Words:
        data: dict[str, Any] = self.cleaned_data
        return Words(data["language"], data["message"], data["days"])


TICKS = {"all": True, "none": False}
MOST_ROWS_SEEN = 8


class AddressForm(forms.Form):
    """An address for each row for which none is known and a link would be made."""

    def __init__(self, *args: Any, prospects: list[Prospect], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for one in prospects:
            if not one.email and not one.open_line:
                label = _("Email address for %(name)s") % {"name": one.connection.name}
                field = client_address if one.is_ticked else unused_address
                self.fields[address_name(one)] = field(label)

    def of(self, prospect: Prospect) -> forms.BoundField | None:
        name = address_name(prospect)
        return self[name] if name in self.fields else None

    def filled(self, prospect: Prospect) -> Prospect:
        return replace(
            prospect, email=self.cleaned_data.get(address_name(prospect), prospect.email)
        )


def unused_address(label: str) -> forms.CharField:
    """What is typed beside a row that nobody is asked about is kept, and stops no other one."""
    return forms.CharField(label=label, required=False, widget=forms.EmailInput)


def address_name(prospect: Prospect) -> str:
    return f"address-{prospect.id}"


@dataclass(frozen=True)
class ResultLine:
    name: str
    place: str
    sign: Sign
    email: str
    # Shown in this answer alone.
    url: str


@dataclass(frozen=True)
class Page:
    """Where a batch comes from: what its pages are called, and where they lead back to."""

    title: str
    intro: str
    back_url: str
    back_label: str


def answer(
    request: OrganizationRequest,
    page: Page,
    prospects: list[Prospect],
    then: Callable[[Connection], bool] = lambda _row: True,
) -> HttpResponseBase:
    """The question; after a POST of those that were ticked, the result for each. *Tick all* and
    *Tick none* send the form as well, and are answered by it."""
    typed = request.POST if request.method == "POST" else take_kept_form(request)
    wants_ticks = typed is not None and typed.get("tick") in TICKS
    is_sent = request.method == "POST" and not wants_ticks
    # Who only ticks has sent nothing yet: what was typed stays, and is not judged.
    bound, kept = (None, typed.dict()) if typed and wants_ticks else (typed, {})
    form = BatchForm(bound, initial=first(request) | kept)
    prospects = ticked_by(prospects, typed)
    addresses = AddressForm(bound, initial=kept, prospects=prospects)
    chosen = [one for one in prospects if one.is_ticked]
    if is_sent and not chosen:
        form.add_error(None, _("Tick who is asked."))
    if is_sent and form.is_valid() and addresses.is_valid():
        results = batches.ask(
            map(addresses.filled, chosen),
            shown_addresses(request, chosen),
            form.words,
            since=form.cleaned_data["since"],
            actor=request.actor(),
            then=then,
        )
        return made(request, page, results)
    context = {
        "page": page,
        "form": form,
        "prospects": prospects,
        "rows": [(one, addresses.of(one)) for one in prospects],
        "mails": batches.mails_in(prospects),
        "most": batches.MOST_AT_ONCE,
    }
    status = 422 if is_sent else 200
    return render(request, "connections/client_link_batch.html", context, status=status)


def made(request: OrganizationRequest, page: Page, results: list[Result]) -> HttpResponseBase:
    lines = [line_of(result) for result in results]
    to_copy = [line for line in lines if line.url]
    context = {
        "page": page,
        "lines": lines,
        "table": "\n".join(map(as_table_row, to_copy)) if len(to_copy) > 1 else "",
        "table_rows": min(len(to_copy), MOST_ROWS_SEEN),
        "mailed": mailed_words(results),
        "by_hand": by_hand_words(results),
    }
    return render(request, "connections/client_link_batch_made.html", context)


def ticked_by(prospects: list[Prospect], typed: QueryDict | None) -> list[Prospect]:
    """As the form came back, or as its buttons want it."""
    if typed is None:
        return prospects
    ticked = set(ticked_ids(typed))
    wanted = TICKS.get(typed.get("tick", ""))
    return [
        replace(one, is_ticked=one.id in ticked if wanted is None else wanted) for one in prospects
    ]


def first(request: OrganizationRequest) -> dict[str, Any]:
    return {
        "language": request.LANGUAGE_CODE,
        "days": client_links.DAYS,
        "since": timezone.now().isoformat(),
    }


def shown_addresses(request: OrganizationRequest, chosen: list[Prospect]) -> dict[UUID, str]:
    """What was known when the page was shown, else what was typed. The latter is known by itself
    when the form comes twice."""
    typed = request.POST
    return {
        one.id: typed.get(f"to-{one.id}", "") or typed.get(address_name(one), "").strip()
        for one in chosen
    }


def mailed_words(results: list[Result]) -> str:
    count = sum(result.fate in (Fate.MAILED, Fate.IN_TURN) for result in results)
    words = ngettext("%(count)d link goes out by mail.", "%(count)d links go out by mail.", count)
    return words % {"count": count} if count else ""


def by_hand_words(results: list[Result]) -> str:
    count = sum(result.fate == Fate.BY_HAND for result in results)
    words = ngettext(
        "%(count)d link has no address: copy it here and hand it over.",
        "%(count)d links have no address: copy them here and hand them over.",
        count,
    )
    return words % {"count": count} if count else ""


def as_table_row(line: ResultLine) -> str:
    """Which a spreadsheet takes for three cells when it is pasted, none of them for a formula."""
    return "\t".join(map(harmless, (line.name, line.place, line.url)))


def line_of(result: Result) -> ResultLine:
    url = ""
    if result.token is not None:
        url = absolute(reverse("client_link", args=[result.token.reveal()]))
    row = result.connection
    return ResultLine(
        name=row.name,
        place=f"{row.selling_partner_id or ''} {row.region}".strip(),
        sign=sign_of(result.fate),
        email=result.email,
        url=url,
    )


def sign_of(fate: Fate) -> Sign:
    icon, tone = {
        Fate.MAILED: ("mail", "success"),
        Fate.IN_TURN: ("clock", "info"),
        Fate.BY_HAND: ("link", "info"),
        Fate.MOVED: ("alert", "warning"),
        Fate.LATER: ("clock", "warning"),
    }.get(fate, ("minus", "neutral"))
    return Sign(str(fate.label), icon, tone)
