"""Where allauth asks us: limits, known devices, mails that strangers can cause, freshness."""

from __future__ import annotations

import secrets
import zoneinfo
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import devices, limits, sessions
from sellerlegend.organizations.models import User
from sellerlegend.organizations.step_up import has_fresh_sign_in

# Mails that anybody can have sent to anybody.
CAUSED_BY_STRANGERS = frozenset(
    {
        "account/email/account_already_exists",
        "account/email/email_confirmation",
        "account/email/email_confirmation_signup",
        "account/email/password_reset_key",
        "account/email/unknown_account",
    }
)
Try = tuple[limits.Limit, str]


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no annotations
    """Our rules at allauth's pages."""

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:  # noqa: ARG002
        """One rule for its pages and ours: a sign-in counts as well as its repetition."""
        return not has_fresh_sign_in(context.request)

    def get_client_ip(self, request: HttpRequest) -> str:
        """Only what trusted proxies say. The address of a network stands for its clients."""
        return limits.client_address(request).partition("/")[0]

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """In the time zone that the browser names, if it names one that exists."""
        named = request.POST.get("time_zone", "")
        if named in zoneinfo.available_timezones():
            user.time_zone = named
        saved: User = super().save_user(request, user, form, commit)
        return saved

    # Signing in ----------------------------------------------------------------------------

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Every guess costs a token, of the address and of the account, before the password is
        looked at; the same for accounts that do not exist."""
        self._tries = tries_of(request, str(credentials.get("email") or ""))
        wait = limits.take(*self._tries)
        if wait:
            raise ImmediateHttpResponse(too_many_requests(request, wait))

    def _rollback_login_failed_rl_usage(self) -> None:
        """allauth's hook for a right password: the try does not count."""
        limits.give_back(*self._tries)

    def _delete_login_attempts_cached_email(
        self, _request: HttpRequest, **credentials: Any
    ) -> None:
        """allauth's hook for a password that was reset by mail."""
        limits.forget(limits.SIGN_IN_TO_ACCOUNT, account_name(str(credentials.get("email") or "")))

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **options)
        devices.remember_device(request, response, user.email)
        sessions.browser_value(request.session)
        if user.is_staff or user.is_superuser:
            request.session.set_expiry(settings.STAFF_SESSION_SECONDS)
        return response

    # Mail ----------------------------------------------------------------------------------

    def render_mail(
        self, template_prefix: str, email: Any, context: dict[str, Any], headers: Any = None
    ) -> Any:
        """Links lead to PUBLIC_BASE_URL, whatever Host the request had."""
        told = self.request.build_absolute_uri("/")
        ours = f"{settings.PUBLIC_BASE_URL}/"
        fixed = {
            name: value.replace(told, ours) if isinstance(value, str) else value
            for name, value in context.items()
        }
        host = urlsplit(ours).netloc
        fixed["current_site"] = SimpleNamespace(name=settings.SITE_NAME, domain=host)
        return super().render_mail(template_prefix, email, fixed, headers)

    def send_account_already_exists_mail(self, email: str) -> None:
        """A new account costs one hash of a password; so does one that exists, or time tells."""
        User().set_password(secrets.token_urlsafe(12))
        super().send_account_already_exists_mail(email)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Nobody's mailbox is flooded. The page says the same, so that it tells nothing."""
        if template_prefix in CAUSED_BY_STRANGERS:
            wait = limits.take((limits.MAIL_TO_ADDRESS, account_name(email)))
            if wait:
                return
        super().send_mail(template_prefix, email, context)


def account_name(email: str) -> str:
    return email.strip().lower()


def tries_of(request: HttpRequest, email: str) -> tuple[Try, ...]:
    """What one guess uses up. A browser that signed in to this account before has tokens of its
    own, so that a stranger's guesses cannot keep its person out."""
    address = (limits.SIGN_IN_FROM_ADDRESS, limits.client_address(request))
    device = devices.known_device(request, email)
    if device:
        known = (limits.SIGN_IN_FROM_KNOWN_DEVICE, f"{device} {account_name(email)}")
        return (address, known)
    return (address, (limits.SIGN_IN_TO_ACCOUNT, account_name(email)))
