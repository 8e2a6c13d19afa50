"""Amazon Ads profiles and their links, for staff."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ppc import services
from ppc.models import AdsProfile, PpcLink
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoped_admin import (
    NamedAction,
    OrganizationFilter,
    ReasonFilter,
    ScopedModelAdmin,
    audited,
)


@admin.register(AdsProfile)
class AdsProfileAdmin(ScopedModelAdmin):
    list_display = (
        "profile_id",
        "account_name",
        "organization",
        "account_type",
        "account_id",
        "country_code",
        "can_edit",
        "is_listed",
        "seen_at",
    )
    list_filter = ("account_type", "can_edit", "is_listed", "country_code", OrganizationFilter)
    list_select_related = ("organization",)
    secret_relations = ("organization__data_key",)
    search_fields = (
        "=profile_id",
        "=account_id",
        "account_name",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("pk", "grant_id")
    ordering = ("-seen_at",)


def retry_link(link: PpcLink, actor: Actor) -> int:
    return services.retry_linking(link, actor=actor)


@admin.register(PpcLink)
class PpcLinkAdmin(ScopedModelAdmin):
    list_display = (
        "account",
        "organization",
        "seller",
        "profile",
        "status",
        "attention_reason",
        "status_changed_at",
    )
    list_filter = (
        "status",
        ("attention_reason", ReasonFilter),
        "status_changed_at",
        OrganizationFilter,
    )
    list_select_related = ("organization", "account__connection", "profile")
    secret_relations = ("organization__data_key", "account__connection__mws_auth_token")
    search_fields = (
        "=account__connection__selling_partner_id",
        "account__connection__name",
        "=profile__profile_id",
        "organization__name",
        "organization__slug",
        "=account__connection__authorization_requests__reference",
    )
    uuid_lookups = ("pk", "account_id", "account__connection_id")
    ordering = ("-status_changed_at",)
    actions = (
        NamedAction(
            "retry",
            _("Retry now"),
            _("Linking that waits is done at once; what needs attention is tried again."),
            audited("retry_requested", retry_link),
        ).as_admin_action(),
    )

    @admin.display(description=_("Seller ID"), ordering="account__connection__selling_partner_id")
    def seller(self, link: PpcLink) -> str:
        return link.account.connection.selling_partner_id or ""
