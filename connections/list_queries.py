"""The two data queries of the list: connections, and the marketplaces of some of them. A choice
finds the ids of its page first.

Each is written once by the ORM and run as often as it comes (`PreparedQuery`); what a reader chose
or may see narrows the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    Min,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, Coalesce

from connections import question, refusals
from connections.client_link_models import ClientLink
from connections.forms_of_choice import filled, form_of, values_of
from connections.groups import tag_names
from connections.health import MOMENTS, health_of, last_turn, moments
from connections.health_models import DataSetReport
from connections.listing import Chosen
from connections.models import Connection
from connections.narrowing import Place, end_moments, narrowed
from connections.reach import within_reach
from marketplaces.models import Marketplace, MarketplaceAccount
from marketplaces.verification import VERIFY
from sellerlegend.alphabet import Alphabetical
from sellerlegend.applications.models import LwaApplication
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Membership
from sellerlegend.prepared import PreparedQuery

ROWS_PER_PAGE = 25


def page_facts(organization_id: UUID, number: int, size: int | None = None) -> list[dict[str, Any]]:
    """What one page shows of its connections; `total` is how many the list has."""
    size = size or ROWS_PER_PAGE
    query = page_query((number - 1) * size, size)
    return query.rows(organization_id=organization_id, **moments())


def chosen_facts(
    reader: Membership, number: int, chosen: Chosen, *, size: int | None = None
) -> list[dict[str, Any]]:
    """The same of a list that the reader narrowed or ordered, or sees a part of."""
    size = size or ROWS_PER_PAGE
    if chosen.is_default and not reader.is_limited:
        return page_facts(reader.organization_id, number, size)
    found = chosen_ids(reader, chosen, (number - 1) * size, size)
    facts = {fact["id"]: fact for fact in facts_of([row["pk"] for row in found], reader)}
    return [facts[row["pk"]] | row for row in found if row["pk"] in facts]


def chosen_ids(
    reader: Membership, chosen: Chosen, first: int, size: int
) -> Sequence[dict[str, Any]]:
    """`pk` and `total` in the list's order. Written once for each form of choice, as often as it
    comes; the reach of a limited member is written anew."""
    organization_id = reader.organization_id
    if reader.is_limited:
        seen = within_reach(chosen_rows(organization_id, chosen), reader)
        return list(seen.values("pk", "total")[first : first + size])
    values = values_of(chosen) | moments() | end_moments(chosen.expiry)
    query = chosen_query(form_of(chosen), first, size)
    return query.rows(organization_id=organization_id, **values)


@lru_cache(maxsize=256)
def chosen_query(form: Chosen, offset: int, limit: int) -> PreparedQuery:
    def build(organization_id: UUID, **values: Any) -> QuerySet[Any, Any]:
        place = place_of(organization_id, values)
        at = {name: place.at[name] for name in MOMENTS}
        rows = narrowed(list_rows(organization_id, **at), filled(form, values), place)
        found: QuerySet[Any, Any] = rows.values("pk", "total")[offset : offset + limit]
        return found

    kinds = {name: type(value) for name, value in values_of(form).items()}
    ends = dict.fromkeys(end_moments(form.expiry), datetime)
    return PreparedQuery(build, organization_id=UUID, **kinds, **MOMENT_KINDS, **ends)


def chosen_rows(organization_id: UUID, chosen: Chosen) -> QuerySet[Any, Any]:
    place = place_of(organization_id, moments() | end_moments(chosen.expiry))
    return narrowed(list_rows(organization_id, **moments()), chosen, place)


def place_of(organization_id: UUID, at: dict[str, datetime]) -> Place:
    with_ads = Marketplace.objects.filter(is_supported=True, has_ads=True).values("pk")
    return Place(organization_id, at, with_ads)


def facts_of(connection_ids: list[UUID], reader: Membership) -> list[dict[str, Any]]:
    """What a page shows of these connections, in any order."""
    if not connection_ids:
        return []
    places, ids = in_places(connection_ids)
    values = {"organization_id": reader.organization_id, **ids, **moments()}
    return facts_query(places).rows(**values)


@lru_cache(maxsize=8)
def facts_query(places: int) -> PreparedQuery:
    def build(organization_id: UUID, **values: Any) -> QuerySet[Any, Any]:
        at = {name: values.pop(name) for name in MOMENTS}
        facts = connection_facts(organization_id, **at).filter(pk__in=values.values())
        found: QuerySet[Any, Any] = facts.values(*CONNECTION_COLUMNS)
        return found

    kinds = {f"id_{place}": UUID for place in range(places)}
    return PreparedQuery(build, organization_id=UUID, **kinds, **MOMENT_KINDS)


def some_facts(organization_id: UUID, connection_ids: list[UUID]) -> list[dict[str, Any]]:
    """The same of some connections, wherever they stand, by name."""
    facts = connection_facts(organization_id, **moments()).filter(pk__in=connection_ids)
    return list(facts.order_by(Alphabetical("name"), "pk").values(*CONNECTION_COLUMNS))


@lru_cache(maxsize=64)
def page_query(offset: int, limit: int) -> PreparedQuery:
    """Which rows a page has is found among the connections alone, then all is read of those: what
    25 rows show is not read of 1,000."""

    def build(organization_id: UUID, **at: datetime) -> QuerySet[Any, Any]:
        rows = Connection.objects.for_organization(organization_id)
        whole = rows.order_by().values("organization_id").annotate(number=Count("pk"))
        facts = connection_facts(organization_id, **at).annotate(
            total=Subquery(whole.values("number")), group_name=first_name(organization_id)
        )
        page = list_rows(organization_id, **at).values("pk")[offset : offset + limit]
        ordered = facts.filter(pk__in=page).order_by(*LIST_ORDER)
        found: QuerySet[Any, Any] = ordered.values(*CONNECTION_COLUMNS, "total")
        return found

    return PreparedQuery(build, organization_id=UUID, **MOMENT_KINDS)


def first_name(organization_id: UUID) -> Coalesce:
    """Under which a row stands: the first of the names that its Seller ID has."""
    rows = Connection.objects.for_organization(organization_id).order_by()
    same = rows.filter(selling_partner_id=OuterRef("selling_partner_id"))
    named = same.values("selling_partner_id").annotate(first=Min(Alphabetical("name")))
    return Coalesce(Subquery(named.values("first")), Alphabetical("name"))


def list_rows(organization_id: UUID, **at: datetime) -> QuerySet[Any, Any]:
    """All connections in the list's order: rows of one Seller ID stand together, under the first
    of their names; then NA, EU, FE. With what they can be narrowed and ordered by."""
    rows = connection_facts(organization_id, **at).annotate(
        total=Window(Count("pk")),
        group_name=Window(Min(Alphabetical("name")), partition_by=[SELLER]),
    )
    ordered: QuerySet[Any, Any] = rows.order_by(*LIST_ORDER)
    return ordered


SELLER = Coalesce("selling_partner_id", Cast("id", CharField(max_length=40)))
LIST_ORDER = ("group_name", "group_key", "region_order", Alphabetical("name"))


def connection_facts(organization_id: UUID, **at: datetime) -> QuerySet[Any, Any]:
    """Connections with their grant and authoriser, in no order. The database reads of it what is
    asked for."""
    rows: QuerySet[Any, Any] = Connection.objects.for_organization(organization_id).annotate(
        group_key=SELLER,
        region_order=Case(
            When(region="NA", then=Value(0)),
            When(region="EU", then=Value(1)),
            default=Value(2),
            output_field=IntegerField(),
        ),
        reading_due=live_job(organization_id, "next_attempt_at", "pk"),
        reading_reason=live_job(organization_id, "waiting_reason", "pk"),
        grant_status=F("spapi_grant__status"),
        is_spapi_askable=Case(When(refusals.askable("spapi_grant__"), then=True), default=False),
        authorized_at=F("spapi_grant__authorized_at"),
        authorized_by=Coalesce(
            F("spapi_grant__authorized_by__name"),
            # Without a name as well: who gave it by a link is not NULL, as a deleted login is.
            Case(When(spapi_grant__is_by_client=True, then=F("spapi_grant__authorized_name"))),
        ),
        authorized_by_email=F("spapi_grant__authorized_by__email"),
        spapi_health=health_of(LwaApplication.SPAPI, at, prefix="spapi_grant__", region="region"),
        turned_at=last_turn(),
        is_asked=question.asks(organization_id),
        has_client_link=Exists(client_links_of(organization_id)),
        has_data_sets=Exists(reports_of(organization_id)),
        client_name=F("client__name"),
        tag_names=tag_names(organization_id),
        **{name: F(f"spapi_grant__{name}") for name in (*GRANT_FACTS, *IMPORT_FACTS)},
    )
    return rows


# One row, a page of the screen, a page for programs.
PLACES = (1, ROWS_PER_PAGE, 100)
MOMENT_KINDS = dict.fromkeys(MOMENTS, datetime)
# What health was computed from: since when, and what came of the last calls.
GRANT_FACTS = (
    "last_error_code",
    "status_changed_at",
    "first_refused_at",
    "last_success_at",
    "last_failure_at",
    "last_failure_code",
    "throttled_since",
    "permission_missing_since",
    "verified_at",
    "gap_started_at",
    "gap_ended_at",
)
# Of a consent that was brought from another tool.
IMPORT_FACTS = ("imported_at", "is_consent_dated")
CONNECTION_COLUMNS = (
    "id",
    "organization_id",
    "name",
    "region",
    "marketplace_id",
    "selling_partner_id",
    "created_at",
    "is_asked",
    "seller_proved_at",
    "participations_read_at",
    "reading_error",
    "revision",
    "mws_auth_token_tail",
    "mws_auth_token_updated_at",
    "reading_due",
    "reading_reason",
    "grant_status",
    "is_spapi_askable",
    "authorized_at",
    "authorized_by",
    "authorized_by_email",
    "spapi_health",
    "turned_at",
    "has_client_link",
    "has_data_sets",
    "client_name",
    "tag_names",
    *GRANT_FACTS,
    *IMPORT_FACTS,
)

# What a row shows of a marketplace.
MARKETPLACE_COLUMNS = (
    "connection_id",
    "marketplace_id",
    "store_name",
    "is_participating",
    "joined_at",
    "lost_at",
    "onboarding",
    "job_due",
    "job_reason",
    "is_supported",
    "has_ads",
    "link_status",
    "link_reason",
    "link_changed_at",
    "link_job_due",
    "link_job_reason",
    "ads_grant_id",
    "ads_status",
    "ads_health",
    "ads_authorized_at",
    *(f"ads_{name}" for name in GRANT_FACTS),
)
# The consent whose profile a marketplace is linked to.
ADS_GRANT = "ppc_link__profile__grant__"
# What an unfolded row shows besides.
DETAIL_COLUMNS = (
    "id",
    "name",
    "country_code",
    "currency",
    "language",
    "domain_name",
    "has_suspended_listings",
    "onboarding_changed_at",
    "attention_reason",
    "profile_name",
    "profile_country",
    "profile_can_edit",
    "ads_authorized_by",
    "ads_authorized_by_email",
)


def client_links_of(organization_id: UUID) -> QuerySet[Any, Any]:
    """Those of a row that somebody may still use: most rows have none."""
    links = ClientLink.objects.for_organization(organization_id)
    found: QuerySet[Any, Any] = links.filter(connection=OuterRef("pk"), status__in=ClientLink.LIVE)
    return found


def reports_of(organization_id: UUID) -> QuerySet[Any, Any]:
    """What importers said of a row: of most installations nobody reports."""
    reports = DataSetReport.objects.for_organization(organization_id)
    found: QuerySet[Any, Any] = reports.filter(connection=OuterRef("pk"))
    return found


def live_job(organization_id: UUID, column: str, subject: str) -> Subquery:
    """A column of the one live job of a subject row; NULL while there is none."""
    jobs = Job.objects.for_organization(organization_id)
    # The daily proof goes on behind the scenes.
    live = jobs.filter(subject_id=OuterRef(subject), status__in=Job.LIVE).exclude(kind=VERIFY)
    return Subquery(live.values(column)[:1])


def marketplace_fact(column: str) -> Coalesce:
    """What staff switched for the marketplace; unknown ones are off."""
    row = Marketplace.objects.filter(pk=OuterRef("marketplace_id"))
    return Coalesce(Subquery(row.values(column)[:1]), Value(False))  # noqa: FBT003  # SQL value


def marketplace_facts(
    organization_id: UUID,
    connection_ids: list[UUID],
    columns: tuple[str, ...] = MARKETPLACE_COLUMNS,
) -> dict[UUID, list[dict[str, Any]]]:
    """The marketplaces of some rows, by connection."""
    places, ids = in_places(connection_ids)
    found: dict[UUID, list[dict[str, Any]]] = {}
    values = {"organization_id": organization_id, **ids, **moments()}
    for fact in marketplace_query(places, columns).rows(**values):
        found.setdefault(fact["connection_id"], []).append(fact)
    return found


def in_places(connection_ids: list[UUID]) -> tuple[int, dict[str, UUID]]:
    """A prepared query has one place for each row of a page; the last id fills those left over."""
    number = len(connection_ids)
    places = next((places for places in PLACES if places >= number), number)
    filled = connection_ids + connection_ids[-1:] * (places - len(connection_ids))
    return places, {f"id_{place}": row_id for place, row_id in enumerate(filled)}


@lru_cache(maxsize=8)
def marketplace_query(places: int, columns: tuple[str, ...]) -> PreparedQuery:
    """Onboarding, PPC link and what their jobs wait for."""

    def build(organization_id: UUID, **values: Any) -> QuerySet[Any, Any]:
        at = {name: values.pop(name) for name in MOMENTS}
        accounts = MarketplaceAccount.objects.for_organization(organization_id)
        facts: QuerySet[Any, Any] = accounts.filter(connection_id__in=values.values()).annotate(
            job_due=live_job(organization_id, "next_attempt_at", "pk"),
            job_reason=live_job(organization_id, "waiting_reason", "pk"),
            is_supported=marketplace_fact("is_supported"),
            has_ads=marketplace_fact("has_ads"),
            link_status=F("ppc_link__status"),
            link_reason=F("ppc_link__attention_reason"),
            link_changed_at=F("ppc_link__status_changed_at"),
            link_job_due=live_job(organization_id, "next_attempt_at", "ppc_link__pk"),
            link_job_reason=live_job(organization_id, "waiting_reason", "ppc_link__pk"),
            profile_name=F("ppc_link__profile__account_name"),
            profile_country=F("ppc_link__profile__country_code"),
            profile_can_edit=F("ppc_link__profile__can_edit"),
            ads_grant_id=F(f"{ADS_GRANT}pk"),
            ads_status=F(f"{ADS_GRANT}status"),
            ads_health=health_of(LwaApplication.ADS, at, prefix=ADS_GRANT),
            ads_authorized_at=F(f"{ADS_GRANT}authorized_at"),
            ads_authorized_by=F(f"{ADS_GRANT}authorized_by__name"),
            ads_authorized_by_email=F(f"{ADS_GRANT}authorized_by__email"),
            **{f"ads_{name}": F(f"{ADS_GRANT}{name}") for name in GRANT_FACTS},
        )
        return facts.values(*columns)

    kinds = {f"id_{place}": UUID for place in range(places)}
    return PreparedQuery(build, organization_id=UUID, **kinds, **MOMENT_KINDS)
