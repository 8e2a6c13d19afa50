"""The kinds of background work: what the ledger calls, told by each app's `work.py`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor

if TYPE_CHECKING:
    from sellerlegend.jobs.claims import Claim


@dataclass(frozen=True)
class Kind:
    """A kind of work.

    `run` does it; `changed` tells the screen that something moved, and goes first in every
    transaction (lock order: organization, connection, job, subject); `give_up` writes what a
    dead job means for its subject; `restart` starts that over and says whether it did.
    `run_many`, where a kind has one, does several jobs of one connection at once and gets what
    `run` would get one by one.
    A lease says how soon a dead process is noticed; a living one keeps it (`keeping.py`).
    """

    name: str
    run: Callable[[Claim], None]
    changed: Callable[[Job], None]
    give_up: Callable[[Job], None]
    restart: Callable[[Job, Actor], bool] | None = None
    run_many: Callable[[Sequence[Claim]], None] | None = None
    lease_seconds: int = 15
    queue: str = "interactive"


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Called by each app's `work.py` when the process starts."""
    KINDS[kind.name] = kind


def companions(job: Job) -> Hashable:
    """The same for jobs that are done at once, where their kind knows how; else one's own."""
    if KINDS[job.kind].run_many is None:
        return job.pk
    return (job.kind, job.organization_id, job.connection_id)
