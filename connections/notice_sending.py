"""Sending one planned mail: a job of the ledger, with no transaction open while SMTP answers.

What is told is decided when it is sent: a mail may have waited for hours, and its person may have
left, paused or said *No mail* meanwhile. What a mail leaves out is told by the next one.

Between the mail server's yes and our mark a process can die. The job's lease ends then, and the
same mail goes out once more, under the same Message-ID: rather twice than never.
"""

from __future__ import annotations

import logging
import smtplib
import zoneinfo
from datetime import datetime
from email.utils import parseaddr
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import ngettext

from connections.notice_mails import is_news, wanted_now
from connections.notice_models import Notice, NoticeLine, NoticeMail, NotificationChoice
from connections.notice_words import NoticeWords, words_of
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER
from sellerlegend.organizations.models import Membership
from sellerlegend.transitions import advance

logger = logging.getLogger(__name__)

Status = NoticeMail.Status
# More than these are told as a number, with the way to the page.
LINES_IN_A_MAIL = 50
QUIET_RECHECK_SECONDS = 600.0
REFUSED, AWAY = "mail_refused", "mail_server_away"
# After a mail server refused it for good: it may have been a full box. Then it is given up.
REFUSED_AGAIN_AFTER = (300.0, 1800.0, 7200.0, 21600.0)
AWAY_AGAIN_AFTER = 120.0


def send(claim: Claim) -> None:
    """The run of the job. A mail of which nothing, or nobody, is left is dropped."""
    mail = _mail_of(claim.job)
    if mail is None or mail.status != Status.PLANNED:
        with claim.finishing():
            return
    if _is_quiet(mail):
        claim.wait(reason="quiet_hours", retry_after=QUIET_RECHECK_SECONDS, counted=False)
        return
    notices = still_to_tell(mail)
    if not notices:
        _finish(claim, mail, Status.DROPPED, told=[])
        return
    message = compose(mail, notices)
    try:
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        fault = type(error).__name__
        logger.warning("notice_mail_failed", extra={"mail": mail.pk, "error": fault})
        put_down(claim, error, since=mail.created_at)
        return
    _finish(claim, mail, Status.SENT, told=notices)


def _mail_of(job: Job) -> NoticeMail | None:
    mails = NoticeMail.objects.for_organization(job.organization_id)
    found: NoticeMail | None = (
        mails.select_related("user", "organization").filter(pk=job.subject_id).first()
    )
    return found


def _is_quiet(mail: NoticeMail) -> bool:
    choices = NotificationChoice.objects.for_organization(mail.organization_id)
    choice = choices.filter(user=mail.user).first() or NotificationChoice()
    return choice.is_quiet(timezone.now().astimezone(zoneinfo.ZoneInfo(mail.user.time_zone)))


def still_to_tell(mail: NoticeMail) -> list[Notice]:
    """What was planned, without what was mended or acknowledged before it could be told, left the
    person's reach, or is not wanted any more, or not now."""
    notices = Notice.objects.for_organization(mail.organization_id).filter(
        is_news(mail.organization), lines__mail=mail
    )
    found = list(notices.select_related("connection", "ads_grant"))
    return wanted_now(mail.organization, mail.user, found, timezone.now())


def _reader_of(mail: NoticeMail) -> Membership:
    """Who has left at this moment sees nothing."""
    members = Membership.objects.for_organization(mail.organization_id)
    nobody = Membership(organization=mail.organization, is_limited=True)
    return members.filter(user=mail.user).first() or nobody


def _finish(claim: Claim, mail: NoticeMail, to: str, *, told: list[Notice]) -> None:
    with claim.finishing():
        advance(mail, to=to, actor=WORKER, ended_at=timezone.now())
        _leave_to_the_next(mail, told)
    logger.info("notice_mail_ended", extra={"mail": mail.pk, "status": to})


def _leave_to_the_next(mail: NoticeMail, told: list[Notice]) -> None:
    """What was planned and not told counts as untold, and is looked at again."""
    lines = NoticeLine.objects.for_organization(mail.organization_id).filter(mail=mail)
    left_out = lines.exclude(notice__in=[notice.pk for notice in told])
    keys = list(left_out.values_list("notice_id", flat=True))
    if not keys:
        return
    left_out.delete()
    notices = Notice.objects.for_organization(mail.organization_id).filter(pk__in=keys)
    notices.update(settled_at=None, look_at=timezone.now())


