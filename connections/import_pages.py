"""What the pages of imports show: each row of a file in words, with its next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import client_lists
from connections.authorization import looks_like_a_seller_id
from connections.catalogue import import_entry
from connections.client_table import Line
from connections.countries import region_name
from connections.import_models import ClientList, ImportedToken, TokenImport
from connections.import_words import LEFT, PROBLEMS, RESULTS, problem_words
from connections.models import Connection
from connections.reasons import reason_for
from connections.token_imports import counts_of, rows_of
from connections.words import Sign, exact_time
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Organization

Status = ImportedToken.Status
RECENT = 10


@dataclass(frozen=True)
class TokenLine:
    """One row of a file of tokens. The token itself is not even masked here: a fingerprint tells
    two apart."""

    id: UUID
    line: int
    name: str
    where: str
    seller_id: str
    day: str
    fingerprint: str
    sign: Sign
    note: str
    can_be_ticked: bool
    url: str


@dataclass(frozen=True)
class Upload:
    """One of the files of the last weeks, told from others of the same minute."""

    id: UUID
    time: str
    words: str
    is_confirmed: bool


def recent_imports(organization: Organization) -> list[Upload]:
    imports = TokenImport.objects.for_organization(organization).order_by("-created_at")
    found = imports.prefetch_related(Prefetch("rows", _names_of(organization), to_attr="named"))
    return [_upload(each, [row.name for row in each.named]) for each in found[:RECENT]]


def _names_of(organization: Organization) -> QuerySet[ImportedToken]:
    rows: QuerySet[ImportedToken] = ImportedToken.objects.for_organization(organization)
    return rows.only("token_import_id", "name").order_by("line")


def recent_lists(organization: Organization) -> list[Upload]:
    lists = ClientList.objects.for_organization(organization).order_by("-created_at")
    return [_upload(each, [row["client"] for row in each.lines]) for each in lists[:RECENT]]


def _upload(file: Any, names: list[str]) -> Upload:
    """`names`: one for each row, "" where there is none."""
    words = ngettext("%(count)d row", "%(count)d rows", len(names)) % {"count": len(names)}
    if first := next(filter(None, names), ""):
        words = _("%(rows)s, the first of %(name)s") % {"rows": words, "name": first}
    return Upload(file.pk, exact_time(file.created_at), words, file.confirmed_at is not None)


def token_import_context(organization: Organization, token_import: TokenImport) -> dict[str, Any]:
    rows = list(rows_of(token_import).order_by("line"))
    counts = counts_of(token_import)
    return {
        "token_import": token_import,
        "lines": lines_of(organization, rows),
        "counts": counts,
        "is_open": token_import.confirmed_at is None and counts[Status.CHECKED.value] > 0,
        "is_moving": counts[Status.WAITING.value] > 0,
        "destroyed_by": exact_time(token_import.destroyed_by),
    }


def lines_of(organization: Organization, rows: list[ImportedToken]) -> list[TokenLine]:
    holders = {
        row.pk: row
        for row in Connection.with_removed.for_organization(organization).filter(
            pk__in=[row.connection_id for row in rows if row.connection_id]
        )
    }
    jobs: QuerySet[Job] = Job.objects.for_organization(organization)
    waiting = jobs.filter(
        subject_id__in=[row.pk for row in rows if row.status == Status.WAITING],
        status=Job.Status.WAITING,
    )
    reasons = dict(waiting.values_list("subject_id", "waiting_reason"))
    return [
        _line_of(organization, row, holders.get(row.connection_id), reasons.get(row.pk, ""))
        for row in rows
    ]


def _line_of(
    organization: Organization, row: ImportedToken, holder: Connection | None, waits_for: str
) -> TokenLine:
    day = formats.date_format(row.consented_on, "DATE_FORMAT") if row.consented_on else ""
    is_there = holder is not None and holder.removed_at is None
    return TokenLine(
        id=row.pk,
        line=row.line,
        name=row.name or _("(no name)"),
        where=region_name(row.region) if row.region else "",
        seller_id=row.selling_partner_id,
        day=day,
        fingerprint=row.fingerprint,
        sign=sign_of(row, holder),
        note=note_of(row, holder, waits_for),
        can_be_ticked=row.status == Status.CHECKED and row.connection_id is not None,
        url=(
            reverse("connection_details", args=[organization.slug, row.connection_id])
            if is_there and row.status == Status.STORED
            else ""
        ),
    )


def seller_doubt(seller_id: str) -> str:
    """Told before the confirmation, and no reason to leave a row out."""
    if not seller_id or looks_like_a_seller_id(seller_id):
        return ""
    return _(
        "%(seller)s does not look like a Seller ID: A followed by 12 or 13 capital letters and "
        "digits. Compare it with Seller Central."
    ) % {"seller": seller_id}


# Clients -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClientLine:
    """One row of a list of clients, every string ready."""

    line: int
    client: str
    contact: str
    store: str
    where: str
    tags: str
    sign: Sign
    note: str
    url: str


def client_list_context(organization: Organization, client_list: ClientList) -> dict[str, Any]:
    lines = client_lists.lines_of(client_list)
    good = sum(not line.problem for line in lines)
    return {
        "client_list": client_list,
        "lines": [_client_line(organization, line) for line in lines],
        "good": good,
        "bad": len(lines) - good,
        "created": sum(line.outcome == "create" for line in lines),
        "is_open": client_list.confirmed_at is None,
        "may_invite": any(line.outcome and line.connection for line in lines),
    }


def _client_line(organization: Organization, line: Line) -> ClientLine:
    is_done = bool(line.outcome and line.connection)
    return ClientLine(
        line=line.line,
        client=line.client or _("(no name)"),
        contact=" · ".join(filter(None, (line.contact, line.mail))),
        store=line.store,
        where=" ".join(filter(None, (line.seller, region_name(line.region))))
        if line.region
        else "",
        tags=", ".join(line.tags),
        sign=_client_sign(line),
        note=_client_note(line),
        url=(
            reverse("connection_details", args=[organization.slug, line.connection])
            if is_done
            else ""
        ),
    )


def _client_sign(line: Line) -> Sign:
    if line.problem:
        return Sign(_("Left out"), "alert", "warning")
    if line.outcome:
        return Sign(_("Done"), "check-circle", "success")
    return Sign(_("Ready"), "check", "neutral")


def _client_note(line: Line) -> str:
    if line.problem:
        return str(PROBLEMS[line.problem])
    plans = {
        "create": _("Adds a row that waits for its consent."),
        "assign": _("Assigns the connection that is there."),
        "tag": _("Adds the tags to the connection that is there."),
        "as_it_is": _("The connection stays as it is."),
        "client": _("Adds the client, without a store."),
        "known_client": _("The client is there already."),
    }
    done = {
        "create": _("Added. The row waits for its consent."),
        "assign": _("Assigned to the client."),
        "tag": _("The tags were added."),
        "as_it_is": _("The connection stayed as it was."),
        "client": _("The client is there."),
        "known_client": _("The client is there."),
    }
    words = done[line.outcome] if line.outcome else plans[line.plan]
    doubt = "" if line.outcome else seller_doubt(line.seller)
    return " ".join(filter(None, [words, _contact_note(line), doubt]))


def _contact_note(line: Line) -> str:
    if line.kept_contact:
        return _(
            "This client's contact is %(kept)s, and is sent its links. %(address)s is not kept: "
            "change the contact under Tags and clients if it is the right one."
        ) % {"kept": line.kept_contact, "address": line.mail}
    if not line.sets_contact or line.outcome:
        return ""
    return _("%(address)s becomes its contact, and is sent its links.") % {"address": line.mail}


# Tokens ------------------------------------------------------------------------------------


def sign_of(row: ImportedToken, holder: Connection | None) -> Sign:
    if row.status == Status.CHECKED:
        word = _("Ready") if holder is None else _("Only if you tick it")
        return Sign(word, "check" if holder is None else "dashed", "neutral")
    if row.status == Status.REFUSED and problem_words(row.outcome):
        return Sign(_("Cannot be imported"), "alert", "warning")
    signs = {
        Status.WAITING: Sign(_("Waiting for Amazon"), "progress", "progress"),
        Status.STORED: Sign(_("Imported"), "check-circle", "success"),
        Status.REFUSED: Sign(_("Not imported"), "stop", "danger"),
        Status.LEFT: Sign(_("Left out"), "minus", "neutral"),
    }
    return signs[Status(row.status)]


def note_of(row: ImportedToken, holder: Connection | None, waits_for: str) -> str:
    if row.status == Status.CHECKED:
        doubt = seller_doubt(row.selling_partner_id)
        return " ".join(filter(None, [_ready_words(holder), doubt]))
    if row.status == Status.WAITING:
        return str(reason_for(waits_for).title) if waits_for else ""
    if row.status == Status.STORED:
        return _stored_words(holder)
    if told := problem_words(row.outcome):
        return told
    if row.outcome in LEFT:
        return str(LEFT[row.outcome])
    if row.outcome not in RESULTS:
        return ""
    entry = import_entry(row.outcome)
    return f"{entry.words.title}. {entry.words.meaning} {entry.words.next_step} ({entry.code})"


def _ready_words(holder: Connection | None) -> str:
    if holder is None:
        return _("Becomes a connection, once Amazon accepts the token.")
    if holder.removed_at is not None:
        return _("Brings the removed connection %(name)s back.") % {"name": holder.name}
    return _("Takes the place of the consent of %(name)s.") % {"name": holder.name}


def _stored_words(holder: Connection | None) -> str:
    if holder is None:
        return ""
    if holder.seller_proved_at is not None:
        return _("Amazon confirmed the Seller ID.")
    return _(
        "Amazon accepts the token and did not confirm the Seller ID. Answer the question in its "
        "row."
    )
