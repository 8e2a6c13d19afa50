"""Starts at Amazon's side: the Appstore, and *Re-Authorize* in Manage Your Apps.

Both open the OAuth Login URI with parameters that nobody vouches for. They are checked, kept in
the session of the browser that brought them, and used only after a person of ours has confirmed.
https://developer-docs.amazon.com/sp-api/docs/selling-partner-appstore-authorization-workflow
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import F
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from connections import authorization, revisions, services
from connections.authorization import is_seller_id
from connections.departures import CredentialsMissing, require_open_vault
from connections.models import AuthorizationRequest, Connection
from connections.reach import is_within, may_add_rows, within_reach
from sellerlegend.amazon import consent
from sellerlegend.amazon.regions import MARKETPLACES, Marketplace, Region
from sellerlegend.folding import plain
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Membership, Organization, Role, User
from sellerlegend.organizations.scoping import across_organizations

SESSION_KEY = "appstore_starts"
LIFETIME = timedelta(minutes=10)
# Several tabs of an agency; an older one than these begins again.
MOST_STARTS = 5
# Amazon's is opaque, of URL-safe letters as far as anybody has seen.
AMAZON_STATE = re.compile(r"[\x21-\x7e]{1,1024}")
PARAMETERS = ("amazon_callback_uri", "amazon_state", "selling_partner_id")


@dataclass(frozen=True)
class Start:
    """What Amazon's link said. `ticket` names it within one browser's session."""

    ticket: str
    callback_uri: str
    amazon_state: str
    seller: str
    is_beta: bool
    began_at: float
    is_used: bool = False

    @property
    def marketplaces(self) -> tuple[Marketplace, ...]:
        """Those of the Seller Central that sent the browser; all, where the link tells none."""
        return callback_uris().get(self.callback_uri, ())

    @property
    def regions(self) -> list[Region]:
        return list(dict.fromkeys(marketplace.region for marketplace in self.marketplaces))

    @property
    def region(self) -> Region | None:
        return self.regions[0] if len(self.regions) == 1 else None


def callback_uris() -> Mapping[str, tuple[Marketplace, ...]]:
    return consent.appstore_callback_uris(
        endpoints=settings.AMAZON_ENDPOINTS, application_id=settings.SPAPI_APPLICATION_ID
    )


# What Amazon's link says -------------------------------------------------------------------


def read(query: QueryDict) -> tuple[Start | None, str]:
    """The start that a link describes; None and the cause when it cannot be one of Amazon's."""
    values = [query.getlist(name) for name in PARAMETERS]
    if any(len(told) != 1 for told in values):
        return None, "parameter_missing_or_repeated"
    [uri], [amazon_state], [seller] = values
    if uri not in callback_uris():
        return None, "callback_uri"
    if not AMAZON_STATE.fullmatch(amazon_state):
        return None, "amazon_state"
    if not seller or not is_seller_id(seller):
        return None, "selling_partner_id"
    if query.getlist("version") not in ([], ["beta"]):
        return None, "version"
    start = Start(
        ticket=secrets.token_urlsafe(16),
        callback_uri=uri,
        amazon_state=amazon_state,
        seller=seller,
        is_beta="version" in query,
        began_at=timezone.now().timestamp(),
    )
    return start, ""


def keep(session: SessionBase, start: Start) -> None:
    """Remember it beside the few before it, for ten minutes. Signing in keeps it."""
    fresh = {other.ticket: other for other in _living(session)}
    fresh[start.ticket] = start
    newest = sorted(fresh.values(), key=lambda other: other.began_at)[-MOST_STARTS:]
    session[SESSION_KEY] = [asdict(other) for other in newest]


def kept(session: SessionBase, ticket: str) -> Start | None:
    return next((start for start in _living(session) if start.ticket == ticket), None)


def unfinished(session: SessionBase) -> Start | None:
    """The newest one that its person has not gone on with."""
    waiting = [start for start in _living(session) if not start.is_used]
    return max(waiting, key=lambda start: start.began_at, default=None)


def _living(session: SessionBase) -> list[Start]:
    oldest = (timezone.now() - LIFETIME).timestamp()
    starts = [Start(**stored) for stored in session.get(SESSION_KEY, [])]
    return [start for start in starts if start.began_at > oldest]


# Where it may lead -------------------------------------------------------------------------


