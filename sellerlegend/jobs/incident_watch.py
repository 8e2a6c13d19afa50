"""Opens an incident when a part of Amazon fails for many, and closes it when it works again.

Half of at least ten calls over three organizations within ten minutes open it. While breakers are
open few calls go out; what was counted before still counts. Nothing asks Amazon on behalf of an
incident: breakers send one probe at a time, and work that waits comes back at intervals that grow
to a quarter of an hour (`verdicts.py`). Their calls show when it is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from sellerlegend.jobs import incidents, outcomes
from sellerlegend.jobs.incidents import WINDOW
from sellerlegend.jobs.models import CallWindow, Incident
from sellerlegend.organizations.audit import WORKER

logger = logging.getLogger(__name__)

LEAST_CALLS = 10
LEAST_ORGANIZATIONS = 3
OPEN_SHARE = 0.5
GOOD = timedelta(minutes=10)
# A doubted consent is asked for the last time a quarter of an hour after its first refusal: an
# incident that ended before would leave those to be believed that Amazon still refuses then.
GOOD_AFTER_REFUSALS = timedelta(minutes=20)
# Nobody asked for so long, or most organizations met no failure at all: whoever still does has a
# reason of his own.
LONG = timedelta(hours=1)

Part = tuple[str, str]


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


def look() -> int:
    """For the sweep. Returns how much there was to open, close and tell."""
    outcomes.flush()
    now = timezone.now()
    counted = _counted(now - WINDOW)
    running = {(row.surface, row.region): row for row in Incident.objects.filter(closed_at=None)}
    parts = dict.fromkeys([*incidents.PARTS, *running])
    touched = sum(_apart(_judge, part, counted.get(part), running.get(part), now) for part in parts)
    return touched + _tell(now)


def _apart(step: Callable[..., int], *arguments: Any) -> int:
    """One part that fails must keep no other from being opened, closed or told."""
    try:
        return step(*arguments)
    except Exception:  # logged with its cause; the next sweep tries again
        logger.exception("incident_step_failed", extra={"step": step.__name__})
        return 0


def _judge(part: Part, numbers: Counted | None, incident: Incident | None, now: datetime) -> int:
    is_bad = numbers is not None and numbers.is_bad
    if incident is None:
        return _open(part, now) if is_bad else 0
    if numbers is not None and is_bad:
        _follow(incident, numbers)
    if incident.opened_by_id is None and _is_over(incident, now, is_bad=is_bad):
        return int(incidents.close(incident, actor=WORKER))
    return 0


def _tell(now: datetime) -> int:
    recent = Q(closed_at=None) | Q(closed_at__gt=now - incidents.TOLD_WITHIN)
    found = Incident.objects.filter(recent).order_by("opened_at")
    return sum(_apart(incidents.tell_organizations, row) for row in found)


def _counted(since: datetime, part: Part | None = None) -> dict[Part, Counted]:
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


# Opening -----------------------------------------------------------------------------------


def _open(part: Part, now: datetime) -> int:
    """What was counted before the last one ended has been told already. One that ended by itself
    a moment ago goes on; one that staff ended stays so for a while."""
    surface, region = part
    ended = Incident.objects.filter(surface=surface, region=region, closed_at__gt=now - WINDOW)
    last = ended.order_by("-closed_at").first()
    if last is not None and last.closed_at is not None:
        numbers = _counted(last.closed_at, part).get(part)
        if last.closed_by_id is not None or numbers is None or not numbers.is_bad:
            return 0
        return int(incidents.reopen(last))
    numbers = _counted(now - WINDOW, part)[part]
    opened = incidents.open_one(
        surface=surface,
        region=region,
        cause=numbers.cause,
        actor=WORKER,
        counted=numbers.columns,
    )
    return int(opened is not None)


def _follow(incident: Incident, numbers: Counted) -> None:
    """The worst window is remembered. A cause that staff gave stays; so does that of refusals, or
    an outage on top of them would let them be believed."""
    changed: dict[str, object] = {}
    if numbers.failures > incident.failures:
        changed |= numbers.columns
    is_fixed = incident.opened_by_id is not None or incident.cause == Incident.Cause.REFUSING
    if not is_fixed and numbers.cause != incident.cause:
        changed["cause"] = numbers.cause
    if changed:
        Incident.objects.filter(pk=incident.pk, closed_at=None).update(**changed)
        vars(incident).update(changed)


# Closing -----------------------------------------------------------------------------------


def _is_over(incident: Incident, now: datetime, *, is_bad: bool) -> bool:
    long_enough = GOOD_AFTER_REFUSALS if incident.cause == Incident.Cause.REFUSING else GOOD
    good_since = _good_since(incident, now - long_enough)
    if good_since != incident.good_since:
        Incident.objects.filter(pk=incident.pk).update(good_since=good_since)
        incident.good_since = good_since
    if good_since is not None and good_since <= now - long_enough:
        return True
    return not is_bad and _is_long_forgotten(incident, now)


def _good_since(incident: Incident, since: datetime) -> datetime | None:
    """The first minute with a success after the last one in which half of the calls failed. Fewer
    organizations than open an incident do not keep one open: theirs are reasons of their own."""
    windows = CallWindow.objects.filter(
        surface=incident.surface, region=incident.region, minute__gte=since
    )
    failing = windows.filter(failures__gt=0).aggregate(
        count=Count("organization_id", distinct=True)
    )["count"]
    minutes = windows.order_by("minute").values("minute")
    sums = minutes.annotate(called=Sum("calls"), failed=Sum("failures"))
    last_bad, first_good = None, None
    for minute, calls, failures in sums.values_list("minute", "called", "failed"):
        if failing >= LEAST_ORGANIZATIONS and failures >= OPEN_SHARE * calls:
            last_bad, first_good = minute, None
        elif first_good is None and failures < calls:
            first_good = minute
    known = incident.good_since
    if known is not None and (last_bad is None or known > last_bad):
        return known
    return first_good


def _is_long_forgotten(incident: Incident, now: datetime) -> bool:
    if incident.opened_at > now - LONG:
        return False
    windows = CallWindow.objects.filter(
        surface=incident.surface, region=incident.region, minute__gte=now - LONG
    )
    asking = windows.aggregate(
        all=Count("organization_id", distinct=True),
        failing=Count("organization_id", filter=Q(failures__gt=0), distinct=True),
    )
    return bool(asking["all"] == 0 or asking["failing"] < OPEN_SHARE * asking["all"])
