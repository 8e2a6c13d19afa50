"""Limits at the pages that are allauth's: which route, counted for whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits
from sellerlegend.organizations.limits import (
    CODES,
    NEW_ORGANIZATION,
    OWN_ACCOUNT,
    PASSKEY,
    PASSWORD_RESET,
    SIGN_UP,
    Limit,
)

# Signing in and second steps are counted where the account is known: adapter.py, second_step.py.
BY_ADDRESS: dict[str, Limit] = {
    "account_signup": SIGN_UP,
    "account_reset_password": PASSWORD_RESET,
    "account_reset_password_from_key": CODES,
    "account_email_verification_sent": CODES,
    "account_confirm_login_code": CODES,
    "mfa_authenticate": CODES,
    "mfa_login_webauthn": PASSKEY,
}
# A look at these makes a row: anybody could fill the table of sessions.
LOOKS_COUNT = frozenset({"mfa_login_webauthn"})
BY_PERSON: dict[str, Limit] = dict.fromkeys(
    (
        "account_reauthenticate",
        "account_email",
        "account_change_password",
        "account_set_password",
        "mfa_reauthenticate",
        "mfa_reauthenticate_webauthn",
        "mfa_activate_totp",
        "mfa_deactivate_totp",
        "mfa_generate_recovery_codes",
        "mfa_add_webauthn",
        "mfa_remove_webauthn",
        "mfa_edit_webauthn",
    ),
    OWN_ACCOUNT,
) | {"organization_new": NEW_ORGANIZATION}


class LimitsMiddleware:
    """One statement for a POST to one of these routes, none for almost everything else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: Any, *_view: Any) -> HttpResponseBase | None:
        name = request.resolver_match.url_name
        if request.method != "POST" and name not in LOOKS_COUNT:
            return None
        if name in BY_ADDRESS:
            wait = limits.take((BY_ADDRESS[name], limits.client_address(request)))
        elif name in BY_PERSON and request.user.is_authenticated:
            wait = limits.take((BY_PERSON[name], request.user.pk.hex))
        else:
            return None
        return too_many_requests(request, wait) if wait else None
