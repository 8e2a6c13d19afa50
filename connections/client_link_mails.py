"""The mail that brings a client link: composed when it is sent, by a job of the ledger.

The token is derived at that moment and stands in no row, job or message of Redis. A mail server
that is away loses nothing. Between its yes and our mark a process can die; then the same mail goes
out once more, under the same Message-ID: rather twice than never.
"""

from __future__ import annotations

import logging
import smtplib
from datetime import timedelta
from email.utils import parseaddr
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from connections import client_links
from connections.client_link_models import ClientLink
from connections.client_link_words import MAIL_REFUSED, masked
from connections.notice_sending import (
    AWAY_AGAIN_AFTER,
    REFUSED_AGAIN_AFTER,
    absolute,
    is_refusal,
)
from connections.words import exact_day
from sellerlegend import crypto
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import WORKER
from sellerlegend.organizations.models import Membership
from sellerlegend.transitions import advance

logger = logging.getLogger(__name__)

Status = ClientLink.Status
# Longer than a mail server is usually away.
GIVEN_UP_AFTER = timedelta(days=2)


def send(claim: Claim) -> None:
    """The run of the job. A link that is over, or has been sent, is not mailed."""
    link = _link_of(claim.job)
    if link is None or link.sent_at is not None or client_links.why_over(link):
        with claim.finishing():
            return
    message = compose(link)
    try:
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        _put_down(claim, link, error)
        return
    with claim.finishing():
        _mark_sent(link)
    logger.info("client_link_mailed", extra={"link": link.pk})


def _link_of(job: Job) -> ClientLink | None:
    links = ClientLink.objects.for_organization(job.organization_id)
    found: ClientLink | None = (
        links.select_related("organization", "connection", "made_by")
        .filter(pk=job.subject_id)
        .first()
    )
    return found


def _mark_sent(link: ClientLink) -> None:
    """The client may have been faster than our mark."""
    now = timezone.now()
    rows = ClientLink.objects.for_organization(link.organization_id).filter(pk=link.pk)
    held = rows.select_for_update().first()
    if held is not None and held.status == Status.MADE:
        advance(held, to=Status.SENT, actor=WORKER, sent_at=now)
    else:
        rows.update(sent_at=now)


def _put_down(claim: Claim, link: ClientLink, error: Exception) -> None:
    """As `notice_sending` does: only a refusal uses up attempts, until the server was away for two
    days. What it said may hold the address, so the log has the kind of error alone."""
    logger.warning(
        "client_link_mail_failed", extra={"link": link.pk, "error": type(error).__name__}
    )
    if is_refusal(error) or timezone.now() - link.created_at > GIVEN_UP_AFTER:
        wait = REFUSED_AGAIN_AFTER[min(claim.job.attempts, len(REFUSED_AGAIN_AFTER)) - 1]
        claim.wait(reason=MAIL_REFUSED, retry_after=wait)
    else:
        claim.wait(reason="mail_server_away", retry_after=AWAY_AGAIN_AFTER, counted=False)


def given_up(job: Job) -> None:
    """After the last attempt, in the ledger's transaction."""
    link = _link_of(job)
    if link is not None and link.status == Status.MADE:
        advance(
            link,
            to=Status.FAILED,
            actor=WORKER,
            reason=MAIL_REFUSED,
            failure=MAIL_REFUSED,
            failed_at=timezone.now(),
        )


# What it says -------------------------------------------------------------------------------


def compose(link: ClientLink) -> EmailMultiAlternatives:
    """In the language that was chosen for the client. Its one link leads to our page."""
    with translation.override(link.language):
        context = {
            "link": link,
            "organization": link.organization,
            "maker": link.made_by.name if link.made_by else "",
            "is_reconnect": link.purpose == ClientLink.Purpose.RECONNECT,
            "seller": masked(link.connection.selling_partner_id or ""),
            "url": url_of(link),
            "expires": exact_day(link.expires_at),
            "site_name": settings.SITE_NAME,
        }
        message = EmailMultiAlternatives(
            subject=subject_line(link),
            body=render_to_string("connections/mail/client_link.txt", context),
            to=[link.recipient_email],
            reply_to=reply_to(link),
            headers={"Message-ID": message_id(link), "Auto-Submitted": "auto-generated"},
        )
        html = render_to_string("connections/mail/client_link.html", context)
        message.attach_alternative(html, "text/html")
    return message


def url_of(link: ClientLink) -> str:
    """A secret key that was replaced since the link was made derives another token: that one
    counts from now on, and nobody was given the other one by mail."""
    token = client_links.token_of(link)
    fresh = crypto.digest(token.reveal())
    if fresh != link.token_hash:
        rows = ClientLink.objects.for_organization(link.organization_id)
        rows.filter(pk=link.pk).update(token_hash=fresh)
        link.token_hash = fresh
    return absolute(reverse("client_link", args=[token.reveal()]))


def subject_line(link: ClientLink) -> str:
    """One line, whatever a name holds: a line break in a header is another header."""
    words = {"organization": link.organization.name, "store": link.connection.name}
    if link.purpose == ClientLink.Purpose.RECONNECT:
        text = _("%(organization)s asks you to renew the Amazon consent of %(store)s") % words
    else:
        text = _("%(organization)s asks you to connect your Amazon store %(store)s") % words
    return " ".join(text.split())[:200]


def reply_to(link: ClientLink) -> list[str]:
    """Who asked, while that person belongs to the organization: the address is a verified one, and
    no name of anybody's choice stands beside it."""
    maker = link.made_by
    if maker is None or not maker.is_active:
        return []
    members = Membership.objects.for_organization(link.organization_id)
    return [maker.email] if members.filter(user=maker).exists() else []


def message_id(link: ClientLink) -> str:
    """The same for the same link, so that whoever gets it twice can see that it is one."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<client-link.{link.pk.hex}@{domain or urlsplit(settings.PUBLIC_BASE_URL).hostname}>"
