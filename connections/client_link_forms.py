"""What a person types to ask a client by link."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from connections import client_links
from connections.client_links import Recipient
from sellerlegend.amazon.http import clean_text
from sellerlegend.mail_texts import holds_link


def refuse_links(text: str) -> None:
    if holds_link(text):
        raise forms.ValidationError(
            _("Leave out web and mail addresses. The link to our page is added by itself."),
            code="link",
        )


class WordsForm(forms.Form):
    """What links have in common, whoever gets them."""

    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    message = forms.CharField(
        label=_("Your message"),
        required=False,
        max_length=client_links.LONGEST_MESSAGE,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Plain text, 500 characters at most, without addresses of pages."),
    )
    days = forms.IntegerField(
        label=_("Days until the link expires"),
        min_value=client_links.FEWEST_DAYS,
        max_value=client_links.MOST_DAYS,
        initial=client_links.DAYS,
    )

    def clean_message(self) -> str:
        lines = self.cleaned_data["message"].replace("\r\n", "\n").split("\n")
        longest = client_links.LONGEST_MESSAGE
        text = "\n".join(clean_text(line, longest) for line in lines).strip()[:longest]
        refuse_links(text)
        return text


def client_address(label: Any, help_text: Any = "") -> forms.EmailField:
    """Empty: the link is handed over by hand."""
    return forms.EmailField(label=label, required=False, max_length=254, help_text=help_text)


class AskClientForm(WordsForm):
    recipient_name = forms.CharField(
        label=_("Name of the client"),
        required=False,
        max_length=client_links.LONGEST_NAME,
        help_text=_("How the mail greets them, and how the list here calls them."),
    )
    recipient_email = client_address(
        _("Email address of the client"),
        _("Leave it empty to get a link that you hand over yourself."),
    )
    field_order = ("recipient_name", "recipient_email", "language", "message", "days")

    def clean_recipient_name(self) -> str:
        name = clean_text(self.cleaned_data["recipient_name"], client_links.LONGEST_NAME)
        refuse_links(name)
        return name

    @property
    def recipient(self) -> Recipient:
        data: dict[str, Any] = self.cleaned_data
        return Recipient(data["recipient_name"], data["recipient_email"], data["language"])
