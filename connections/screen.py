"""The read-model of the Account Connections page: two data queries (`list_queries.py`) whatever the
number of rows.

Rows are built complete, every string ready, so that the template issues no query and formats
nothing. The HTML of a row is stored by (row, revision, language, time zone, rights, day); a row
that did not change costs one cache look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.utils.functional import SimpleLazyObject

from connections import ads_consents, client_link_words, data_sets, list_queries
from connections.attention import attention_of
from connections.countries import marketplace_names
from connections.detail_facts import (
    Line,
    capability_lines,
    data_set_lines,
    role_lines,
    seller_words,
)
from connections.details import build_consents, build_detail, other_words
from connections.facets import counted
from connections.filters import Panel, chips, found_words
from connections.groups import groups_named, groups_of
from connections.health import moments
from connections.health_words import feeding
from connections.list_address import (
    are_rows_short,
    page_number,
    page_of,
    poll_query,
)
from connections.listing import Chosen
from connections.models import Connection, Grant
from connections.narrowing import end_moments
from connections.queue_words import progress_for
from connections.reach import reached, within_reach
from connections.reader import Reader
from connections.row_html import bulk_bar, filter_bar, list_head, rendered_rows
from connections.rows import ConnectionRow, build_row
from connections.words import exact_time
from marketplaces.cell import nothing_listed, spapi_cell, spapi_side
from ppc.cell import ppc_cell, ppc_health, ppc_side
from sellerlegend.amazon.regions import MARKETPLACES
from sellerlegend.folding import plain
from sellerlegend.organizations.access import OrganizationRequest

# What views ask for ------------------------------------------------------------------------


def page_context(request: OrganizationRequest) -> dict[str, Any]:
    """One page of rows with everything around them."""
    reader = Reader.of(request)
    groups = groups_named(request.membership, Chosen.of(request.GET))
    chosen = groups.known(Chosen.of(request.GET))
    number = page_number(request.GET.get("page", ""))
    facts = list_queries.chosen_facts(request.membership, number, chosen)
    if not facts and number > 1:
        number = 1
        facts = list_queries.chosen_facts(request.membership, number, chosen)
    total = facts[0]["total"] if facts else 0
    rows, moving = rendered_rows(facts, reader, partial(compose_rows, reader=reader))
    chosen_words = chips(chosen, groups)
    short = are_rows_short(request)
    return {
        "rows": rows,
        "is_moving": moving,
        "revision": request.organization.revision,
        "page": page_of(number, total, list_queries.ROWS_PER_PAGE),
        "may_act": reader.may_act,
        "may_add": reader.may_add,
        "may_administer": reader.may_administer,
        "list_head": list_head(
            reader.slug,
            reader.language,
            may_act=reader.may_act,
            may_add=reader.may_add,
            may_administer=reader.may_administer,
            has_rows=bool(rows),
        ),
        "chosen": chosen,
        "poll_query": poll_query(chosen, number),
        "chips": chosen_words,
        "filter_bar": filter_bar(reader.slug, reader.language, chosen, chosen_words),
        "bulk_bar": bulk_bar(
            reader.slug, reader.language, reader.rights, chosen, total, are_short=short
        ),
        "short_rows": short,
        "found": found_words(total) if chosen.is_filter else "",
        "attention": attention(request),
        "reconnect_queue": SimpleLazyObject(
            lambda: progress_for(request) if reader.may_act else None
        ),
    }


def changes_context(request: OrganizationRequest, since: int) -> dict[str, Any]:
    """The rows of the reader's page that changed after a revision.

    The revision to ask from next is the organization's as it was before the rows were read, so
    nothing that changes meanwhile is skipped.
    """
    number = page_number(request.GET.get("page", ""))
    reader = Reader.of(request)
    facts = list_queries.chosen_facts(request.membership, number, Chosen())
    rows, moving = rendered_rows(facts, reader, partial(compose_rows, reader=reader))
    changed = {fact["id"] for fact in facts if fact["revision"] > since}
    return {
        "rows": [row for row in rows if row.id in changed],
        "is_moving": moving,
        "revision": request.organization.revision,
        "attention": attention(request),
    }


def attention(request: OrganizationRequest) -> Any:
    """Counted when it is shown: the list alone does not need it."""
    organization = request.organization
    return SimpleLazyObject(
        lambda: attention_of(organization.pk, organization.revision, request.membership)
    )


def panel_context(request: OrganizationRequest) -> dict[str, Any]:
    """The filters with their counts."""
    organization_id = request.organization.pk
    groups = groups_of(request.membership)
    chosen = groups.known(Chosen.of(request.GET))
    place = list_queries.place_of(organization_id, moments() | end_moments(chosen.expiry))
    within = None
    if request.membership.is_limited:
        within = set(reached(request.membership).values_list("pk", flat=True))
    counts = counted(chosen, place, within)
    return {"panel": Panel(chosen, groups, counts), "chosen": chosen}


def matching_ids(
    request: OrganizationRequest,
    chosen: Chosen,
    *,
    limit: int,
    only: list[UUID] | None = None,
    but: Sequence[UUID] = (),
) -> tuple[list[UUID], int]:
    """The rows of the reader's list in its order, at most `limit` of them, and how many there
    are. `only`: those among them; `but`: without these."""
    organization_id = request.organization.pk
    known = groups_named(request.membership, chosen).known(chosen)
    rows = within_reach(list_queries.chosen_rows(organization_id, known), request.membership)
    if only is not None:
        rows = rows.filter(pk__in=only)
    if but:
        rows = rows.exclude(pk__in=but)
    found = list(rows.values("id", "total")[:limit])
    return [fact["id"] for fact in found], found[0]["total"] if found else 0


def is_narrowed(request: OrganizationRequest) -> bool:
    """A change may move rows into and out of such a list, and everywhere in it."""
    return not Chosen.of(request.GET).is_default


def rows_context(request: OrganizationRequest, connection_ids: list[UUID]) -> dict[str, Any]:
    """Some rows, fresh, as the answer to an action on them. Says nothing about a revision:
    other rows may have changed since the page's own."""
    reader = Reader.of(request)
    facts = list_queries.some_facts(request.organization.pk, connection_ids)
    rows, _ = rendered_rows(facts, reader, partial(compose_rows, reader=reader))
    return {"rows": rows, "is_moving": True}