def put_down(claim: Claim, error: Exception, *, since: datetime) -> None:
    """A server that is away costs no attempt, for two days; a refusal does. What the server said
    may hold the address, so the log has the kind of error alone."""
    is_old = timezone.now() - since > NoticeMail.GIVEN_UP_AFTER
    reason = REFUSED if is_refusal(error) else AWAY
    if reason == REFUSED or is_old:
        wait = REFUSED_AGAIN_AFTER[min(claim.job.attempts, len(REFUSED_AGAIN_AFTER)) - 1]
        claim.wait(reason=reason, retry_after=wait)
    else:
        claim.wait(reason=reason, retry_after=AWAY_AGAIN_AFTER, counted=False)


def is_refusal(error: Exception) -> bool:
    """The server answered, and said no for good (RFC 5321 §4.2.1: 5yz)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _text in error.recipients.values())
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return False  # our own password: nothing to do with this mail
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500


def given_up(job: Job) -> None:
    """After the last attempt, in the ledger's transaction. What a server did not even hear is
    left to the next mail; an address that is refused is not tried with the same again."""
    mail = _mail_of(job)
    if mail is None or mail.status != Status.PLANNED:
        return
    advance(mail, to=Status.FAILED, actor=WORKER, ended_at=timezone.now())
    if Job.objects.for_organization(job.organization_id).get(pk=job.pk).last_error_code == AWAY:
        _leave_to_the_next(mail, told=[])


# What it says -------------------------------------------------------------------------------


def compose(mail: NoticeMail, notices: list[Notice]) -> EmailMultiAlternatives:
    """In the person's language and time zone. No token is ever in it: links lead to pages."""
    language = mail.user.language or settings.LANGUAGE_CODE
    with (
        translation.override(language),
        timezone.override(zoneinfo.ZoneInfo(mail.user.time_zone)),
    ):
        words = words_of(mail.organization, notices, _reader_of(mail))
        settings_url = absolute(reverse("notifications", args=[mail.organization.slug]))
        context = {
            "organization": mail.organization,
            "headline": headline(words),
            "words": words[:LINES_IN_A_MAIL],
            "more": max(0, len(words) - LINES_IN_A_MAIL),
            "base": settings.PUBLIC_BASE_URL,
            "settings_url": settings_url,
            "site_name": settings.SITE_NAME,
        }
        message = EmailMultiAlternatives(
            subject=subject_line(mail, words),
            body=render_to_string("connections/mail/notices.txt", context),
            to=[mail.user.email],
            headers={
                "Message-ID": message_id("notice", mail.pk),
                "Auto-Submitted": "auto-generated",
                "List-Unsubscribe": f"<{settings_url}>",
            },
        )
        html = render_to_string("connections/mail/notices.html", context)
        message.attach_alternative(html, "text/html")
    return message


def subject_line(mail: NoticeMail, words: list[NoticeWords]) -> str:
    """One line, whatever a name holds: a line break in a header is another header."""
    text = f"[{settings.SITE_NAME}] {mail.organization}: {headline(words)}"
    return " ".join(text.split())[:200]


def headline(words: list[NoticeWords]) -> str:
    if len(words) == 1:
        return f"{words[0].subject}: {words[0].title}"
    lost = [item for item in words if item.notice.is_revocation]
    if lost:
        return loss_line(lost)
    asking = [item for item in words if item.notice.needs_a_person]
    if asking:
        count = connections_of(asking)
        return ngettext(
            "%(count)d connection needs you", "%(count)d connections need you", count
        ) % {"count": count}
    return ngettext("%(count)d piece of news", "%(count)d pieces of news", len(words)) % {
        "count": len(words)
    }


def loss_line(lost: list[NoticeWords]) -> str:
    """Above all else that the mail tells: an end that comes can wait, a loss cannot."""
    count = connections_of(lost)
    if all(item.notice.ads_grant_id is not None for item in lost):
        words = ngettext(
            "%(count)d connection has lost access to Amazon Ads",
            "%(count)d connections have lost access to Amazon Ads",
            count,
        )
    else:
        words = ngettext(
            "%(count)d connection has lost access to Amazon",
            "%(count)d connections have lost access to Amazon",
            count,
        )
    return words % {"count": count}


def connections_of(words: list[NoticeWords]) -> int:
    """As the banner counts them: a row with two troubles is one."""
    return len({row for item in words for row in item.rows or {item.notice.subject_id}})


def message_id(kind: str, key: UUID) -> str:
    """The same for the same mail, so that whoever gets it twice can see that it is one."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{kind}.{key.hex}@{domain or urlsplit(settings.PUBLIC_BASE_URL).hostname}>"


def absolute(path: str) -> str:
    return f"{settings.PUBLIC_BASE_URL}{path}"
