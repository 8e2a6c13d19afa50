"""The (organization, seller, region) row, the two kinds of grant, and trips to Amazon."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# Django finds models through this module.
from connections import (  # noqa: F401
    client_link_models,
    feed_models,
    grouping_models,
    health_models,
    import_models,
    notice_models,
    queue_models,
)
from sellerlegend.amazon.regions import Region
from sellerlegend.applications.models import LwaApplication
from sellerlegend.crypto import Place
from sellerlegend.organizations.models import Organization, User
from sellerlegend.organizations.scoping import ScopedManager, ScopedModel, ScopedQuerySet

REGIONS = [region.value for region in Region]
# Amazon ends a consent 365 days after it was given; refreshing does not extend it.
CONSENT_DAYS = 365
# How long a disconnected row can be had back: the 30 days after which Amazon wants its data erased,
# less an hour, since every hour what is due goes (`ppc/pruning.py`).
KEPT_AFTER_END = timedelta(days=30, hours=-1)
# Amazon Ads consents given before this day have no fixed end (Amazon Ads: Refresh tokens).
ADS_YEAR_RULE_SINCE = datetime(2026, 7, 30, tzinfo=UTC)


class ConnectionManager(ScopedManager[Any]):
    """A removed row can still be restored, and is in no query that does not ask for it."""

    def get_queryset(self) -> ScopedQuerySet[Any]:
        return super().get_queryset().filter(removed_at=None)


class Connection(ScopedModel):
    """One row of the screen. Without consent yet, `selling_partner_id` is NULL."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="connections"
    )
    name = models.CharField(_("name"), max_length=80)
    region = models.CharField(max_length=2)
    # Of an agency: whose stores these are.
    client = models.ForeignKey(
        grouping_models.Client,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="connections",
    )
    # The marketplace picked at creation: decides the consent host, pre-ticked when onboarding.
    marketplace_id = models.CharField(max_length=20)
    # A claim of the browser until a call that names it agrees; never unique across organizations.
    selling_partner_id = models.CharField(max_length=40, null=True, blank=True)
    # *Connect another region* expects this seller; another one must be confirmed as a new row.
    expected_selling_partner_id = models.CharField(max_length=40, blank=True, default="")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # NULL while the page still asks "is this right?" about a fresh consent.
    account_confirmed_at = models.DateTimeField(null=True, blank=True)
    # When a call that names the Seller ID succeeded with the row's consent: the claim is proved.
    seller_proved_at = models.DateTimeField(null=True, blank=True)
    participations_read_at = models.DateTimeField(null=True, blank=True)
    # Why the last reading of the marketplaces needs a person; empty while all is well.
    reading_error = models.CharField(max_length=40, blank=True, default="")
    revision = models.BigIntegerField(default=0, editable=False)
    mws_auth_token = models.TextField(blank=True, default="", editable=False)
    mws_auth_token_tail = models.CharField(max_length=4, blank=True, default="")
    mws_auth_token_updated_at = models.DateTimeField(null=True, blank=True)
    # Hidden with its history, until it is restored or erased (`ppc/removing.py`).
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[ScopedManager[Any]] = ConnectionManager()
    with_removed: ClassVar[ScopedManager[Any]] = ScopedManager()

    class Meta:
        # For the staff's pages; everybody else asks for the removed ones by name.
        default_manager_name = "with_removed"
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("name"),
                condition=Q(removed_at=None),
                name="connection_name_once_per_organization",
            ),
            # Removed ones too: who connects that seller again gets the old row back.
            models.UniqueConstraint(
                fields=["organization", "selling_partner_id", "region"],
                name="connection_once_per_seller_and_region",
            ),
            models.UniqueConstraint(fields=["organization", "id"], name="connection_composite_key"),
            models.CheckConstraint(condition=Q(region__in=REGIONS), name="connection_region_known"),
            models.CheckConstraint(
                condition=Q(selling_partner_id__isnull=True) | ~Q(selling_partner_id=""),
                name="connection_seller_null_or_given",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "revision"], name="connection_by_revision"),
            models.Index("organization", Lower("name"), "id", name="connection_in_order"),
        ]
        # The named actions of the staff pages, on the row and on everything below it.
        permissions = [
            ("resync_connection", "Can re-sync"),
            ("retry_connection", "Can retry now"),
            ("require_reconnect_connection", "Can require a reconnect"),
        ]

    def __str__(self) -> str:
        return self.name

    def mws_place(self) -> Place:
        return Place(self._meta.db_table, "mws_auth_token", self.organization_id, self.pk)

    @property
    def waits_for_consent(self) -> bool:
        return self.selling_partner_id is None


