"""Clients who do not answer: whoever asked them is told, once for each link.

Three days after the link where the consent ends within seven days or has ended, else seven; when
the link expires before; and at once when the client says that they do not know who asks. Of the
second link about one consent administrators hear too. What is told is a notice like any other, so
digests, the page, snoozes and "I know" are the same.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from connections import client_links, notices
from connections.client_link_models import ClientLink
from connections.client_link_words import MAIL_REFUSED
from connections.models import CONSENT_DAYS, Grant, SpApiGrant
from connections.notice_models import Notice
from connections.reach import is_within
from sellerlegend.jobs import sweeping
from sellerlegend.jobs.models import Slot
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.models import Membership, Role
from sellerlegend.organizations.scoping import across_organizations

logger = logging.getLogger(__name__)

PATIENCE, PATIENCE_AT_THE_END = timedelta(days=7), timedelta(days=3)
NEAR_THE_END = timedelta(days=7)
YEAR = timedelta(days=CONSENT_DAYS)
# A link lives for thirty days; of older ones it is no news.
NEWS_FOR = timedelta(days=45)
SLOT, EVERY_SECONDS = "client_silence", 60.0
SLOTS_KEPT = timedelta(hours=1)
LINKS_A_RUN = 200
UNANSWERED = (
    *ClientLink.LIVE,
    ClientLink.Status.EXPIRED.value,
    ClientLink.Status.DECLINED.value,
)


def look_in_turn() -> int:
    """For the sweep: once a minute, by one of the processes. Returns how many links were told."""
    slot = None if quarantine.is_on() else sweeping.take_slot(SLOT, EVERY_SECONDS)
    if slot is None:
        return 0
    told = look(timezone.now())
    Slot.objects.filter(pk=slot.pk).update(finished_at=timezone.now())
    Slot.objects.filter(name=SLOT, starts_at__lt=slot.starts_at - SLOTS_KEPT).delete()
    return told


def look(now: datetime) -> int:
    with across_organizations("links of every organization that nobody answers"):
        end(now)
        found = list(due(now)[:LINKS_A_RUN])
    told = 0
    for link in found:
        try:
            told += _tell(link, now)
        except Exception:  # one link's trouble keeps no other from being told
            logger.exception("client_silence_not_told", extra={"link": link.pk})
    return told


def due(now: datetime) -> QuerySet[ClientLink]:
    """Links that were not answered in time, and of which nobody was told."""
    ends_soon = Exists(
        SpApiGrant.objects.filter(
            connection=OuterRef("connection"),
            is_consent_dated=True,
            authorized_at__lte=now - YEAR + NEAR_THE_END,
        )
    )
    is_late = (
        Q(created_at__lte=now - PATIENCE)
        | Q(ends_soon, created_at__lte=now - PATIENCE_AT_THE_END)
        | Q(expires_at__lte=now)
        | Q(status=ClientLink.Status.DECLINED)
    )
    links: QuerySet[ClientLink] = ClientLink.objects.filter(
        is_late, silent_at=None, created_at__gt=now - NEWS_FOR, organization__deleted_at=None
    )
    # A mail that was refused reached nobody who could answer.
    unanswered = links.filter(still_unanswered()).exclude(failure=MAIL_REFUSED)
    return unanswered.select_related("connection").order_by("created_at")


def still_unanswered() -> Q:
    """Of a link: no consent came, nobody of ours ended it, and nobody was asked since."""
    grants = SpApiGrant.objects.filter(connection=OuterRef("connection"))
    settled = grants.filter(
        Q(authorized_at__gt=OuterRef("created_at")) | Q(status=Grant.Status.DISCONNECTED)
    )
    newer = ClientLink.objects.filter(
        connection=OuterRef("connection"), created_at__gt=OuterRef("created_at")
    )
    is_open = Q(status__in=UNANSWERED, connection__removed_at=None)
    return is_open & ~Q(Exists(settled)) & ~Q(Exists(newer))


def _tell(link: ClientLink, now: datetime) -> int:
    with transaction.atomic():
        client_links.show(link)
        mine = ClientLink.objects.for_organization(link.organization_id).filter(
            pk=link.pk, silent_at=None, status__in=UNANSWERED
        )
        if not mine.update(silent_at=now):
            return 0
        notice = _notice_of(link, now)
        with across_organizations("notices are made for every organization in one way"):
            return notices.make([notice])


def _notice_of(link: ClientLink, now: datetime) -> Notice:
    step = Notice.SILENCE_AGAIN
    if _is_first(link):
        step = Notice.FIRST_SILENCE if _hears_of_it(link) else Notice.FIRST_SILENCE_OF_NOBODYS
    return Notice(
        organization_id=link.organization_id,
        kind=Notice.Kind.CLIENT_SILENT,
        step=step,
        subject_id=link.pk,
        consent_at=link.created_at,
        occurred_at=now,
        connection_id=link.connection_id,
        authorized_by_id=link.made_by_id,
    )


def _is_first(link: ClientLink) -> bool:
    """Of this consent: a renewed one begins anew."""
    links = ClientLink.objects.for_organization(link.organization_id)
    earlier = links.filter(
        connection=link.connection_id, silent_at__isnull=False, created_at__lt=link.created_at
    )
    given = SpApiGrant.objects.for_organization(link.organization_id).filter(
        connection=link.connection_id
    )
    since = given.values_list("authorized_at", flat=True).first()
    return not (earlier.filter(created_at__gte=since) if since else earlier).exists()


def _hears_of_it(link: ClientLink) -> bool:
    """Whoever asked is here still, may act and sees the row; else administrators hear at once."""
    members = Membership.objects.for_organization(link.organization_id)
    maker = members.filter(user=link.made_by_id, user__is_active=True).first()
    if maker is None or not maker.may(Role.MEMBER):
        return False
    return is_within(maker, link.connection_id)


def end(now: datetime) -> int:
    """Notices of links that were answered meanwhile, or followed by another one."""
    links = ClientLink.objects.filter(still_unanswered(), pk=OuterRef("subject_id"))
    told = Notice.objects.filter(kind=Notice.Kind.CLIENT_SILENT, resolved_at=None)
    return told.exclude(Exists(links)).update(resolved_at=now)
