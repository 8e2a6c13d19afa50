"""Our client secrets for staff: fingerprints, dates and counts, never a value."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from sellerlegend.applications.models import ClientSecret
from sellerlegend.organizations.scoped_admin import ScopedModelAdmin


@admin.register(ClientSecret)
class ClientSecretAdmin(ScopedModelAdmin):
    list_display = (
        "application",
        "fingerprint",
        "ends",
        "first_seen_at",
        "superseded_at",
        "uses",
        "fallback_uses",
        "last_used_at",
        "refused_at",
        "called_expired_at",
    )
    list_filter = ("application",)
    search_fields = ("=fingerprint", "=client_id")
    ordering = ("application", "-first_seen_at")

    @admin.display(description=_("ends"))
    def ends(self, row: ClientSecret) -> object:
        return row.ends_at()
