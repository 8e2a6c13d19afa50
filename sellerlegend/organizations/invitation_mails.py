"""The mail with the link: sent at once by the request that made it, since the link stands nowhere
else. Whether the server took it stands on the page, where it can be sent again."""

from __future__ import annotations

import logging
import smtplib

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from sellerlegend.mail_texts import unlinked
from sellerlegend.organizations.models import Invitation

logger = logging.getLogger(__name__)


def send(invitation: Invitation, token: str) -> bool:
    """Outside of any transaction, in the inviter's language. False: no mail server took it; what
    it said may hold the address, so the log has the kind of error alone."""
    try:
        compose(invitation, token).send()
    except (smtplib.SMTPException, OSError) as error:
        logger.warning("invitation_mail_failed", extra={"error": type(error).__name__})
        return False
    rows = Invitation.objects.for_organization(invitation.organization_id)
    rows.filter(pk=invitation.pk).update(sent_at=timezone.now())
    return True


def compose(invitation: Invitation, token: str) -> EmailMultiAlternatives:
    organization = unlinked(invitation.organization.name)
    facts = {"who": invitation.invited_by, "organization": organization}
    headline = _("%(who)s invites you to %(organization)s") % facts
    context = {
        "headline": headline,
        "role": invitation.get_role_display(),
        "organization": organization,
        "who": invitation.invited_by,
        "email": invitation.email,
        "days": Invitation.LIFETIME.days,
        "url": f"{settings.PUBLIC_BASE_URL}{reverse('invitation_link', args=[token])}",
        "site_name": settings.SITE_NAME,
    }
    # One line, whatever a name holds: a line break in a header is another header.
    subject = " ".join(f"[{settings.SITE_NAME}] {headline}".split())[:200]
    message = EmailMultiAlternatives(
        subject=subject,
        body=render_to_string("organizations/mail/invitation.txt", context),
        to=[invitation.email],
        headers={"Auto-Submitted": "auto-generated"},
    )
    html = render_to_string("organizations/mail/invitation.html", context)
    message.attach_alternative(html, "text/html")
    return message
