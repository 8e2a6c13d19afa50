"""Django's test client puts a session's key into the cookie; of ours the key is a hash of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test.client import ClientMixin

from sellerlegend.organizations.sessions import SessionStore


def session(client: Any) -> SessionStore:
    cookie = client.cookies.get(settings.SESSION_COOKIE_NAME)
    if cookie:
        return SessionStore.of_browser(cookie.value)
    store = SessionStore()
    store.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = store.cookie
    return store


def set_login_cookies(client: Any, request: Any) -> None:
    client.cookies[settings.SESSION_COOKIE_NAME] = request.session.cookie


def teach_the_test_client() -> None:
    ClientMixin.session = property(session)  # type: ignore[assignment]
    ClientMixin._set_login_cookies = set_login_cookies  # type: ignore[attr-defined]
