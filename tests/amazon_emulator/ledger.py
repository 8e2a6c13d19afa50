"""Every call the emulator saw, with hashes where Amazon would see tokens."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from tests.amazon_emulator.wire import Identity


@dataclass(frozen=True, slots=True)
class Entry:
    """One call. `at` is seconds since 1970 on the emulator's clock; `status` 0 means that the
    connection was dropped without an answer; `fault` is the id of the fault that had a hand in
    it; `seller` is the Seller ID, or for Amazon Ads the login."""

    number: int
    at: float
    surface: str
    operation: str
    region: str
    client_id: str
    seller: str
    token_sha256: str
    status: int
    error: str
    fault: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "at": datetime.fromtimestamp(self.at, UTC).isoformat()}


class Ledger:
    """Bounded, in memory, safe for threads. An entry is written before its reply is sent."""

    def __init__(self, limit: int = 100_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._number = 0
        self._changed = threading.Condition()

    def record(
        self, identity: Identity, *, at: float, status: int, error: str, fault: str
    ) -> Entry:
        with self._changed:
            self._number += 1
            entry = Entry(
                number=self._number,
                at=at,
                surface=identity.surface,
                operation=identity.operation,
                region=identity.region,
                client_id=identity.client_id,
                seller=identity.seller,
                token_sha256=identity.token_sha256,
                status=status,
                error=error,
                fault=fault,
            )
            self._entries.append(entry)
            self._changed.notify_all()
            return entry

    def calls(
        self,
        *,
        surface: str | None = None,
        operation: str | None = None,
        region: str | None = None,
        client_id: str | None = None,
        seller: str | None = None,
        status: int | None = None,
        since: int = 0,
    ) -> list[Entry]:
        """The matching calls, oldest first; `since` is the number of the last entry known."""
        wanted = {
            name: value
            for name, value in (
                ("surface", surface),
                ("operation", operation),
                ("region", region),
                ("client_id", client_id),
                ("seller", seller),
                ("status", status),
            )
            if value is not None
        }
        with self._changed:
            entries = list(self._entries)
        return [
            entry
            for entry in entries
            if entry.number > since
            and all(getattr(entry, name) == value for name, value in wanted.items())
        ]

    def count(self, **wanted: Any) -> int:
        return len(self.calls(**wanted))

    def wait_for(self, count: int, *, timeout: float = 10, **wanted: Any) -> list[Entry]:
        """Blocks until `count` calls match; raises TimeoutError after `timeout` real seconds."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.calls(**wanted)
            if len(found) >= count:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{len(found)} of {count} calls of {wanted} after {timeout} s")
            with self._changed:
                self._changed.wait(min(left, 0.05))

    @property
    def last_number(self) -> int:
        with self._changed:
            return self._number

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()

    def __len__(self) -> int:
        with self._changed:
            return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.calls())
