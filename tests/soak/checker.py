"""Reads a history and says what it proves. A pure function: no clock, no database, no product."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.soak.history import Event

BY_A_WORKER = ("finished", "put_down")
ENDS = ("finished", "put_down", "recovered", "dead")
RECOVERY_SECONDS = 45  # p95
CONVERGENCE_SECONDS = 120


@dataclass(frozen=True)
class Verdict:
    """`lost`: acknowledged and without its effect. `twice`: subjects with more than one effect.
    `stale`: writes of somebody who did not hold the job any more. `foreign`: subjects with another
    organization's data. `recovery`: seconds from each kill to the next claim, per job that the
    killed process held. `convergence`: seconds from the nemesis' end to the last job's end."""

    acknowledged: int
    done: int
    kills: int
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)
    convergence: float = 0.0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.twice or self.stale or self.foreign)

    @property
    def recovery_p95(self) -> float:
        return percentile(self.recovery, 0.95)

    @property
    def is_in_time(self) -> bool:
        """The goals of docs/reliability.md, for a machine that does nothing else."""
        return self.recovery_p95 <= RECOVERY_SECONDS and self.convergence <= CONVERGENCE_SECONDS


def percentile(values: Sequence[float], share: float) -> float:
    """By the nearest rank; 0.0 of nothing."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def check(events: Sequence[Event]) -> Verdict:
    """The verdict on a history; events may come in any order."""
    ordered = sorted(events, key=lambda event: event.at)
    acknowledged = {event.subject: event for event in ordered if event.what == "acknowledged"}
    effects = Counter(event.subject for event in ordered if event.what == "effect")
    return Verdict(
        acknowledged=len(acknowledged),
        done=sum(subject in effects for subject in acknowledged),
        kills=sum(event.what == "killed" for event in ordered),
        lost=[subject for subject in acknowledged if subject not in effects],
        twice=[subject for subject, times in effects.items() if times > 1],
        stale=_stale(ordered),
        foreign=_foreign(ordered, acknowledged),
        recovery=_recoveries(ordered),
        convergence=_convergence(ordered),
    )


def _stale(ordered: Sequence[Event]) -> list[str]:
    """Endings by another hand than the holder's, and effects outside their holder's ending."""
    holders: dict[str, Event] = {}
    found: list[str] = []
    endings: set[tuple[str, int]] = set()
    for event in ordered:
        if event.what == "claimed":
            holders[event.job] = event
        elif event.what in BY_A_WORKER:
            holder = holders.get(event.job)
            if holder and (holder.backend, holder.fence) == (event.backend, event.fence):
                del holders[event.job]
            else:
                found.append(f"{event.what} {event.job} by {event.worker}")
            endings.add((event.subject, event.transaction))
        elif event.what in ENDS:
            holders.pop(event.job, None)
    found += [
        f"effect on {event.subject} by {event.worker}"
        for event in ordered
        if event.what == "effect" and (event.subject, event.transaction) not in endings
    ]
    return found


def _foreign(ordered: Sequence[Event], acknowledged: dict[str, Event]) -> list[str]:
    found = []
    for event in ordered:
        owner = acknowledged.get(event.subject)
        if owner is None or event.what not in ("claimed", "effect", "found"):
            continue
        is_other = event.organization != owner.organization
        if is_other or (event.what == "found" and event.detail != owner.detail):
            found.append(event.subject)
    return sorted(set(found))


def _recoveries(ordered: Sequence[Event]) -> list[float]:
    claims: dict[str, list[Event]] = defaultdict(list)
    ends: dict[tuple[str, str, int], list[Event]] = defaultdict(list)
    for event in ordered:
        if event.what == "claimed":
            claims[event.job].append(event)
        elif event.what in BY_A_WORKER:
            ends[event.job, event.backend, event.fence].append(event)
    found = []
    for kill in (event for event in ordered if event.what == "killed"):
        for job, taken in claims.items():
            before = [claim for claim in taken if claim.at < kill.at]
            after = [claim.at for claim in taken if claim.at >= kill.at]
            # A neighbour in the same worker's pool may have lived on and ended it.
            is_victim = before and before[-1].worker == kill.worker
            if is_victim and after and not ends[job, before[-1].backend, before[-1].fence]:
                found.append(min(after) - kill.at)
    return found


def _convergence(ordered: Sequence[Event]) -> float:
    calm = [event.at for event in ordered if event.what == "calm"]
    last = [event.at for event in ordered if event.what in ("effect", "finished", "dead")]
    return max(0.0, max(last) - calm[-1]) if calm and last else 0.0
