"""The pop-up in which an administrator chooses how far a member sees."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase
from django.utils.html import escape, format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from connections import reach_choices
from connections.reach_choices import Extent
from sellerlegend.folding import plain
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.models import Membership, Role
from sellerlegend.organizations.people_views import change, member_of
from sellerlegend.organizations.step_up import recently_authenticated

ALL, SOME = "all", "some"
LISTS = ("tags", "clients", "connections")


def many(label: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, required=False, widget=forms.CheckboxSelectMultiple
    )


class ReachForm(forms.Form):
    """Ids of another organization are no choices, so they come back as a mistake."""

    sees = forms.ChoiceField(
        label=gettext_lazy("What this person sees"),
        choices=[
            (ALL, gettext_lazy("All connections")),
            (SOME, gettext_lazy("Only what is ticked below")),
        ],
        widget=forms.RadioSelect,
    )
    tags = many(gettext_lazy("Connections with these tags"))
    clients = many(gettext_lazy("Connections of these clients"))
    connections = many(gettext_lazy("These connections"))
    # By the search, of all lists together.
    found = 0

    def __init__(self, *args: Any, member: Membership, **kwargs: Any) -> None:
        extent = reach_choices.extent_of(member)
        initial = {
            "sees": SOME if member.is_limited else ALL,
            "tags": [str(key) for key in extent.tags],
            "clients": [str(key) for key in extent.clients],
            "connections": [str(key) for key in extent.connections],
        }
        super().__init__(*args, **{"initial": initial} | kwargs)
        for name, choices in reach_choices.choices_of(member.organization_id).items():
            if choices:
                self.fields[name].choices = choices  # type: ignore[attr-defined]  # MultipleChoice
                self.fields[name].help_text = self.count_of(name, choices)
            else:
                del self.fields[name]

    def ticked(self, name: str) -> set[str]:
        """Not by way of the bound field, which would keep the field as it is at that moment."""
        field, key = self.fields[name], self.add_prefix(name)
        if self.is_bound:
            return set(field.widget.value_from_datadict(self.data, self.files, key) or ())
        return set(self.initial[name])

    def count_of(self, name: str, choices: list[tuple[str, str]]) -> str:
        """Its number is kept up to date by choices.js."""
        ticked = len(self.ticked(name) & {key for key, _label in choices})
        number = format_html("<span data-ticked-count>{}</span>", ticked)
        counted = format_html(
            escape(_("%(ticked)s of %(total)s ticked")) % {"ticked": "{}", "total": "{}"},
            number,
            len(choices),
        )
        words: str = format_html('<span role="status">{}</span>', counted)
        return words

    def narrow(self, words: str) -> None:
        """Show what is ticked and what is called so. Only for a page that is shown, since what is
        left out is no choice any more."""
        for name in LISTS:
            if name in self.fields:
                field, ticked = self.fields[name], self.ticked(name)
                choices = list(field.choices)  # type: ignore[attr-defined]  # MultipleChoice
                found = {key for key, label in choices if plain(words) in plain(label)}
                field.choices = [  # type: ignore[attr-defined]  # MultipleChoice
                    choice for choice in choices if choice[0] in ticked | found
                ]
                self.found += len(found)

    def clean(self) -> dict[str, Any]:
        """Who has just ticked something did not mean all. What was ticked before may stay."""
        ticked = any(
            set(self.cleaned_data.get(name, ())) - set(self.initial[name]) for name in LISTS
        )
        if self.cleaned_data.get("sees") == ALL and ticked:
            self.add_error(
                "sees", _("You ticked something: choose “Only what is ticked below” as well.")
            )
        return self.cleaned_data

    def extent(self) -> Extent | None:
        """None: everything."""
        if self.cleaned_data["sees"] == ALL:
            return None
        return Extent(
            tags=tuple(int(key) for key in self.cleaned_data.get("tags", ())),
            clients=tuple(UUID(key) for key in self.cleaned_data.get("clients", ())),
            connections=tuple(UUID(key) for key in self.cleaned_data.get("connections", ())),
        )


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.ADMIN)
@recently_authenticated
def member_reach(request: OrganizationRequest, member_id: UUID) -> HttpResponseBase:
    member = member_of(request, member_id)
    if member.may(Role.ADMIN):
        raise PermissionDenied("administrators see everything")
    if "search" in request.POST:
        return searched(request, member)
    form = ReachForm(request.POST if request.method == "POST" else None, member=member)
    if form.is_bound and form.is_valid():
        extent = form.extent()
        return change(
            request,
            lambda: reach_choices.set_reach(
                by=request.membership, member_id=member_id, extent=extent
            ),
            _("Saved. It counts from this person's next click on."),
        )
    return page_of(request, member, form, 422 if form.is_bound else 200)


def searched(request: OrganizationRequest, member: Membership) -> HttpResponseBase:
    """Nothing is saved: without JavaScript the lists are narrowed here, and every tick stays."""
    typed, words = request.POST, request.POST.get("words", "").strip()
    ticks = {name: typed.getlist(name) for name in LISTS}
    form = ReachForm(member=member, initial={"sees": typed.get("sees", SOME), **ticks})
    form.narrow(words)
    return page_of(request, member, form, 200, words)


def page_of(
    request: OrganizationRequest, member: Membership, form: ReachForm, status: int, words: str = ""
) -> HttpResponseBase:
    lists = [form[name] for name in LISTS if name in form.fields]
    context = {"form": form, "member": member, "lists": lists, "words": words}
    return render_part(request, "organizations/member_reach.html", "dialog", context, status)
