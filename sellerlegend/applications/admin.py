"""Our client secrets for staff: fingerprints, dates and counts, never a value."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections import application_roles
from sellerlegend.applications.ages import left_of
from sellerlegend.applications.models import ApplicationRole, ClientSecret
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoped_admin import ScopedModelAdmin

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[ApplicationRole]
else:
    ModelForm = forms.ModelForm


@admin.register(ClientSecret)
class ClientSecretAdmin(ScopedModelAdmin):
    list_display = (
        "application",
        "fingerprint",
        "ends",
        "left",
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

    @admin.display(description=_("time left"))
    def left(self, row: ClientSecret) -> str:
        return left_of(row)


class ApplicationRoleForm(ModelForm):
    def clean_added_at(self) -> datetime:
        """From tomorrow on, no consent of today could be a good one."""
        added_at: datetime = self.cleaned_data["added_at"]
        if added_at > timezone.now():
            raise forms.ValidationError(_("This lies in the future."))
        return added_at


@admin.register(ApplicationRole)
class ApplicationRoleAdmin(ScopedModelAdmin):
    """Added here when Amazon gave it to our application: every older consent then asks for
    renewal. Never changed or removed, since people acted on it."""

    list_display = ("name", "application", "added_at")
    list_filter = ("application",)
    ordering = ("application", "-added_at")
    form = ApplicationRoleForm

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("applications.add_applicationrole")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["application", "name", "added_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_fields(request, obj) if obj is not None else []

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            raise PermissionDenied("a role is added, not changed")
        application_roles.add_role(obj, actor=Actor.staff(request.user))  # type: ignore[arg-type]  # staff only
