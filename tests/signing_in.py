"""How recently a test's browser proved who uses it. `force_login` alone proves nothing."""

from __future__ import annotations

import time

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.test import Client

from sellerlegend.organizations.models import User

RECORDED_FOR = "account_authentication_methods_user"


def signed_in_freshly(user: User, client: Client | None = None) -> Client:
    """Somebody who has just signed in with a password; staff also with their second step."""
    client = client or Client()
    client.force_login(user)
    methods = ("password", "mfa") if user.is_staff or user.is_superuser else ("password",)
    return proved_seconds_ago(client, 0, *methods)


def signed_in_long_ago(user: User, client: Client | None = None) -> Client:
    """Somebody whose sign-in is too old for what cannot be taken back."""
    client = client or Client()
    client.force_login(user)
    return proved_seconds_ago(client, settings.ACCOUNT_REAUTHENTICATION_TIMEOUT + 1, "password")


def proved_seconds_ago(client: Client, seconds: float, *methods: str) -> Client:
    """The record that allauth keeps of a sign-in, with an age."""
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [
        {"method": method, "at": time.time() - seconds} for method in methods
    ]
    session[RECORDED_FOR] = str(session[SESSION_KEY])
    session.save()
    return client