class Grant(ScopedModel):
    """What a seller or advertiser gave us: a refresh token and the facts about it.

    `version` grows with every new consent; slow writers must still match it. The token column
    is read by `connections.credentials` alone.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        DOUBTED = "doubted", _("Refused, checking again")
        INVALID = "invalid", _("Revoked or expired")
        DISCONNECTED = "disconnected", _("Disconnected")

    STATUS_FIELD: ClassVar[str] = "status"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        # ACTIVE to INVALID without a doubt first: staff asked for a new consent.
        Status.ACTIVE: {Status.ACTIVE, Status.DOUBTED, Status.INVALID, Status.DISCONNECTED},
        Status.DOUBTED: {Status.ACTIVE, Status.INVALID, Status.DISCONNECTED},
        Status.INVALID: {Status.ACTIVE, Status.DISCONNECTED},
        Status.DISCONNECTED: {Status.ACTIVE},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(max_length=12, choices=Status.choices)
    status_changed_at = models.DateTimeField(default=timezone.now)
    refresh_token = models.TextField(blank=True, editable=False)
    fingerprint = models.CharField(max_length=8, blank=True)
    # The client id of ours that Amazon gave the token to: no other one may refresh it. Empty until
    # the next use for a consent that is older than this column.
    client_id = models.CharField(max_length=200, blank=True, default="", db_default="")
    version = models.BigIntegerField(default=1)
    authorized_at = models.DateTimeField()
    authorized_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    # How somebody without a login is called, who gave it by a client link.
    authorized_name = models.CharField(max_length=150, blank=True, default="", db_default="")
    refresh_lease_until = models.DateTimeField(null=True)
    last_refreshed_at = models.DateTimeField(null=True)
    last_refused_at = models.DateTimeField(null=True)
    first_refused_at = models.DateTimeField(null=True)
    refusals = models.PositiveIntegerField(default=0)
    # `refusals` are those since then, where it is later than the first one: staff said of those
    # before that they were Amazon's own doing.
    refusals_counted_from = models.DateTimeField(null=True)
    last_error_code = models.CharField(max_length=60, blank=True)
    # What calls with this consent told us; `observations.py` writes them, `health.py` reads them.
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    last_failure_code = models.CharField(max_length=40, blank=True, default="", db_default="")
    throttled_since = models.DateTimeField(null=True)
    permission_missing_since = models.DateTimeField(null=True)
    # The daily proof: when it last succeeded, and when it is due again.
    verified_at = models.DateTimeField(null=True)
    verify_due_at = models.DateTimeField(null=True)
    # The last time without access.
    gap_started_at = models.DateTimeField(null=True)
    gap_ended_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.fingerprint} {self.status}"

    @property
    def reauthorize_by(self) -> datetime | None:
        """When Amazon ends this consent: 365 days after it was given. None: no fixed end."""
        return self.authorized_at + timedelta(days=CONSENT_DAYS)

    @property
    def is_living(self) -> bool:
        """In use, and its year is not over."""
        ends = self.reauthorize_by
        is_over = ends is not None and ends <= timezone.now()
        return self.status in (self.Status.ACTIVE, self.Status.DOUBTED) and not is_over

    def place(self) -> Place:
        """Where the refresh token lives: part of what its ciphertext is bound to."""
        return Place(self._meta.db_table, "refresh_token", self.owner_id(), self.pk)


def grant_constraints(prefix: str) -> list[models.BaseConstraint]:
    """What a status implies, said again by the database."""
    known = ["active", "doubted", "invalid", "disconnected"]
    return [
        models.CheckConstraint(condition=Q(status__in=known), name=f"{prefix}_status_known"),
        models.CheckConstraint(
            # A consent that Amazon ended loses its token four weeks later, and stays invalid.
            condition=Q(status__in=["disconnected", "invalid"]) | ~Q(refresh_token=""),
            name=f"{prefix}_holds_a_token",
        ),
        models.CheckConstraint(
            condition=~Q(status="disconnected") | Q(refresh_token=""),
            name=f"{prefix}_disconnected_is_empty",
        ),
    ]


def verification_index(prefix: str) -> models.Index:
    """For the sweep that asks every day which consents are due to be proved."""
    proved = Q(status__in=["active", "doubted"])
    return models.Index(fields=["verify_due_at"], condition=proved, name=f"{prefix}_to_verify")


class SpApiGrant(Grant):
    """The Selling Partner API consent of one connection."""

    EVENT_PREFIX: ClassVar[str] = "spapi_grant"
    application: ClassVar[LwaApplication] = LwaApplication.SPAPI
    organization_path = "connection__organization"

    connection = models.OneToOneField(
        Connection, on_delete=models.CASCADE, related_name="spapi_grant"
    )
    # When the token was brought here from another tool; NULL: the consent was given here.
    imported_at = models.DateTimeField(null=True)
    # False: nobody knows when the consent was given. `authorized_at` is then the latest moment
    # at which it can have been, and no end is computed from it.
    is_consent_dated = models.BooleanField(default=True, db_default=True)
    # Given by a client without a login, by a link. Else `authorized_by` is NULL only where the
    # login of whoever gave it was deleted.
    is_by_client = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            *grant_constraints("spapi_grant"),
            models.CheckConstraint(
                condition=Q(is_consent_dated=True) | Q(imported_at__isnull=False),
                name="spapi_grant_undated_only_when_imported",
            ),
        ]
        indexes = [verification_index("spapi_grant")]

    @property
    def held_since(self) -> datetime:
        """Since when this consent is the row's own."""
        return self.imported_at or self.authorized_at

    @property
    def reauthorize_by(self) -> datetime | None:
        """None for an imported consent whose day nobody knows."""
        return super().reauthorize_by if self.is_consent_dated else None


