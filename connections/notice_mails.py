"""Who is told what by mail, and when: one digest a day, and at most a few alarms at once.

A mail is a row first, with the notices that it tells, in one short transaction; a job of the ledger
sends it. What was told is a row too (`NoticeLine`), so nobody is told the same thing twice.
"""

from __future__ import annotations

import logging
import time
import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Min, Q, QuerySet
from django.utils import timezone

from connections.due_notices import held_by_incident
from connections.models import AdsGrant, SpApiGrant
from connections.notice_models import (
    Notice,
    NoticeLine,
    NoticeMail,
    NoticeSnooze,
    NotificationChoice,
)
from connections.notices import is_open, may_be_open_again
from connections.reach import notices_within
from sellerlegend.jobs import ledger
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.models import Membership, Organization, Role, User
from sellerlegend.organizations.scoping import across_organizations

logger = logging.getLogger(__name__)

MAIL = "connections.notice_mail"
# Alarms of one moment go together.
COALESCED_WITHIN = timedelta(minutes=10)
LOOK_AGAIN = timedelta(minutes=2)
ORGANIZATIONS_A_RUN = 200
SECONDS_A_RUN = 3.0

Kind = Notice.Kind
Wants = NotificationChoice.Wants


@dataclass(frozen=True)
class Reader:
    """One person who may hear of an organization's consents."""

    user: User
    role: Role
    choice: NotificationChoice
    snoozes: dict[UUID, NoticeSnooze]
    told: frozenset[UUID]
    # The notices within a limited member's reach; None: all are.
    reach: frozenset[UUID] | None = None

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.user.time_zone)

    def wants(self, notice: Notice) -> bool:
        """By choice; without one administrators hear all, and members what they authorised."""
        wants = self.choice.wants
        is_out_of_reach = self.reach is not None and notice.pk not in self.reach
        if wants == Wants.NONE or is_out_of_reach:
            return False
        is_own = notice.authorized_by_id == self.user.pk
        if notice.is_for_one:
            return is_own
        if wants == Wants.UNSET and not self.role.covers(Role.ADMIN):
            return is_own
        return wants != Wants.NEEDS_ME or notice.needs_a_person

    def is_muted(
        self, notice: Notice, known: frozenset[tuple[UUID, datetime]], now: datetime
    ) -> bool:
        """For the moment, or for good: `known` are the consents whose end somebody knows of."""
        snooze = self.snoozes.get(notice.subject_id)
        is_snoozed = snooze is not None and snooze.mutes(notice, now)
        return self.choice.is_paused(now) or is_snoozed or self.knows(notice, known)

    def knows(self, notice: Notice, known: frozenset[tuple[UUID, datetime]]) -> bool:
        """For good: a mail would be a reminder. Who snoozed a notice has seen it."""
        if is_known(notice, known):
            return True
        snooze = self.snoozes.get(notice.subject_id)
        has_seen = snooze is not None and snooze.made_at >= notice.created_at
        is_own = notice.acknowledged_by_id == self.user.pk
        return notice.acknowledged_at is not None and (is_own or has_seen)

    def digest_at(self, now: datetime) -> datetime:
        """Today's moment for the digest, by the person's own calendar."""
        day = now.astimezone(self.zone).date()
        hour = self.choice.digest_hour
        return datetime(day.year, day.month, day.day, hour, tzinfo=self.zone).astimezone(UTC)


@dataclass
class Plan:
    """What one look at an organization found."""

    # Notices that somebody who wants them has not been told yet.
    awaited: set[UUID] = field(default_factory=set)
    mails: int = 0


def plan_mails() -> int:
    """For the sweep: some organizations' worth of mails, the longest unseen first. Returns how
    many mails were planned."""
    if quarantine.is_on():
        return 0
    end, planned = time.monotonic() + SECONDS_A_RUN, 0
    for organization in _organizations_with_news(timezone.now()):
        _postpone(organization)
        try:
            planned += plan_for(organization, timezone.now())
        except Exception:  # one organization's trouble keeps no other's mail
            logger.exception("notice_mails_not_planned", extra={"organization": organization.pk})
        if time.monotonic() > end:
            break
    return planned


def _organizations_with_news(now: datetime) -> list[Organization]:
    with across_organizations("which organizations have news"):
        due = Notice.objects.filter(settled_at=None, look_at__lte=now)
        keys = list(
            due.values("organization_id")
            .annotate(first=Min("look_at"))
            .order_by("first")
            .values_list("organization_id", flat=True)[:ORGANIZATIONS_A_RUN]
        )
    rows = Organization.objects.in_bulk(keys)
    return [rows[key] for key in keys if key in rows]


