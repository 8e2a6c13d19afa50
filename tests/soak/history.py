"""What happened, in the order it happened: one JSON object a line, appended and never changed.

Acknowledgements and the nemesis' deeds are written by the runner. Claims, effects and endings are
written by triggers of the database inside the transactions that they describe, so a transaction
that did not commit leaves no trace, and one that did cannot hide.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """`at` is in seconds since 1970. `what` is one of

    acknowledged  the product said yes to somebody: this job will be done
    claimed       a worker took the job; put_down: it waits again, by the worker's own hand
    recovered     the sweep took the job away from a worker that did not come back
    effect        the work had its effect; finished: the job was closed as done
    dead          the job was given up, visibly
    found         at the end: whose data the subject carries, in `detail`
    killed        the nemesis killed (a part of) a worker; calm: the nemesis stopped
    deed          any other thing the nemesis did, in `detail`

    `worker` is slot.generation, `backend` the database session that wrote, `transaction` its
    number: what has the same number was committed together.
    """

    at: float
    what: str
    job: str = ""
    subject: str = ""
    organization: str = ""
    worker: str = ""
    backend: str = ""
    fence: int = 0
    transaction: int = 0
    detail: str = ""


class Journal:
    """Append-only; safe for threads. What is in the file survives the runner."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self._lock = threading.Lock()

    def record(self, what: str, **fields: str) -> Event:
        event = Event(at=time.time(), what=what, **fields)  # type: ignore[arg-type]  # text only
        self.extend([event])
        return event

    def extend(self, events: Iterable[Event]) -> None:
        with self._lock, self.path.open("a") as stream:
            for event in events:
                fields = asdict(event)
                shown = {name: fields[name] for name in fields if fields[name] or name == "at"}
                stream.write(json.dumps(shown) + "\n")
                self.events.append(event)


def read_journal(path: Path) -> list[Event]:
    return [Event(**json.loads(line)) for line in path.read_text().splitlines()]
