"""Links to clients, for staff: who was asked by whom, and how far it came. No token is here."""

from __future__ import annotations

from django.contrib import admin

from connections.client_link_models import ClientLink, ClientReminders
from sellerlegend.organizations.scoped_admin import (
    OrganizationFilter,
    ReasonFilter,
    ScopedModelAdmin,
)


@admin.register(ClientLink)
class ClientLinkAdmin(ScopedModelAdmin):
    list_display = (
        "organization",
        "connection",
        "purpose",
        "status",
        "recipient_email",
        "made_by",
        "created_at",
        "expires_at",
        "sent_at",
        "ended_at",
    )
    list_filter = ("status", "purpose", ("failure", ReasonFilter), "created_at", OrganizationFilter)
    list_select_related = ("organization", "connection", "made_by")
    secret_relations = (
        "organization__data_key",
        "connection__mws_auth_token",
        "made_by__password",
    )
    search_fields = (
        "=connection__selling_partner_id",
        "connection__name",
        "recipient_email",
        "recipient_name",
        "made_by__email",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("pk", "connection_id", "notice_id")
    ordering = ("-created_at",)


@admin.register(ClientReminders)
class ClientRemindersAdmin(ScopedModelAdmin):
    list_display = ("organization", "switched_at", "switched_by")
    list_filter = ("switched_at", OrganizationFilter)
    list_select_related = ("organization", "switched_by")
    secret_relations = ("organization__data_key", "switched_by__password")
    search_fields = ("switched_by__email", "organization__name", "organization__slug")
    uuid_lookups = ("organization_id",)
    ordering = ("-switched_at",)
