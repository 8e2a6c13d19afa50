"""People, organizations and what happened, for staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Q
from django.http import HttpRequest
from django.utils.text import get_text_list
from django.utils.translation import gettext_lazy as _

from connections.models import AdsGrant, AuthorizationRequest, Connection
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import people_log
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.logins import left_without_owner
from sellerlegend.organizations.models import (
    AuditEvent,
    Invitation,
    Membership,
    Organization,
    User,
)
from sellerlegend.organizations.scoped_admin import (
    OrganizationFilter,
    ScopedModelAdmin,
    links_to_lists,
)

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[User]
else:
    ModelForm = forms.ModelForm


class PersonForm(ModelForm):
    leaves_nobody = forms.BooleanField(
        label=_("Also as the only owner"),
        required=False,
        help_text=_(
            "Who owns an organization alone is switched off only with this: nobody could delete it "
            "or name an owner until the person signs in again."
        ),
    )

    def clean(self) -> dict[str, Any]:
        """What is switched off stays so until somebody of the staff switches it on."""
        given: dict[str, Any] = super().clean() or {}
        is_ended = "is_active" in self.changed_data and not given.get("is_active")
        abandoned = left_without_owner(self.instance) if is_ended else []
        if abandoned and not given.get("leaves_nobody"):
            names = get_text_list([row.name for row in abandoned], str(_("and")))
            words = _(
                "Nobody else who can sign in owns %(names)s. Ask the customer to make somebody "
                "else an owner first, or tick the box below to switch this login off all the same."
            )
            self.add_error("is_active", str(words) % {"names": names})
        return given


@admin.register(User)
class UserAdmin(ScopedModelAdmin):
    """Superusers alone decide who is staff, in which groups, and who may sign in."""

    form = PersonForm
    list_display = ("email", "name", "is_active", "is_staff", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "groups")
    search_fields = ("email", "name", "memberships__organization__slug")
    ordering = ("email",)
    filter_horizontal = ("groups",)
    extra_fields = ("groups",)
    switches = ("is_active", "is_staff", "groups")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """What is asked before stands behind the switch that it is about."""
        names = super().get_fields(request, obj)
        if self.has_change_permission(request, obj):
            names.insert(names.index("is_active") + 1, "leaves_nobody")
        return names

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names = super().get_readonly_fields(request, obj)
        if not self.has_change_permission(request, obj):
            return names
        return [name for name in names if name not in (*self.switches, "leaves_nobody")]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        changed = sorted(set(form.changed_data) & set(self.switches))
        people_log.note_switches(obj, changed)
        record_event(
            "person_changed",
            actor=Actor.staff(request.user),  # type: ignore[arg-type]  # the site admits staff only
            subject=obj,
            changed=changed,
        )


@admin.register(Organization)
class OrganizationAdmin(ScopedModelAdmin):
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    ordering = ("name",)
    extra_fields = ("see",)

    @admin.display(description=_("see also"))
    def see(self, organization: Organization) -> str:
        tables = (Membership, Connection, AdsGrant, AuthorizationRequest, Job, AuditEvent)
        return links_to_lists(organization.slug, tables)


@admin.register(Membership)
class MembershipAdmin(ScopedModelAdmin):
    list_display = ("user", "organization", "role", "created_at")
    list_filter = ("role", OrganizationFilter)
    list_select_related = ("user", "organization")
    secret_relations = ("user__password", "organization__data_key")
    search_fields = ("user__email", "user__name", "organization__name", "organization__slug")
    ordering = ("organization__name", "created_at")


@admin.register(Invitation)
class InvitationAdmin(ScopedModelAdmin):
    """Who was invited as what. The link's token is nowhere, and its digest is not loaded."""

    list_display = (
        "email",
        "organization",
        "role",
        "status",
        "invited_by",
        "created_at",
        "expires_at",
        "sent_at",
        "ended_at",
    )
    list_filter = ("status", "role", "created_at", OrganizationFilter)
    list_select_related = ("organization", "invited_by")
    secret_relations = ("organization__data_key", "invited_by__password")
    search_fields = ("email", "invited_by__email", "organization__name", "organization__slug")
    ordering = ("-created_at",)


@admin.register(AuditEvent)
class AuditEventAdmin(ScopedModelAdmin):
    """Written once. Found by reference code, person, organization, Seller ID or any row's id."""

    list_display = ("at", "code", "organization", "who", "subject_type", "reference", "details")
    list_filter = ("actor_kind", "at", OrganizationFilter, "code")
    list_select_related = ("organization", "actor")
    secret_relations = ("organization__data_key", "actor__password")
    search_fields = (
        "=reference",
        "=code",
        "actor__email",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("subject_id", "connection_id")
    reads_are_recorded = False  # or the record would grow by being read
    ordering = ("-id",)

    @admin.display(description=_("by"))
    def who(self, event: AuditEvent) -> str:
        kind = AuditEvent.ActorKind(event.actor_kind).label
        return f"{event.actor.email} ({kind})" if event.actor else str(kind)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[Any, bool]:
        seller = Connection.objects.filter(selling_partner_id=search_term.strip())
        of_seller = list(seller.values_list("pk", flat=True)[:100]) if search_term else []
        if of_seller:
            return queryset.filter(Q(connection_id__in=of_seller)), False
        return super().get_search_results(request, queryset, search_term)
