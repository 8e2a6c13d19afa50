"""What the *Continue* pop-up of the PPC column shows."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, prefetch_related_objects
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from connections import ads_consents
from connections.countries import marketplace_name
from connections.health_words import SideHealth
from connections.models import AdsGrant, Connection
from connections.reach import ads_grants_within, within_reach
from marketplaces.choices import Choice
from marketplaces.models import Marketplace, MarketplaceAccount
from ppc import services
from ppc.models import AdsProfile, PpcLink
from sellerlegend.folding import plain
from sellerlegend.organizations.models import Membership


@dataclass(frozen=True)
class Consent:
    """An Amazon Ads consent the organization holds, and the rows it feeds."""

    given: str
    feeds: tuple[str, ...]


@dataclass(frozen=True)
class Renewal:
    """What the row says of a consent that a person has to give again."""

    title: str
    text: str
    tone: str


def renewal_of(health: SideHealth | None) -> Renewal | None:
    """None while nobody has to renew anything: then the pop-up is about connecting."""
    if health is None or not health.needs_a_person or health.reason is None:
        return None
    step = _(
        "Renew the consent here, signed in to Amazon as the person who runs this seller's "
        "campaigns. What is connected stays connected."
    )
    title = f"{health.reason.title} ({health.since})" if health.since else str(health.reason.title)
    return Renewal(title=title, text=f"{health.reason.meaning} {step}", tone=health.tone)


def link_choices(connection: Connection, *, are_ticked: bool) -> list[Choice]:
    """`are_ticked`: those that can be connected. Not where something else is to be done first."""
    names = {row.pk: row for row in Marketplace.objects.all()}
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    rows = accounts.filter(connection=connection, marketplace_id__in=list(names)).select_related(
        "ppc_link"
    )
    ready = set(services.linkable(connection).values_list("pk", flat=True))
    profiles = services.proposals(connection)
    choices = [
        Choice(
            account_id=row.pk,
            name=marketplace_name(row.marketplace_id, names[row.marketplace_id].name),
            note=profile_words(profiles.get(row.marketplace_id)),
            is_ticked=are_ticked and row.pk in ready,
            obstacle="" if row.pk in ready else obstacle(row, names[row.marketplace_id]),
        )
        for row in rows
    ]
    return sorted(choices, key=lambda choice: (bool(choice.obstacle), plain(choice.name)))


def profile_words(profile: AdsProfile | None) -> str:
    if profile is None:
        return _("No Ads profile known yet")
    name = f"{profile.account_name or profile.account_id} · {profile.country_code}"
    return _("Ads profile %(name)s") % {"name": name}


def obstacle(account: MarketplaceAccount, marketplace: Marketplace) -> str:
    link: PpcLink | None = getattr(account, "ppc_link", None)
    if link is not None and link.status == PpcLink.Status.LINKED:
        return _("Connected already")
    if link is not None and link.status == PpcLink.Status.WORKING:
        return _("Being connected")
    if not marketplace.is_supported:
        return _("Not supported yet")
    if not marketplace.has_ads:
        return _("Amazon Ads is not available here")
    return _("The seller does not take part in this marketplace")


def consents(connection: Connection, reader: Membership) -> list[Consent]:
    """One Ads consent may serve several rows; the page says which of those that the reader sees. A
    limited reader is not told of a consent that has nothing to do with them."""
    grants = services.usable_grants(connection.organization_id)
    prefetch_related_objects(grants, "authorized_by")
    every = AdsGrant.objects.for_organization(connection.organization_id)
    theirs = set(ads_grants_within(every, reader).values_list("pk", flat=True))
    served = rows_served(connection.organization_id, reader)
    return [
        Consent(given=given_words(grant), feeds=tuple(served.get(grant.pk, ())))
        for grant in grants
        if grant.pk in theirs
    ]


def given_words(grant: AdsGrant) -> str:
    return _("Given by %(who)s on %(day)s") % {
        "who": grant.authorized_by or _("a deleted login"),
        "day": formats.date_format(timezone.localtime(grant.authorized_at), "DATE_FORMAT"),
    }


def rows_served(organization_id: UUID, reader: Membership) -> dict[UUID, list[str]]:
    """The names of the rows that each Ads consent serves."""
    rows = Connection.objects.for_organization(organization_id).filter(
        Q(marketplace_accounts__ppc_link__profile__grant__isnull=False),
        marketplace_accounts__ppc_link__status=PpcLink.Status.LINKED,
    )
    pairs = within_reach(rows, reader).values_list(ads_consents.FEEDS, "pk", "name")
    found: dict[UUID, list[str]] = {}
    for grant_id, _row_id, name in pairs.distinct().order_by("name", "pk"):
        found.setdefault(grant_id, []).append(name)
    return found


def marketplace_names(connection: Connection) -> dict[UUID, str]:
    """Which marketplace an account or a link of the row is, by its id: for its timeline."""
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    found: dict[UUID, str] = {}
    parts = accounts.filter(connection=connection).values_list(
        "pk", "ppc_link__pk", "marketplace_id", "name"
    )
    for account_id, link_id, marketplace_id, name in parts:
        found[account_id] = found[link_id] = marketplace_name(marketplace_id, name)
    return found
