"""Where the message with a new client secret comes from: a file, standard input, or the queue.

Never an argument: those stand in the process list and in the shell's history.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sellerlegend.amazon.notifications import LONGEST_MESSAGE
from sellerlegend.amazon.queue import Queue

LOOK_AGAIN_SECONDS = 0.5
STANDARD_INPUT = "-"


class Unreadable(RuntimeError):
    """Names the file and the kind of trouble, no content."""


@dataclass
class Source:
    """`path` is a file or `-`; with `queue` messages come from there."""

    path: str = ""
    queue: Queue | None = None
    receipts: list[str] = field(default_factory=list)

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
        except OSError as error:
            raise Unreadable(f"{self.path}: {type(error).__name__}") from None

    def done(self) -> None:
        """The secret is stored: the queue need not keep its message."""
        if self.queue is not None:
            for receipt in self.receipts:
                self.queue.delete(receipt)

    def _received(self, queue: Queue) -> str:
        bodies = list(queue.receive())
        self.receipts += [receipt for _, receipt in bodies]
        return "\n".join(body for body, _ in bodies)


def wait_for(look: Callable[[], bool], seconds: float) -> bool:
    """Look until it is true or the time is over; at least once."""
    ends_at = time.monotonic() + seconds
    while not look():
        if time.monotonic() >= ends_at:
            return False
        time.sleep(LOOK_AGAIN_SECONDS)
    return True
