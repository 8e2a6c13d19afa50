"""Django's database sessions and signed-in people, read by prepared queries: every request of a
signed-in person begins with these two."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.account.auth_backends import AuthenticationBackend
from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends import db
from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet
from django.utils import timezone

from sellerlegend.organizations.models import User
from sellerlegend.prepared import PreparedQuery

PERSON_COLUMNS = [field.attname for field in User._meta.concrete_fields]


def people(user_id: UUID) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = User.objects.filter(pk=user_id)
    return rows.values(*PERSON_COLUMNS)


def sessions(key: str) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = SessionStore.get_model_class().objects.filter(session_key=key)
    return rows.values("session_data", "expire_date")


PEOPLE = PreparedQuery(people, user_id=UUID)
SESSIONS = PreparedQuery(sessions, key=str)


class SessionStore(db.SessionStore):
    """Sessions stay rows: revoking one is deleting it."""

    def load(self) -> dict[str, Any]:
        for row in SESSIONS.rows(key=self.session_key):
            if row["expire_date"] > timezone.now():
                return self.decode(row["session_data"])
        self._session_key = None
        return {}


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
