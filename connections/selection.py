"""Which rows a bulk action is about: those that were ticked, or all that the list shows.

A form sends `row=<id>` for each tick, or `all=1` beside the parameters of the list's address, and
`but=<id>` for each row that was unticked since.
Every bulk action asks first (GET) and does it then (POST); between the two the selection is
carried by id, so that what was shown is what is done. With JavaScript the question comes as a form
too, with `ask=1`: ticks of many pages do not fit into an address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

from django.http import HttpResponseBase, QueryDict
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import screen
from connections.bulk_actions import MOST_SELECTED
from connections.listing import Chosen
from sellerlegend.organizations.access import OrganizationRequest, OrganizationView

P = ParamSpec("P")


@dataclass(frozen=True)
class Selection:
    """`ids` are rows that the reader sees, in the list's order; `asked` is how many were asked
    for: a foreign, an unknown and a removed row are not told apart, and silently absent."""

    ids: tuple[UUID, ...]
    asked: int

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def absent(self) -> int:
        return self.asked - len(self.ids)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Hidden fields that carry it from the question to the deed."""
        return [("row", str(row_id)) for row_id in self.ids]

    @property
    def words(self) -> str:
        told = ngettext("%(count)d connection", "%(count)d connections", self.count)
        if not self.absent:
            return told % {"count": self.count}
        return _("%(count)d of %(asked)d connections") % {"count": self.count, "asked": self.asked}


def asked_by_form(view: OrganizationView[P]) -> Callable[..., Any]:
    """A POST with `ask=1` is the question, and answered as the GET is. Stands above the limits,
    which let a look pass, and below the proofs, which lead back to the page of a form."""

    @wraps(view)
    def guarded(
        request: OrganizationRequest, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if request.method != "POST" or request.POST.get("ask") != "1":
            return view(request, *args, **kwargs)
        request.method, request.GET = "GET", request.POST
        try:
            return view(request, *args, **kwargs)
        finally:
            request.method = "POST"  # as the log tells it

    return guarded


def ticks_owner(request: OrganizationRequest) -> str:
    """Under this name a tab keeps its ticks: another session and another organization have
    another one."""
    whose = f"{request.session.session_key} {request.organization.pk}"
    return salted_hmac("connections.selection.ticks", whose, algorithm="sha256").hexdigest()[:24]


def selected(request: OrganizationRequest) -> list[UUID]:
    return list(selection_of(request).ids)


def selection_of(request: OrganizationRequest) -> Selection:
    """Of the form that was sent, or of the address that was asked for."""
    sent = request.POST if request.method == "POST" else request.GET
    chosen = Chosen.of(sent)
    if sent.get("all") == "1":
        unticked = unticked_ids(sent)
        ids, total = screen.matching_ids(request, chosen, limit=MOST_SELECTED, but=unticked)
        return Selection(tuple(ids), total)
    ticked = ticked_ids(sent)
    few = ticked[:MOST_SELECTED]
    ids, _total = screen.matching_ids(request, chosen.only_sorted(), only=few, limit=len(few))
    return Selection(tuple(ids), len(ticked))


def ticked_ids(sent: QueryDict, name: str = "row") -> list[UUID]:
    """Each once. What is no id is dropped: it is no row of anybody's."""
    found: dict[UUID, None] = {}
    for text in sent.getlist(name):
        try:
            found[UUID(text)] = None
        except ValueError:
            continue
    return list(found)


def unticked_ids(sent: QueryDict) -> list[UUID]:
    """Those left out of all that the list shows; never cut short, which would take some back in."""
    return ticked_ids(sent, "but")
