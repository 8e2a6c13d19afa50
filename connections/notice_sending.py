"""Sending one planned mail: a job of the ledger, with no transaction open while SMTP answers.

Between the mail server's yes and our mark a process can die. The job's lease ends then, and the
same mail goes out once more, under the same Message-ID: rather twice than never.
"""

from __future__ import annotations

import logging
import smtplib
import zoneinfo
from email.utils import parseaddr
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import ngettext

from connections.notice_models import Notice, NoticeMail, NotificationChoice
from connections.notice_words import NoticeWords, words_of
from connections.reach import notices_within
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER
from sellerlegend.organizations.models import Membership, Role
from sellerlegend.transitions import advance

logger = logging.getLogger(__name__)

Status = NoticeMail.Status
# More than these are told as a number, with the way to the page.
LINES_IN_A_MAIL = 50
QUIET_RECHECK_SECONDS = 600.0
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
    reader = _still_reader(mail)
    notices = still_to_tell(mail, reader) if reader else []
    if reader is None or not notices:
        _finish(claim, mail, Status.DROPPED)
        return
    message = compose(mail, notices, reader)
    try:
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        _put_down(claim, mail, error)
        return
    _finish(claim, mail, Status.SENT)


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


def still_to_tell(mail: NoticeMail, reader: Membership) -> list[Notice]:
    """What was planned, without what was mended or acknowledged before it could be told, or left
    the person's reach."""
    notices = Notice.objects.for_organization(mail.organization_id).filter(
        lines__mail=mail, resolved_at=None, acknowledged_at=None, connection__removed_at=None
    )
    return list(notices_within(notices, reader).select_related("connection", "ads_grant"))


def _still_reader(mail: NoticeMail) -> Membership | None:
    if not mail.user.is_active or mail.organization.deleted_at is not None:
        return None
    member = (
        Membership.objects.for_organization(mail.organization_id).filter(user=mail.user).first()
    )
    return member if member is not None and member.may(Role.MEMBER) else None


def _finish(claim: Claim, mail: NoticeMail, to: str) -> None:
    with claim.finishing():
        advance(mail, to=to, actor=WORKER, ended_at=timezone.now())
    logger.info("notice_mail_ended", extra={"mail": mail.pk, "status": to})


def _put_down(claim: Claim, mail: NoticeMail, error: Exception) -> None:
    """A server that is away costs no attempt, for two days; a refusal does. What the server said
    may hold the address, so the log has the kind of error alone."""
    logger.warning("notice_mail_failed", extra={"mail": mail.pk, "error": type(error).__name__})
    is_old = timezone.now() - mail.created_at > NoticeMail.GIVEN_UP_AFTER
    if is_refusal(error) or is_old:
        wait = REFUSED_AGAIN_AFTER[min(claim.job.attempts, len(REFUSED_AGAIN_AFTER)) - 1]
        claim.wait(reason="mail_refused", retry_after=wait)
    else:
        claim.wait(reason="mail_server_away", retry_after=AWAY_AGAIN_AFTER, counted=False)


def is_refusal(error: Exception) -> bool:
    """The server answered, and said no for good (RFC 5321 §4.2.1: 5yz)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _text in error.recipients.values())
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return False  # our own password: nothing to do with this mail
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500


def given_up(job: Job) -> None:
    """After the last attempt, in the ledger's transaction."""
    mail = _mail_of(job)
    if mail is not None and mail.status == Status.PLANNED:
        advance(mail, to=Status.FAILED, actor=WORKER, ended_at=timezone.now())


# What it says -------------------------------------------------------------------------------


def compose(mail: NoticeMail, notices: list[Notice], reader: Membership) -> EmailMultiAlternatives:
    """In the person's language and time zone. No token is ever in it: links lead to pages."""
    language = mail.user.language or settings.LANGUAGE_CODE
    with (
        translation.override(language),
        timezone.override(zoneinfo.ZoneInfo(mail.user.time_zone)),
    ):
        words = words_of(mail.organization, notices, reader)
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
                "Message-ID": message_id(mail),
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
    asking = sum(item.notice.needs_a_person for item in words)
    if asking:
        return ngettext(
            "%(count)d connection needs you", "%(count)d connections need you", asking
        ) % {"count": asking}
    return ngettext("%(count)d piece of news", "%(count)d pieces of news", len(words)) % {
        "count": len(words)
    }


def message_id(mail: NoticeMail) -> str:
    """The same for the same mail, so that whoever gets it twice can see that it is one."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<notice.{mail.pk.hex}@{domain or urlsplit(settings.PUBLIC_BASE_URL).hostname}>"


def absolute(path: str) -> str:
    return f"{settings.PUBLIC_BASE_URL}{path}"