def _postpone(organization: Organization) -> None:
    """Behind the others, also if it cannot be planned; whoever a run does not reach stays first."""
    unsettled = Notice.objects.for_organization(organization).filter(settled_at=None)
    unsettled.update(look_at=timezone.now() + LOOK_AGAIN)


def plan_for(organization: Organization, now: datetime) -> int:
    """Plan the mails that are due for this organization's people; settle what nobody waits for."""
    unsettled = Notice.objects.for_organization(organization).filter(settled_at=None)
    news = list(unsettled.filter(is_news(organization)).order_by("created_at"))
    over = list(unsettled.exclude(is_news(organization)))
    held = _held(organization, news)
    known = _known_ends(organization)
    asleep = {notice.pk for notice in over if may_be_open_again(notice)}
    plan = Plan(awaited=held | asleep)
    tellable = [notice for notice in news if notice.pk not in held]
    for reader in readers(organization, news, now):
        _plan_for_one(organization, reader, tellable, known, now, plan)
    _settle(unsettled, [n for n in (*news, *over) if n.pk not in plan.awaited], now)
    return plan.mails


def is_news(organization: Organization) -> Q:
    """Of a notice: it is open, and nobody knows of it yet. That a consent is lost, or ends on
    this day, and good news everybody hears once: one who knows of it silences no colleague."""
    told_to_all = Q(kind__in=[Kind.REVOKED, Kind.EXPIRED, *Notice.GOOD_NEWS]) | Q(days=1)
    return is_open(organization) & (Q(acknowledged_at=None) | told_to_all)


def _settle(unsettled: QuerySet[Notice], notices: Iterable[Notice], now: datetime) -> None:
    """Nobody waits for these. Whoever makes one untold meanwhile (a snooze, a mail that left it
    out) moves its `look_at`: then it stays, and is looked at again."""
    seen: dict[datetime, list[UUID]] = {}
    for notice in notices:
        seen.setdefault(notice.look_at, []).append(notice.pk)
    for look_at, keys in seen.items():
        unsettled.filter(pk__in=keys, look_at=look_at).update(settled_at=now)


def _plan_for_one(
    organization: Organization,
    reader: Reader,
    tellable: list[Notice],
    known: frozenset[tuple[UUID, datetime]],
    now: datetime,
    plan: Plan,
) -> None:
    untold = [n for n in tellable if n.pk not in reader.told and reader.wants(n)]
    waiting = {notice.pk for notice in untold}
    due = [notice for notice in untold if not reader.is_muted(notice, known, now)]
    if due and not reader.choice.is_quiet(now.astimezone(reader.zone)):
        for kind, notices in due_mails(reader, due, now):
            if _plan_mail(organization, reader, kind, notices, now):
                plan.mails += 1
                waiting -= {notice.pk for notice in notices}
                break  # whatever is left is looked at again, and told by another one
    # Known for good to somebody: this person waits for the next step, not for this one.
    plan.awaited |= waiting - {n.pk for n in untold if reader.knows(n, known)}


def is_known(notice: Notice, known: frozenset[tuple[UUID, datetime]]) -> bool:
    """Who knows of an end knows of its steps, until it gets worse; and of nothing else."""
    is_step = notice.kind == Kind.EXPIRING and not notice.is_worse
    return is_step and (notice.subject_id, notice.consent_at) in known


def due_mails(
    reader: Reader, due: list[Notice], now: datetime
) -> Iterable[tuple[NoticeMail.Kind, list[Notice]]]:
    """The digest tells everything that came before its hour; alarms of later go together as soon
    as the first of them has waited for the others, and with a revocation once it has."""
    digest_at = reader.digest_at(now)
    of_today = [notice for notice in due if notice.created_at <= digest_at]
    if now >= digest_at and of_today:
        yield NoticeMail.Kind.DIGEST, due
    urgent = [notice for notice in due if notice.is_urgent]
    if _have_waited((notice for notice in urgent if notice.is_revocation), now):
        yield NoticeMail.Kind.REVOKED, urgent
    if _have_waited(urgent, now):
        yield NoticeMail.Kind.URGENT, urgent


def _have_waited(notices: Iterable[Notice], now: datetime) -> bool:
    return any(notice.created_at <= now - COALESCED_WITHIN for notice in notices)


