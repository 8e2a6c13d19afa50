"""Writing audit events: who did what to which row. Reading them is the admin's business."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models

from sellerlegend.organizations.models import AuditEvent, Organization, User

# No vowels and no look-alikes: a code somebody reads out over the phone.
REFERENCE_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXZ"
REFERENCE_LENGTH = 8


@dataclass(frozen=True)
class Actor:
    """Who acts: a signed-in person, staff, a worker, an operator's command, or a client without a
    login. `facts` go into every event; `name` says who that client is, and goes into none."""

    kind: AuditEvent.ActorKind
    user: User | None = None
    name: str = ""
    facts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def person(cls, user: User) -> Actor:
        return cls(AuditEvent.ActorKind.PERSON, user)

    @classmethod
    def staff(cls, user: User) -> Actor:
        return cls(AuditEvent.ActorKind.STAFF, user)

    @classmethod
    def client(cls, link_id: UUID, *, made_by: UUID | None, name: str = "") -> Actor:
        """Whoever holds this link, and who of ours made it."""
        maker = str(made_by) if made_by else ""
        facts = (("client_link", str(link_id)), ("link_made_by", maker))
        return cls(AuditEvent.ActorKind.CLIENT, None, name, facts)


WORKER = Actor(AuditEvent.ActorKind.WORKER)
COMMAND = Actor(AuditEvent.ActorKind.COMMAND)


def new_reference() -> str:
    """A short code shown to a person on an error page and found again by staff."""
    return "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH))


def record_event(
    code: str,
    *,
    actor: Actor,
    organization: Organization | None = None,
    subject: models.Model | None = None,
    reference: str = "",
    **details: Any,
) -> AuditEvent:
    """Append one event in the caller's transaction. `details` must be JSON and secret-free.

    A subject with a `reference` of its own, which its person may read out, gives it to the event.
    """
    event = event_of(code, actor, subject, details)
    event.reference = reference or event.reference
    if organization is not None:
        event.organization_id = organization.pk
    event.save(force_insert=True)
    return event


def record_events(
    code: str, *, actor: Actor, subjects: Iterable[models.Model], **details: Any
) -> None:
    """The same event for each of many rows, in one statement of the caller's transaction."""
    events = [event_of(code, actor, subject, details) for subject in subjects]
    AuditEvent._base_manager.bulk_create(events, batch_size=500)


def event_of(
    code: str, actor: Actor, subject: models.Model | None, details: dict[str, Any]
) -> AuditEvent:
    return AuditEvent(
        code=code,
        organization_id=organization_key(subject),
        actor_kind=actor.kind,
        actor=actor.user,
        subject_type=(subject._meta.model_name or "") if subject else "",
        subject_id=subject.pk if subject else None,
        connection_id=connection_key(subject),
        reference=getattr(subject, "reference", ""),
        details={**details, **dict(actor.facts)},
    )


def organization_key(subject: Any) -> Any:
    return subject.organization_key() if hasattr(subject, "organization_key") else None


def connection_key(subject: Any) -> Any:
    """Events of a connection's parts are found under the connection too."""
    if subject is None:
        return None
    if subject._meta.model_name == "connection":
        return subject.pk
    return getattr(subject, "connection_id", None)
