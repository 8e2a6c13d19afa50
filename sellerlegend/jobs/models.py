"""The ledger of background work; Amazon's rates, breakers and incidents; locks and slots."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel


class Job(ScopedModel):
    """One piece of work for one subject row. The mechanics live here, the meaning there.

    queued → running → done · waiting (due at `next_attempt_at`) · dead. `fence` grows at every
    claim; a worker's writes must still match it. Attempts are counted at the claim, so work
    that kills its worker is counted too.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        WAITING = "waiting"
        DONE = "done"
        DEAD = "dead"

    LIVE = (Status.QUEUED, Status.RUNNING, Status.WAITING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=60)
    subject_id = models.UUIDField()
    # Which screen row shows this work, where there is one.
    connection_id = models.UUIDField(null=True)
    queue = models.CharField(max_length=20, default="interactive")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    lease_expires_at = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    waiting_reason = models.CharField(max_length=40, blank=True)
    last_error_code = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id", "kind"],
                condition=Q(status__in=["queued", "running", "waiting"]),
                name="one_live_job_per_subject",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "waiting", "done", "dead"]),
                name="job_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status="running", lease_expires_at__isnull=False)
                | (~Q(status="running") & Q(lease_expires_at__isnull=True)),
                name="job_running_means_leased",
            ),
        ]
        indexes = [
            models.Index(
                fields=["lease_expires_at"], condition=Q(status="running"), name="job_leased"
            ),
            models.Index(
                fields=["queue", "organization", "next_attempt_at"],
                condition=Q(status__in=["queued", "waiting"]),
                name="job_due_by_organization",
            ),
            models.Index(
                fields=["organization"],
                condition=Q(status="running"),
                name="job_running_by_organization",
            ),
            models.Index(fields=["connection_id"], name="job_by_connection"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.status}"


class RateBucket(models.Model):
    """A token bucket for one (application, organization, selling partner, operation), shared
    by all workers. Keyed by a digest."""

    key = models.CharField(max_length=64, primary_key=True)
    tokens = models.FloatField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key[:12]


class NamedLock(models.Model):
    """One row per command name; held by a lease, so a killed holder frees it by itself."""

    name = models.CharField(max_length=60, primary_key=True)
    holder = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class Slot(models.Model):
    """A slot of time in which something is done once, whoever else asks for it."""

    name = models.CharField(max_length=60)
    starts_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "starts_at"], name="one_holder_of_a_slot")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.starts_at:%H:%M:%S}"


class Breaker(models.Model):
    """What all processes know of one side of Amazon: its failures in the present window, and
    until when nobody calls it. `probe_until` is the lease of whoever tries it again."""

    name = models.CharField(max_length=160, primary_key=True)
    window_started_at = models.DateTimeField()
    calls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True)
    probe_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class Incident(models.Model):
    """A time in which a part of Amazon failed for many organizations: not the fault of any seller.

    Opens by itself when at least half of ten calls fail over three organizations within ten
    minutes, or by hand; one open incident for each part.
    """

    class Surface(models.TextChoices):
        LWA = "lwa", _("Login with Amazon")
        SELLERS = "sellers", _("Selling Partner API")
        ADS = "ads", _("Amazon Ads API")

    class Cause(models.TextChoices):
        FAILING = "failing", _("No answer, or an error")
        THROTTLED = "throttled", _("Calls are throttled")
        # Refusals of consents all at once: while it is open no consent is believed to be over.
        REFUSING = "refusing", _("Consents are refused")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    surface = models.CharField(max_length=10, choices=Surface.choices)
    # Empty where the part is one for all regions, as the token endpoint is.
    region = models.CharField(max_length=2, blank=True, default="")
    cause = models.CharField(max_length=10, choices=Cause.choices, default=Cause.FAILING)
    opened_at = models.DateTimeField(default=timezone.now)
    # None: it opened, or closed, by itself.
    opened_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    # What was counted in the worst window.
    calls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    organizations = models.PositiveIntegerField(default=0)
    # Since when consents are refused all at once; from then on, for a while, none is believed to be
    # over. Not when it opened: it may have begun as an outage.
    refusing_since = models.DateTimeField(null=True)
    # Since when all calls succeed again; it closes after ten such minutes.
    good_since = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["surface", "region"],
                condition=Q(closed_at=None),
                name="one_open_incident_each",
            ),
            models.CheckConstraint(
                condition=Q(surface__in=["lwa", "sellers", "ads"]), name="incident_surface_known"
            ),
            models.CheckConstraint(
                condition=Q(cause__in=["failing", "throttled", "refusing"]),
                name="incident_cause_known",
            ),
        ]
        # The named actions of the staff pages.
        permissions = [
            ("open_incident", "Can open an incident"),
            ("close_incident", "Can close an incident"),
        ]

    def __str__(self) -> str:
        return f"{self.surface} {self.region}".strip()


class CallWindow(models.Model):
    """How the calls of one organization to one part of Amazon went within one minute."""

    surface = models.CharField(max_length=10)
    region = models.CharField(max_length=2, blank=True, default="")
    organization_id = models.UUIDField()
    minute = models.DateTimeField()
    calls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    throttled = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "surface", "region", "organization_id"],
                name="call_window_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.surface} {self.minute:%H:%M}"
