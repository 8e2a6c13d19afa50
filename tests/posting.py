"""What the sweep and the workers do about notices, at one moment."""

from __future__ import annotations

from django.core import mail
from django.utils import timezone

from connections import notice_mails, notices
from connections.notice_models import Notice, NoticeMail
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job


def look() -> None:
    """A minute's sweep: facts become notices, notices become planned mails."""
    notices.derive(timezone.now())
    Notice._base_manager.filter(settled_at=None).update(look_at=timezone.now())
    notice_mails.plan_mails()


def work() -> None:
    for job in Job._base_manager.filter(kind=notice_mails.MAIL, status__in=Job.LIVE):
        ledger.run(job.pk)


def post() -> list[str]:
    """All of it; the subjects of the mails that went out now."""
    known = len(mail.outbox)
    look()
    work()
    return [str(message.subject) for message in mail.outbox[known:]]


def steps() -> list[str]:
    """What was made so far, in order, without the moments."""
    rows = Notice._base_manager.order_by("created_at", "pk")
    return [
        f"{days} days" if days else str(kind) for kind, days in rows.values_list("kind", "days")
    ]


def mails() -> list[tuple[str, str]]:
    rows = NoticeMail._base_manager.order_by("created_at", "pk")
    return list(rows.values_list("kind", "status"))
