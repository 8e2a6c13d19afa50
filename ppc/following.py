"""Links follow what Amazon lists: *Connected* goes and comes back with the profile.

In the transaction that records a listing, which holds the organization's lock.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from connections import revisions
from connections.models import AdsGrant, Connection, Grant
from ppc.matching import match_profile
from ppc.models import AdsProfile, PpcLink
from sellerlegend.organizations.audit import WORKER
from sellerlegend.organizations.scoping import ScopedQuerySet
from sellerlegend.transitions import advance

Status = PpcLink.Status
USABLE = (Grant.Status.ACTIVE, Grant.Status.DOUBTED)
LOST = "ads_profile_lost"

Place = tuple[str | None, str]


def follow(grant: AdsGrant) -> None:
    """After the profiles of this consent were written. A link whose profile is not to be used any
    more goes to another consent that sees it, else it needs a person; one that was linked before
    and is seen again is linked."""
    links = _in_question(grant)
    if not links:
        return
    seen = _usable_profiles(grant)
    changed: set[UUID] = set()
    for link in links:
        account = link.account
        found = seen.get((account.connection.selling_partner_id, account.marketplace_id))
        if link.status == Status.NEEDS_ATTENTION:
            is_changed = found is not None and _link(link, found)
        elif found is not None:
            is_changed = _move(link, found)
        else:
            is_changed = _is_of(link, grant) and lose(link, _why_lost(link, grant))
        if is_changed:
            changed.add(account.connection_id)
    revisions.show(grant.organization_id, changed)


def living_links() -> ScopedQuerySet[PpcLink]:
    """Links that are linked through a consent Amazon is asked with."""
    links: ScopedQuerySet[PpcLink] = PpcLink.objects.get_queryset()
    return links.filter(status=Status.LINKED, profile__grant__status__in=USABLE)


def lives_on_ppc(connection: Connection) -> bool:
    """Such a row stays, whatever became of Selling Partner."""
    links = living_links().for_organization(connection.organization_id)
    return bool(links.filter(account__connection=connection).exists())


def lose(link: PpcLink, reason: str, **columns: Any) -> bool:
    """No consent is known any more that may edit the profile of a link."""
    advance(
        link,
        to=Status.NEEDS_ATTENTION,
        actor=WORKER,
        reason=reason,
        status_changed_at=timezone.now(),
        attention_reason=reason,
        **columns,
    )
    return True


def _in_question(grant: AdsGrant) -> list[PpcLink]:
    """Of this consent, or of a seller it sees: linked to what may not be used, or was linked once
    and stopped for want of a profile."""
    seen = _editable(grant).values("account_id")
    near = Q(profile__grant=grant) | Q(account__connection__selling_partner_id__in=seen)
    is_usable = Q(
        Q(profile__grant=grant) | Q(profile__grant__status__in=USABLE),
        profile__is_listed=True,
        profile__can_edit=True,
    )
    stopped = Q(
        status=Status.NEEDS_ATTENTION,
        linked_at__isnull=False,
        attention_reason__startswith="ads_",
    )
    links = PpcLink.objects.for_organization(grant.organization_id).filter(near)
    return list(
        links.filter(stopped | (Q(status=Status.LINKED) & ~is_usable))
        .select_related("account__connection", "profile")
        .order_by("pk")
    )


def _editable(grant: AdsGrant) -> ScopedQuerySet[AdsProfile]:
    rows = AdsProfile.objects.for_organization(grant.organization_id)
    mine: ScopedQuerySet[AdsProfile] = rows.filter(
        grant=grant, is_listed=True, can_edit=True, account_type="seller"
    )
    return mine


def _usable_profiles(grant: AdsGrant) -> dict[Place, AdsProfile]:
    """By seller and marketplace; of several consents the newest that lives."""
    rows = AdsProfile.objects.for_organization(grant.organization_id).filter(
        Q(grant=grant) | Q(grant__status__in=USABLE),
        is_listed=True,
        can_edit=True,
        account_type="seller",
    )
    oldest_first = rows.order_by("grant__authorized_at", "pk")
    return {(row.account_id, row.marketplace_id): row for row in oldest_first}


def _link(link: PpcLink, profile: AdsProfile) -> bool:
    now = timezone.now()
    advance(
        link,
        to=Status.LINKED,
        actor=WORKER,
        profile=profile,
        status_changed_at=now,
        linked_at=now,
        attention_reason="",
    )
    return True


def _move(link: PpcLink, profile: AdsProfile) -> bool:
    links = PpcLink.objects.for_organization(link.organization_id)
    return bool(links.filter(pk=link.pk).update(profile=profile))


def _is_of(link: PpcLink, grant: AdsGrant) -> bool:
    return link.profile is not None and link.profile.grant_id == grant.pk


def _why_lost(link: PpcLink, grant: AdsGrant) -> str:
    """`ads_no_profile` is about a first campaign; here there was one."""
    listed = AdsProfile.objects.for_organization(grant.organization_id)
    found = match_profile(
        listed.filter(grant=grant, is_listed=True),
        selling_partner_id=link.account.connection.selling_partner_id or "",
        marketplace_id=link.account.marketplace_id,
    )
    return found.reason if found.reason in ("ads_view_only", "ads_nothing_listed") else LOST
