"""A restored backup calls nobody until staff have looked at it.

Three signs: the data lives in another PostgreSQL database than it was written in (a dump was
loaded somewhere), it is older than the count this host keeps in a file (a copy was put back in
place), or an operator said so. While it lasts nothing is claimed and no consent is used.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone

from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import InstallationState

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
# Oid and system identifier: no dump carries them, every other place has others.
WHERE = (
    "SELECT s.system_identifier::text || '/' || d.oid::text FROM pg_control_system() s, "
    "pg_database d WHERE d.datname = current_database()"
)


@dataclass
class Known:
    """What this process saw last, so that asking costs one look in five seconds."""

    is_on: bool = False
    until: float = 0.0


_known = Known()


def is_on() -> bool:
    if time.monotonic() >= _known.until:
        _known.is_on = bool(cause())
        _known.until = time.monotonic() + LOOK_SECONDS
    return _known.is_on


def was_on() -> bool:
    """At the last look: for a banner, at no cost."""
    return _known.is_on


def forget() -> None:
    _known.until = 0.0


def cause() -> str:
    """Why nothing may be called, or "". Looks at the file first: the table only grows."""
    kept = _read_file()
    state = InstallationState.objects.filter(pk=1).first()
    if state is None:
        return ""
    if state.quarantined_at is not None:
        return "ordered"
    if state.database and state.database != where():
        return "another_database"
    if kept.get("installation") == str(state.installation) and kept.get("beats", 0) > state.beats:
        return "older_than_this_host"
    return ""


def where() -> str:
    """Which database this is; empty where that cannot be told (SQLite)."""
    if connection.vendor != "postgresql":
        return ""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(WHERE)
            return str(cursor.fetchone()[0])
    except DatabaseError:
        logger.warning("database_identity_unknown")
        return ""


def beat() -> int:
    """At every sweep, unless it is on: count in the database, then in this host's file."""
    state, _ = InstallationState.objects.get_or_create(pk=1, defaults={"database": where()})
    if cause():
        return 0
    InstallationState.objects.filter(pk=1).update(beats=F("beats") + 1)
    state.refresh_from_db()
    _write_file({"installation": str(state.installation), "beats": state.beats})
    return 0


def begin(*, actor: Actor, reason: str) -> None:
    with transaction.atomic():
        InstallationState.objects.get_or_create(pk=1, defaults={"database": where()})
        InstallationState.objects.filter(pk=1).update(quarantined_at=timezone.now())
        record_event("quarantine_began", actor=actor, reason=reason)
    forget()


def release(*, actor: Actor, ended_again: int) -> None:
    """From now on the data lives here, and counts on from what this host has seen."""
    seen = _read_file()
    with transaction.atomic():
        state, _ = InstallationState.objects.select_for_update().get_or_create(pk=1)
        is_known = seen.get("installation") == str(state.installation)
        state.beats = max(state.beats, int(seen.get("beats", 0)) if is_known else 0)
        state.database, state.quarantined_at = where(), None
        state.save()
        record_event("quarantine_released", actor=actor, ended_again=ended_again)
    forget()


def _file() -> Path:
    return Path(settings.VAR_DIR) / "installation.json"


def _read_file() -> dict[str, Any]:
    try:
        found = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_file(content: dict[str, Any]) -> None:
    fresh = _file().with_suffix(".tmp")
    fresh.write_text(json.dumps(content))
    fresh.replace(_file())
