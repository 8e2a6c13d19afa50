"""Codes of the second step, with a limit that counts for the person wherever they come from,
checked against secrets that are sealed in the database.

allauth remembers in the cache which code of an authenticator was used: a cache that is flushed or
away would let whoever saw one use it again. So it is remembered in the database as well.
"""

from __future__ import annotations

import logging
from typing import Any

from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.base import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from sellerlegend.crypto import Undecryptable
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits, second_secrets

logger = logging.getLogger(__name__)

CLOSED = _(
    "Your second step cannot be checked at the moment: a key of ours is missing. "
    "Our staff see it; try again later."
)


class SecondStepAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no annotations
    """What allauth stores for an authenticator app or recovery codes is sealed."""

    def encrypt(self, text: str) -> str:
        return second_secrets.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return second_secrets.opened(encrypted_text)


class CountedCode:
    """A wrong code uses up a try; a right one gives it back, and opens nothing a second time."""

    user: Any

    def clean_code(self) -> str:
        try_of_person = (limits.SECOND_STEP, self.user.pk.hex)
        wait = limits.take(try_of_person)
        if wait:
            raise ImmediateHttpResponse(too_many_requests(context.request, wait))
        try:
            code: str = super().clean_code()  # type: ignore[misc]  # of allauth's form
        except Undecryptable as error:
            logger.error("second_step_unreadable", extra={"cause": str(error)})
            limits.give_back(try_of_person)
            raise ValidationError(CLOSED) from None
        if limits.take((limits.USED_CODE, f"{self.user.pk.hex} {normalize_user_code(code)}")):
            raise get_adapter().validation_error("incorrect_code")
        limits.give_back(try_of_person)
        return code


class AuthenticateForm(CountedCode, forms.AuthenticateForm):  # type: ignore[misc]  # untyped
    """While signing in."""


class ReauthenticateForm(CountedCode, forms.ReauthenticateForm):  # type: ignore[misc]  # untyped
    """Before what cannot be taken back."""
