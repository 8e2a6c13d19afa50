"""Files that people brought, for staff. No token is loaded here; what a list of clients holds,
row by row, stays with the organization. Exports have no table: they stand in the audit events.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from connections.import_models import ClientList, ImportedToken, TokenImport
from sellerlegend.organizations.scoped_admin import (
    OrganizationFilter,
    ReasonFilter,
    ScopedModelAdmin,
    links_to_lists,
)

WHO = ("created_by__email", "organization__name", "organization__slug")


class FileAdmin(ScopedModelAdmin):
    list_display = ("created_at", "organization", "created_by", "confirmed_at")
    list_filter = ("created_at", "confirmed_at", OrganizationFilter)
    list_select_related = ("organization", "created_by")
    secret_relations = ("organization__data_key", "created_by__password")
    search_fields = WHO
    ordering = ("-created_at",)


@admin.register(TokenImport)
class TokenImportAdmin(FileAdmin):
    extra_fields = ("see",)

    @admin.display(description=_("see also"))
    def see(self, token_import: TokenImport) -> str:
        return links_to_lists(token_import.pk, (ImportedToken,))


@admin.register(ClientList)
class ClientListAdmin(FileAdmin):
    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [name for name in super().get_fields(request, obj) if name != "lines"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).defer("lines")


@admin.register(ImportedToken)
class ImportedTokenAdmin(ScopedModelAdmin):
    list_display = (
        "name",
        "organization",
        "line",
        "selling_partner_id",
        "region",
        "fingerprint",
        "status",
        "outcome",
        "done_at",
    )
    list_filter = ("status", ("outcome", ReasonFilter), "region", OrganizationFilter)
    list_select_related = ("organization",)
    secret_relations = ("organization__data_key",)
    search_fields = (
        "=selling_partner_id",
        "=fingerprint",
        "name",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("pk", "token_import_id", "connection_id")
    ordering = ("-token_import__created_at", "line")
