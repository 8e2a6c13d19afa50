"""Asking clients by itself: when a consent comes to its end, its store's contact gets a link.

Off until an administrator switches it on. What is asked follows the organization's notices: thirty
and seven days before the end, and when it is over. At most one link for a notice, three for a
consent, none while somebody was asked less than a week ago, and none after a *not for me*.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from connections import client_links
from connections.client_link_models import ClientLink, ClientReminders
from connections.client_link_words import tried_at
from connections.client_links import Recipient
from connections.notice_models import Notice
from sellerlegend.jobs import sweeping
from sellerlegend.jobs.models import Slot
from sellerlegend.mail_texts import name_for_mail
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import Organization
from sellerlegend.organizations.scoping import across_organizations

logger = logging.getLogger(__name__)

Kind = Notice.Kind
ASKED_KINDS = (Kind.EXPIRING, Kind.EXPIRED, Kind.REVOKED)
DAYS_BEFORE = (30, 7)
MOST_MAILS = 3
PATIENCE = timedelta(days=7)
SLOT, EVERY_SECONDS = "client_reminders", 600.0
SLOTS_KEPT = timedelta(hours=1)
LINKS_A_RUN = 100


# The switch --------------------------------------------------------------------------------


def are_on(organization: Organization) -> bool:
    return ClientReminders.objects.for_organization(organization).exists()


def switch(*, organization: Organization, is_on: bool, actor: Actor) -> None:
    """Doing it twice changes nothing."""
    rows = ClientReminders.objects.for_organization(organization)
    with transaction.atomic():
        if is_on:
            _row, changed = rows.get_or_create(
                organization=organization, defaults={"switched_by": actor.user}
            )
        else:
            changed = bool(rows.delete()[0])
        if changed:
            code = "client_reminders_on" if is_on else "client_reminders_off"
            record_event(code, actor=actor, organization=organization)


# Asking ------------------------------------------------------------------------------------


def ask_in_turn() -> int:
    """For the sweep: every ten minutes, by one of the processes. Returns how many were asked."""
    slot = None if quarantine.is_on() else sweeping.take_slot(SLOT, EVERY_SECONDS)
    if slot is None:
        return 0
    asked = ask(timezone.now())
    Slot.objects.filter(pk=slot.pk).update(finished_at=timezone.now())
    Slot.objects.filter(name=SLOT, starts_at__lt=slot.starts_at - SLOTS_KEPT).delete()
    return asked


def ask(now: datetime) -> int:
    with across_organizations("consents that end, of organizations that ask by themselves"):
        found = list(due(now)[:LINKS_A_RUN])
        switched = {row.organization_id: row for row in ClientReminders.objects.all()}
    asked = 0
    for notice in found:
        try:
            asked += _ask_about(notice, switched[notice.organization_id])
        except Exception:  # one row's trouble keeps no other client from being asked
            logger.exception("client_not_asked", extra={"notice": notice.pk})
    return asked


def due(now: datetime) -> QuerySet[Notice]:
    """Open notices about a consent whose client has an address and is to be asked now."""
    links = ClientLink.objects.filter(connection=OuterRef("connection"))
    of_this_consent = links.filter(notice__isnull=False, created_at__gte=OuterRef("consent_at"))
    mails = of_this_consent.order_by().values("connection").annotate(n=Count("pk"))
    recently = links.filter(created_at__gt=now - PATIENCE).exclude(
        status__in=[ClientLink.Status.REVOKED, ClientLink.Status.EXPIRED]
    )
    declined = links.filter(
        status=ClientLink.Status.DECLINED, created_at__gte=OuterRef("consent_at")
    )
    return (
        Notice.objects.filter(
            Q(days__in=DAYS_BEFORE) | ~Q(kind=Kind.EXPIRING),
            Exists(ClientReminders.objects.filter(organization=OuterRef("organization"))),
            kind__in=ASKED_KINDS,
            resolved_at=None,
            connection__removed_at=None,
            organization__deleted_at=None,
        )
        .exclude(connection=None)
        .exclude(connection__client=None)
        .exclude(connection__client__contact_email="")
        .exclude(Exists(ClientLink.objects.filter(notice=OuterRef("pk"))))
        .exclude(Exists(recently))
        .exclude(Exists(declined))
        .exclude(Exists(mails.filter(n__gte=MOST_MAILS)))
        .select_related("connection__client")
        .order_by("created_at")
    )


def _ask_about(notice: Notice, switched: ClientReminders) -> int:
    connection = notice.connection
    client = connection.client if connection else None
    if connection is None or client is None:
        return 0
    before = client_links.latest_of(connection)
    language = before.language if before else settings.LANGUAGE_CODE
    with transaction.atomic():
        # Of two sweeps one makes it: the constraint says so.
        client_links.make(
            connection=connection,
            recipient=Recipient(name_for_mail(client.contact_name), client.contact_email, language),
            actor=WORKER,
            maker=switched.switched_by,
            notice=notice,
        )
    return 1


# What the organization hears of it ---------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """How often a row's client was asked since a consent was given, and when last. `tried_at`: the
    client came with the last link, and no consent came of it."""

    times: int
    last: datetime
    is_unanswered: bool
    tried_at: datetime | None = None


def asked_of(organization_id: UUID, notices: Iterable[Notice]) -> dict[UUID, Asked]:
    """By the notices' ids. One query."""
    rows = {n.connection_id for n in notices if n.connection_id and n.kind in ASKED_KINDS}
    if not rows:
        return {}
    links = ClientLink.objects.for_organization(organization_id).filter(connection__in=rows)
    newest_first = list(links.order_by("-created_at"))
    now, found = timezone.now(), {}
    for notice in notices:
        since = [
            link
            for link in newest_first
            if link.connection_id == notice.connection_id and link.created_at >= notice.consent_at
        ]
        if since and notice.connection_id in rows:
            last = since[0]
            is_silent = len(since) > 1 or now - last.created_at > PATIENCE
            is_unanswered = is_silent and last.status != ClientLink.Status.CONSENTED
            found[notice.pk] = Asked(len(since), last.created_at, is_unanswered, tried_at(last))
    return found
