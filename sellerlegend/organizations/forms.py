"""What people type about themselves and their organizations."""

from __future__ import annotations

import zoneinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from sellerlegend.amazon.http import clean_text
from sellerlegend.organizations.models import Organization, User

if TYPE_CHECKING:
    OrganizationModelForm = forms.ModelForm[Organization]
    UserModelForm = forms.ModelForm[User]
else:
    OrganizationModelForm = UserModelForm = forms.ModelForm


class OrganizationForm(OrganizationModelForm):
    class Meta:
        model = Organization
        fields = ("name",)
        labels = {"name": _("Name of the organization")}
        help_texts = {"name": _("Your company, agency or brand. You can change it later.")}

    def clean_name(self) -> str:
        name = clean_text(self.cleaned_data["name"], 80).strip()
        if not name:
            raise forms.ValidationError(_("Give your organization a name."))
        return name


class DeleteOrganizationForm(forms.Form):
    """The name, typed: nobody deletes the wrong one by habit."""

    name = forms.CharField(
        label=_("Type the name of the organization"),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name.strip() != self.organization.name.strip():
            raise forms.ValidationError(_("This is not the name of this organization."))
        return name


class DeleteLoginForm(forms.Form):
    """The person's own address, typed."""

    email = forms.CharField(
        label=_("Type your email address"),
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "email"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if email.strip().lower() != self.user.email.lower():
            raise forms.ValidationError(_("This is not the address you sign in with."))
        return email


@lru_cache(maxsize=1)
def time_zones() -> list[tuple[str, str]]:
    return [(name, name.replace("_", " ")) for name in sorted(zoneinfo.available_timezones())]


class ProfileForm(UserModelForm):
    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        choices=lambda: [("", _("As my browser asks")), *settings.LANGUAGES],
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=time_zones,
        help_text=_("Times and dates are shown in this zone."),
    )

    class Meta:
        model = User
        fields = ("name", "language", "time_zone")
        labels = {"name": _("Name")}
        help_texts = {"name": _("How your colleagues see you.")}

    def clean_name(self) -> str:
        return clean_text(self.cleaned_data["name"], 150).strip()
