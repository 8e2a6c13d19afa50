"""*Export*: what the list shows, or the ticked rows, as CSV or XLSX."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from django.http import (
    FileResponse,
    HttpResponseBase,
    QueryDict,
    StreamingHttpResponse,
)
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from connections import export, export_files, screen
from connections.export import Cell
from connections.filters import chips
from connections.groups import groups_named
from connections.listing import Chosen
from connections.reader import Reader
from connections.selection import asked_by_form, ticked_ids, unticked_ids
from connections.views import form_page
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.audit import record_event
from sellerlegend.organizations.limits import Limit, counted
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import recently_authenticated

EXPORT = Limit("export", burst=10, seconds=60)
KINDS = ("csv", "xlsx")
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def by_person(request: OrganizationRequest) -> tuple[Limit, str]:
    return EXPORT, request.user.pk.hex


def limited(view: Any) -> Any:
    return counted(view, by_person)


@form_page
@organization_view(Role.VIEWER)
@recently_authenticated
@asked_by_form
@limited
def connections_export(request: OrganizationRequest) -> HttpResponseBase:
    """Whoever sees the rows may take them along, after a fresh sign-in."""
    sent = request.POST if request.method == "POST" else request.GET
    ids, carried = rows_of(request, sent)
    kind = request.POST.get("kind", "")
    if request.method == "POST" and kind in KINDS and ids:
        return the_file(request, ids, kind, Chosen.of(sent).query)
    error = ""
    if request.method == "POST":
        error = _("Choose a kind of file.") if ids else _("There is no row to export.")
    context = {
        "rows": len(ids),
        "columns": export.titles(),
        "carried": carried,
        "is_ticked": is_ticked(sent),
        "narrowed_to": "" if is_ticked(sent) else narrowed_words(request, Chosen.of(sent)),
        "error": error,
    }
    status = 422 if error else 200
    return render_part(request, "connections/export.html", "dialog", context, status=status)


def rows_of(
    request: OrganizationRequest, sent: QueryDict
) -> tuple[list[UUID], list[tuple[str, str]]]:
    """The rows that were ticked, or else all that the list shows; with the fields that carry the
    choice from the question to the deed."""
    chosen = Chosen.of(sent)
    if not is_ticked(sent):
        but = unticked_ids(sent)
        ids, _total = screen.matching_ids(request, chosen, limit=export.MOST_EXPORTED, but=but)
        left_out = [("but", str(row_id)) for row_id in but]
        return ids, [("all", "1"), *parse_qsl(chosen.query), *left_out]
    ticked = ticked_ids(sent)
    ids, _total = screen.matching_ids(request, chosen.only_sorted(), only=ticked, limit=len(ticked))
    return ids, [("row", str(row_id)) for row_id in ids]


def is_ticked(sent: QueryDict) -> bool:
    """Else it is about all that the list shows."""
    return bool(ticked_ids(sent)) and sent.get("all") != "1"


def narrowed_words(request: OrganizationRequest, chosen: Chosen) -> str:
    """What the list is narrowed to, as its own bar says it."""
    named = groups_named(request.membership, chosen)
    return ", ".join(chip.label for chip in chips(named.known(chosen), named))


def the_file(
    request: OrganizationRequest, ids: list[UUID], kind: str, query: str
) -> HttpResponseBase:
    """What can fail fails before the first byte: the first rows are read, then it is recorded,
    then it is sent."""
    batches = export.batches_of(request.organization.pk, ids, Reader.of(request))
    rows = chain([next(batches, [])], batches)
    response = in_pieces(rows) if kind == "csv" else in_whole(rows)
    name = f"{request.organization.slug}-connections-{timezone.localdate():%Y-%m-%d}.{kind}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    record_event(
        "connections_exported",
        actor=request.actor(),
        organization=request.organization,
        rows=len(ids),
        kind=kind,
        filter=query,
    )
    return response


def in_pieces(batches: Iterator[list[list[Cell]]]) -> HttpResponseBase:
    """A batch of rows at a time: the words and the clock are the reader's at each of them."""
    language, zone = translation.get_language() or "en", timezone.get_current_timezone()

    def pieces() -> Iterator[str]:
        source = export_files.csv_pieces(batches)
        while True:
            with translation.override(language), timezone.override(zone):
                piece = next(source, None)
            if piece is None:
                return
            yield piece

    return StreamingHttpResponse(pieces(), content_type="text/csv; charset=utf-8")


def in_whole(batches: Iterator[list[list[Cell]]]) -> HttpResponseBase:
    return FileResponse(export_files.xlsx_file(batches), content_type=XLSX_TYPE)