def row_of(request: OrganizationRequest, connection: Connection) -> ConnectionRow:
    """One complete row, for the pages about it."""
    facts = list_queries.some_facts(request.organization.pk, [connection.pk])
    return compose_rows(facts, reader=Reader.of(request))[0]


def details_context(request: OrganizationRequest, connection: Connection) -> dict[str, Any]:
    """Every marketplace of one row, and the stores Amazon lists besides its own."""
    reader = Reader.of(request)
    fact = list_queries.some_facts(request.organization.pk, [connection.pk])[0]
    parts = list_queries.marketplace_facts(
        request.organization.pk,
        [connection.pk],
        list_queries.MARKETPLACE_COLUMNS + list_queries.DETAIL_COLUMNS,
    ).get(connection.pk, [])
    known = amazon_marketplaces(parts, fact["region"])
    return {
        "connection": connection,
        "row": compose_row(fact, parts, reader),
        "details": [
            build_detail(
                part,
                spapi=spapi_side(part, fact, reader),
                ppc=ppc_side(part, fact, reader),
            )
            for part in known
        ],
        "others": [
            other_words(part) for part in parts if part["marketplace_id"] not in MARKETPLACES
        ],
        "consents": build_consents(fact, known, reader),
        "nothing_listed": nothing_listed(fact, known),
        "asked_client": client_link_words.asked_words(connection),
        "read_at": exact_time(fact["participations_read_at"]),
        "capabilities": capabilities_of(connection, fact["grant_status"]),
        "new_roles": role_lines(fact, feeding(known).values()),
        "data_sets": data_set_lines(connection),
        "seller": seller_words(
            connection, has_ads_profile=any(part["link_status"] == "linked" for part in known)
        ),
    }


def capabilities_of(connection: Connection, grant_status: str) -> list[Line]:
    """None of a consent that is disconnected: there is nothing to be permitted."""
    if grant_status == Grant.Status.DISCONNECTED:
        return []
    return capability_lines(connection, is_refused=grant_status == Grant.Status.INVALID)


def compose_rows(facts: list[dict[str, Any]], *, reader: Reader) -> list[ConnectionRow]:
    """Complete rows of one organization."""
    ids = [fact["id"] for fact in facts]
    organization_id = facts[0]["organization_id"]
    parts = list_queries.marketplace_facts(organization_id, ids)
    with_link = [fact["id"] for fact in facts if fact["has_client_link"]]
    asked = client_link_words.asked_lines(organization_id, with_link) if with_link else {}
    reported = [fact["id"] for fact in facts if fact["has_data_sets"]]
    late = data_sets.late_by_row(organization_id, reported) if reported else {}

    def known_of(row_id: UUID) -> dict[str, Any]:
        return {"asked_client": asked.get(row_id, ""), "late": late.get(row_id, [])}

    return [
        compose_row(fact | known_of(fact["id"]), parts.get(fact["id"], []), reader)
        for fact in knowing_ads(facts)
    ]


def knowing_ads(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With what the menu asks of rows about whose Selling Partner nothing can be asked: whether
    *Disconnect* has still something to end, and *Check now* something to ask. Most lists have no
    such row."""
    asked = [fact["id"] for fact in facts if fact["grant_status"] and not fact["is_spapi_askable"]]
    if not asked:
        return facts
    organization_id = facts[0]["organization_id"]
    living, askable = (
        ads_consents.those_with_one(organization_id, asked, grants)
        for grants in (ads_consents.living(organization_id), ads_consents.askable(organization_id))
    )
    return [
        fact | {"has_ads_consent": fact["id"] in living, "is_ads_askable": fact["id"] in askable}
        for fact in facts
    ]


def compose_row(fact: dict[str, Any], parts: list[dict[str, Any]], reader: Reader) -> ConnectionRow:
    known = amazon_marketplaces(parts, fact["region"])
    stores = dict.fromkeys(part["store_name"] for part in known if part["store_name"])
    return build_row(
        fact,
        list(stores),
        spapi=spapi_cell(fact, known, reader),
        ppc=ppc_cell(fact, known, reader),
        ppc_health=ppc_health(fact, known, reader),
        reader=reader,
    )


def amazon_marketplaces(parts: list[dict[str, Any]], region: str) -> list[dict[str, Any]]:
    """Without the stores outside Amazon; by name. One of another region can be looked at only:
    this row's consent does not reach it."""
    known = [
        part
        if MARKETPLACES[part["marketplace_id"]].region == region
        else part | {"is_supported": False}
        for part in parts
        if part["marketplace_id"] in MARKETPLACES
    ]
    names = marketplace_names()
    return sorted(known, key=lambda part: plain(names[part["marketplace_id"]]))
