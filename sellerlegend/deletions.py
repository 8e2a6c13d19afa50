"""What was ended, written beside the database, so that a restored backup can be told of it.

One JSON line for each destroyed consent and each deleted organization: ids of rows, which are
random and name nobody. Written after the commit and before the answer, to the disk at once. Keep
the file where a restore of the database does not reach it, and one for all hosts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone


def note(kind: str, row_id: UUID, **facts: int) -> None:
    """In the transaction that ends it."""
    line = {"at": timezone.now().isoformat(timespec="seconds"), "kind": kind, "id": str(row_id)}
    transaction.on_commit(partial(append, line | facts), robust=True)


def append(line: dict[str, Any]) -> None:
    text = (json.dumps(line) + "\n").encode()
    opened = os.open(settings.DELETION_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(opened, text)
        os.fsync(opened)
    finally:
        os.close(opened)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line, oldest first; one that a crash cut short is left out."""
    if not path.exists():
        return
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and {"kind", "id"} <= line.keys():
            yield line