def _plan_mail(
    organization: Organization,
    reader: Reader,
    kind: NoticeMail.Kind,
    notices: Sequence[Notice],
    now: datetime,
) -> bool:
    """The mail, its lines and its job, or nothing of them. False: this day has had its mails, or
    another sweep was faster."""
    day = now.astimezone(reader.zone).date()
    mails = NoticeMail.objects.for_organization(organization)
    today = mails.filter(user=reader.user, day=day, kind=kind).count()
    if today >= NoticeMail.A_DAY[kind]:
        return False
    try:
        with transaction.atomic():
            mail = mails.create(user=reader.user, day=day, kind=kind, number=today)
            NoticeLine.objects.for_organization(organization).bulk_create(
                NoticeLine(mail=mail, notice=notice, user=reader.user) for notice in notices
            )
            ledger.enqueue(MAIL, organization=organization, subject_id=mail.pk, is_first=True)
    except IntegrityError:
        return False
    return True


# Who and what -------------------------------------------------------------------------------


def readers(
    organization: Organization, news: Sequence[Notice], now: datetime, **only: Any
) -> list[Reader]:
    """Members who may act, with their choices: viewers see the page, and get no mail. `only`:
    columns of the membership."""
    members = (
        Membership.objects.for_organization(organization)
        .filter(user__is_active=True, **only)
        .exclude(role=Role.VIEWER)
        .select_related("user")
        .order_by("created_at")
    )
    choices = {
        choice.user_id: choice
        for choice in NotificationChoice.objects.for_organization(organization)
    }
    snoozes: dict[UUID, dict[UUID, NoticeSnooze]] = {}
    for snooze in NoticeSnooze.objects.for_organization(organization).filter(until__gt=now):
        snoozes.setdefault(snooze.user_id, {})[snooze.subject_id] = snooze
    told: dict[UUID, set[UUID]] = {}
    lines = NoticeLine.objects.for_organization(organization).filter(
        notice__in=[notice.pk for notice in news]
    )
    for user_id, notice_id in lines.values_list("user_id", "notice_id"):
        told.setdefault(user_id, set()).add(notice_id)
    return [
        Reader(
            user=member.user,
            role=Role(member.role),
            choice=choices.get(member.user_id, NotificationChoice()),
            snoozes=snoozes.get(member.user_id, {}),
            told=frozenset(told.get(member.user_id, ())),
            reach=_reach_of(member, news),
        )
        for member in members
    ]


def _reach_of(member: Membership, news: Sequence[Notice]) -> frozenset[UUID] | None:
    if not member.is_limited:
        return None
    rows = Notice.objects.for_organization(member.organization_id)
    mine = notices_within(rows.filter(pk__in=[notice.pk for notice in news]), member)
    return frozenset(mine.values_list("pk", flat=True))


def wanted_now(
    organization: Organization, user: User, notices: Sequence[Notice], now: datetime
) -> list[Notice]:
    """Those of the notices that this person would still get, by what holds at this moment: role
    and choice, pause, snoozes, what somebody knows, and open incidents."""
    found = readers(organization, notices, now, user=user)
    if not found or organization.deleted_at is not None:
        return []
    held, known = _held(organization, notices), _known_ends(organization)
    return [
        notice
        for notice in notices
        if notice.pk not in held
        and found[0].wants(notice)
        and not found[0].is_muted(notice, known, now)
    ]


def _known_ends(organization: Organization) -> frozenset[tuple[UUID, datetime]]:
    """Consents of which somebody said "I know" that they end."""
    known = Notice.objects.for_organization(organization).filter(
        kind=Kind.EXPIRING, acknowledged_at__isnull=False
    )
    return frozenset(known.values_list("subject_id", "consent_at"))


def _held(organization: Organization, news: Sequence[Notice]) -> set[UUID]:
    """What an open incident may have caused is not mailed while it is open, and judged again."""
    suspects = {n.subject_id: n.pk for n in news if n.kind == Kind.PERMISSION_MISSING}
    if not suspects:
        return set()
    held: set[UUID] = set()
    models: tuple[Any, ...] = (SpApiGrant, AdsGrant)
    for model in models:
        rows = model.objects.for_organization(organization).filter(pk__in=list(suspects))
        held |= {
            suspects[key]
            for key in rows.filter(held_by_incident(model)).values_list("pk", flat=True)
        }
    return held
