"""What people decide about notices: hear less, hear later, "I know". One path for every door."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from connections.notice_models import Notice, NoticeLine, NoticeSnooze, NotificationChoice
from connections.notices import record_by_kind
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Organization, User

SNOOZE_DAYS = (1, 7, 30)
LONGEST_PAUSE = timedelta(days=366)


class NotASnooze(ValueError):
    """Not one of the offered lengths."""


def choice_of(organization: Organization, user: User) -> NotificationChoice:
    """The person's own, or the defaults without a row: looking makes none."""
    choices = NotificationChoice.objects.for_organization(organization)
    found: NotificationChoice | None = choices.filter(user=user).first()
    return found or NotificationChoice(organization=organization, user=user)


def choose(
    *,
    organization: Organization,
    user: User,
    wants: str,
    digest_hour: int,
    quiet_from: int,
    quiet_until: int,
    paused_until: datetime | None,
) -> NotificationChoice:
    """The person's own choice for one organization. Nobody decides for anybody else."""
    columns = {
        "wants": wants,
        "digest_hour": digest_hour,
        "quiet_from": quiet_from,
        "quiet_until": quiet_until,
        "paused_until": paused_until,
    }
    choices = NotificationChoice.objects.for_organization(organization)
    row: NotificationChoice = choices.update_or_create(
        organization=organization, user=user, defaults=columns
    )[0]
    return row


def acknowledge(*, organization: Organization, notices: Iterable[Notice], actor: Actor) -> int:
    """ "I know": seen by colleagues, with who and when. The first one stands. Returns how many of
    these were not known yet; what is over is left alone."""
    now = timezone.now()
    every = Notice.objects.for_organization(organization)
    with transaction.atomic():
        fresh = every.filter(
            pk__in=[notice.pk for notice in notices], acknowledged_at=None, resolved_at=None
        )
        mine = list(fresh.select_for_update().order_by("pk"))
        known = every.filter(pk__in=[notice.pk for notice in mine])
        known.update(acknowledged_at=now, acknowledged_by=actor.user)
        # What asks nobody for anything is over once somebody has read it. Good news leaves the
        # page, and stays to be told to colleagues.
        read = [n.pk for n in mine if not n.needs_a_person and n.kind not in Notice.GOOD_NEWS]
        known.filter(pk__in=read).update(resolved_at=now)
        record_by_kind("notice_acknowledged", mine, actor=actor)
    return len(mine)


def snooze(*, notice: Notice, user: User, days: int) -> None:
    """Not in this person's mails for so many days, unless it gets worse; then told anew if it is
    still so. 0 wakes it up. Raises NotASnooze."""
    if days not in (0, *SNOOZE_DAYS):
        raise NotASnooze(str(days))
    now = timezone.now()
    organization_id = notice.organization_id
    snoozes = NoticeSnooze.objects.for_organization(organization_id)
    with transaction.atomic():
        if days == 0:
            snoozes.filter(user=user, subject_id=notice.subject_id).delete()
            return
        snoozes.update_or_create(
            organization_id=organization_id,
            user=user,
            subject_id=notice.subject_id,
            defaults={"made_at": now, "until": now + timedelta(days=days)},
        )
        _tell_again_later(notice, user, now)


def _tell_again_later(notice: Notice, user: User, now: datetime) -> None:
    """Forget that this person was told what is still open about the consent; whoever plans mails at
    this moment does not know it, and finds `look_at` moved."""
    same = Notice.objects.for_organization(notice.organization_id).filter(
        subject_id=notice.subject_id, resolved_at=None, acknowledged_at=None
    )
    same = same.exclude(kind=Notice.Kind.RECOVERED)  # no snooze holds it back: it would come twice
    lines = NoticeLine.objects.for_organization(notice.organization_id)
    lines.filter(user=user, notice__in=same.values("pk")).delete()
    same.update(settled_at=None, look_at=now)


def snoozed_until(
    organization: Organization, user: User, notices: Iterable[Notice]
) -> dict[UUID, datetime]:
    """By notice, what this person does not want to hear of at the moment."""
    snoozes = NoticeSnooze.objects.for_organization(organization)
    running = {s.subject_id: s for s in snoozes.filter(user=user, until__gt=timezone.now())}
    pairs = [(notice, running.get(notice.subject_id)) for notice in notices]
    return {n.pk: snooze.until for n, snooze in pairs if snooze and snooze.is_about(n)}
