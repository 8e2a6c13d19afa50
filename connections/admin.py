"""Connections, consents and trips to Amazon, for staff. No token is ever loaded here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.db import models
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from connections import (  # noqa: F401
    client_link_admin,
    grouping_admin,
    import_admin,
    notice_admin,
    queue_admin,
    superseding,
)
from connections.health_admin import health_word, with_health
from connections.health_models import CapabilityCheck, DataSetReport
from connections.models import AdsGrant, AuthorizationRequest, Connection, Grant, SpApiGrant
from connections.notice_models import Notice
from marketplaces.models import MarketplaceAccount
from ppc.models import AdsProfile, PpcLink
from ppc.staff_actions import (
    ads_grant_left_out,
    connection_left_out,
    require_reconnect,
    require_reconnect_of_connection,
    resync_ads_grant,
    resync_connection,
    resync_spapi_grant,
    retry_connection,
    spapi_grant_left_out,
)
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import AuditEvent
from sellerlegend.organizations.scoped_admin import (
    NamedAction,
    OrganizationFilter,
    ReasonFilter,
    ScopedModelAdmin,
    audited,
    links_to_lists,
)

RESYNC = (
    "resync",
    _("Re-sync"),
    _("A worker refreshes the consents and reads marketplaces and Amazon Ads profiles again."),
)
RETRY = (
    "retry",
    _("Retry now"),
    _("Whatever waits is done at once; whatever needs attention is tried again."),
)
REQUIRE_RECONNECT = (
    "require_reconnect",
    _("Require reconnect"),
    _("The consent is not used any more until the customer gives a new one. Nothing is deleted."),
)


# Lists -------------------------------------------------------------------------------------


class ConsentFilter(admin.SimpleListFilter):
    title = _("consent")
    parameter_name = "consent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("none", _("Waiting for consent")), *Grant.Status.choices]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        if self.value() == "none":
            return queryset.filter(selling_partner_id__isnull=True)
        if self.value():
            return queryset.filter(spapi_grant__status=self.value())
        return queryset


class NeedsAttentionFilter(admin.SimpleListFilter):
    title = _("marketplaces")
    parameter_name = "marketplaces"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("attention", _("Some need attention"))]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        if self.value() != "attention":
            return queryset
        stuck = MarketplaceAccount.objects.filter(
            connection=OuterRef("pk"), onboarding=MarketplaceAccount.Onboarding.NEEDS_ATTENTION
        )
        return queryset.filter(Exists(stuck))


class RemovedFilter(admin.SimpleListFilter):
    title = _("in the customer's list")
    parameter_name = "removed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", _("Shown")), ("yes", _("Removed, can be restored"))]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        if self.value() in ("no", "yes"):
            return queryset.filter(removed_at__isnull=self.value() == "no")
        return queryset


@admin.register(Connection)
class ConnectionAdmin(ScopedModelAdmin):
    list_display = (
        "name",
        "organization",
        "selling_partner_id",
        "region",
        "spapi_health",
        "ads_health",
        "reason",
        "since",
        "consent_ends",
        "last_success",
        "last_failure",
        "verified",
    )
    list_filter = (
        ConsentFilter,
        NeedsAttentionFilter,
        "region",
        ("reading_error", ReasonFilter),
        "spapi_grant__status_changed_at",
        RemovedFilter,
        OrganizationFilter,
    )
    list_select_related = ("organization", "spapi_grant")
    secret_relations = ("organization__data_key", "spapi_grant__refresh_token")
    search_fields = (
        "name",
        "=selling_partner_id",
        "organization__name",
        "organization__slug",
        "=authorization_requests__reference",
    )
    ordering = ("organization__name", "name", "region")
    extra_fields = (
        "spapi_health",
        "ads_health",
        "state",
        "reason",
        "since",
        "consent_ends",
        "last_success",
        "last_failure",
        "verified",
        "verify_due",
        "see",
    )
    actions = (
        NamedAction(*RESYNC, resync_connection, connection_left_out).as_admin_action(),
        NamedAction(
            *RETRY, audited("retry_requested", retry_connection), connection_left_out
        ).as_admin_action(),
        NamedAction(*REQUIRE_RECONNECT, require_reconnect_of_connection).as_admin_action(),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return with_health(super().get_queryset(request))

    @admin.display(description=_("Selling Partner"), ordering="spapi_state")
    def spapi_health(self, connection: Any) -> str:
        return health_word(connection.spapi_state)

    @admin.display(description=_("PPC"), ordering="ads_state")
    def ads_health(self, connection: Any) -> str:
        return health_word(connection.ads_state)

    @admin.display(description=_("last success"), ordering="spapi_grant__last_success_at")
    def last_success(self, connection: Connection) -> datetime | None:
        grant = grant_of(connection)
        return grant.last_success_at if grant else None

    @admin.display(description=_("last failure"), ordering="spapi_grant__last_failure_at")
    def last_failure(self, connection: Connection) -> datetime | None:
        grant = grant_of(connection)
        return grant.last_failure_at if grant else None

    @admin.display(description=_("verified"), ordering="spapi_grant__verified_at")
    def verified(self, connection: Connection) -> datetime | None:
        grant = grant_of(connection)
        return grant.verified_at if grant else None

    @admin.display(description=_("to be verified"), ordering="spapi_grant__verify_due_at")
    def verify_due(self, connection: Connection) -> datetime | None:
        grant = grant_of(connection)
        return grant.verify_due_at if grant else None

    @admin.display(description=_("consent"), ordering="spapi_grant__status")
    def state(self, connection: Connection) -> str:
        grant = grant_of(connection)
        return str(grant_state(grant) if grant else _("Waiting for consent"))

    @admin.display(description=_("reason"))
    def reason(self, connection: Connection) -> str:
        grant = grant_of(connection)
        return connection.reading_error or (grant.last_error_code if grant else "")

    @admin.display(description=_("since"), ordering="spapi_grant__status_changed_at")
    def since(self, connection: Connection) -> datetime:
        grant = grant_of(connection)
        return grant.status_changed_at if grant else connection.created_at

    @admin.display(description=_("consent ends"), ordering="spapi_grant__authorized_at")
    def consent_ends(self, connection: Connection) -> datetime | None:
        grant = grant_of(connection)
        return grant.reauthorize_by if grant else None

    @admin.display(description=_("see also"))
    def see(self, connection: Connection) -> str:
        tables = (
            SpApiGrant,
            MarketplaceAccount,
            PpcLink,
            Job,
            AuthorizationRequest,
            CapabilityCheck,
            DataSetReport,
            Notice,
            AuditEvent,
        )
        return links_to_lists(connection.pk, tables)


def grant_of(connection: Connection) -> SpApiGrant | None:
    """Without a query: the list joins it."""
    return getattr(connection, "spapi_grant", None)


def grant_state(grant: Grant) -> Any:
    return Grant.Status(grant.status).label


class GrantAdmin(ScopedModelAdmin):
    list_filter: ClassVar[Any] = (
        "status",
        ("last_error_code", ReasonFilter),
        "status_changed_at",
        OrganizationFilter,
    )
    extra_fields: Sequence[str] = ("consent_ends",)

    @admin.display(description=_("consent ends"), ordering="authorized_at")
    def consent_ends(self, grant: Grant) -> datetime | None:
        return grant.reauthorize_by


@admin.register(SpApiGrant)
class SpApiGrantAdmin(GrantAdmin):
    list_display = (
        "fingerprint",
        "organization",
        "connection",
        "seller",
        "status",
        "last_error_code",
        "status_changed_at",
        "refusals",
        "last_refreshed_at",
        "authorized_at",
        "consent_ends",
    )
    list_select_related = ("connection__organization",)
    secret_relations = ("connection__mws_auth_token", "connection__organization__data_key")
    search_fields = (
        "=fingerprint",
        "=connection__selling_partner_id",
        "connection__name",
        "connection__organization__name",
        "connection__organization__slug",
        "=connection__authorization_requests__reference",
    )
    uuid_lookups = ("pk", "connection_id")
    ordering = ("-status_changed_at",)
    actions = (
        NamedAction(*RESYNC, resync_spapi_grant, spapi_grant_left_out).as_admin_action(),
        NamedAction(*REQUIRE_RECONNECT, require_reconnect).as_admin_action(),
    )

    @admin.display(description=_("organization"), ordering="connection__organization__name")
    def organization(self, grant: SpApiGrant) -> str:
        return str(grant.connection.organization)

    @admin.display(description=_("Seller ID"), ordering="connection__selling_partner_id")
    def seller(self, grant: SpApiGrant) -> str:
        return grant.connection.selling_partner_id or ""


@admin.register(AdsGrant)
class AdsGrantAdmin(GrantAdmin):
    list_display = (
        "fingerprint",
        "organization",
        "status",
        "last_error_code",
        "status_changed_at",
        "refusals",
        "last_refreshed_at",
        "profiles_read_at",
        "authorized_by",
        "consent_ends",
    )
    list_select_related = ("organization", "authorized_by")
    secret_relations = ("organization__data_key", "authorized_by__password")
    search_fields = (
        "=fingerprint",
        "=profiles__account_id",
        "authorized_by__email",
        "organization__name",
        "organization__slug",
    )
    extra_fields = ("consent_ends", "see")
    ordering = ("-status_changed_at",)
    actions = (
        NamedAction(*RESYNC, resync_ads_grant, ads_grant_left_out).as_admin_action(),
        NamedAction(*REQUIRE_RECONNECT, require_reconnect).as_admin_action(),
    )

    @admin.display(description=_("see also"))
    def see(self, grant: AdsGrant) -> str:
        return links_to_lists(grant.pk, (AdsProfile, Job, AuditEvent))


@admin.register(AuthorizationRequest)
class AuthorizationRequestAdmin(ScopedModelAdmin):
    list_display = (
        "reference",
        "organization",
        "user",
        "kind",
        "status",
        "outcome",
        "region",
        "expected_selling_partner_id",
        "returned_selling_partner_id",
        "created_at",
        "consumed_at",
    )
    list_filter = (
        "kind",
        "status",
        ("outcome", ReasonFilter),
        "created_at",
        "region",
        OrganizationFilter,
    )
    list_select_related = ("organization", "user")
    secret_relations = ("organization__data_key", "user__password")
    search_fields = (
        "=reference",
        "=expected_selling_partner_id",
        "=returned_selling_partner_id",
        "=connection__selling_partner_id",
        "user__email",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("pk", "connection_id")
    ordering = ("-created_at",)
