"""Reconnect queues and their rows, for staff: whose they are, and how each row ended."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from connections.queue_models import ReconnectItem, ReconnectQueue
from sellerlegend.organizations.scoped_admin import (
    OrganizationFilter,
    ReasonFilter,
    ScopedModelAdmin,
    links_to_lists,
)


@admin.register(ReconnectQueue)
class ReconnectQueueAdmin(ScopedModelAdmin):
    list_display = ("user", "organization", "status", "created_at", "finished_at")
    list_filter = ("status", "created_at", OrganizationFilter)
    list_select_related = ("organization", "user")
    secret_relations = ("organization__data_key", "user__password")
    search_fields = ("user__email", "organization__name", "organization__slug")
    uuid_lookups = ("pk", "user_id")
    extra_fields = ("see",)
    ordering = ("-created_at",)

    @admin.display(description=_("see also"))
    def see(self, queue: ReconnectQueue) -> str:
        return links_to_lists(queue.pk, (ReconnectItem,))


@admin.register(ReconnectItem)
class ReconnectItemAdmin(ScopedModelAdmin):
    list_display = (
        "connection",
        "organization",
        "person",
        "position",
        "status",
        "cause",
        "added_at",
        "left_at",
        "linked_at",
    )
    list_filter = ("status", ("cause", ReasonFilter), "added_at", OrganizationFilter)
    list_select_related = ("organization", "connection", "queue__user")
    secret_relations = (
        "organization__data_key",
        "connection__mws_auth_token",
        "queue__user__password",
    )
    search_fields = (
        "=connection__selling_partner_id",
        "connection__name",
        "queue__user__email",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("pk", "queue_id", "connection_id")
    ordering = ("-added_at", "position")

    @admin.display(description=_("person"), ordering="queue__user__email")
    def person(self, item: ReconnectItem) -> str:
        return item.queue.user.email
