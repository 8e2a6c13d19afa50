"""Pages say "our staff have been told": here they are, by mail, once for each cause and day.

Whoever meets a fault of ours leaves a row; a sweep sends the mail, with no transaction open.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.models import StaffNotice, User

logger = logging.getLogger(__name__)

CLAIM = timedelta(minutes=10)
KEPT = timedelta(days=30)
# Cause → what the mail says, and which section of docs/runbook.md helps.
CAUSES: dict[str, tuple[str | Promise, str]] = {
    "client_misconfigured": (
        _("Amazon does not accept our application's credentials. Work waits."),
        "OurClientRefused",
    ),
    "vault_key_missing": (
        _("A key that seals consents is missing or wrong. Work waits; no consent has changed."),
        "KeyMissing",
    ),
    "vault_locked": (
        _("A stored consent does not open although its key is there. It is locked."),
        "ConsentLocked",
    ),
    "vault_refused": (
        _("What belongs to a trip to Amazon did not open. Nothing of the trip was stored."),
        "ConsentLocked",
    ),
    "role_missing": (
        _("Amazon misses a role in a consent that is newer than each of our application's roles."),
        "A role that our application lost",
    ),
    "wrong_region": (
        _("Amazon knows an account in another region than its row stands in."),
        "A consent of another region",
    ),
    "amazon_incident": (
        _(
            "An incident of Amazon's is open: a part of it fails for many organizations at once, "
            "or a colleague says so. People who use that part see a banner."
        ),
        "AmazonIncident",
    ),
    "amazon_incident_left_open": (
        _(
            "An incident that staff opened has been open for two hours and more. People still see "
            "the banner. Close it in the admin when it is over."
        ),
        "AmazonIncident",
    ),
    "amazon_incident_over": (
        _("An incident of Amazon's is over. The admin has its time, calls and organizations."),
        "AmazonIncident",
    ),
}


def tell(cause: str) -> None:
    """After the caller's commit: nobody waits for this row, and it holds no lock of theirs."""

    def leave_a_row() -> None:
        StaffNotice.objects.bulk_create(
            [StaffNotice(cause=cause, day=timezone.now().date())], ignore_conflicts=True
        )

    transaction.on_commit(leave_a_row, robust=True)


def send_due() -> int:
    """For the sweep. Returns the number of mails."""
    StaffNotice.objects.filter(day__lt=(timezone.now() - KEPT).date()).delete()
    due = StaffNotice.objects.filter(sent_at=None).order_by("pk")
    return sum(_send(notice) for notice in due if _claim(notice))


def _claim(notice: StaffNotice) -> int:
    """A sender that died gives it back after a while."""
    now = timezone.now()
    is_free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    mine = StaffNotice.objects.filter(is_free, pk=notice.pk, sent_at=None)
    return mine.update(claimed_until=now + CLAIM)


def _send(notice: StaffNotice) -> int:
    words, section = CAUSES[notice.cause]
    staff = User.objects.filter(is_staff=True, is_active=True)
    addresses = sorted(staff.values_list("email", flat=True))
    if not addresses:
        logger.error("staff_notice_unsent", extra={"cause": "no_staff"})
        return 0
    text = _(
        "%(words)s\n\nDay: %(day)s (UTC). Each cause is told once a day; the log has every case.\n"
        "What to do: docs/runbook.md, %(section)s.\n"
    ) % {"words": words, "day": notice.day, "section": section}
    send_mail(str(words), text, None, addresses)
    StaffNotice.objects.filter(pk=notice.pk).update(sent_at=timezone.now())
    return 1
