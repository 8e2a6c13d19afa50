"""Codes of the second step, with a limit that counts for the person wherever they come from.

allauth remembers in the cache which code of an authenticator was used: a cache that is flushed or
away would let whoever saw one use it again. So it is remembered in the database as well.
"""

from __future__ import annotations

from typing import Any

from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms

from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits


class CountedCode:
    """A wrong code uses up a try; a right one gives it back, and opens nothing a second time."""

    user: Any

    def clean_code(self) -> str:
        try_of_person = (limits.SECOND_STEP, self.user.pk.hex)
        wait = limits.take(try_of_person)
        if wait:
            raise ImmediateHttpResponse(too_many_requests(context.request, wait))
        code: str = super().clean_code()  # type: ignore[misc]  # of allauth's form
        if limits.take((limits.USED_CODE, f"{self.user.pk.hex} {normalize_user_code(code)}")):
            raise get_adapter().validation_error("incorrect_code")
        limits.give_back(try_of_person)
        return code


class AuthenticateForm(CountedCode, forms.AuthenticateForm):  # type: ignore[misc]  # untyped
    """While signing in."""


class ReauthenticateForm(CountedCode, forms.ReauthenticateForm):  # type: ignore[misc]  # untyped
    """Before what cannot be taken back."""
