"""The product's WSGI application, a plain Django one beside it, and somebody signed in."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.middleware.csrf import _get_new_csrf_string
from django.test.utils import override_settings

from sellerlegend.organizations.models import User

# `django-admin startproject` of 5.2, with whitenoise: eight.
PLAIN_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

PLAIN_SESSIONS = "django.contrib.sessions.backends.db"
PLAIN_BACKEND = "django.contrib.auth.backends.ModelBackend"


def product_application() -> WSGIHandler:
    settings.ROOT_URLCONF = "benchmarks.urls"
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, PLAIN_BACKEND]
    return WSGIHandler()


def plain_application() -> WSGIHandler:
    """Middleware is loaded once, when the handler is made."""
    with ExitStack() as stack:
        stack.enter_context(
            override_settings(MIDDLEWARE=PLAIN_MIDDLEWARE, SESSION_ENGINE=PLAIN_SESSIONS)
        )
        return WSGIHandler()


def sign_in(person: User, *, plain: bool = False) -> str:
    """The cookies of a browser in which this person is signed in, to the product or to plain
    Django."""
    store: Any = import_module(PLAIN_SESSIONS if plain else settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(person.pk)
    store[BACKEND_SESSION_KEY] = PLAIN_BACKEND if plain else settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = person.get_session_auth_hash()
    store.create()
    csrf, session = _get_new_csrf_string(), store.session_key if plain else store.cookie
    return f"{settings.SESSION_COOKIE_NAME}={session}; {settings.CSRF_COOKIE_NAME}={csrf}"


def csrf_of(cookies: str) -> str:
    return cookies.rpartition("=")[2]


class CountedQueries:
    """How many statements were sent, transaction control apart."""

    CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __enter__(self) -> CountedQueries:
        self._wrapper = connection.execute_wrapper(self._note)
        self._wrapper.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._wrapper.__exit__(*exc)

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(self.CONTROL):
            self.statements.append(sql)
        return execute(sql, params, many, context)

    def __len__(self) -> int:
        return len(self.statements)
