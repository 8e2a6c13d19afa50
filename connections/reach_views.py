"""The pop-up in which an administrator chooses how far a member sees."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from connections import reach_choices
from connections.reach_choices import Extent
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.models import Membership, Role
from sellerlegend.organizations.people_views import change, member_of
from sellerlegend.organizations.step_up import recently_authenticated

ALL, SOME = "all", "some"


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
            else:
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        """Who has just ticked something did not mean all. What was ticked before may stay."""
        ticked = any(
            set(self.cleaned_data.get(name, ())) - set(self.initial[name])
            for name in ("tags", "clients", "connections")
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
    context = {"form": form, "member": member}
    status = 422 if form.is_bound else 200
    return render_part(request, "organizations/member_reach.html", "dialog", context, status)
