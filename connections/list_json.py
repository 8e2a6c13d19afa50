"""The list for programs: codes instead of words, moments in UTC as RFC 3339 writes them.

The same rows in the same order as the page of the same address, a hundred at a time. Nothing of
it is rendered, so no language and no zone is in it; no secret is near.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet

from connections import list_queries
from connections.export import consented_at, renew_by, roles_added, spapi_since
from connections.groups import groups_named, names_in
from connections.health import MOMENTS, health_of, moments, worst
from connections.health_words import dated_end, is_by_client
from connections.listing import Chosen
from connections.models import AdsGrant
from sellerlegend.applications.models import LwaApplication
from sellerlegend.organizations.models import Membership
from sellerlegend.prepared import PreparedQuery

PAGE_SIZE = 100
# How a consent reaches the row that it feeds.
FED = "profiles__links__account__connection_id"

Facts = dict[str, Any]


def page_of_list(reader: Membership, chosen: Chosen, number: int) -> Facts:
    """One page of the reader's list: `connections`, `total`, `page` and `pages`.

    A `health` is a state of `connections.health.Health`, `since` when it began where that is
    known. `authorized_by_client`: a client gave the consent by a link, so that `authorized_by` is
    their name, or null. `ppc` is null where no Amazon Ads consent feeds the row. A page beyond the
    last one has no connections.
    """
    known = groups_named(reader, chosen).known(chosen)
    facts = list_queries.chosen_facts(reader, number, known, size=PAGE_SIZE)
    # A page beyond the last one says how many there are all the same.
    counted = facts or list_queries.chosen_facts(reader, 1, known, size=PAGE_SIZE)
    total = counted[0]["total"] if counted else 0
    consents = ads_consents(reader.organization_id, [fact["id"] for fact in facts])
    roles = roles_added(facts)
    return {
        "connections": [as_object(fact, consents.get(fact["id"], []), roles) for fact in facts],
        "total": total,
        "page": number,
        "pages": max(1, -(-total // PAGE_SIZE)),
    }


def as_object(fact: Facts, consents: list[Facts], roles: list[datetime]) -> Facts:
    return {
        "id": fact["id"],
        "name": fact["name"],
        "seller_id": fact["selling_partner_id"],
        "region": fact["region"],
        "client": fact["client_name"],
        "tags": names_in(fact["tag_names"]),
        "created_at": fact["created_at"],
        "marketplaces_read_at": fact["participations_read_at"],
        "selling_partner": {
            "health": fact["spapi_health"],
            "since": spapi_since(fact, roles),
            "consented_at": consented_at(fact),
            "renew_by": renew_by(fact),
            "authorized_by": fact["authorized_by"] or fact["authorized_by_email"],
            "authorized_by_client": is_by_client(fact),
            "verified_at": fact["verified_at"],
            "last_success_at": fact["last_success_at"],
            "last_failure_at": fact["last_failure_at"],
            "last_failure": fact["last_failure_code"] or None,
        },
        "ppc": ppc_object(consents),
    }


def ppc_object(consents: list[Facts]) -> Facts | None:
    """The worst of the consents that feed the row, and the first of their ends."""
    if not consents:
        return None
    ends = [dated_end(LwaApplication.ADS, consent) for consent in consents]
    return {
        "health": worst([consent["health"] for consent in consents]),
        "renew_by": min(filter(None, ends), default=None),
    }


def ads_consents(organization_id: UUID, ids: list[UUID]) -> dict[UUID, list[Facts]]:
    """The Amazon Ads consents that feed these rows, each once."""
    if not ids:
        return {}
    # As many places as a page has: one prepared query for all pages.
    filled = ids + ids[-1:] * (PAGE_SIZE - len(ids))
    places = {f"id_{place}": row_id for place, row_id in enumerate(filled)}
    found: dict[UUID, list[Facts]] = {}
    for fact in FEEDING.rows(organization_id=organization_id, **places, **moments()):
        found.setdefault(fact["fed"], []).append(fact)
    return found


def _feeding(organization_id: UUID, **values: Any) -> QuerySet[Any, Any]:
    at = {name: values.pop(name) for name in MOMENTS}
    grants = AdsGrant.objects.for_organization(organization_id)
    facts: QuerySet[Any, Any] = grants.filter(**{f"{FED}__in": list(values.values())}).annotate(
        fed=F(FED), health=health_of(LwaApplication.ADS, at)
    )
    return facts.values("fed", "pk", "health", "authorized_at").distinct()


FEEDING = PreparedQuery(
    _feeding,
    organization_id=UUID,
    **{f"id_{place}": UUID for place in range(PAGE_SIZE)},
    **list_queries.MOMENT_KINDS,
)


def encoded(page: Facts) -> str:
    return json.dumps(page, ensure_ascii=False, separators=(",", ":"), default=_as_text)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
