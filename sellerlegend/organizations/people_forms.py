"""What administrators type and choose about people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from sellerlegend.organizations.members import members_of
from sellerlegend.organizations.models import Invitation, Membership, Role

MEANINGS = {
    Role.VIEWER: _("Viewer: sees connections and their state"),
    Role.MEMBER: _("Member: also connects, reconnects and onboards"),
    Role.ADMIN: _("Admin: also renames, disconnects, removes, and looks after people"),
    Role.OWNER: _("Owner: also makes owners and deletes the organization"),
}


def role_choices(roles: Iterable[Role]) -> list[tuple[str, Any]]:
    return [(role.value, MEANINGS[role]) for role in roles]


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = role_choices(roles)  # type: ignore[attr-defined]  # a ChoiceField


class InviteForm(RoleForm):
    email = forms.EmailField(
        label=_("Email address"),
        max_length=254,
        help_text=_("The invitation opens for this address alone."),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    is_limited = forms.BooleanField(
        label=_("Sees no connection before I choose which"),
        required=False,
        help_text=_("For viewers and members. Choose under Reach as soon as the person is here."),
    )
    field_order = ("email", "role", "is_limited")

    def __init__(self, *args: Any, inviter: Membership, **kwargs: Any) -> None:
        roles = [role for role in Invitation.ROLES if inviter.may(role)]
        super().__init__(*args, roles=roles, **{"initial": {"role": Role.MEMBER}} | kwargs)

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        return email.strip().lower()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("is_limited") and cleaned.get("role") == Role.ADMIN:
            self.add_error(
                "is_limited", _("Admins see everything. Choose another role, or untick.")
            )
        return cleaned


class TransferForm(forms.Form):
    member = forms.ChoiceField(label=_("New owner"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, owner: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = [
            (str(row.pk), str(row.user))
            for row in members_of(owner.organization)
            if row.pk != owner.pk and row.user.is_active
        ]
        self.fields["member"].choices = others  # type: ignore[attr-defined]  # a ChoiceField
