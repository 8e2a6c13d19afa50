"""The staff's view of a table: to look at, to search, and to act on through named actions only.

No row is added, changed or deleted here. Secret columns are not loaded, let alone shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from sellerlegend.logs import redact
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.checked_admin import CheckedLists
from sellerlegend.organizations.models import Organization
from sellerlegend.transitions import StaleState

SECRET_COLUMNS = frozenset(
    {
        "password",
        "data_key",
        "sealed_secret",
        "refresh_token",
        "mws_auth_token",
        "code_verifier",
        "state_hash",
        "token_hash",
        "browser_hash",
    }
)
ROWS_AT_ONCE = 100
ORGANIZATIONS_LISTED = 50
Words = str | Promise


class OrganizationFilter(admin.SimpleListFilter):
    """By slug. Lists the first ones by name and the one that is chosen: any other by its slug in
    the address, or by searching for it."""

    title = _("organization")
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Organization.objects.order_by("name").values_list("slug", "name")
        listed = dict(rows[:ORGANIZATIONS_LISTED])
        return list((listed | dict(rows.filter(slug=self.value() or ""))).items())

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        if not self.value():
            return queryset
        path = getattr(queryset.model, "organization_path", "organization")
        return queryset.filter(**{f"{path}__slug": self.value()})


class ReasonFilter(admin.AllValuesFieldListFilter):
    """Stored codes; a link needs a word for the empty one too."""

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield choice | {"display": choice["display"] or _("None")}


class ScopedModelAdmin(CheckedLists):
    """`uuid_lookups`: columns that a pasted id is compared with."""

    list_per_page = 50
    show_full_result_count = False
    uuid_lookups: Sequence[str] = ("pk",)
    secret_relations: Sequence[str] = ()
    extra_fields: Sequence[str] = ()
    reads_are_recorded = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # Asked by Django for each action, by the name in its `allowed_permissions`.

    def has_resync_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.resync_connection")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.retry_connection")

    def has_require_reconnect_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.require_reconnect_connection")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        columns = [field.name for field in self.model._meta.concrete_fields]
        return [name for name in columns if name not in SECRET_COLUMNS] + list(self.extra_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_fields(request, obj)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        own = [
            field.name for field in self.model._meta.concrete_fields if field.name in SECRET_COLUMNS
        ]
        return super().get_queryset(request).defer(*own, *self.secret_relations)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Django lets an address filter by any column of the table: `?password__startswith=a`
        would spell a secret out, one sign at a time."""
        if SECRET_COLUMNS & set(lookup.split("__")):
            return False
        return super().lookup_allowed(lookup, value, request)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Who of the staff looked at which row stands in the record."""
        row = kwargs.get("obj")
        if request.method != "POST" and row is not None and self.reads_are_recorded:
            record_event(
                "staff_looked",
                actor=Actor.staff(request.user),  # type: ignore[arg-type]  # staff only
                subject=row,
            )
        return super().render_change_form(request, context, *args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[Any, bool]:
        key = uuid_from(search_term)
        if key is None:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(any_of(dict.fromkeys(self.uuid_lookups, key))), False


def uuid_from(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def any_of(lookups: dict[str, Any]) -> Q:
    found = Q()
    for name, value in lookups.items():
        found |= Q(**{name: value})
    return found


def links_to_lists(term: object, models_: Iterable[type[models.Model]]) -> str:
    """Links to the lists of other tables, searched for `term`."""
    return format_html_join(
        " · ",
        '<a href="{}?q={}">{}</a>',
        (
            (
                reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"),
                str(term),
                model._meta.verbose_name_plural,
            )
            for model in models_
        ),
    )


# Named actions -----------------------------------------------------------------------------


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("Kept in the audit events with your name. Never a token or a password."),
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if redact(reason) != reason:
            raise forms.ValidationError(_("This looks like a token or a code. Leave it out."))
        return reason


def nothing_to_do(_row: Any) -> Words:
    return ""


@dataclass(frozen=True)
class NamedAction:
    """What staff may do to the rows they ticked. `perform` calls a service with (row, actor,
    reason) and says whether it did anything; `left_out` says of a row to which nothing was done
    why it could not be, "" where there was nothing to do."""

    name: str
    label: Words
    meaning: Words
    perform: Callable[[Any, Actor, str], bool]
    left_out: Callable[[Any], Words] = nothing_to_do

    def as_admin_action(self) -> Any:
        def action(
            model_admin: ScopedModelAdmin, request: HttpRequest, queryset: models.QuerySet[Any]
        ) -> HttpResponse | None:
            return self.ask_or_act(model_admin, request, queryset)

        action.__name__ = self.name
        action.short_description = self.label  # type: ignore[attr-defined]  # Django's protocol
        action.allowed_permissions = [self.name]  # type: ignore[attr-defined]  # the same
        return action

    def ask_or_act(
        self, model_admin: ScopedModelAdmin, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponse | None:
        """The page that asks for a reason, until there is one; then the act."""
        rows = list(queryset[: ROWS_AT_ONCE + 1])
        if len(rows) > ROWS_AT_ONCE:
            words = _("Choose at most %(count)d rows at once.") % {"count": ROWS_AT_ONCE}
            model_admin.message_user(request, words, messages.ERROR)
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self.page(model_admin, request, rows, form)
        left = [row for row in rows if not self.act(row, request, form.cleaned_data["reason"])]
        done = len(rows) - len(left)
        told = [done_words(self.label, done, len(rows)), *left_words(map(self.left_out, left))]
        model_admin.message_user(request, " ".join(told), level_of(done, len(rows)))
        return None

    def act(self, row: Any, request: HttpRequest, reason: str) -> bool:
        actor = Actor.staff(request.user)  # type: ignore[arg-type]  # the site admits staff only
        try:
            return self.perform(row, actor, reason)
        except StaleState:  # somebody else was faster
            return False

    def page(
        self, model_admin: ScopedModelAdmin, request: HttpRequest, rows: list[Any], form: ReasonForm
    ) -> HttpResponse:
        context = {
            **model_admin.admin_site.each_context(request),
            "title": self.label,
            "action": self,
            "rows": rows,
            "form": form,
            "opts": model_admin.model._meta,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        status = 422 if form.is_bound else 200
        return TemplateResponse(request, "admin/named_action.html", context, status=status)


def done_words(label: Words, done: int, total: int) -> str:
    return ngettext(
        "%(label)s: %(done)d of %(total)d row.", "%(label)s: %(done)d of %(total)d rows.", total
    ) % {"label": label, "done": done, "total": total}


def left_words(causes: Iterable[Words]) -> list[str]:
    """How many rows nothing was done to for each cause."""
    counts = Counter(map(str, causes))
    rest = counts.pop("", 0)
    left_out = _("%(count)d left out: %(why)s.")
    words = [str(left_out) % {"count": count, "why": why} for why, count in counts.items()]
    return [*words, str(_("There was nothing to do for the rest."))] if rest else words


def level_of(done: int, total: int) -> int:
    return messages.SUCCESS if done == total else messages.WARNING


def audited(code: str, act: Callable[[Any, Actor], int]) -> Callable[[Any, Actor, str], bool]:
    """For services that take no reason: the event stands in the same transaction."""

    def perform(row: Any, actor: Actor, reason: str) -> bool:
        with transaction.atomic():
            count = int(act(row, actor))
            if count:
                record_event(code, actor=actor, subject=row, reason=reason, repeated=count)
        return count > 0

    return perform
