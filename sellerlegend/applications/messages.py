"""Where the message with a new client secret comes from: a file, standard input, or the queue.

Never an argument: those stand in the process list and in the shell's history.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sellerlegend.amazon.notifications import (
    LONGEST_MESSAGE,
    NewSecret,
    plain_secret,
    read_notifications,
)
from sellerlegend.amazon.queue import Queue
from sellerlegend.amazon.secret import Secret

LOOK_AGAIN_SECONDS = 0.5
STANDARD_INPUT = "-"


class Unreadable(RuntimeError):
    """Names the file and the kind of trouble, no content."""


@dataclass
class Source:
    """`path` is a file or `-`; with `queue` messages come from there."""

    path: str = ""
    queue: Queue | None = None
    # Body and receipt of what the queue gave us.
    received: list[tuple[str, str]] = field(default_factory=list)

    @property
    def may_grow(self) -> bool:
        """Whether what is not there now may come within seconds."""
        return self.queue is not None or self.path not in ("", STANDARD_INPUT)

    def read(self) -> str:
        """All there is. Raises Unreadable, QueueUnreachable."""
        if self.queue is not None:
            return self._received(self.queue)
        if self.path == STANDARD_INPUT:
            return sys.stdin.read(LONGEST_MESSAGE)
        try:
            with Path(self.path).open(encoding="utf-8", errors="replace") as stream:
                # A queue file grows at its end.
                return stream.read()[-LONGEST_MESSAGE:]
        except FileNotFoundError:
            raise Unreadable(f"There is no file {self.path}.") from None
        except OSError as error:
            raise Unreadable(f"{self.path} cannot be read: {type(error).__name__}.") from None

    def done(self, secret: Secret) -> None:
        """It is stored: the queue need not keep its message. Every other one is somebody else's:
        one queue may serve several applications. Raises QueueUnreachable."""
        if self.queue is None:
            return
        for body, receipt in self.received:
            if _brings(body, secret):
                self.queue.delete(receipt)

    def _received(self, queue: Queue) -> str:
        found = list(queue.receive())
        self.received += found
        return "\n".join(body for body, _ in found)


def _brings(body: str, secret: Secret) -> bool:
    found = read_notifications(body)
    return plain_secret(body) == secret or any(
        isinstance(item, NewSecret) and item.secret == secret for item in found
    )


def wait_for(look: Callable[[], bool], seconds: float) -> bool:
    """Look until it is true or the time is over; at least once."""
    ends_at = time.monotonic() + seconds
    while not look():
        if time.monotonic() >= ends_at:
            return False
        time.sleep(LOOK_AGAIN_SECONDS)
    return True
