"""Who gave which consents: what has to be given anew when a person leaves.

A consent outlives the membership and the login of whoever gave it, and its history names them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.models import AdsGrant, Connection, Grant
from connections.narrowing import given_by, has_consent
from connections.notice_words import rows_fed_by
from connections.queue_rows import CLIENTS, GONE, giver_of, rows_in_sight
from connections.reach import ads_grants_within
from connections.words import exact_day
from sellerlegend.folding import plain
from sellerlegend.organizations.models import Membership, User


@dataclass(frozen=True)
class Authoriser:
    """`id` is GONE for all whose login was deleted: nobody knows their names any more; and CLIENTS
    for all without a login, who gave theirs by a link."""

    id: UUID
    name: str
    is_member: bool
    stores: int
    ads: int

    @property
    def title(self) -> str:
        if self.id == GONE:
            return _("Authorised by a deleted login")
        if self.id == CLIENTS:
            return _("Authorised by clients, by link")
        return _("Authorised by %(name)s") % {"name": self.name}

    @property
    def is_leaver(self) -> bool:
        """Clients stay, though they are no members."""
        return not self.is_member and self.id != CLIENTS

    @property
    def words(self) -> str:
        """Each kind by itself: the list counts rows by their Selling Partner's consent alone."""
        counted = ((self.stores, store_words), (self.ads, ads_words))
        told = [words(count) for count, words in counted if count]
        return _("Authorised: %(what)s") % {"what": ", ".join(told)}


def store_words(count: int) -> str:
    words = ngettext(
        "Selling Partner of %(count)d connection",
        "Selling Partner of %(count)d connections",
        count,
    )
    return words % {"count": count}


def ads_words(count: int) -> str:
    words = ngettext("%(count)d Amazon Ads consent", "%(count)d Amazon Ads consents", count)
    return words % {"count": count}


@dataclass(frozen=True)
class GivenConsent:
    """`row_id` is where it is renewed; None for one that feeds no row yet."""

    name: str
    seller_id: str
    region: str
    given_on: str
    ends_on: str
    row_id: UUID | None


def authorisers_of(membership: Membership) -> list[Authoriser]:
    """Those with a living consent; first whoever left, then by name."""
    rows: QuerySet[Any] = living(membership)
    givers = rows.values_list("spapi_grant__authorized_by", "spapi_grant__is_by_client")
    stores = Counter(key_of(giver, is_by_client=by_client) for giver, by_client in givers)
    ads = Counter(grant.authorized_by_id or GONE for grant, _rows in ads_consents(membership))
    people = User.objects.in_bulk([key for key in stores | ads if key not in (GONE, CLIENTS)])
    members = set(
        Membership.objects.for_organization(membership.organization_id).values_list(
            "user_id", flat=True
        )
    )
    found = [
        Authoriser(key, name_in(people, key), key in members, stores[key], ads[key])
        for key in stores | ads
    ]
    return sorted(found, key=lambda one: (not one.is_leaver, plain(one.name), one.id))


def key_of(giver: UUID | None, *, is_by_client: bool) -> UUID:
    return CLIENTS if is_by_client else giver or GONE


def name_in(people: Mapping[UUID, User], key: UUID) -> str:
    if key == CLIENTS:
        return _("Clients, by link")
    return str(people[key]) if key in people else _("A deleted login")


def living(membership: Membership) -> QuerySet[Connection]:
    """Rows whose Seller Central consent nobody ended here."""
    return rows_in_sight(membership).filter(has_consent())


def authoriser_of(membership: Membership, row_id: UUID) -> UUID | None:
    """Who gave the row's Seller Central consent. None without one."""
    row = living(membership).filter(pk=row_id).select_related("spapi_grant").first()
    if row is None:
        return None
    grant = row.spapi_grant
    return key_of(grant.authorized_by_id, is_by_client=grant.is_by_client)


FedRows = list[tuple[UUID, str]]


def ads_consents(membership: Membership) -> list[tuple[AdsGrant, FedRows]]:
    """Living ones, each with the rows that it feeds, as far as the member sees them."""
    organization = membership.organization
    grants = ads_grants_within(AdsGrant.objects.for_organization(organization), membership)
    living_ones = grants.exclude(status=Grant.Status.DISCONNECTED).order_by("authorized_at", "pk")
    alive = list(living_ones)
    fed = rows_fed_by(organization, {grant.pk for grant in alive}, membership) if alive else {}
    return [(grant, fed.get(grant.pk, [])) for grant in alive]


def stores_of(membership: Membership, person: UUID) -> list[GivenConsent]:
    rows = living(membership).filter(given_by(giver_of(person)))
    found = rows.select_related("spapi_grant").order_by("spapi_grant__authorized_at", "name")
    return [
        GivenConsent(
            name=row.name,
            seller_id=row.selling_partner_id or "",
            region=row.region,
            given_on=exact_day(row.spapi_grant.authorized_at),
            ends_on=(
                exact_day(row.spapi_grant.reauthorize_by)
                if row.spapi_grant.is_consent_dated
                else _("unknown: reconnect to know")
            ),
            row_id=row.pk,
        )
        for row in found
    ]


def ads_of(membership: Membership, person: UUID) -> list[GivenConsent]:
    giver = None if person == GONE else person
    return [
        GivenConsent(
            name=", ".join(name for _key, name in rows) or _("No row yet"),
            seller_id="",
            region="",
            given_on=exact_day(grant.authorized_at),
            ends_on=exact_day(grant.reauthorize_by),
            row_id=rows[0][0] if rows else None,
        )
        for grant, rows in ads_consents(membership)
        if grant.authorized_by_id == giver
    ]
