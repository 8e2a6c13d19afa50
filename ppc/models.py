"""Amazon Ads profiles as Amazon lists them, and their links to marketplace accounts."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models import AdsGrant
from marketplaces.models import MarketplaceAccount
from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedModel


class AdsProfile(ScopedModel):
    """One advertiser account in one marketplace, seen through one Ads grant (`/v2/profiles`).

    `profile_id` is unsigned 64-bit at Amazon and therefore kept as text.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    grant = models.ForeignKey(AdsGrant, on_delete=models.CASCADE, related_name="profiles")
    profile_id = models.CharField(max_length=40)
    account_type = models.CharField(max_length=20)
    account_id = models.CharField(max_length=60)
    account_name = models.CharField(max_length=200, blank=True)
    marketplace_id = models.CharField(max_length=20)
    country_code = models.CharField(max_length=2, blank=True)
    currency_code = models.CharField(max_length=3, blank=True)
    timezone_name = models.CharField(max_length=64, blank=True)
    can_edit = models.BooleanField()
    is_listed = models.BooleanField(default=True)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["grant", "profile_id"], name="ads_profile_once"),
            models.UniqueConstraint(
                fields=["organization", "id"], name="ads_profile_composite_key"
            ),
        ]
        indexes = [
            models.Index(
                fields=["organization", "account_id", "marketplace_id"], name="ads_profile_match"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_name or self.account_id} {self.country_code}"


class PpcLink(ScopedModel):
    """A marketplace account and the Ads profile that advertises it.

    Joins two trees, so it carries the organization, and PostgreSQL holds a composite foreign
    key to both sides: a link across organizations cannot be stored.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        WORKING = "working", _("Working")
        LINKED = "linked", _("Connected")
        NEEDS_ATTENTION = "needs_attention", _("Needs you")
        UNLINKED = "unlinked", _("Unlinked")

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "ppc_link"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        Status.PENDING: {Status.WORKING},
        Status.WORKING: {Status.LINKED, Status.NEEDS_ATTENTION, Status.PENDING},
        Status.LINKED: {Status.UNLINKED, Status.NEEDS_ATTENTION, Status.WORKING},
        Status.NEEDS_ATTENTION: {Status.WORKING, Status.LINKED, Status.UNLINKED},
        Status.UNLINKED: {Status.WORKING},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    account = models.OneToOneField(
        MarketplaceAccount, on_delete=models.CASCADE, related_name="ppc_link"
    )
    profile = models.ForeignKey(
        AdsProfile, null=True, on_delete=models.RESTRICT, related_name="links"
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    status_changed_at = models.DateTimeField(default=timezone.now)
    attention_reason = models.CharField(max_length=40, blank=True)
    chosen_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    chosen_at = models.DateTimeField(null=True)
    linked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    status__in=["pending", "working", "linked", "needs_attention", "unlinked"]
                ),
                name="ppc_link_status_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="linked") | Q(profile__isnull=False, linked_at__isnull=False),
                name="ppc_link_linked_has_profile",
            ),
            models.CheckConstraint(
                condition=~Q(status="needs_attention") | ~Q(attention_reason=""),
                name="ppc_link_attention_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.status}"

    @property
    def connection_id(self) -> uuid.UUID:
        return self.account.connection_id
