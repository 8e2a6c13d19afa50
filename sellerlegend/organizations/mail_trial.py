"""A mail to see whether mail works, and what the server answered, in words."""

from __future__ import annotations

import logging
import smtplib
import socket
from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import timezone
from django.utils.translation import gettext as _

from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.limits import Limit

logger = logging.getLogger(__name__)

TEST_MAIL = Limit("test_mail", burst=3, seconds=300)


@dataclass(frozen=True)
class Answer:
    """`code` goes into the record; `words` are for whoever asked."""

    code: str
    words: str

    @property
    def is_accepted(self) -> bool:
        return self.code == "accepted"


def send(address: str, *, actor: Actor) -> Answer:
    """Send one at once, outside any transaction, and record how it went, without the address."""
    message = EmailMessage(
        subject=_("Test mail of %(site)s") % {"site": settings.SITE_NAME},
        body=_("This is a test: mail of %(site)s reaches you.\n\nSent at %(time)s.\n%(url)s\n")
        % {
            "site": settings.SITE_NAME,
            "time": timezone.now().isoformat(timespec="seconds"),
            "url": settings.PUBLIC_BASE_URL,
        },
        to=[address],
        headers={"Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        answer = answer_to(error)
        logger.warning("test_mail_failed", extra={"cause": answer.code})
    else:
        answer = Answer("accepted", _("The mail server accepted it. Look into the mailbox."))
    record_event("test_mail_sent", actor=actor, outcome=answer.code)
    return answer


def answer_to(error: Exception) -> Answer:
    """What went wrong and what to look at. The server's own text stays out: it may quote ours."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        words = _("The mail server does not accept our user or password (EMAIL_HOST_USER).")
        return Answer("authentication", words)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return Answer("recipient_refused", _("The mail server refuses this address."))
    if isinstance(error, smtplib.SMTPSenderRefused):
        words = _("The mail server refuses our sender address (DEFAULT_FROM_EMAIL).")
        return Answer("sender_refused", words)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        words = _("The mail server offers no encryption (EMAIL_USE_TLS).")
        return Answer("not_supported", words)
    if isinstance(error, smtplib.SMTPResponseException):
        words = _("The mail server answered with error %(code)d.") % {"code": error.smtp_code}
        return Answer(f"smtp_{error.smtp_code}", words)
    if isinstance(error, socket.gaierror):
        return Answer("unknown_host", _("The mail server's name is not known (EMAIL_HOST)."))
    if isinstance(error, OSError):
        words = _("The mail server does not answer (EMAIL_HOST, EMAIL_PORT).")
        return Answer("unreachable", words)
    return Answer("not_sent", _("The mail could not be sent: this is no address."))
