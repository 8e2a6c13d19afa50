"""Tags, clients, saved views and the limits of a reach, for staff."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from connections.grouping_models import Client, Reach, SavedView, Tag
from sellerlegend.organizations.scoped_admin import OrganizationFilter, ScopedModelAdmin


@admin.register(Tag)
class TagAdmin(ScopedModelAdmin):
    list_display = ("name", "organization", "created_at")
    list_filter = ("created_at", OrganizationFilter)
    list_select_related = ("organization",)
    secret_relations = ("organization__data_key",)
    search_fields = ("name", "organization__name", "organization__slug")
    uuid_lookups = ("organization_id",)
    ordering = ("-created_at",)


@admin.register(Client)
class ClientAdmin(ScopedModelAdmin):
    list_display = ("name", "organization", "contact_name", "contact_email", "created_at")
    list_filter = ("created_at", OrganizationFilter)
    list_select_related = ("organization",)
    secret_relations = ("organization__data_key",)
    search_fields = (
        "name",
        "contact_name",
        "contact_email",
        "organization__name",
        "organization__slug",
    )
    ordering = ("-created_at",)


@admin.register(SavedView)
class SavedViewAdmin(ScopedModelAdmin):
    list_display = ("name", "user", "organization", "created_at")
    list_filter = ("created_at", OrganizationFilter)
    list_select_related = ("organization", "user")
    secret_relations = ("organization__data_key", "user__password")
    search_fields = ("name", "user__email", "organization__name", "organization__slug")
    uuid_lookups = ("organization_id", "user_id")
    ordering = ("-created_at",)


@admin.register(Reach)
class ReachAdmin(ScopedModelAdmin):
    """What a limited member sees: a tag, a client or one row."""

    list_display = ("person", "organization", "tag", "client", "connection")
    list_filter = (OrganizationFilter,)
    list_select_related = ("organization", "membership__user", "tag", "client", "connection")
    secret_relations = (
        "organization__data_key",
        "membership__user__password",
        "connection__mws_auth_token",
    )
    search_fields = (
        "membership__user__email",
        "tag__name",
        "client__name",
        "connection__name",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("membership_id", "client_id", "connection_id", "organization_id")
    ordering = ("-pk",)

    @admin.display(description=_("person"), ordering="membership__user__email")
    def person(self, reach: Reach) -> str:
        return reach.membership.user.email
