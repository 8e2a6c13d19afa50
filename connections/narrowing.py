"""The rows of a choice: each filter is one condition on the connections of an organization.

`rows` are always those of `list_queries.list_rows`: scoped, with `spapi_health` and the
columns of the list's order beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, NullIf
from django.utils import timezone

from connections.attention import fed_by, fed_by_grants
from connections.grouping_models import Tagging
from connections.health import NEEDS_A_PERSON, SEVERITY, Health, was_lost_early
from connections.listing import BY_LINK, BY_NAME, NONE, OVERDUE, PPC, SPAPI, Chosen
from connections.models import ADS_YEAR_RULE_SINCE, CONSENT_DAYS, AdsGrant, Connection, Grant
from sellerlegend.alphabet import Alphabetical
from sellerlegend.folding import pattern_of

YEAR = timedelta(days=CONSENT_DAYS)
# Each costs a look at every name; who types more has found the row by then.
MOST_WORDS = 5


@dataclass(frozen=True)
class Place:
    """Where and when it is asked: `at` are the moments of `health`, and those of `end_moments`
    where the choice is about an end. `ads_marketplaces`: ids of those with Amazon Ads."""

    organization_id: UUID
    at: dict[str, datetime]
    ads_marketplaces: QuerySet[Any, Any]

    @property
    def rows(self) -> QuerySet[Any, Any]:
        found: QuerySet[Any, Any] = Connection.objects.for_organization(self.organization_id)
        return found


def narrowed(rows: QuerySet[Any, Any], chosen: Chosen, place: Place) -> QuerySet[Any, Any]:
    for condition in conditions(chosen, place):
        rows = rows.filter(condition)
    if chosen.sort != BY_NAME:
        rows = in_order(rows, chosen.sort)
    return rows


def conditions(chosen: Chosen, place: Place) -> Iterator[Q]:
    for name, condition in CONDITIONS.items():
        if getattr(chosen, name):
            yield condition(chosen, place)
    for tag in chosen.tag:
        tagged = Tagging.objects.for_organization(place.organization_id).filter(tag_id=tag)
        yield Q(pk__in=tagged.values("connection_id"))
    for word in words_of(chosen):
        yield speaks_of(word, place)


def words_of(chosen: Chosen) -> list[str]:
    return chosen.q.split()[:MOST_WORDS]


# One condition each ------------------------------------------------------------------------


def asks_for_somebody(side: str, place: Place) -> Q:
    """On PPC any of its consents counts."""
    on_spapi = Q(spapi_health__in=NEEDS_A_PERSON)
    on_ppc = Q(pk__in=fed_by(place.organization_id, NEEDS_A_PERSON, place.at))
    return {SPAPI: on_spapi, PPC: on_ppc}.get(side, on_spapi | on_ppc)


def is_in_state(state: str, side: str, place: Place) -> Q:
    on_spapi = Q(spapi_health=state)
    if side == SPAPI:
        return on_spapi
    on_ppc = ppc_is(state, place)
    return on_ppc if side == PPC else on_spapi | on_ppc


def sells_in(marketplace: str, place: Place) -> Q:
    # Twice of the organization: the accounts are found by it, not among everybody's.
    selling = place.rows.filter(
        marketplace_accounts__organization_id=place.organization_id,
        marketplace_accounts__marketplace_id=marketplace,
        marketplace_accounts__is_participating=True,
    )
    return Q(pk__in=selling.values("pk"))


def belongs_to(client: str) -> Q:
    return Q(client=None) if client == NONE else Q(client_id=client)


def authorised_by(person: str) -> Q:
    return has_consent() & given_by(person)


def given_by(person: UUID | str) -> Q:
    """Of a row's Selling Partner consent: this person gave it, a client (BY_LINK), or somebody
    whose login was deleted (NONE)."""
    if person == BY_LINK:
        return Q(spapi_grant__is_by_client=True)
    if person == NONE:
        return Q(spapi_grant__authorized_by=None, spapi_grant__is_by_client=False)
    return Q(spapi_grant__authorized_by=person)


def has_consent() -> Q:
    """Of a row: somebody gave a Selling Partner consent that nobody ended here. What a person
    authorised is counted by it everywhere: in the list, on the pages of people, in the queue."""
    lasting = (Grant.Status.ACTIVE, Grant.Status.DOUBTED, Grant.Status.INVALID)
    return Q(spapi_grant__status__in=lasting)


def speaks_of(word: str, place: Place) -> Q:
    """Name, Seller ID, client, a store's name or a tag, whatever their case and accents."""
    text = pattern_of(word)
    stores = place.rows.filter(
        marketplace_accounts__organization_id=place.organization_id,
        marketplace_accounts__store_name__regex=text,
    )
    taggings = Tagging.objects.for_organization(place.organization_id)
    return (
        Q(name__regex=text)
        | Q(selling_partner_id__regex=text)
        | Q(client__name__regex=text)
        | Q(pk__in=stores.values("pk"))
        | Q(
            pk__in=taggings.filter(
                tag__organization_id=place.organization_id, tag__name__regex=text
            ).values("connection_id")
        )
    )


