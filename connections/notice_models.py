"""What people are told, how they want to hear it, and the mails that told them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel

DIGEST_HOUR, QUIET_FROM, QUIET_UNTIL = 8, 22, 7


class Notice(ScopedModel):
    """One thing that somebody should know of, told once: a step of one consent, an incident, or a
    client who does not answer.

    `subject_id` is the consent's row, the incident or the link, `consent_at` the day that this
    consent was given (or the incident opened, or the link made; then `authorized_by` made it). It
    is over when `resolved_at` is set: the facts say so.
    """

    class Kind(models.TextChoices):
        EXPIRING = "expiring", _("Consent ends soon")
        EXPIRED = "expired", _("Consent expired")
        REVOKED = "revoked", _("Consent revoked")
        PERMISSION_MISSING = "permission_missing", _("Permission missing")
        RECOVERED = "recovered", _("Works again")
        CLIENT_SILENT = "client_silent", _("Client does not answer")
        INCIDENT_OPENED = "incident_opened", _("Amazon incident")
        INCIDENT_CLOSED = "incident_closed", _("Amazon incident over")

    # Whoever heard of the alarm hears that it is over, though a colleague has read it.
    GOOD_NEWS: ClassVar[tuple[str, ...]] = ("recovered", "incident_closed")
    # Of one that works, why: its year was over, but it never stopped before the new one came.
    RENEWED: ClassVar[str] = "renewed"
    FIRST_SILENCE: ClassVar[str] = "silent"
    # Nobody is here who asked.
    FIRST_SILENCE_OF_NOBODYS: ClassVar[str] = "silent, to administrators"
    SILENCE_AGAIN: ClassVar[str] = "silent again"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    step = models.CharField(max_length=60)
    # Of the ladder before the end of a consent: 60, 30, 14, 7 or 1.
    days = models.PositiveSmallIntegerField(null=True)
    subject_id = models.UUIDField()
    consent_at = models.DateTimeField()
    # When it came true, as the facts tell.
    occurred_at = models.DateTimeField()
    connection = models.ForeignKey(
        "connections.Connection", null=True, on_delete=models.CASCADE, related_name="+"
    )
    ads_grant = models.ForeignKey(
        "connections.AdsGrant", null=True, on_delete=models.CASCADE, related_name="+"
    )
    authorized_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    # Of the catalogue in `reasons.py`, where it knows more than the kind does.
    reason = models.CharField(max_length=40, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Everybody who wants it has it in a mail; until then it is looked at again and again.
    settled_at = models.DateTimeField(null=True)
    look_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id", "consent_at", "step", "organization"],
                name="notice_once_a_step",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        "expiring",
                        "expired",
                        "revoked",
                        "permission_missing",
                        "recovered",
                        "client_silent",
                        "incident_opened",
                        "incident_closed",
                    ]
                ),
                name="notice_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="expiring", days__isnull=False)
                | (~Q(kind="expiring") & Q(days=None)),
                name="notice_days_of_the_ladder",
            ),
        ]
        indexes = [
            models.Index(
                fields=["look_at"], condition=Q(settled_at=None), name="notice_to_be_mailed"
            ),
            models.Index(
                fields=["organization", "-created_at"],
                condition=Q(resolved_at=None),
                name="notice_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.step}"

    @property
    def needs_a_person(self) -> bool:
        asking = ("expiring", "expired", "revoked", "permission_missing", "client_silent")
        return self.kind in asking

    @property
    def is_urgent(self) -> bool:
        """Does not wait for tomorrow's digest: an alarm, and the all-clear for one."""
        calm = ("expiring", "permission_missing", "client_silent")
        return self.days == 1 or self.kind not in calm

    @property
    def is_revocation(self) -> bool:
        return self.kind == "revoked"

    @property
    def is_for_one(self) -> bool:
        """Of a client's first silence whoever asked hears; of a second one administrators too."""
        return self.kind == "client_silent" and self.step == self.FIRST_SILENCE

    @property
    def is_worse(self) -> bool:
        """Goes out even to who snoozed or acknowledged what came before it."""
        return self.days in (7, 1) or self.kind in ("expired", "revoked")


