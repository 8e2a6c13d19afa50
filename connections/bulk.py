"""Doing something with many rows: the question, row by row, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext as _

from connections.list_address import list_seen
from connections.models import Connection
from connections.selection import Selection
from connections.words import Facts
from sellerlegend.organizations.access import OrganizationRequest, render_part


@dataclass(frozen=True)
class Line:
    """One row of the question or the result. `words`: why it is left alone, or what became of
    it."""

    name: str
    note: str
    words: str
    is_left: bool


LINE_COLUMNS = ("id", "name", "selling_partner_id", "region", "client_id", "spapi_grant__status")


def lines(
    request: OrganizationRequest, ids: Iterable[UUID], words_of: Callable[[Facts], tuple[str, bool]]
) -> list[Line]:
    """In the order of `ids`. `words_of` a row: the words, and whether it is left alone."""
    wanted = list(ids)
    rows = Connection.objects.for_organization(request.organization).filter(pk__in=wanted)
    facts = {fact["id"]: fact for fact in rows.values(*LINE_COLUMNS)}
    found = [facts[row_id] for row_id in wanted if row_id in facts]
    return [line_of(fact, *words_of(fact)) for fact in found]


def line_of(fact: Facts, words: str, is_left: bool) -> Line:
    note = " · ".join(filter(None, [fact["selling_partner_id"], fact["region"]]))
    return Line(fact["name"], note, words, is_left)


def ask(
    request: OrganizationRequest,
    template: str,
    *,
    selection: Selection,
    lines: list[Line],
    error: str = "",
    **context: Any,
) -> HttpResponse:
    """The question: nothing has changed yet. 422 when it comes back with a mistake."""
    going = [line for line in lines if not line.is_left]
    if not selection.count:
        error = error or _("Tick at least one connection in the list first.")
    context |= {
        "selection": selection,
        "going": going,
        "left": [line for line in lines if line.is_left],
        "error": error,
        "list_url": list_seen(request),
    }
    status = 422 if error and request.method == "POST" else 200
    return render_part(request, template, "dialog", context, status=status)


def tell(
    request: OrganizationRequest, *, title: str, lines: list[Line], done_words: str = ""
) -> HttpResponse:
    """The result. The page's poll brings the rows themselves. `done_words`: of what is not done,
    only begun."""
    done = [line for line in lines if not line.is_left]
    context = {
        "title": title,
        "done": done,
        "done_words": done_words,
        "left": [line for line in lines if line.is_left],
        "list_url": list_seen(request),
    }
    return render_part(request, "connections/bulk_result.html", "dialog", context)
