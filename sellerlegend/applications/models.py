"""The client secrets of our own applications, and what staff were told of them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sellerlegend.crypto import Place

# Amazon: a client secret is rotated every 180 days, and the old one works for 7 days more.
# https://developer-docs.amazon.com/sp-api/docs/rotating-your-apps-lwa-credentials
LIFE = timedelta(days=180)
OVERLAP = timedelta(days=7)


class LwaApplication(models.TextChoices):
    """Each has an LWA client of its own."""

    SPAPI = "spapi", _("Selling Partner API")
    ADS = "ads", _("Amazon Ads API")


class ClientSecret(models.Model):
    """One secret of an LWA client, known by its fingerprint.

    `sealed_secret` is empty while only the environment holds the value, and again once Amazon
    has ended it. It is sealed under a data key of its own row, which the key ring wraps.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    application = models.CharField(max_length=10, choices=LwaApplication.choices)
    client_id = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=8)
    sealed_secret = models.TextField(blank=True, editable=False)
    data_key = models.TextField(blank=True, editable=False)
    first_seen_at = models.DateTimeField(default=timezone.now)
    # What Amazon's message or an operator says; None: counted from the day we first saw it.
    issued_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    # When a newer one took its place here.
    superseded_at = models.DateTimeField(null=True)
    # When Amazon was asked for a newer one; its message is awaited until that one is in force.
    rotation_requested_at = models.DateTimeField(null=True)
    uses = models.BigIntegerField(default=0)
    # Of these, how many after a newer one had taken its place.
    fallback_uses = models.BigIntegerField(default=0)
    last_used_at = models.DateTimeField(null=True)
    # Since when Login with Amazon refuses it; None again after the next success.
    refused_at = models.DateTimeField(null=True)
    # When the Selling Partner API first called it too old. That does not mend.
    called_expired_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["client_id", "fingerprint"], name="one_row_per_client_secret"
            ),
            models.CheckConstraint(
                condition=Q(application__in=LwaApplication.values),
                name="client_secret_application_known",
            ),
            models.CheckConstraint(
                condition=Q(sealed_secret="", data_key="")
                | (~Q(sealed_secret="") & ~Q(data_key="")),
                name="client_secret_sealed_with_its_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.application} {self.fingerprint}"

    def place(self) -> Place:
        return Place("applications_clientsecret", "sealed_secret", self.pk, self.pk)

    def ends_at(self) -> datetime:
        """When Amazon stops accepting it, as far as anybody knows."""
        alone = self.expires_at or (self.issued_at or self.first_seen_at) + LIFE
        if self.superseded_at is None:
            return alone
        overlap = self.superseded_at + OVERLAP
        return min(self.expires_at, overlap) if self.expires_at else overlap

    @property
    def is_refused(self) -> bool:
        """By Login with Amazon until its next success, or by the Selling Partner API for good."""
        return self.refused_at is not None or self.called_expired_at is not None

    @property
    def accepted_at(self) -> datetime | None:
        """When Amazon was last heard to accept it. A sealed one was proved before; one that only
        an environment names may be a typo until it is used."""
        proved_at = self.first_seen_at if self.sealed_secret else None
        return max(filter(None, (proved_at, self.last_used_at)), default=None)


class ApplicationRole(models.Model):
    """A role that our application has at Amazon, and since when. A consent from before that day
    does not have it until it is renewed (Amazon: Renew authorizations)."""

    application = models.CharField(max_length=10, choices=LwaApplication.choices)
    name = models.CharField(_("role"), max_length=80)
    added_at = models.DateTimeField(_("added"), default=timezone.now)
    # When staff wrote it down: only then it is news to anybody.
    entered_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["application", "name"], name="application_role_once"),
            models.CheckConstraint(
                condition=Q(application__in=LwaApplication.values),
                name="application_role_application_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SecretNotice(models.Model):
    """One mail to staff about one secret. The row is taken before the mail goes out, so that two
    sweeps send one; a sender that died with it gives it back when the claim ends."""

    secret = models.ForeignKey(ClientSecret, on_delete=models.CASCADE, related_name="notices")
    step = models.CharField(max_length=30)
    claimed_until = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["secret", "step"], name="one_notice_per_step")
        ]

    def __str__(self) -> str:
        return self.step
