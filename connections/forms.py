"""What people type about a connection."""

from __future__ import annotations

import unicodedata
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from sellerlegend.amazon.http import clean_text


class NameField(forms.CharField):
    """1 to 80 characters; the odd signs that break screens are taken out."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(label=_("Name"), max_length=80, strip=True, **kwargs)

    def clean(self, value: Any) -> str:
        cleaned = clean_text(super().clean(value), 80)
        # Letters, numbers, punctuation, symbols; the rest (zero-width, marks alone) is not seen.
        if not any(unicodedata.category(sign)[0] in "LNPS" for sign in cleaned):
            raise forms.ValidationError(self.error_messages["required"], code="required")
        if holds_a_token(cleaned):
            words = _("This looks like a token of Amazon's, not like a name. Write a name.")
            raise forms.ValidationError(words, code="token")
        return cleaned


def holds_a_token(text: str) -> bool:
    """A name is shown, exported and mailed: a token in the wrong field must not become one."""
    return "atzr|" in text.lower() or "atza|" in text.lower()


class GroupNameField(NameField):
    """Of a tag, a client or a saved view."""

    def __init__(self, *, longest: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest = longest
        self.widget.attrs["maxlength"] = str(longest)

    def clean(self, value: Any) -> str:
        cleaned = super().clean(value)
        if len(cleaned) > self.longest:
            words = _("At most %(count)d characters.")
            raise forms.ValidationError(words, "max_length", {"count": self.longest})
        return cleaned


class TagForm(forms.Form):
    name = GroupNameField(longest=40)


class ViewForm(forms.Form):
    name = GroupNameField(longest=60)


class ClientForm(forms.Form):
    name = GroupNameField(longest=80, help_text=_("As you call them, for example the brand."))
    contact_name = forms.CharField(label=_("Contact"), max_length=150, required=False)
    contact_email = forms.EmailField(
        label=_("Contact's email address"),
        max_length=254,
        required=False,
        help_text=_("Who can give consent at Amazon: the primary user of the store."),
    )

    def clean_contact_name(self) -> str:
        return clean_text(self.cleaned_data["contact_name"], 150)


class NewConnectionForm(forms.Form):
    name = NameField(
        help_text=_("How you want to call this account here, for example the brand and region.")
    )
    marketplace = forms.ChoiceField(
        label=_("Marketplace"),
        help_text=_(
            "Decides which Seller Central asks for your consent. One consent covers the "
            "whole region."
        ),
    )

    def __init__(self, *args: Any, choices: list[tuple[Any, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["marketplace"].choices = choices  # type: ignore[attr-defined]  # a ChoiceField


class RenameForm(forms.Form):
    """`known`: the name that its reader has seen."""

    name = NameField()
    known = forms.CharField(widget=forms.HiddenInput, required=False, strip=False)
