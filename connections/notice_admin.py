"""Notices and their mails, for staff: was somebody told, and when."""

from __future__ import annotations

from django.contrib import admin

from connections.notice_models import Notice, NoticeMail
from sellerlegend.organizations.scoped_admin import OrganizationFilter, ScopedModelAdmin


@admin.register(Notice)
class NoticeAdmin(ScopedModelAdmin):
    list_display = (
        "organization",
        "connection",
        "kind",
        "days",
        "created_at",
        "settled_at",
        "acknowledged_by",
        "resolved_at",
    )
    list_filter = ("kind", "created_at", OrganizationFilter)
    list_select_related = ("organization", "connection", "acknowledged_by")
    secret_relations = (
        "organization__data_key",
        "connection__mws_auth_token",
        "acknowledged_by__password",
    )
    search_fields = ("organization__name", "organization__slug", "connection__name")
    uuid_lookups = ("pk", "subject_id", "connection_id")
    ordering = ("-created_at",)


@admin.register(NoticeMail)
class NoticeMailAdmin(ScopedModelAdmin):
    list_display = ("organization", "user", "day", "kind", "number", "status", "ended_at")
    list_filter = ("kind", "status", "day", OrganizationFilter)
    list_select_related = ("organization", "user")
    secret_relations = ("organization__data_key", "user__password")
    search_fields = ("organization__name", "organization__slug", "user__email")
    ordering = ("-created_at",)
