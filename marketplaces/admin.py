"""Marketplaces and the onboarding of each seller in them, for staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from marketplaces import catalogue, onboarding
from marketplaces.models import Marketplace, MarketplaceAccount
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoped_admin import (
    NamedAction,
    OrganizationFilter,
    ReasonFilter,
    ReasonForm,
    ScopedModelAdmin,
    audited,
)

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Marketplace]
else:
    ModelForm = forms.ModelForm


class MarketplaceForm(ReasonForm, ModelForm):
    class Meta:
        model = Marketplace
        fields = ("is_supported",)


@admin.register(Marketplace)
class MarketplaceAdmin(ScopedModelAdmin):
    """The one switch of the staff pages: whether we support a marketplace."""

    form = MarketplaceForm
    list_display = ("name", "region", "country_code", "marketplace_id", "is_supported", "has_ads")
    list_filter = ("region", "is_supported", "has_ads")
    search_fields = ("name", "=marketplace_id", "=country_code")
    uuid_lookups = ()
    reads_are_recorded = False  # Amazon's own list, nobody's data

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("marketplaces.change_marketplace")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        reason = ["reason"] if self.has_change_permission(request, obj) else []
        return super().get_fields(request, obj) + reason

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names = super().get_readonly_fields(request, obj)
        if not self.has_change_permission(request, obj):
            return names
        return [name for name in names if name not in ("is_supported", "reason")]

    def save_model(self, request: HttpRequest, obj: Marketplace, form: Any, change: bool) -> None:
        catalogue.switch_support(
            marketplace=obj,
            is_supported=form.cleaned_data["is_supported"],
            actor=Actor.staff(request.user),  # type: ignore[arg-type]  # the site admits staff only
            reason=form.cleaned_data["reason"],
        )


def retry_account(account: MarketplaceAccount, actor: Actor) -> int:
    return onboarding.retry_onboarding(account, actor=actor)


@admin.register(MarketplaceAccount)
class MarketplaceAccountAdmin(ScopedModelAdmin):
    list_display = (
        "name",
        "store_name",
        "organization",
        "seller",
        "region",
        "onboarding",
        "attention_reason",
        "onboarding_changed_at",
        "is_participating",
    )
    list_filter = (
        "onboarding",
        ("attention_reason", ReasonFilter),
        "onboarding_changed_at",
        "is_participating",
        "has_suspended_listings",
        "connection__region",
        OrganizationFilter,
    )
    list_select_related = ("organization", "connection")
    secret_relations = ("organization__data_key", "connection__mws_auth_token")
    search_fields = (
        "=connection__selling_partner_id",
        "connection__name",
        "store_name",
        "=marketplace_id",
        "organization__name",
        "organization__slug",
        "=connection__authorization_requests__reference",
    )
    uuid_lookups = ("pk", "connection_id")
    ordering = ("-onboarding_changed_at",)
    actions = (
        NamedAction(
            "retry",
            _("Retry now"),
            _("Onboarding that waits is done at once; what needs attention is tried again."),
            audited("retry_requested", retry_account),
        ).as_admin_action(),
    )

    @admin.display(description=_("Seller ID"), ordering="connection__selling_partner_id")
    def seller(self, account: MarketplaceAccount) -> str:
        return account.connection.selling_partner_id or ""

    @admin.display(description=_("region"), ordering="connection__region")
    def region(self, account: MarketplaceAccount) -> str:
        return account.connection.region