class AdsGrant(Grant):
    """One Amazon Ads consent. Global at Amazon: it may feed several rows of the screen."""

    EVENT_PREFIX: ClassVar[str] = "ads_grant"
    application: ClassVar[LwaApplication] = LwaApplication.ADS

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="ads_grants"
    )
    # The row whose trip brought it; NULL: unknown. Whose it is says the listing, if anything.
    asked_for = models.ForeignKey(
        Connection, null=True, on_delete=models.SET_NULL, related_name="ads_grants_asked_for"
    )
    profiles_read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *grant_constraints("ads_grant"),
            models.UniqueConstraint(fields=["organization", "id"], name="ads_grant_composite_key"),
        ]
        indexes = [verification_index("ads_grant")]

    @property
    def reauthorize_by(self) -> datetime | None:
        """None for a consent from before Amazon's rule of 2026, which has no fixed end."""
        if self.authorized_at < ADS_YEAR_RULE_SINCE:
            return None
        return super().reauthorize_by


class AuthorizationRequest(ScopedModel):
    """One trip of one browser to Amazon and back (RFC 6749 §4.1; RFC 9700 §4.7).

    Holds hashes of the state and of a value kept in the session, never the values.
    """

    class Kind(models.TextChoices):
        SPAPI = "spapi", _("Seller Central")
        ADS = "ads", _("Amazon Ads")

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        CONSUMED = "consumed", _("Consumed")
        EXPIRED = "expired", _("Expired")

    LIFETIME = timedelta(minutes=10)

    STATUS_FIELD: ClassVar[str] = "status"
    EVENT_PREFIX: ClassVar[str] = "authorization_request"
    TRANSITIONS: ClassVar[dict[str, set[str]]] = {Status.OPEN: {Status.CONSUMED, Status.EXPIRED}}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    # Whose trip it is: a person's, or that of whoever holds a client link.
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    client_link = models.ForeignKey(
        client_link_models.ClientLink, null=True, on_delete=models.SET_NULL, related_name="trips"
    )
    kind = models.CharField(max_length=6, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    state_hash = models.CharField(max_length=64, unique=True)
    browser_hash = models.CharField(max_length=64)
    region = models.CharField(max_length=2)
    connection = models.ForeignKey(
        Connection, null=True, on_delete=models.SET_NULL, related_name="authorization_requests"
    )
    expected_selling_partner_id = models.CharField(max_length=40, blank=True, default="")
    returned_selling_partner_id = models.CharField(max_length=40, blank=True, default="")
    # Began at Amazon (Appstore, Re-Authorize): the seller that its link named must come back.
    starts_at_amazon = models.BooleanField(default=False, db_default=False)
    # Set out from a person's reconnect queue, which hears how it ended.
    reconnect_item = models.ForeignKey(
        queue_models.ReconnectItem, null=True, on_delete=models.SET_NULL, related_name="trips"
    )
    # Marketplace accounts to link when the Ads consent comes back.
    chosen = models.JSONField(default=list)
    code_verifier = models.TextField(blank=True, default="", editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    consumed_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=40, blank=True, default="")
    reference = models.CharField(max_length=12, db_index=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["open", "consumed", "expired"]),
                name="authorization_request_status_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="consumed") | Q(consumed_at__isnull=False),
                name="authorization_request_consumed_has_time",
            ),
            models.CheckConstraint(
                condition=Q(user=None) | Q(client_link=None),
                name="authorization_request_of_one",
            ),
        ]
        indexes = [models.Index(fields=["status", "expires_at"], name="authorization_by_expiry")]

    def __str__(self) -> str:
        return self.reference

    def verifier_place(self) -> Place:
        return Place(self._meta.db_table, "code_verifier", self.organization_id, self.pk)
