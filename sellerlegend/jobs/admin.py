"""The ledger of background work and Amazon's bad hours, for staff."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from sellerlegend.jobs import incidents, ledger
from sellerlegend.jobs.models import Incident, Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoped_admin import (
    NamedAction,
    OrganizationFilter,
    ReasonFilter,
    ReasonForm,
    ScopedModelAdmin,
    audited,
)


def retry_job(job: Job, actor: Actor) -> int:
    return ledger.retry(job, actor=actor)


@admin.register(Job)
class JobAdmin(ScopedModelAdmin):
    list_display = (
        "kind",
        "organization",
        "status",
        "reason",
        "attempts",
        "next_attempt_at",
        "created_at",
        "started_at",
        "finished_at",
    )
    list_filter = (
        "status",
        "kind",
        ("last_error_code", ReasonFilter),
        ("waiting_reason", ReasonFilter),
        "created_at",
        OrganizationFilter,
    )
    list_select_related = ("organization",)
    secret_relations = ("organization__data_key",)
    search_fields = ("=kind", "organization__name", "organization__slug", "=last_error_code")
    uuid_lookups = ("pk", "subject_id", "connection_id")
    ordering = ("-created_at",)
    actions = (
        NamedAction(
            "retry",
            _("Retry now"),
            _("Waiting work is done at once; work that was given up starts over."),
            audited("retry_requested", retry_job),
        ).as_admin_action(),
    )

    @admin.display(description=_("reason"))
    def reason(self, job: Job) -> str:
        return job.waiting_reason or job.last_error_code


# Amazon's bad hours ----------------------------------------------------------------------


def part_words(surface: str, region: str) -> str:
    return f"{Incident.Surface(surface).label} {region}".strip()


class OpenForm(ReasonForm):
    part = forms.ChoiceField(
        label=_("Part of Amazon"),
        choices=lambda: [
            (f"{name}.{region}", part_words(name, region)) for name, region in incidents.PARTS
        ],
    )
    cause = forms.ChoiceField(
        label=_("What happens"),
        choices=Incident.Cause.choices,
        help_text=_(
            "While consents are refused all at once, none is believed to be over: for two hours, "
            "and not while Amazon accepts those of others."
        ),
    )
    field_order = ("part", "cause", "reason")


def close_incident(incident: Incident, actor: Actor, reason: str) -> bool:
    return incidents.close(incident, actor=actor, reason=reason)


@admin.register(Incident)
class IncidentAdmin(ScopedModelAdmin):
    change_list_template = "admin/incident_list.html"
    list_display = (
        "surface",
        "region",
        "cause",
        "opened_at",
        "opened_by",
        "good_since",
        "closed_at",
        "closed_by",
        "calls",
        "failures",
        "organizations",
    )
    list_filter = ("surface", "region", "cause", "opened_at")
    list_select_related = ("opened_by", "closed_by")
    secret_relations = ("opened_by__password", "closed_by__password")
    search_fields = ("=surface", "=region", "=cause")
    ordering = ("-opened_at",)
    actions = (
        NamedAction(
            "close",
            _("Close"),
            _(
                "The banner goes, and the organizations are told. It opens no more for ten "
                "minutes. Consents that it held are asked three times more within half an hour: "
                "what Amazon refuses then is believed, unless an incident opens again."
            ),
            close_incident,
        ).as_admin_action(),
    )

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.close_incident")

    def has_open_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.open_incident")

    def get_urls(self) -> list[URLPattern]:
        opening = self.admin_site.admin_view(self.open_view)
        return [path("open/", opening, name="jobs_incident_open"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"may_open": self.has_open_permission(request)} | (extra_context or {})
        return super().changelist_view(request, context)

    def open_view(self, request: HttpRequest) -> HttpResponse:
        """The form that opens one by hand."""
        if not self.has_open_permission(request):
            raise PermissionDenied
        form = OpenForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            self._open(request, form.cleaned_data)
            return redirect("admin:jobs_incident_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Open an incident"),
            "form": form,
            "opts": self.model._meta,
        }
        status = 422 if form.is_bound else 200
        return TemplateResponse(request, "admin/incident_open.html", context, status=status)

    def _open(self, request: HttpRequest, chosen: dict[str, str]) -> None:
        surface, _dot, region = chosen["part"].partition(".")
        opened = incidents.open_one(
            surface=surface,
            region=region,
            cause=chosen["cause"],
            actor=Actor.staff(request.user),  # type: ignore[arg-type]  # the site admits staff only
            reason=chosen["reason"],
        )
        if opened is None:
            words = _("This part of Amazon has an open incident already.")
            self.message_user(request, words, messages.WARNING)
        else:
            self.message_user(request, _("The incident is open."), messages.SUCCESS)
