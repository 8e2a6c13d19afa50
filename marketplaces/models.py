"""Which stores there are, which of them a seller has, and their onboarding."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models import Connection
from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel


class Marketplace(models.Model):
    """One of Amazon's marketplaces (Amazon: Marketplace IDs). Staff switch the supported ones."""

    marketplace_id = models.CharField(primary_key=True, max_length=20)
    name = models.CharField(max_length=60)
    country_code = models.CharField(max_length=2)
    region = models.CharField(max_length=2)
    is_supported = models.BooleanField(_("supported"), default=True)
    has_ads = models.BooleanField(_("Amazon Ads available"), default=True)

    class Meta:
        ordering = ["region", "name"]

    def __str__(self) -> str:
        return self.name


class MarketplaceAccount(ScopedModel):
    """One seller in one marketplace, as the Sellers API tells it, and our onboarding of it.

    Marketplaces missing from a later reply are kept and marked not participating.
    """

    class Onboarding(models.TextChoices):
        PENDING = "pending", _("Pending")
        WORKING = "working", _("Working")
        ONBOARDED = "onboarded", _("Onboarded")
        NEEDS_ATTENTION = "needs_attention", _("Needs you")
        PAUSED = "paused", _("Paused")

    STATUS_FIELD: ClassVar[str] = "onboarding"
    EVENT_PREFIX: ClassVar[str] = "onboarding"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        Onboarding.PENDING: {Onboarding.WORKING},
        Onboarding.WORKING: {
            Onboarding.ONBOARDED,
            Onboarding.NEEDS_ATTENTION,
            Onboarding.PENDING,
            Onboarding.PAUSED,
        },
        Onboarding.ONBOARDED: {Onboarding.PAUSED},
        Onboarding.NEEDS_ATTENTION: {Onboarding.WORKING, Onboarding.PAUSED},
        Onboarding.PAUSED: {Onboarding.WORKING, Onboarding.ONBOARDED, Onboarding.PENDING},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(
        Connection, on_delete=models.CASCADE, related_name="marketplace_accounts"
    )
    marketplace_id = models.CharField(max_length=20)
    name = models.CharField(max_length=80, blank=True)
    country_code = models.CharField(max_length=2, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    language = models.CharField(max_length=10, blank=True)
    domain_name = models.CharField(max_length=100, blank=True)
    store_name = models.CharField(max_length=200, blank=True)
    is_participating = models.BooleanField()
    has_suspended_listings = models.BooleanField(default=False)
    seen_at = models.DateTimeField(default=timezone.now)
    # When the seller joined or left it after the row's first reading, as our readings show it.
    joined_at = models.DateTimeField(null=True)
    lost_at = models.DateTimeField(null=True)
    onboarding = models.CharField(
        max_length=16, choices=Onboarding.choices, default=Onboarding.PENDING
    )
    onboarding_changed_at = models.DateTimeField(default=timezone.now)
    attention_reason = models.CharField(max_length=40, blank=True)
    chosen_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    chosen_at = models.DateTimeField(null=True)
    onboarded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "marketplace_id"], name="marketplace_account_once"
            ),
            models.UniqueConstraint(
                fields=["organization", "id"], name="marketplace_account_composite_key"
            ),
            models.CheckConstraint(
                condition=Q(
                    onboarding__in=["pending", "working", "onboarded", "needs_attention", "paused"]
                ),
                name="onboarding_status_known",
            ),
            models.CheckConstraint(
                condition=~Q(onboarding="needs_attention") | ~Q(attention_reason=""),
                name="onboarding_attention_has_reason",
            ),
            models.CheckConstraint(
                condition=~Q(onboarding="onboarded") | Q(onboarded_at__isnull=False),
                name="onboarding_done_has_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.store_name} {self.name}".strip()
