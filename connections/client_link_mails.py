"""The mail that brings one person client links: composed when it is sent, by a job of the ledger.

The tokens are derived at that moment and stand in no row, job or message of Redis. A mail server
that is away loses nothing. Between its yes and our mark a process can die; then the same mail goes
out once more, under the same Message-ID: rather twice than never.
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import client_links, revisions
from connections.client_link_models import ClientLink
from connections.client_link_words import MAIL_REFUSED, masked
from connections.countries import region_name
from connections.notice_sending import (
    AWAY_AGAIN_AFTER,
    REFUSED_AGAIN_AFTER,
    absolute,
    is_refusal,
)
from connections.words import day_words
from sellerlegend import crypto
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job
from sellerlegend.mail_texts import unlinked
from sellerlegend.organizations.audit import WORKER
from sellerlegend.organizations.models import Membership
from sellerlegend.transitions import advance

logger = logging.getLogger(__name__)

Status = ClientLink.Status
OVER_LIMIT = "mail_limit"
# Longer than a mail server is usually away.
GIVEN_UP_AFTER = timedelta(days=2)


def send(claim: Claim) -> None:
    """The run of the job. Links that are over, or have been sent, are not mailed."""
    links = _links_to_send(claim.job)
    if not links:
        with claim.finishing():
            return
    message = compose(links)
    try:
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        _put_down(claim, links[0], error)
        return
    with claim.finishing():
        for link in links:
            _mark_sent(link)
    logger.info("client_link_mailed", extra={"link": links[0].pk, "links": len(links)})


def send_in_turn(claim: Claim) -> None:
    """Of a mail that was one too many: as soon as the limits let it go. A mail that they let go,
    and the mail server did not take, asks them no second time."""
    links = _links_to_send(claim.job)
    if links and claim.job.last_error_code in ("", OVER_LIMIT):
        address = links[0].recipient_email
        wait = client_links.wait_for_mail(claim.job.organization_id, address)
        if wait:
            claim.wait(reason=OVER_LIMIT, retry_after=wait, counted=False)
            return
    send(claim)


def show_rows(job: Job) -> None:
    """Every row that the mail is about says how far its client is."""
    links = client_links.links_of_mail(job.organization_id, job.subject_id)
    revisions.touch(job.organization_id, links.values_list("connection_id", flat=True))


def _links_to_send(job: Job) -> list[ClientLink]:
    links = client_links.links_of_mail(job.organization_id, job.subject_id)
    unsent = links.filter(sent_at=None).select_related("organization", "connection", "made_by")
    return [link for link in unsent if not client_links.why_over(link)]


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
    links = client_links.links_of_mail(job.organization_id, job.subject_id)
    for link in links.filter(status=Status.MADE):
        advance(
            link,
            to=Status.FAILED,
            actor=WORKER,
            reason=MAIL_REFUSED,
            failure=MAIL_REFUSED,
            failed_at=timezone.now(),
        )


# What it says -------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoreLine:
    """What a mail says of one link."""

    name: str
    region: str
    seller: str
    is_reconnect: bool
    url: str


def compose(links: Sequence[ClientLink]) -> EmailMultiAlternatives:
    """To the one recipient of these links, in the language that was chosen for the client. Each
    link leads to a page of ours, and there is no other."""
    first = links[0]
    with translation.override(first.language):
        context = {
            "name": name_of(links),
            "organization": unlinked(first.organization.name),
            "maker": unlinked(first.made_by.name) if first.made_by else "",
            "message": first.message,
            "stores": [store_line(link) for link in links],
            "is_about_one": len(links) == 1,
            "expires": day_words(min(link.last_day for link in links), first.language),
            "site_name": settings.SITE_NAME,
        }
        message = EmailMultiAlternatives(
            subject=subject_line(links),
            body=render_to_string("connections/mail/client_link.txt", context),
            to=[first.recipient_email],
            reply_to=reply_to(first),
            headers={"Message-ID": message_id(first), "Auto-Submitted": "auto-generated"},
        )
        html = render_to_string("connections/mail/client_link.html", context)
        message.attach_alternative(html, "text/html")
    return message


def name_of(links: Sequence[ClientLink]) -> str:
    """ "" where one address is known by several names: nobody is greeted by another one's."""
    names = {link.recipient_name for link in links}
    return names.pop() if len(names) == 1 else ""


def store_line(link: ClientLink) -> StoreLine:
    return StoreLine(
        name=unlinked(link.connection.name),
        region=region_name(link.connection.region),
        seller=masked(link.connection.selling_partner_id or ""),
        is_reconnect=link.purpose == ClientLink.Purpose.RECONNECT,
        url=url_of(link),
    )


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


def subject_line(links: Sequence[ClientLink]) -> str:
    """One line, whatever a name holds: a line break in a header is another header."""
    first, count = links[0], len(links)
    words = {
        "organization": unlinked(first.organization.name),
        "store": unlinked(first.connection.name),
    }
    if count > 1:
        text = ngettext(
            "%(organization)s asks for your Amazon consent for %(count)d store",
            "%(organization)s asks for your Amazon consent for %(count)d stores",
            count,
        ) % {"organization": words["organization"], "count": count}
    elif first.purpose == ClientLink.Purpose.RECONNECT:
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
    """The same for the same mail, so that whoever gets it twice can see that it is one."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    host = domain or urlsplit(settings.PUBLIC_BASE_URL).hostname
    return f"<client-link.{link.mail_key.hex}@{host}>"
