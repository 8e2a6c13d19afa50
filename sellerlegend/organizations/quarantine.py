"""A restored backup calls nobody until staff have looked at it.

Three signs: the data lives in another PostgreSQL database than it was written in (a dump was
loaded somewhere), it is older than the count kept in a file beside the deletion log (a copy was
put back in place), or an operator said so. Whoever sees a sign writes it into the database, so all
processes follow, and nothing but a release ends it. While it lasts nothing is claimed and no
consent is used.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.db.models import F
from django.utils import timezone

from sellerlegend.organizations import sessions
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import InstallationState

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
ORDERED, MOVED, OLDER = "ordered", "another_database", "older_than_this_host"
CAUSES = (ORDERED, MOVED, OLDER)
# So many installations that a release ended are remembered in the file.
ENDED_KEPT = 50
# Oid and system identifier: no dump carries them, every other place has others.
WHERE = (
    "SELECT s.system_identifier::text || '/' || d.oid::text FROM pg_control_system() s, "
    "pg_database d WHERE d.datname = current_database()"
)


@dataclass
class Known:
    """What this process saw last, so that asking costs one look in five seconds."""

    cause: str = ""
    until: float = 0.0


_known = Known()


def is_on() -> bool:
    return bool(known_cause())


def known_cause() -> str:
    if time.monotonic() >= _known.until:
        _known.cause = cause()
        _known.until = time.monotonic() + LOOK_SECONDS
    return _known.cause


def shown_cause() -> str:
    """For a page, which must not fail because of this look."""
    try:
        return known_cause()
    except DatabaseError:
        return _known.cause


def forget() -> None:
    _known.cause, _known.until = "", 0.0


def cause() -> str:
    """Why nothing may be called, or "". Looks at the file first: the table only grows."""
    kept = read_file()
    state = InstallationState.objects.filter(pk=1).first()
    if state is None:
        return ""
    if state.quarantined_at is not None:
        return state.quarantine_cause or ORDERED
    found = _sign(state, kept)
    if found and _begin(found):
        record_event("quarantine_began", actor=WORKER, cause=found)
        logger.error("quarantine_began", extra={"cause": found})
    return found


def _sign(state: InstallationState, kept: dict[str, Any]) -> str:
    installation = str(state.installation)
    if state.database and state.database != where():
        return MOVED
    is_older = kept.get("installation") == installation and kept.get("beats", 0) > state.beats
    return OLDER if is_older or installation in kept.get("ended", []) else ""


def _begin(found: str) -> bool:
    """In the database, for every process. False when another one did."""
    running = InstallationState.objects.filter(pk=1, quarantined_at=None)
    return bool(running.update(quarantined_at=timezone.now(), quarantine_cause=found))


def where() -> str:
    """Which database this is; empty where we may not ask (SQLite, some managed servers)."""
    if connection.vendor != "postgresql":
        return ""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(WHERE)
            return str(cursor.fetchone()[0])
    except ProgrammingError:
        logger.warning("database_identity_unknown")
        return ""


def beat() -> int:
    """At every sweep, unless it is on: count in the database, then in the file."""
    state, _ = InstallationState.objects.get_or_create(pk=1, defaults={"database": where()})
    if cause():
        return 0
    running = InstallationState.objects.filter(pk=1)
    if not state.database:
        # It could not be told at the first beat.
        running.filter(database="").update(database=where())
    running.update(beats=F("beats") + 1)
    state.refresh_from_db()
    _keep_count(state)
    return 0


def _keep_count(state: InstallationState) -> None:
    """A neighbour may have written a later one already."""
    kept, installation = read_file(), str(state.installation)
    if kept.get("installation") != installation or kept.get("beats", 0) < state.beats:
        ended = kept.get("ended", [])
        _write_file({"installation": installation, "beats": state.beats, "ended": ended})


def begin(*, actor: Actor, reason: str) -> None:
    with transaction.atomic():
        InstallationState.objects.get_or_create(pk=1, defaults={"database": where()})
        _begin(ORDERED)
        record_event("quarantine_began", actor=actor, reason=reason)
    forget()


def release(*, actor: Actor, ended_again: int) -> int:
    """From now on the data lives here, as an installation of its own: what other hosts counted
    before says nothing about it, and a copy from before the release is known for one. Nobody
    stays signed in by a session of the backup; returns how many were. Raises OSError when that
    cannot be written down.
    """
    ended = read_file().get("ended", [])
    with transaction.atomic():
        state, _ = InstallationState.objects.select_for_update().get_or_create(pk=1)
        ended = [*ended, str(state.installation)][-ENDED_KEPT:]
        state.installation = uuid.uuid4()
        state.database, state.quarantined_at, state.quarantine_cause = where(), None, ""
        state.save()
        signed_out = sessions.end_all_sessions()
        record_event(
            "quarantine_released", actor=actor, ended_again=ended_again, signed_out=signed_out
        )
        content = {"installation": str(state.installation), "beats": state.beats, "ended": ended}
        _write_file(content)
    forget()
    return signed_out


def file() -> Path:
    return Path(settings.DELETION_LOG).with_name("installation.json")


def read_file() -> dict[str, Any]:
    try:
        found = json.loads(file().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_file_missing() -> bool:
    """A copy put back in place would not be known for one."""
    state = InstallationState.objects.filter(pk=1).first()
    return state is not None and state.beats > 0 and not read_file()


def _write_file(content: dict[str, Any]) -> None:
    """Whole or not at all, however many write at once."""
    handle, name = tempfile.mkstemp(dir=file().parent, prefix="installation-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as fresh:
            json.dump(content, fresh)
            fresh.flush()
            os.fsync(fresh.fileno())
        Path(name).replace(file())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
