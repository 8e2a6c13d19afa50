"""How many calls failed, for whom, and what of: the numbers that incidents are judged by.

A refusal of a consent that had been refused before is no news: really revoked consents are asked
again and again, and would open an incident or keep one open for ever. Which ones those are is known
above, by whoever keeps the consents, and asked by `register_repeats`. One that is in doubt since a
moment ago is news until it is decided (`register_doubts`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum

from sellerlegend.jobs.models import CallWindow, Incident

LEAST_CALLS = 10
LEAST_ORGANIZATIONS = 3
OPEN_SHARE = 0.5

Part = tuple[str, str]


@dataclass(frozen=True)
class Refused:
    """What one organization was refused within one minute."""

    organization_id: UUID
    minute: datetime
    calls: int


# (surface, region, what was refused there) → of each, how many calls were repetitions.
Repeats = Callable[[str, str, Sequence[Refused]], Sequence[int]]
REPEATS: list[Repeats] = []


# (surface, region, since when) → by organization, the consents that were refused since then and are
# in doubt, not believed to be over.
Doubts = Callable[[str, str, datetime], Counter[UUID]]
DOUBTS: list[Doubts] = []


def register_doubts(doubts: Doubts) -> None:
    if doubts not in DOUBTS:
        DOUBTS.append(doubts)


def register_repeats(repeats: Repeats) -> None:
    if repeats not in REPEATS:
        REPEATS.append(repeats)


@dataclass(frozen=True)
class Counted:
    """The calls of one part; `organizations` are those that met a failure."""

    calls: int
    failures: int
    throttled: int
    refused: int
    organizations: int

    @property
    def is_bad(self) -> bool:
        return (
            self.calls >= LEAST_CALLS
            and self.failures >= OPEN_SHARE * self.calls
            and self.organizations >= LEAST_ORGANIZATIONS
        )

    @property
    def may_be_bad(self) -> bool:
        """Whether a part of these calls could be, had all others been answered."""
        return (
            self.failures >= OPEN_SHARE * LEAST_CALLS and self.organizations >= LEAST_ORGANIZATIONS
        )

    @property
    def cause(self) -> Incident.Cause:
        """What most of the failures were."""
        by_cause = {
            Incident.Cause.REFUSING: self.refused,
            Incident.Cause.THROTTLED: self.throttled,
            Incident.Cause.FAILING: self.failures - self.throttled - self.refused,
        }
        return max(by_cause, key=lambda cause: by_cause[cause])

    @property
    def columns(self) -> dict[str, int]:
        return {
            "calls": self.calls,
            "failures": self.failures,
            "organizations": self.organizations,
        }


def counted(since: datetime, part: Part | None = None) -> dict[Part, Counted]:
    """Without the refusals that are no news."""
    found = counted_with_repeats(since, part)
    return {key: _without_repeats(key, numbers, since) for key, numbers in found.items()}


def counted_with_repeats(since: datetime, part: Part | None = None) -> dict[Part, Counted]:
    windows = CallWindow.objects.filter(minute__gte=since)
    if part is not None:
        windows = windows.filter(surface=part[0], region=part[1])
    rows = (
        windows.order_by()
        .values("surface", "region")
        .annotate(
            called=Sum("calls"),
            failed=Sum("failures"),
            were_throttled=Sum("throttled"),
            were_refused=Sum("refused"),
            met=Count("organization_id", filter=Q(failures__gt=0), distinct=True),
        )
        .values_list(
            "surface", "region", "called", "failed", "were_throttled", "were_refused", "met"
        )
    )
    return {(surface, region): Counted(*numbers) for surface, region, *numbers in rows}


def _without_repeats(part: Part, numbers: Counted, since: datetime) -> Counted:
    repeated = _repeated(part, since).total() if numbers.refused else 0
    if not repeated:
        return numbers
    return Counted(
        calls=numbers.calls - repeated,
        failures=numbers.failures - repeated,
        throttled=numbers.throttled,
        refused=numbers.refused - repeated,
        organizations=asking_and_failing(part, since)[1],
    )


def asking_and_failing(part: Part, since: datetime) -> tuple[int, int]:
    """How many organizations called this part, and how many of them met a failure."""
    repeated: Counter[UUID] = Counter()
    for (organization_id, _minute), calls in _repeated(part, since).items():
        repeated[organization_id] += calls
    sums = _windows(part, since).order_by().values("organization_id")
    rows = sums.annotate(called=Sum("calls"), failed=Sum("failures"))
    asking, failing = 0, 0
    for key, called, failed in rows.values_list("organization_id", "called", "failed"):
        asking += called > repeated[key]
        failing += failed > repeated[key]
    return asking, failing


def are_many_refused(part: Part, since: datetime) -> bool:
    """So many consents, of so many organizations, as open an incident are in doubt: whatever else
    failed, or was answered, beside them, and also when they were refused one after another."""
    least = OPEN_SHARE * LEAST_CALLS
    raw = _windows(part, since).aggregate(refused=Sum("refused"))["refused"] or 0
    if raw < least:
        return False
    found: Counter[UUID] = Counter()
    for doubts in DOUBTS:
        found += doubts(*part, since)
    return found.total() >= least and len(found) >= LEAST_ORGANIZATIONS


def are_others_answered(part: Part, since: datetime) -> bool:
    """Whoever fails here does so for a reason of his own: fewer than open an incident, while as
    many meet no failure."""
    asking, failing = asking_and_failing(part, since)
    return failing < LEAST_ORGANIZATIONS <= asking - failing


def is_any_answered(part: Part, since: datetime) -> bool:
    return _windows(part, since).filter(calls__gt=F("failures")).exists()


def by_minute(part: Part, since: datetime) -> list[tuple[datetime, int, int]]:
    """The minutes in which somebody called, in order, with calls and failures."""
    repeated: Counter[datetime] = Counter()
    for (_organization_id, minute), calls in _repeated(part, since).items():
        repeated[minute] += calls
    minutes = _windows(part, since).order_by("minute").values("minute")
    rows = minutes.annotate(called=Sum("calls"), failed=Sum("failures"))
    return [
        (minute, called - repeated[minute], failed - repeated[minute])
        for minute, called, failed in rows.values_list("minute", "called", "failed")
        if called > repeated[minute]
    ]


def _windows(part: Part, since: datetime) -> QuerySet[CallWindow]:
    surface, region = part
    return CallWindow.objects.filter(surface=surface, region=region, minute__gte=since)


def _repeated(part: Part, since: datetime) -> Counter[tuple[UUID, datetime]]:
    """Of each organization and minute, the refusals that are no news."""
    rows = _windows(part, since).filter(refused__gt=0).order_by()
    refused = [Refused(*row) for row in rows.values_list("organization_id", "minute", "refused")]
    found: Counter[tuple[UUID, datetime]] = Counter()
    for repeats in REPEATS if refused else ():
        for row, calls in zip(refused, repeats(*part, refused), strict=True):
            found[row.organization_id, row.minute] += min(calls, row.calls)
    return found
