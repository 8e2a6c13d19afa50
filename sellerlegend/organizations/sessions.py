"""Django's database sessions and signed-in people, read by prepared queries: every request of a
signed-in person begins with these two.

A session's key, which the session list and everything else of the product knows, is a keyed hash
of the cookie: who reads the database finds nothing that a browser could present.
"""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from allauth.account.auth_backends import AuthenticationBackend
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions import middleware
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, SessionBase
from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import get_random_string, salted_hmac

from sellerlegend.organizations.models import User
from sellerlegend.prepared import PreparedQuery

COOKIE_LENGTH = 32
BROWSER_KEY = "authorization_browser"
KEY_LENGTH = 40  # of both columns, Django's and allauth's: 160 bits of the hash
PERSON_COLUMNS = [field.attname for field in User._meta.concrete_fields]


def people(user_id: UUID) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = User.objects.filter(pk=user_id)
    return rows.values(*PERSON_COLUMNS)


def sessions(key: str) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = SessionStore.get_model_class().objects.filter(session_key=key)
    return rows.values("session_data", "expire_date")


PEOPLE = PreparedQuery(people, user_id=UUID)
SESSIONS = PreparedQuery(sessions, key=str)


def key_of(cookie: str) -> str:
    """Under which key the database knows the session of a browser with this cookie."""
    digest = salted_hmac("sellerlegend.session", cookie, algorithm="sha256").hexdigest()
    return digest[:KEY_LENGTH]


class SessionStore(db.SessionStore):
    """Sessions stay rows: revoking one is deleting it. `cookie` is known only to the request that
    brought it and to the one that makes a new key."""

    cookie = ""

    @classmethod
    def of_browser(cls, cookie: str) -> SessionStore:
        store = cls(key_of(cookie))
        store.cookie = cookie
        return store

    def _get_new_session_key(self) -> str:
        self.cookie = get_random_string(COOKIE_LENGTH, VALID_KEY_CHARS)
        return key_of(self.cookie)

    def load(self) -> dict[str, Any]:
        for row in SESSIONS.rows(key=self.session_key):
            if row["expire_date"] > timezone.now():
                return self.decode(row["session_data"])
        self._session_key = None
        return {}


class SessionMiddleware(middleware.SessionMiddleware):
    """Django's, but the browser gets the cookie and not the key."""

    def process_request(self, request: HttpRequest) -> None:
        cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        request.session = SessionStore.of_browser(cookie) if cookie else SessionStore()

    def process_response(self, request: Any, response: HttpResponse) -> HttpResponse:
        answer = super().process_response(request, response)
        sent = answer.cookies.get(settings.SESSION_COOKIE_NAME)
        if sent is not None and sent.value:
            answer.cookies[settings.SESSION_COOKIE_NAME] = request.session.cookie
        return answer


class PersonBackend(AuthenticationBackend):  # type: ignore[misc]  # allauth has no annotations
    """allauth's sign-in by email."""

    def get_user(self, user_id: UUID) -> User | None:
        for row in PEOPLE.rows(user_id=user_id):
            user = User.from_db(DEFAULT_DB_ALIAS, PERSON_COLUMNS, list(row.values()))
            return user if self.user_can_authenticate(user) else None
        return None


def ended_sessions() -> QuerySet[Any]:
    """Nobody can use them any more; `prune` removes them."""
    rows: QuerySet[Any] = SessionStore.get_model_class().objects.all()
    return rows.filter(expire_date__lt=timezone.now())


def forgotten_devices() -> QuerySet[Any]:
    """Addresses and browsers of sessions that are gone; `prune` removes them."""
    alive = SessionStore.get_model_class().objects.values("session_key")
    rows: QuerySet[Any] = UserSession.objects.exclude(session_key__in=alive)
    return rows


def end_all_sessions() -> int:
    """Everybody signs in again. Returns how many were signed in."""
    UserSession.objects.all().delete()
    ended, _ = SessionStore.get_model_class().objects.all().delete()
    return ended


def browser_value(session: SessionBase) -> str:
    """What binds a trip to Amazon to this browser: random, and kept when the key changes.

    Every sign-in makes one: of two first departures at the same moment each would, and the
    session keeps the last.
    """
    if BROWSER_KEY not in session:
        session[BROWSER_KEY] = secrets.token_urlsafe(32)
    value: str = session[BROWSER_KEY]
    return value