class NotificationChoice(ScopedModel):
    """How one person wants to hear from one organization; without a row the defaults count."""

    class Wants(models.TextChoices):
        ALL = "all", _("Everything, also what mends itself and recoveries")
        NEEDS_ME = "needs_me", _("Only what needs somebody to act")
        NONE = "none", _("No mail")
        # Chosen by nobody: by role, and what one authorised oneself.
        UNSET = "", _("By my role")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    wants = models.CharField(max_length=10, choices=Wants.choices, blank=True, default="")
    # Hours of the person's own day, 0 to 23. The same hour twice: no quiet hours.
    digest_hour = models.PositiveSmallIntegerField(default=DIGEST_HOUR)
    quiet_from = models.PositiveSmallIntegerField(default=QUIET_FROM)
    quiet_until = models.PositiveSmallIntegerField(default=QUIET_UNTIL)
    paused_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"], name="one_notification_choice_each"
            ),
            models.CheckConstraint(
                condition=Q(digest_hour__lt=24, quiet_from__lt=24, quiet_until__lt=24),
                name="notification_choice_hours_of_a_day",
            ),
            models.CheckConstraint(
                condition=Q(wants__in=["", "all", "needs_me", "none"]),
                name="notification_choice_wants_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.wants}"

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now

    def is_quiet(self, local: datetime) -> bool:
        """Whether this moment, on the person's own clock, is within the quiet hours."""
        start, end = self.quiet_from, self.quiet_until
        if start <= end:
            return start <= local.hour < end
        return local.hour >= start or local.hour < end


class NoticeSnooze(ScopedModel):
    """One person does not want to hear of one consent until then, unless it gets worse."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    subject_id = models.UUIDField()
    made_at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user", "subject_id"], name="one_snooze_each"
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject_id} {self.until:%Y-%m-%d}"

    def is_about(self, notice: Notice) -> bool:
        """The consent that was snoozed: not a newer one in its place, nor that it works again."""
        return notice.consent_at <= self.made_at and notice.kind != Notice.Kind.RECOVERED

    def mutes(self, notice: Notice, now: datetime) -> bool:
        is_newer = notice.is_worse and notice.created_at > self.made_at
        return self.is_about(notice) and self.until > now and not is_newer


class NoticeMail(ScopedModel):
    """One mail to one person about one organization: the row comes first, a job sends it.

    `number` counts those of a kind and day. A digest is the only one of its day.
    """

    class Kind(models.TextChoices):
        DIGEST = "digest", _("Digest")
        URGENT = "urgent", _("At once")
        # With a revocation in it: what incidents and recoveries use up is not theirs.
        REVOKED = "revoked", _("At once, of a revocation")

    class Status(models.TextChoices):
        PLANNED = "planned", _("Planned")
        SENT = "sent", _("Sent")
        # Nothing was left to tell, or nobody to tell it to.
        DROPPED = "dropped", _("Dropped")
        FAILED = "failed", _("Not accepted")

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "notice_mail"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        Status.PLANNED: {Status.SENT, Status.DROPPED, Status.FAILED}
    }
    A_DAY: ClassVar[dict[str, int]] = {Kind.DIGEST: 1, Kind.URGENT: 3, Kind.REVOKED: 10}
    # Longer than a mail server is usually away.
    GIVEN_UP_AFTER: ClassVar[timedelta] = timedelta(days=2)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    # Of the person's own calendar.
    day = models.DateField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    number = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PLANNED)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization", "day", "kind", "number"],
                name="notice_mail_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["planned", "sent", "dropped", "failed"]),
                name="notice_mail_status_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="digest", number=0)
                | Q(kind="urgent", number__lt=3)
                | Q(kind="revoked", number__lt=10),
                name="notice_mail_few_a_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.kind} {self.status}"


class NoticeLine(ScopedModel):
    """This mail tells this person this notice: nobody is told the same thing twice."""

    organization_path = "mail__organization"

    id = models.BigAutoField(primary_key=True)
    mail = models.ForeignKey(NoticeMail, on_delete=models.CASCADE, related_name="lines")
    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="lines")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "notice"], name="notice_told_once_each")
        ]

    def __str__(self) -> str:
        return f"{self.mail_id} {self.notice_id}"
