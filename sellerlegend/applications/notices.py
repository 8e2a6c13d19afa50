"""What staff are told of our client secrets, each thing once: a row for every mail."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sellerlegend.applications.ages import days_until
from sellerlegend.applications.clients import held_rows, in_force
from sellerlegend.applications.models import (
    OVERLAP,
    ClientSecret,
    LwaApplication,
    SecretNotice,
)
from sellerlegend.organizations.models import User

logger = logging.getLogger(__name__)

DAYS_BEFORE = (1, 3, 7, 14, 30)
# The sixth day of the overlap begins: whoever still needs the old secret has two days left.
STILL_USED_AFTER = timedelta(days=5)
CLAIM = timedelta(minutes=10)


@dataclass(frozen=True)
class Notice:
    """`step` names it for ever: it is not sent again for the same secret."""

    secret: ClientSecret
    step: str
    subject: str
    text: str


def tell_staff() -> int:
    """Send what is due, outside any transaction. Returns the number of mails."""
    return sum(_send_once(notice) for notice in due_notices(timezone.now()))


def due_notices(now: datetime) -> Iterator[Notice]:
    for application in LwaApplication:
        rows = [row for row in held_rows(application) if not row._state.adding]
        current = in_force(rows)
        for row in rows:
            if row is rows[0] or row is current:
                yield from _of_a_refused_one(row)
            if row is current:
                yield from _of_the_present_one(row, now)
            else:
                yield from _of_an_older_one(row, now)


def _of_a_refused_one(row: ClientSecret) -> Iterator[Notice]:
    """At most one a day, should it come and go."""
    if row.refused_at is not None:
        step = f"refused {row.refused_at:%Y-%m-%d}"
        yield _notice(row, step, _("Amazon refuses our client secret"), refused_words())


def _of_the_present_one(row: ClientSecret, now: datetime) -> Iterator[Notice]:
    if row.called_expired_at is not None:
        subject = _("Amazon calls our client secret too old")
        yield _notice(row, "called expired", subject, called_expired_words())
    days = days_until(row.ends_at(), now)
    passed = [step for step in DAYS_BEFORE if days <= step]
    if days <= 0:
        subject = _("Our client secret is past its last day")
        yield _notice(row, "ended", subject, countdown_words(row))
    elif passed:
        subject = ngettext(
            "Our client secret ends in %(days)d day",
            "Our client secret ends in %(days)d days",
            days,
        ) % {"days": days}
        yield _notice(row, f"{passed[0]} days", subject, countdown_words(row))


def _of_an_older_one(row: ClientSecret, now: datetime) -> Iterator[Notice]:
    used_at, superseded_at = row.last_used_at, row.superseded_at
    if used_at is None or superseded_at is None or now >= superseded_at + OVERLAP:
        return
    if used_at >= superseded_at + STILL_USED_AFTER:
        yield _notice(
            row,
            "still used",
            _("The old client secret is still used"),
            _(
                "Amazon ends it 7 days after the rotation. Some process still needs it: the new "
                "one is refused, or a process does not have it."
            ),
        )


def refused_words() -> str:
    return _(
        "Login with Amazon says that it does not know the newest client secret of this "
        "application. If it still accepts the older one, that one is used instead; otherwise "
        "nothing can be refreshed and the work of every seller waits. No connection has changed, "
        "and no seller needs to do anything."
    )


def called_expired_words() -> str:
    return _(
        "The Selling Partner API refuses every call, since the client secret was not rotated in "
        "time. Rotate it now. No connection has changed, and no seller needs to do anything."
    )


def countdown_words(row: ClientSecret) -> str:
    if row.application == LwaApplication.ADS:
        return _(
            "Amazon documents no end for the secrets of Amazon Ads clients, but asks for new keys "
            "at least every 12 months. We keep the 180 days of the other application."
        )
    return _("Amazon refuses our calls once a client secret is 180 days old. Rotate it before.")


def _notice(row: ClientSecret, step: str, subject: str, meaning: str) -> Notice:
    facts = _(
        "Application: %(application)s\nClient id: %(client_id)s\n"
        "Secret (fingerprint): %(fingerprint)s\nEnds: %(ends)s\n\n"
        "What to do: python manage.py rotate_client_secret --help, and docs/rotation.md."
    ) % {
        "application": LwaApplication(row.application).label,
        "client_id": row.client_id,
        "fingerprint": row.fingerprint,
        "ends": date_format(row.ends_at(), "Y-m-d H:i e"),
    }
    label = LwaApplication(row.application).label
    return Notice(row, step, f"{label}: {subject}", f"{meaning}\n\n{facts}\n")


def _send_once(notice: Notice) -> int:
    claimed = _claim(notice)
    if claimed is None:
        return 0
    logger.warning(
        "client_secret_notice",
        extra={
            "client": notice.secret.client_id,
            "fingerprint": notice.secret.fingerprint,
            "step": notice.step,
        },
    )
    staff = User.objects.filter(is_staff=True, is_active=True)
    addresses = sorted(staff.values_list("email", flat=True))
    if not addresses:
        logger.error("client_secret_notice_unsent", extra={"cause": "no_staff"})
        return 0
    send_mail(notice.subject, notice.text, None, addresses)
    SecretNotice.objects.filter(pk=claimed.pk).update(sent_at=timezone.now())
    return 1


def _claim(notice: Notice) -> SecretNotice | None:
    """The row, if it is for us to send: new, or given up by a sender that failed."""
    until = timezone.now() + CLAIM
    row = SecretNotice.objects.filter(secret=notice.secret, step=notice.step).first()
    if row is not None:
        if row.sent_at is not None or row.claimed_until > timezone.now():
            return None
        given_up = SecretNotice.objects.filter(pk=row.pk, claimed_until=row.claimed_until)
        return row if given_up.filter(sent_at=None).update(claimed_until=until) else None
    try:
        with transaction.atomic():
            return SecretNotice.objects.create(
                secret=notice.secret, step=notice.step, claimed_until=until
            )
    except IntegrityError:  # another sweep was faster
        return None