@dataclass(frozen=True)
class Destination:
    """An organization of the person's, and its rows of this seller that the link may be about:
    removed ones as well, behind those in sight."""

    organization: Organization
    membership: Membership
    rows: tuple[Connection, ...]

    @property
    def may_connect(self) -> bool:
        """Whoever is limited renews rows that are there, and makes none."""
        may_go = may_add_rows(self.membership) or bool(self.rows)
        return may_go and self.membership.may(Role.MEMBER)

    @property
    def may_bring_back(self) -> bool:
        return self.membership.may(Role.ADMIN)

    @property
    def present(self) -> tuple[Connection, ...]:
        return tuple(row for row in self.rows if row.removed_at is None)

    @property
    def removed(self) -> tuple[Connection, ...]:
        return tuple(row for row in self.rows if row.removed_at is not None)


def destinations(start: Start, user: User) -> list[Destination]:
    """The person's organizations, those that know the seller first."""
    memberships = list(Membership.objects.for_user(user).select_related("organization"))
    with across_organizations("the person's own organizations, for one seller"):
        rows = list(
            Connection.with_removed.filter(
                organization_id__in=[membership.organization_id for membership in memberships],
                selling_partner_id=start.seller,
                region__in=[region.value for region in start.regions],
            )
            .select_related("organization")
            .order_by(F("removed_at").desc(nulls_first=True))
        )
    own = {membership.organization_id: membership for membership in memberships}
    found: dict[UUID, list[Connection]] = {}
    for row in rows:
        if is_within(own[row.organization_id], row.pk):
            found.setdefault(row.organization_id, []).append(row)
    choices = [
        Destination(
            membership.organization, membership, tuple(found.get(membership.organization_id, ()))
        )
        for membership in memberships
    ]
    return sorted(choices, key=lambda one: (not one.rows, plain(one.organization.name)))


def suggested_name(start: Start, chosen: Destination) -> str:
    """After the seller's row in another region, else after the seller; free as far as we see."""
    rows = within_reach(Connection.objects.for_organization(chosen.organization), chosen.membership)
    names = {name.lower() for name in rows.values_list("name", flat=True)}
    same_seller = rows.filter(selling_partner_id=start.seller).order_by("created_at")
    known = same_seller.values_list("name", flat=True).first()
    base = known or _("Seller %(seller)s") % {"seller": start.seller}
    wished = f"{base[:70]} {start.region}" if start.region else base[:73]
    numbered = (f"{wished} {number}" for number in range(2, 1000))
    return next((name for name in [wished, *numbered] if name.lower() not in names), wished)


# Going on ----------------------------------------------------------------------------------


def row_for(
    start: Start, *, organization: Organization, marketplace_id: str, name: str, actor: Actor
) -> Connection:
    """The organization's row of this seller in the marketplace's region, also a removed one, else
    the one that waits for this seller, else a new one: never a second. Raises NameTaken."""
    region = MARKETPLACES[marketplace_id].region
    found = existing_row(start, organization, region)
    if found is not None:
        return found
    with transaction.atomic():
        revisions.touch(organization.pk, [])  # the lock: of two clicks one creates the row
        return existing_row(start, organization, region) or services.create_connection(
            organization=organization,
            name=name,
            marketplace_id=marketplace_id,
            actor=actor,
            expected_selling_partner_id=start.seller,
        )


def existing_row(start: Start, organization: Organization, region: Region) -> Connection | None:
    rows = Connection.with_removed.for_organization(organization).filter(region=region.value)
    known: Connection | None = rows.filter(selling_partner_id=start.seller).first()
    waiting = rows.filter(
        selling_partner_id__isnull=True, expected_selling_partner_id=start.seller
    ).order_by("created_at")
    return known or waiting.first()


def require_ready(organization: Organization) -> None:
    """Before a row is made. Raises CredentialsMissing, VaultClosed."""
    if not settings.SPAPI_CLIENT.client_id:
        raise CredentialsMissing("spapi")
    require_open_vault(organization)


def leave(start: Start, *, connection: Connection, user: User, session: SessionBase) -> str:
    """Open the trip that began at Amazon: where the browser goes on. The seller that the link
    named must be the one that comes back."""
    columns: dict[str, Any] = {
        "kind": AuthorizationRequest.Kind.SPAPI,
        "region": connection.region,
        "connection": connection,
        "expected_selling_partner_id": start.seller,
        "starts_at_amazon": True,
    }
    state, _request = authorization.open_request(
        organization=connection.organization, user=user, session=session, **columns
    )
    keep(session, replace(start, is_used=True))
    return consent.appstore_confirm_url(
        callback_uri=start.callback_uri,
        amazon_state=start.amazon_state,
        state=state,
        redirect_uri=settings.SPAPI_REDIRECT_URI,
        draft=start.is_beta or settings.SPAPI_DRAFT_APPLICATION,
    )
