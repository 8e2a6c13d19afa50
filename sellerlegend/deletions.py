"""What was ended, written beside the database, so that a restored backup can be told of it.

JSON lines for each destroyed consent, each deleted organization and what a person lost: ids of
rows, which are random and name nobody. One is written before the commit (`begun`), and what cannot
be written is not ended; a second one after it. A crash between the two leaves the first alone: then
a person decides. To the disk at once. Keep the file where a restore of the database does not reach
it, and one for all hosts.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

logger = logging.getLogger(__name__)

BEGUN = "begun"


class NotWritable(RuntimeError):
    """The log takes no line, so nothing is ended."""


@dataclass(frozen=True)
class Summary:
    """What a log holds: whole lines, damaged ones, and the date of the newest."""

    lines: int
    damaged: int
    newest_at: str


def note(kind: str, row_id: UUID, **facts: int) -> None:
    """In the transaction that ends it. Raises NotWritable."""
    line = {"at": timezone.now().isoformat(timespec="seconds"), "kind": kind, "id": str(row_id)}
    line |= {"note": secrets.token_hex(8)} | facts  # type: ignore[arg-type]  # numbers as well
    try:
        append(line | {"state": BEGUN})
    except OSError as error:
        logger.error("deletion_log_unwritable", extra={"cause": type(error).__name__})
        raise NotWritable(str(error)) from None

    def confirm() -> None:
        append(line)

    transaction.on_commit(confirm, robust=True)


def append(line: dict[str, Any]) -> None:
    """A line of its own, also behind one that a crash cut short."""
    text = (json.dumps(line) + "\n").encode()
    opened = os.open(settings.DELETION_LOG, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(opened).st_size
        if size and os.pread(opened, 1, size - 1) != b"\n":
            text = b"\n" + text
        if os.write(opened, text) != len(text):
            raise OSError("the disk is full")
        os.fsync(opened)
    finally:
        os.close(opened)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """What was ended, oldest first. With `state` BEGUN what may have been: a crash, or a
    transaction that was rolled back. Lines that a crash cut short are left out."""
    lines = [line for line in _parsed(path) if line is not None]
    ended = {line["note"] for line in lines if "note" in line and "state" not in line}
    for line in lines:
        if line.get("state") != BEGUN or line.get("note") not in ended:
            yield line


def summary(path: Path) -> Summary:
    found = list(_parsed(path))
    whole = [line for line in found if line is not None]
    newest = max((str(line.get("at", "")) for line in whole), default="")
    return Summary(len(whole), len(found) - len(whole), newest)


def _parsed(path: Path) -> Iterator[dict[str, Any] | None]:
    """None for what is not a whole line. Raises OSError."""
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        is_whole = isinstance(line, dict) and {"kind", "id"} <= line.keys()
        yield line if is_whole else None


def obstacle() -> str:
    """Why the log would take no line, or "". Writes nothing."""
    path = Path(settings.DELETION_LOG)
    if path.exists():
        return "" if path.is_file() and os.access(path, os.R_OK | os.W_OK) else "is not writable"
    if not path.parent.is_dir():
        return "stands in a folder that does not exist"
    return "" if os.access(path.parent, os.W_OK | os.X_OK) else "stands in a folder that is closed"
