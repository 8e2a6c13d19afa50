"""Importing refresh tokens of another tool: bring a file, look, confirm, see what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from connections import departures, import_pages, token_imports, token_table
from connections.forms import holds_a_token
from connections.import_models import TokenImport
from connections.token_table import checked_table
from connections.uploaded_tables import (
    MOST_BYTES,
    Column,
    TableRefused,
    titles_of,
    unread_titles,
)
from connections.views import cannot_leave, form_page
from sellerlegend.amazon.http import clean_text
from sellerlegend.organizations.access import (
    OrganizationRequest,
    organization_view,
    render_part,
)
from sellerlegend.organizations.limits import Limit, costly, counted
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import changes_want_second_step, with_second_step

FILE = Limit("imported_file", burst=20, seconds=60)
TITLE_LENGTH, MOST_TITLES = 40, 10


class TableForm(forms.Form):
    """Shown, never bound: what was pasted may hold secrets, and no page gives it back. Only the
    list of clients, which holds none, has it as `initial`. One of the two fields is needed, so
    neither is called optional, and what is wrong with the table is said at both."""

    use_required_attribute = False
    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
    )
    text = forms.CharField(
        label=gettext_lazy("or paste the table"),
        widget=forms.Textarea(attrs={"rows": 6, "autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, error: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values() if error else ():
            field.widget.attrs |= {"aria-invalid": "true", "aria-describedby": "table-error"}


def limited(view: Any) -> Any:
    return counted(view, lambda request: (FILE, request.organization.pk.hex))


@sensitive_variables()
def table_of(request: OrganizationRequest) -> bytes:
    """What was uploaded or pasted. Raises TableRefused."""
    file, text = request.FILES.get("file"), request.POST.get("text", "")
    if file is not None and text.strip():
        raise TableRefused(_("Choose a file or paste a table, not both."))
    if file is None:
        if not text.strip():
            raise TableRefused(_("Choose a file, or paste a table."))
        return text.encode("utf-8", "replace")
    if (file.size or 0) > MOST_BYTES:
        raise TableRefused(_("The file is larger than 1 MB. Split it, and bring each part."))
    data: bytes = file.read()
    return data


@sensitive_variables()
def tell_unread(request: OrganizationRequest, data: bytes, columns: Iterable[Column]) -> None:
    """A column whose title nobody knows may hold what somebody counts on."""
    titles = [clean_text(title, TITLE_LENGTH) for title in unread_titles(data, columns)]
    told = [_("“%(title)s”") % {"title": title} for title in titles if not holds_a_token(title)]
    if told:
        words = _("These columns are not read, since we do not know their titles: %(titles)s.")
        messages.info(request, words % {"titles": ", ".join(told[:MOST_TITLES])})


# Tokens ------------------------------------------------------------------------------------


@sensitive_post_parameters()
@sensitive_variables("data")
@form_page
@organization_view(Role.ADMIN)
@with_second_step
@limited
def token_import_new(request: OrganizationRequest) -> HttpResponseBase:
    error = ""
    if request.method == "POST":
        try:
            departures.require_open_vault(request.organization)
            data = table_of(request)
            rows = checked_table(data, request.organization.pk)
        except TableRefused as refusal:
            error = str(refusal)
        except departures.VaultClosed as closed:
            return cannot_leave(request, closed)
        else:
            kept = token_imports.keep(
                organization=request.organization, rows=rows, actor=request.actor()
            )
            tell_unread(request, data, token_table.COLUMNS)
            return HttpResponseRedirect(url_of(request, kept), status=303)
    context = {
        "form": TableForm(error=error),
        "error": error,
        "columns": titles_of(token_table.COLUMNS),
        "recent": import_pages.recent_imports(request.organization),
    }
    return render(
        request, "connections/token_import_new.html", context, status=422 if error else 200
    )


@form_page
@organization_view(Role.ADMIN)
@changes_want_second_step
@costly
def token_import(request: OrganizationRequest, import_id: UUID) -> HttpResponseBase:
    """Before the confirmation what would happen, after it what came of each row."""
    imports = TokenImport.objects.for_organization(request.organization)
    found: TokenImport = get_object_or_404(imports, pk=import_id)
    action = request.POST.get("action", "")
    if request.method == "POST" and action == "confirm":
        return confirmed(request, found)
    if request.method == "POST" and action == "discard":
        count = token_imports.discard(token_import=found, actor=request.actor())
        words = ngettext(
            "%(count)d token was destroyed.", "%(count)d tokens were destroyed.", count
        )
        messages.success(request, words % {"count": count})
        return HttpResponseRedirect(url_of(request, found), status=303)
    context = import_pages.token_import_context(request.organization, found)
    status = 422 if request.method == "POST" else 200
    return render_part(request, "connections/token_import.html", "results", context, status=status)


def confirmed(request: OrganizationRequest, found: TokenImport) -> HttpResponse:
    count = token_imports.confirm(
        token_import=found,
        renew=ticked_rows(request.POST.getlist("renew")),
        actor=request.actor(),
    )
    words = ngettext(
        "Amazon is asked about %(count)d token.", "Amazon is asked about %(count)d tokens.", count
    )
    messages.success(request, words % {"count": count})
    return HttpResponseRedirect(url_of(request, found), status=303)


def ticked_rows(values: list[str]) -> list[UUID]:
    """What is no id is nobody's row."""
    found = []
    for value in values:
        with suppress(ValueError):
            found.append(UUID(value))
    return found


def url_of(request: OrganizationRequest, found: TokenImport) -> str:
    return reverse("token_import", args=[request.organization.slug, found.pk])
