"""A link by which somebody without a login gives one consent for one row."""

from __future__ import annotations

import uuid
from datetime import UTC, date, time, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel


class ClientLink(ScopedModel):
    """Whoever holds it can go to Seller Central for this row's consent, and nothing else.

    Only a digest of the token is stored; `client_links.py` says where the token comes from.
    """

    class Purpose(models.TextChoices):
        CONNECT = "connect", _("Connect")
        RECONNECT = "reconnect", _("Reconnect")

    class Status(models.TextChoices):
        MADE = "made", _("Made")
        SENT = "sent", _("Sent")
        OPENED = "opened", _("Opened")
        LEFT = "left", _("Left for Amazon")
        FAILED = "failed", _("Did not work yet")
        CONSENTED = "consented", _("Consent given")
        DECLINED = "declined", _("Declined")
        EXPIRED = "expired", _("Expired")
        REVOKED = "revoked", _("Revoked")

    # In UTC, on the day after the last one: then that is over west of everything too.
    HOUR_OF_END: ClassVar[time] = time(12)
    LIVE: ClassVar[tuple[str, ...]] = ("made", "sent", "opened", "left", "failed")
    ENDS: ClassVar[set[str]] = {Status.DECLINED, Status.EXPIRED, Status.REVOKED}

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "client_link"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        # MADE to FAILED: the mail server refused the mail for good.
        Status.MADE: {Status.SENT, Status.OPENED, Status.LEFT, Status.FAILED, *ENDS},
        Status.SENT: {Status.OPENED, Status.LEFT, *ENDS},
        Status.OPENED: {Status.LEFT, *ENDS},
        # Two browsers may be on their way with one link; the first consent uses it up.
        Status.LEFT: {Status.LEFT, Status.FAILED, Status.CONSENTED, *ENDS},
        Status.FAILED: {
            Status.OPENED,
            Status.LEFT,
            Status.FAILED,
            Status.CONSENTED,
            *ENDS,
        },
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(
        "connections.Connection", on_delete=models.CASCADE, related_name="client_links"
    )
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    # None of the two: copied, and handed over by hand.
    recipient_name = models.CharField(max_length=150, blank=True, default="")
    recipient_email = models.EmailField(blank=True, default="")
    language = models.CharField(max_length=10)
    message = models.CharField(max_length=500, blank=True, default="")
    # The mail that brings it, where that brings others too: the id of the first of them.
    mail_id = models.UUIDField(null=True, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    made_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    # What it was made about, when it was made by itself (`client_reminders.py`).
    notice = models.ForeignKey(
        "connections.Notice", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.MADE)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True)
    left_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    # The outcome of the last trip that brought no consent, or what became of the mail.
    failure = models.CharField(max_length=40, blank=True, default="")
    # Since when it is told that the client does not answer (`client_silence.py`).
    silent_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "purpose"],
                condition=Q(status__in=["made", "sent", "opened", "left", "failed"]),
                name="one_live_client_link_each",
            ),
            models.UniqueConstraint(fields=["notice"], name="one_client_link_for_a_notice"),
            models.CheckConstraint(
                condition=Q(
                    status__in=["made", "sent", "opened", "left", "failed"], ended_at__isnull=True
                )
                | Q(
                    status__in=["consented", "declined", "expired", "revoked"],
                    ended_at__isnull=False,
                ),
                name="client_link_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="opened") | Q(opened_at__isnull=False),
                name="client_link_opened_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["left", "consented"]) | Q(left_at__isnull=False),
                name="client_link_left_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="failed") | (Q(failed_at__isnull=False) & ~Q(failure="")),
                name="client_link_failed_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(purpose__in=["connect", "reconnect"]),
                name="client_link_purpose_known",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-created_at"], name="client_links_newest"),
            models.Index(fields=["status", "expires_at"], name="client_links_by_expiry"),
            models.Index(fields=["mail_id"], name="client_links_by_mail"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.status}"

    @property
    def mail_key(self) -> uuid.UUID:
        return self.mail_id or self.pk

    @property
    def last_day(self) -> date:
        """The last one that is whole in every time zone, so everybody is told the same."""
        noon = timedelta(hours=self.HOUR_OF_END.hour)
        return (self.expires_at.astimezone(UTC) - noon).date() - timedelta(days=1)

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE


class ClientReminders(ScopedModel):
    """While the row is there, this organization's clients are asked by themselves."""

    id = models.BigAutoField(primary_key=True)
    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, related_name="+")
    switched_at = models.DateTimeField(default=timezone.now)
    # Who gets the replies, while he is a member.
    switched_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        verbose_name_plural = "client reminders"

    def __str__(self) -> str:
        return f"{self.switched_at:%Y-%m-%d}"
