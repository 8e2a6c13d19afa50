"""The profiles an Ads consent sees, and what a newer consent makes of an older one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from connections import (
    ads_consents,
    credentials,
    gaps,
    notices,
    revisions,
    superseding,
    verification,
)
from connections.models import AdsGrant, Grant
from ppc import following
from ppc.models import AdsProfile, PpcLink
from sellerlegend.amazon import ads
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import breakers
from sellerlegend.organizations.audit import WORKER, record_event

LISTING_LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True)
class Listing:
    """What Amazon listed for a consent. `is_whole`: every item of the reply could be read, so that
    what is not here is gone."""

    profiles: list[ads.Profile]
    is_whole: bool = True


def read_profiles(
    grant: AdsGrant, *, force: bool = False, before_each: Callable[[], None] = lambda: None
) -> Listing | None:
    """All profiles of a consent on all three regional hosts; None while the listing is fresh.

    Profiles with edit rights, then those that may only be viewed. `force` refreshes the consent
    and reads in any case; `before_each` is called before each of the six calls. Raises
    AmazonError kinds.
    """
    read_at = grant.profiles_read_at
    if not force and read_at is not None and timezone.now() - read_at < LISTING_LIFETIME:
        return None

    def call(access_token: Secret) -> Listing:
        found: dict[str, ads.Profile] = {}
        dropped = 0
        for region in Region:
            for level in ("edit", "view"):
                before_each()
                with breakers.guarded(f"ads.{region}", operation=ads.OPERATION):
                    reply = ads.list_profiles(
                        endpoints=settings.AMAZON_ENDPOINTS,
                        region=region,
                        client_id=settings.ADS_CLIENT.client_id,
                        access_token=access_token,
                        access_level=level,
                    )
                dropped += reply.dropped
                for profile in reply.profiles:
                    found.setdefault(profile.profile_id, profile)
        return Listing(list(found.values()), is_whole=not dropped)

    return credentials.ads_call(grant, call, force_refresh=force)


def record_profiles(*, grant: AdsGrant, listing: Listing, is_routine: bool = False) -> None:
    """Write what Amazon listed for one consent, and what its links make of it, in the caller's
    transaction. Profiles that are gone are kept and marked as no longer listed, unless the listing
    could not be read as a whole. `is_routine`: the daily proof, which is an event of its own only
    when something came or went."""
    before = _listed_ids(grant)
    came = _write(grant, listing)
    AdsGrant.objects.for_organization(grant.organization_id).filter(pk=grant.pk).update(
        profiles_read_at=timezone.now()
    )
    verification.note_proof(grant)
    if not is_routine or before != _listed_ids(grant):
        record_event("ads_profiles_read", actor=WORKER, subject=grant, listed=len(listing.profiles))
    if came:  # rows whose seller is among them may end this consent now
        revisions.show(grant.organization_id, ads_consents.rows_of([grant]))
    following.follow(grant)
    end_gaps(grant, came)
    retire_superseded(grant)


def _write(grant: AdsGrant, listing: Listing) -> set[str]:
    """Returns the ids of the profiles that this consent has never seen before."""
    rows = AdsProfile.objects.for_organization(grant.organization_id)
    known = {row.profile_id: row for row in rows.filter(grant=grant)}
    came = {item.profile_id for item in listing.profiles} - known.keys()
    for item in listing.profiles:
        columns = facts_of(item) | {"seen_at": timezone.now(), "is_listed": True}
        row = known.pop(item.profile_id, None)
        if row is None:
            rows.create(grant=grant, profile_id=item.profile_id, **columns)
            continue
        if not listing.is_whole:  # the item that gives the right to edit may be the unreadable one
            columns["can_edit"] = columns["can_edit"] or row.can_edit
        rows.filter(pk=row.pk).update(**columns)
    if listing.is_whole:
        rows.filter(pk__in=[row.pk for row in known.values()]).update(is_listed=False)
    return came


def _listed_ids(grant: AdsGrant) -> set[str]:
    rows = AdsProfile.objects.for_organization(grant.organization_id)
    return set(rows.filter(grant=grant, is_listed=True).values_list("profile_id", flat=True))


def facts_of(item: ads.Profile) -> dict[str, Any]:
    return {
        "account_type": item.account_type[:20],
        "account_id": item.account_id[:60],
        "account_name": item.account_name[:200],
        "marketplace_id": item.marketplace_id[:20],
        "country_code": item.country_code[:2],
        "currency_code": item.currency_code[:3],
        "timezone_name": item.timezone[:64],
        "can_edit": item.access == "edit",
    }


def listed_profiles(organization_id: UUID, grants: list[AdsGrant]) -> list[AdsProfile]:
    """Newest consent first, so that of two consents seeing one profile the newer one is used."""
    order = {grant.pk: position for position, grant in enumerate(grants)}
    rows = AdsProfile.objects.for_organization(organization_id)
    listed = rows.filter(grant__in=list(order), is_listed=True)
    return sorted(listed, key=lambda profile: order[profile.grant_id])


def end_gaps(grant: AdsGrant, came: set[str]) -> None:
    """Remember the time since *Disconnect*, in the caller's transaction: of the profiles that came
    with this consent, those that no other one sees, by the consent that saw them last. One that
    was renewed is not the last; one that only looked at a profile gave no access to it."""
    rows = AdsProfile.objects.for_organization(grant.organization_id)
    mine = rows.filter(grant=grant, profile_id__in=came, can_edit=True).values("profile_id")
    seen = rows.filter(profile_id__in=mine).exclude(grant=grant).select_related("grant")
    last: dict[str, AdsProfile] = {}
    for profile in seen.order_by("grant__authorized_at", "pk"):
        known = last.get(profile.profile_id)
        if known is None or not _gives_access(known):
            last[profile.profile_id] = profile
    ended = {
        profile.grant_id: profile.grant
        for profile in last.values()
        if profile.grant.status == Grant.Status.DISCONNECTED and _is_editable(profile)
    }
    for previous in ended.values():
        _remember_gap(grant, previous)


def _gives_access(profile: AdsProfile) -> bool:
    return profile.grant.status in following.USABLE and _is_editable(profile)


def _is_editable(profile: AdsProfile) -> bool:
    return profile.is_listed and profile.can_edit


def retire_superseded(grant: AdsGrant) -> None:
    """Destroy older consents in whose place this one stands, in the caller's transaction; their
    links move over.

    A consent names no account: overlapping profiles tell a reconnect. One that lives and still
    sees a profile that this one may not edit is kept, so that no link is lost. One that is over
    gives nothing any more: what this one does not see needs a person.
    """
    rows = AdsProfile.objects.for_organization(grant.organization_id)
    mine = {row.profile_id: row for row in rows.filter(grant=grant, is_listed=True, can_edit=True)}
    older = AdsGrant.objects.for_organization(grant.organization_id).filter(
        _may_hold_something(), authorized_at__lt=grant.authorized_at
    )
    for previous in older.distinct().order_by("pk"):
        if not _is_renewed(previous, mine):
            continue
        _move_links(previous, mine)
        if previous.status != Grant.Status.DISCONNECTED:
            _remember_gap(grant, previous)
            notices.hand_over(previous, grant)
            superseding.destroy(previous, actor=WORKER, reason="superseded")


def _may_hold_something() -> Q:
    """A token, or links that believe they are linked."""
    return ~Q(status=Grant.Status.DISCONNECTED) | Q(profiles__links__status=PpcLink.Status.LINKED)


def _is_renewed(previous: AdsGrant, mine: dict[str, AdsProfile]) -> bool:
    known = AdsProfile.objects.for_organization(previous.organization_id).filter(grant=previous)
    if previous.status not in following.USABLE:
        return bool(known.filter(profile_id__in=list(mine)).exists())
    needed = known.filter(Q(is_listed=True) | Q(links__isnull=False))
    ids = set(needed.values_list("profile_id", flat=True))
    return bool(ids) and ids <= mine.keys()


def _remember_gap(grant: AdsGrant, previous: AdsGrant) -> None:
    """The new consent ended the time without access to what the older one saw; of several, the
    longest time."""
    gap = gaps.gap_before(previous, grant.authorized_at)
    if gap is None:
        return
    gaps.record(gap, grant=grant, actor=WORKER)
    if grant.gap_started_at is None or gap.started_at < grant.gap_started_at:
        columns = gaps.columns_of(gap)
        rows = AdsGrant.objects.for_organization(grant.organization_id)
        rows.filter(pk=grant.pk).update(**columns)
        vars(grant).update(columns)


def _move_links(previous: AdsGrant, profiles: dict[str, AdsProfile]) -> None:
    links = PpcLink.objects.for_organization(previous.organization_id)
    lost: set[UUID] = set()
    for link in links.filter(profile__grant=previous).select_related("profile", "account"):
        profile = profiles.get(link.profile.profile_id)
        if profile is not None:
            links.filter(pk=link.pk).update(profile=profile)
        elif link.status == PpcLink.Status.LINKED:
            following.lose(link, following.LOST, profile=None)
            lost.add(link.connection_id)
        elif link.status == PpcLink.Status.NEEDS_ATTENTION:
            links.filter(pk=link.pk).update(profile=None)
    revisions.show(previous.organization_id, lost)
