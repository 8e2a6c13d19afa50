"""Scripted misbehaviour: which calls, and what happens to them instead of the honest answer."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tests.amazon_emulator.wire import Identity, Reply

MATCHED = ("surface", "operation", "region", "client_id", "seller")


@dataclass
class Fault:
    """One rule. What is None matches everything, or is left as the honest answer has it.

    With `status` or `body` the call is not carried out: Amazon refused it. Without them it is
    carried out and only the delivery suffers (Amazon did it, the caller may not learn of it).
    Delays are real seconds, not the emulator's clock.
    """

    surface: str | None = None
    operation: str | None = None
    region: str | None = None
    client_id: str | None = None
    seller: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    error: str = ""
    # Wait before the first byte.
    delay: float = 0
    # Seconds between two bytes of the body, or of head and body with `drip_head`.
    drip: float = 0
    drip_head: bool = False
    # Send so many bytes of the body, then close although Content-Length promised more.
    cut_after: int | None = None
    # Close without a single byte.
    drop: bool = False
    # How often it strikes; None is for ever. `skip` lets the first matching calls pass, and
    # `every` strikes only each n-th of the rest.
    times: int | None = None
    skip: int = 0
    every: int = 1
    # The scenario it belongs to, for the people who look at the control page.
    name: str = ""
    fault_id: str = ""
    struck: int = 0
    seen: int = 0

    def matches(self, identity: Identity) -> bool:
        return all(getattr(self, name) in (None, "", getattr(identity, name)) for name in MATCHED)

    @property
    def replaces_the_answer(self) -> bool:
        return self.status is not None or self.body is not None

    @property
    def is_spent(self) -> bool:
        return self.times is not None and self.struck >= self.times

    def strikes(self) -> bool:
        """Counts a matching call and says whether it is one of those to spoil."""
        self.seen += 1
        turn = self.seen - self.skip
        if self.is_spent or turn <= 0 or (turn - 1) % max(self.every, 1):
            return False
        self.struck += 1
        return True

    def reply(self) -> Reply:
        """The scripted answer; its Content-Type is JSON unless `headers` say otherwise."""
        reply = Reply(
            self.status or 200, self.body or b"", list(self.headers.items()), error=self.error
        )
        if not reply.has_header("Content-Type"):
            reply.headers.append(("Content-Type", "application/json"))
        return reply

    def as_dict(self) -> dict[str, Any]:
        return {
            **{item.name: getattr(self, item.name) for item in fields(self)},
            "headers": dict(self.headers),
            "body": None if self.body is None else self.body.decode("utf-8", "replace"),
        }


class Faults:
    """The script: the first rule, in the order they were added, that strikes wins."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, fault: Fault | None = None, /, **options: Any) -> Fault:
        """Takes a `Fault` or its fields: `faults.add(surface="lwa", status=503, times=2)`."""
        fault = fault or Fault(**options)
        with self._lock:
            fault.fault_id = str(next(self._ids))
            self._faults.append(fault)
        return fault

    def take(self, identity: Identity) -> Fault | None:
        if not self._faults:
            return None
        with self._lock:
            return next(
                (fault for fault in self._faults if fault.matches(identity) and fault.strikes()),
                None,
            )

    def active(self) -> list[Fault]:
        with self._lock:
            return [fault for fault in self._faults if not fault.is_spent]

    def remove(self, fault_id: str) -> bool:
        with self._lock:
            before = len(self._faults)
            self._faults = [fault for fault in self._faults if fault.fault_id != fault_id]
            return len(self._faults) < before

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
