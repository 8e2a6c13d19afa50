"""The health of rows for staff, and what it is made of: roles at Amazon, reports of importers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Case, IntegerField, OuterRef, QuerySet, Subquery, Value, When

from connections.health import SEVERITY, Health, health_of, moments
from connections.health_models import CapabilityCheck, DataSetReport
from connections.health_words import SIGNS
from connections.models import AdsGrant
from sellerlegend.applications.models import LwaApplication
from sellerlegend.organizations.scoped_admin import (
    OrganizationFilter,
    ReasonFilter,
    ScopedModelAdmin,
)


def with_health(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Connections with the states that their row shows, as `spapi_state` and `ads_state`."""
    at = moments()
    found: QuerySet[Any] = rows.annotate(
        spapi_state=health_of(LwaApplication.SPAPI, at, prefix="spapi_grant__", region="region"),
        ads_state=worst_of_ads(at),
    )
    return found


def worst_of_ads(at: Mapping[str, datetime]) -> Subquery:
    """Of the consents that feed links nobody ended. Without one there is no state."""
    severity = Case(
        *[When(state=state.value, then=Value(place)) for place, state in enumerate(SEVERITY)],
        output_field=IntegerField(),
    )
    feeding = (
        AdsGrant.objects.filter(profiles__links__account__connection=OuterRef("pk"))
        .exclude(profiles__links__status="unlinked")
        .annotate(state=health_of(LwaApplication.ADS, at))
    )
    return Subquery(feeding.order_by(severity).values("state")[:1])


def health_word(state: str | None) -> str:
    return SIGNS[Health(state)]().word if state else ""


@admin.register(CapabilityCheck)
class CapabilityCheckAdmin(ScopedModelAdmin):
    list_display = (
        "organization",
        "connection",
        "capability",
        "state",
        "checked_at",
        "changed_at",
    )
    list_filter = ("state", "capability", "changed_at", OrganizationFilter)
    list_select_related = ("organization", "connection")
    secret_relations = ("organization__data_key", "connection__mws_auth_token")
    search_fields = (
        "=connection__selling_partner_id",
        "connection__name",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("connection_id",)
    ordering = ("-changed_at",)


@admin.register(DataSetReport)
class DataSetReportAdmin(ScopedModelAdmin):
    list_display = (
        "organization",
        "connection",
        "data_set",
        "percent",
        "data_through",
        "delay_reason",
        "reported_at",
    )
    list_filter = ("data_set", ("delay_reason", ReasonFilter), "reported_at", OrganizationFilter)
    list_select_related = ("organization", "connection")
    secret_relations = ("organization__data_key", "connection__mws_auth_token")
    search_fields = (
        "=connection__selling_partner_id",
        "connection__name",
        "organization__name",
        "organization__slug",
    )
    uuid_lookups = ("connection_id",)
    ordering = ("-reported_at",)
