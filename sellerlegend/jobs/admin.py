"""The ledger of background work, for staff."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.scoped_admin import (
    NamedAction,
    OrganizationFilter,
    ReasonFilter,
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