def ends_within(side: str, place: Place) -> Q:
    """The end of the consent, 365 days after it was given, lies in the time of `end_moments`."""
    given = Q(authorized_at__lt=place.at["given_before"])
    if "given_from" in place.at:
        given &= Q(authorized_at__gte=place.at["given_from"])
    if side == PPC:
        grants = AdsGrant.objects.for_organization(place.organization_id)
        ending = grants.filter(given, has_end(), authorized_at__gte=ADS_YEAR_RULE_SINCE)
        return Q(pk__in=fed_by_grants(place.organization_id, ending))
    dated = prefixed(given & Q(is_consent_dated=True), "spapi_grant__")
    return Q(pk__in=place.rows.filter(dated, has_end("spapi_grant__")).values("pk"))


def end_moments(expiry: str) -> dict[str, datetime]:
    """When a consent was given that ends in this time."""
    if not expiry:
        return {}
    first, last = bounds(expiry, timezone.now())
    moments = {"given_before": last - YEAR}
    return moments if first is None else moments | {"given_from": first - YEAR}


def has_end(prefix: str = "") -> Q:
    """Of a consent: one that a person ended has none, and one that Amazon ended before its time
    neither."""
    lasting = (Grant.Status.ACTIVE, Grant.Status.DOUBTED, Grant.Status.INVALID)
    return Q(**{f"{prefix}status__in": lasting}) & ~was_lost_early(prefix)


def prefixed(condition: Q, prefix: str) -> Q:
    """The same condition on what `prefix` reaches."""
    fresh = Q(_connector=condition.connector, _negated=condition.negated)
    for child in condition.children:
        if isinstance(child, Q):
            fresh.children.append(prefixed(child, prefix))
        else:
            name, value = child  # type: ignore[misc]  # the other children are pairs
            fresh.children.append((f"{prefix}{name}", value))
    return fresh


def bounds(expiry: str, now: datetime) -> tuple[datetime | None, datetime]:
    """From (None: ever) and before, in the reader's time zone."""
    if expiry == OVERDUE:
        return None, now
    if expiry.isdigit():
        return now, now + timedelta(days=int(expiry))
    year, month = (int(part) for part in expiry.split("-"))
    following = date(year + month // 12, month % 12 + 1, 1)
    return midnight(date(year, month, 1)), midnight(following)


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001  # made aware


CONDITIONS: dict[str, Callable[[Chosen, Place], Q]] = {
    "show": lambda chosen, place: asks_for_somebody(chosen.side, place),
    "health": lambda chosen, place: is_in_state(chosen.health, chosen.side, place),
    "expiry": lambda chosen, place: ends_within(chosen.side, place),
    "region": lambda chosen, _place: Q(region=chosen.region),
    "marketplace": lambda chosen, place: sells_in(chosen.marketplace, place),
    "client": lambda chosen, _place: belongs_to(chosen.client),
    "authorised": lambda chosen, _place: authorised_by(chosen.authorised),
}


# Order -------------------------------------------------------------------------------------


def in_order(rows: QuerySet[Any, Any], sort: str) -> QuerySet[Any, Any]:
    by_name = rows.query.order_by
    if sort == "-name":
        return rows.order_by(
            F("group_name").desc(), F("group_key").desc(), "region_order", Alphabetical("name")
        )
    column, *others = ordering_columns(sort.removeprefix("-"))
    is_up = sort.removeprefix("-") not in NEWEST_FIRST
    if sort.startswith("-"):
        is_up = not is_up
    # Rows that know nothing stand last, either way.
    first = column.asc(nulls_last=True) if is_up else column.desc(nulls_last=True)
    return rows.order_by(first, *others, *by_name)


NEWEST_FIRST = ("last_failure", "created")


def ordering_columns(sort: str) -> list[Any]:
    """Of the Selling Partner's consent, where it is about one."""
    if sort == "renew_by":
        is_over = When(grant_status=Grant.Status.DISCONNECTED, then=None)
        is_unknown = When(is_consent_dated=False, then=None)
        return [Case(is_over, is_unknown, default=F("authorized_at"))]
    if sort == "authorised":
        name = Alphabetical(Coalesce(NullIf("authorized_by", Value("")), "authorized_by_email"))
        return [name, F("authorized_at").desc(nulls_last=True)]
    if sort == "client":
        return [Alphabetical("client_name")]
    column = {
        "region": "region_order",
        "created": "created_at",
        "last_verified": "verified_at",
        "last_success": "last_success_at",
        "last_failure": "last_failure_at",
    }[sort]
    return [F(column)]


# The PPC side ------------------------------------------------------------------------------


def ppc_is(state: str, place: Place) -> Q:
    """The PPC side is in this state: one of its consents is, and none is in a worse one."""
    organization_id, at, rows = place.organization_id, place.at, place.rows
    linked = rows.filter(marketplace_accounts__ppc_link__profile__isnull=False)
    if state == Health.WAITING:
        something_to_link = Q(marketplace_accounts__ppc_link__isnull=False) | Q(
            marketplace_accounts__is_participating=True,
            marketplace_accounts__marketplace_id__in=place.ads_marketplaces,
        )
        waiting = rows.filter(something_to_link, selling_partner_id__isnull=False)
        return Q(pk__in=waiting.values("pk")) & ~Q(pk__in=linked.values("pk"))
    if state == Health.DISCONNECTED:
        others = tuple(other for other in SEVERITY if other != Health.DISCONNECTED)
        fed = fed_by(organization_id, others, at)
        return Q(pk__in=linked.values("pk")) & ~Q(pk__in=fed)
    worse = SEVERITY[: SEVERITY.index(Health(state))]
    return Q(pk__in=fed_by(organization_id, (state,), at)) & ~Q(
        pk__in=fed_by(organization_id, worse, at)
    )
