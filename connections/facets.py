"""How many rows each value of a filter would show, beside all else that is chosen.

What the filters look at is read once for all rows, by a handful of prepared statements; a row is
then counted for a filter when everything else that is chosen fits it. So each filter is counted
without itself, and its other values say what choosing them would give. Of tags a row must have
all, so theirs are counted beside the chosen ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Cast
from django.utils import timezone

from connections.attention import LINKS_IN_USE
from connections.grouping_models import Tagging
from connections.groups import BETWEEN, Joined
from connections.health import MOMENTS, NEEDS_A_PERSON, Health, health_of, worst
from connections.listing import ATTENTION, BY_LINK, NONE, OVERDUE, PPC, SPAPI, WINDOWS, Chosen
from connections.models import ADS_YEAR_RULE_SINCE, AdsGrant, Connection, Grant
from connections.narrowing import YEAR, Place, bounds, speaks_of, words_of
from sellerlegend.applications.models import LwaApplication
from sellerlegend.prepared import PreparedQuery

# Filter, value, how many rows.
Counts = dict[str, dict[str, int]]
EVERYTHING, FOUND = "all", "found"
MOMENT_KINDS = dict.fromkeys(MOMENTS, datetime)


@dataclass(frozen=True)
class Row:
    """What the filters look at. `ends`: when the consents of the side that is meant end."""

    id: UUID
    states: dict[str, set[str]]
    needs: dict[str, bool]
    ends: tuple[datetime, ...]
    values: dict[str, set[str]]

    def __or__(self, values: dict[str, set[str]]) -> Row:
        return replace(self, values=self.values | values)


def counted(chosen: Chosen, place: Place, within: Collection[UUID] | None = None) -> Counts:
    """`within`: of these rows only. Values without a row are left out."""
    spoken_of = ids_that_speak(chosen, place)
    names = (*FILTERS, "window", "month", FOUND, EVERYTHING)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for row in rows_of(chosen, place):
        if within is not None and row.id not in within:
            continue
        counts[EVERYTHING][EVERYTHING] += 1
        if spoken_of is None or row.id in spoken_of:
            count(row, chosen, counts)
    return {name: dict(numbers) for name, numbers in counts.items() if numbers}


def count(row: Row, chosen: Chosen, counts: dict[str, Counter[str]]) -> None:
    """For every filter where all others fit: for the one that alone keeps it out, too."""
    unfit = [name for name in FILTERS if not fits(row, name, chosen)]
    if len(unfit) > 1:
        return
    if not unfit:
        counts[FOUND][FOUND] += 1
    for name in unfit or FILTERS:
        if name == "expiry":
            counts["month"].update({timezone.localtime(end).strftime("%Y-%m") for end in row.ends})
            counts["window"].update(windows(row.ends))
        elif name != "tag" or not unfit:
            counts[name].update(values_of(row, name, chosen.side))


FILTERS = (
    "health",
    "show",
    "expiry",
    "region",
    "marketplace",
    "tag",
    "client",
    "authorised",
)


def fits(row: Row, name: str, chosen: Chosen) -> bool:
    wanted = getattr(chosen, name)
    if not wanted:
        return True
    if name == "expiry":
        first, last = bounds(wanted, timezone.now())
        return any((first is None or first <= end) and end < last for end in row.ends)
    if name == "tag":
        return {str(tag) for tag in wanted} <= row.values["tag"]
    return wanted in values_of(row, name, chosen.side)


def values_of(row: Row, name: str, side: str) -> set[str]:
    """By which choices of this filter the row is shown."""
    sides = [side] if side else [SPAPI, PPC]
    if name == "health":
        return set().union(*[row.states[one] for one in sides])
    if name == "show":
        return {ATTENTION} if any(row.needs[one] for one in sides) else set()
    return row.values[name]


def windows(ends: tuple[datetime, ...]) -> set[str]:
    """The next 30 days hold the next 7."""
    now = timezone.now()
    told = {OVERDUE} if any(end < now for end in ends) else set()
    for window in WINDOWS:
        before = now + timedelta(days=int(window))
        if any(now <= end < before for end in ends):
            told.add(window)
    return told


# The rows ----------------------------------------------------------------------------------


def ids_that_speak(chosen: Chosen, place: Place) -> set[UUID] | None:
    """None: nothing is searched for."""
    words = words_of(chosen)
    if not words:
        return None
    rows = place.rows
    for word in words:
        rows = rows.filter(speaks_of(word, place))
    return set(rows.values_list("pk", flat=True))


def rows_of(chosen: Chosen, place: Place) -> Iterator[Row]:
    scope = {"organization_id": place.organization_id}
    at = {name: place.at[name] for name in MOMENTS}
    links: dict[UUID, list[dict[str, Any]]] = {}
    for link in LINKS.rows(**scope):
        links.setdefault(link["id"], []).append(link)
    grants = {grant["id"]: grant for grant in GRANTS.rows(**scope, **at)}
    tags = {fact["connection_id"]: parts(fact["names"]) for fact in TAGS.rows(**scope)}
    stores = {fact["id"]: parts(fact["places"]) for fact in STORES.rows(**scope)}
    with_ads = {row["pk"] for row in place.ads_marketplaces}
    for fact in ROWS.rows(**scope, **at):
        own = links.get(fact["id"], [])
        ads = [grants[link["grant_id"]] for link in own if is_fed(link)]
        places = stores.get(fact["id"], set())
        has_ads = fact["selling_partner_id"] is not None and bool(own or places & with_ads)
        yield row_of(fact, ads, ppc_states(ads, own, has_ads=has_ads), chosen.side) | {
            "tag": tags.get(fact["id"], set()),
            "marketplace": places,
        }


def is_fed(link: dict[str, Any]) -> bool:
    return link["grant_id"] is not None and link["status"] in LINKS_IN_USE


def ppc_states(
    ads: list[dict[str, Any]], links: list[dict[str, Any]], *, has_ads: bool
) -> set[str]:
    """As `narrowing.ppc_is`: of the consents that feed a row the worst; without one it was ended,
    or is waited for where there is something to link."""
    if ads:
        return {str(worst([grant["state"] for grant in ads]))}
    if any(link["grant_id"] is not None for link in links):
        return {Health.DISCONNECTED.value}
    return {Health.WAITING.value} if has_ads else set()


def row_of(fact: dict[str, Any], ads: list[dict[str, Any]], on_ppc: set[str], side: str) -> Row:
    meant = ads if side == PPC else [fact]
    return Row(
        id=fact["id"],
        states={SPAPI: {fact["state"]}, PPC: on_ppc},
        needs={
            SPAPI: fact["state"] in NEEDS_A_PERSON,
            PPC: any(grant["state"] in NEEDS_A_PERSON for grant in ads),
        },
        ends=tuple(end for end in map(end_of, meant) if end is not None),
        values={
            "region": {fact["region"]},
            "client": {str(fact["client_id"] or NONE)},
            "authorised": authorisers_in(fact),
        },
    )


def authorisers_in(fact: dict[str, Any]) -> set[str]:
    """As `narrowing.has_consent`."""
    has_none = fact["status"] in (None, Grant.Status.DISCONNECTED)
    if has_none:
        return set()
    return {BY_LINK if fact["is_by_client"] else str(fact["person_id"] or NONE)}


def parts(joined: str | None) -> set[str]:
    return set(joined.split(BETWEEN)) if joined else set()


def end_of(fact: dict[str, Any]) -> datetime | None:
    """As `narrowing.has_end`."""
    given: datetime | None = fact["authorized_at"]
    if given is None or fact["status"] == Grant.Status.DISCONNECTED:
        return None
    if fact.get("is_consent_dated") is False:
        return None
    if fact.get("is_ads") and given < ADS_YEAR_RULE_SINCE:
        return None
    end = given + YEAR
    is_lost = fact["status"] == Grant.Status.INVALID and fact["status_changed_at"] < end
    return None if is_lost else end


# What is read ------------------------------------------------------------------------------


def row_facts(organization_id: UUID, **at: datetime) -> QuerySet[Any, Any]:
    rows = Connection.objects.for_organization(organization_id).annotate(
        state=health_of(LwaApplication.SPAPI, at, prefix="spapi_grant__", region="region"),
        status=F("spapi_grant__status"),
        status_changed_at=F("spapi_grant__status_changed_at"),
        authorized_at=F("spapi_grant__authorized_at"),
        is_consent_dated=F("spapi_grant__is_consent_dated"),
        person_id=F("spapi_grant__authorized_by_id"),
        is_by_client=F("spapi_grant__is_by_client"),
    )
    return rows.values(
        "id",
        "selling_partner_id",
        "region",
        "client_id",
        "state",
        "status",
        "status_changed_at",
        "authorized_at",
        "is_consent_dated",
        "person_id",
        "is_by_client",
    )


def grant_facts(organization_id: UUID, **at: datetime) -> QuerySet[Any, Any]:
    """Of Amazon Ads: an agency has few."""
    grants = AdsGrant.objects.for_organization(organization_id)
    stated = grants.annotate(
        state=health_of(LwaApplication.ADS, at),
        is_ads=Value(True),  # noqa: FBT003  # SQL value
    )
    return stated.values("id", "state", "status", "status_changed_at", "authorized_at", "is_ads")


def link_facts(organization_id: UUID) -> QuerySet[Any, Any]:
    """Which consents feed a row, through links in which state: each once."""
    rows = Connection.objects.for_organization(organization_id).filter(
        marketplace_accounts__organization_id=organization_id,
        marketplace_accounts__ppc_link__isnull=False,
    )
    linked: QuerySet[Any, Any] = rows.annotate(
        status=F("marketplace_accounts__ppc_link__status"),
        grant_id=F("marketplace_accounts__ppc_link__profile__grant_id"),
    )
    links: QuerySet[Any, Any] = linked.values("id", "status", "grant_id")
    return links.distinct()


def tag_facts(organization_id: UUID) -> QuerySet[Any, Any]:
    taggings = Tagging.objects.for_organization(organization_id).order_by()
    numbers: QuerySet[Any, Any] = taggings.values("connection_id").annotate(
        names=Joined(Cast("tag_id", CharField(max_length=20)))
    )
    return numbers.values("connection_id", "names")


def store_facts(organization_id: UUID) -> QuerySet[Any, Any]:
    """Where each row sells."""
    selling = Connection.objects.for_organization(organization_id).filter(
        marketplace_accounts__organization_id=organization_id,
        marketplace_accounts__is_participating=True,
    )
    places: QuerySet[Any, Any] = (
        selling.order_by()
        .values("id")
        .annotate(places=Joined("marketplace_accounts__marketplace_id"))
    )
    return places


ROWS = PreparedQuery(row_facts, organization_id=UUID, **MOMENT_KINDS)
GRANTS = PreparedQuery(grant_facts, organization_id=UUID, **MOMENT_KINDS)
LINKS = PreparedQuery(link_facts, organization_id=UUID)
TAGS = PreparedQuery(tag_facts, organization_id=UUID)
STORES = PreparedQuery(store_facts, organization_id=UUID)
