"""Opens an incident when a part of Amazon fails for many, and closes it when it works again.

Half of at least ten calls over three organizations within ten minutes, or within a part of them
that ends now, open it: the good minutes before an outage hide none. While breakers are open few
calls go out; what was counted before still counts, until calls succeed again. Nothing asks Amazon
on behalf of an incident: breakers send one probe at a time, and work that waits comes back at
intervals that grow to a quarter of an hour (`verdicts.py`). Their calls show when it is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from sellerlegend.jobs import incidents, outcomes
from sellerlegend.jobs.incident_counts import (
    LEAST_ORGANIZATIONS,
    OPEN_SHARE,
    Counted,
    Part,
    are_many_refused,
    asking_and_failing,
    by_minute,
    counted,
    counted_with_repeats,
)
from sellerlegend.jobs.incidents import WINDOW
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.audit import WORKER

logger = logging.getLogger(__name__)

GOOD = timedelta(minutes=10)
# A doubted consent is asked for the last time a quarter of an hour after its first refusal: an
# incident that ended before would leave those to be believed that Amazon still refuses then.
GOOD_AFTER_REFUSALS = timedelta(minutes=20)
# Nobody asked for so long, or most organizations met no failure at all: whoever still does has a
# reason of his own.
LONG = timedelta(hours=1)
# Each ends now; the last one is the whole window.
SPANS = (*(timedelta(minutes=minutes) for minutes in (2, 4, 6, 8)), WINDOW)
REFUSING = Incident.Cause.REFUSING
# Of one sweep, which has other things to do; the next one goes on with who is left.
TOLD_AT_ONCE = 200


def look() -> int:
    """For the sweep. Returns how much there was to open, close and tell. Judging comes first: it
    is never late because many have to be told."""
    outcomes.flush()
    now = timezone.now()
    numbers = counted(now - WINDOW)
    running = {(row.surface, row.region): row for row in Incident.objects.filter(closed_at=None)}
    parts = dict.fromkeys([*incidents.PARTS, *running])
    touched = sum(_apart(_judge, part, numbers.get(part), running.get(part), now) for part in parts)
    return touched + _tell(now)


def _apart(step: Callable[..., int], *arguments: Any) -> int:
    """One part that fails must keep no other from being opened, closed or told."""
    try:
        return step(*arguments)
    except Exception:  # logged with its cause; the next sweep tries again
        logger.exception("incident_step_failed", extra={"step": step.__name__})
        return 0


def _judge(part: Part, numbers: Counted | None, incident: Incident | None, now: datetime) -> int:
    bad = _bad_span(part, numbers, now) if numbers is not None else None
    if incident is None:
        return _open(part, bad, now) if bad is not None else 0
    _follow(incident, bad, now)
    if incident.opened_by_id is None and _is_over(incident, now, is_bad=bad is not None):
        return int(incidents.close(incident, actor=WORKER))
    return 0


def _tell(now: datetime) -> int:
    recent = Q(closed_at=None) | Q(closed_at__gt=now - incidents.TOLD_WITHIN)
    told = 0
    for row in Incident.objects.filter(recent).order_by("opened_at"):
        told += _apart(incidents.tell_organizations, row, TOLD_AT_ONCE - told)
    return told


# Opening -----------------------------------------------------------------------------------


def _bad_span(part: Part, whole: Counted, now: datetime) -> Counted | None:
    """The numbers of the shortest span that would open an incident. Where little fails, which is
    nearly always, nothing more is asked."""
    if whole.may_be_bad:
        spans = (counted(now - span, part).get(part) for span in SPANS)
        bad = next((numbers for numbers in spans if numbers is not None and numbers.is_bad), None)
        if bad is not None:
            return bad
    return _refused_one_by_one(part, now)


def _refused_one_by_one(part: Part, now: datetime) -> Counted | None:
    """Where little is asked, few first refusals fall into one window, while the consents of many
    are in doubt: each would be believed a quarter of an hour after its own."""
    if not are_many_refused(part, now - WINDOW):
        return None
    numbers = counted_with_repeats(now - WINDOW, part).get(part)
    return numbers if numbers is not None and numbers.is_bad else None


def _works_again(part: Part, now: datetime) -> bool:
    """In the last minute in which anybody called, most were answered."""
    minutes = by_minute(part, now - WINDOW)
    if not minutes:
        return False
    _minute, calls, failures = minutes[-1]
    return failures < OPEN_SHARE * calls


def _open(part: Part, numbers: Counted, now: datetime) -> int:
    """What was counted before the last one ended has been told already. One that ended by itself
    a moment ago goes on; one that staff ended stays so for a while."""
    if _works_again(part, now):
        return 0
    surface, region = part
    ended = Incident.objects.filter(surface=surface, region=region, closed_at__gt=now - WINDOW)
    last = ended.order_by("-closed_at").first()
    if last is not None and last.closed_at is not None:
        since = counted(last.closed_at, part).get(part)
        if last.closed_by_id is not None or since is None or not since.is_bad:
            return 0
        return int(incidents.reopen(last))
    opened = incidents.open_one(
        surface=surface,
        region=region,
        cause=REFUSING if are_many_refused(part, now - WINDOW) else numbers.cause,
        actor=WORKER,
        counted=numbers.columns,
    )
    return int(opened is not None)


def _follow(incident: Incident, bad: Counted | None, now: datetime) -> None:
    """The worst window is remembered."""
    changed = _turned(incident, bad, now)
    if bad is not None and bad.failures > incident.failures:
        changed |= bad.columns
    if changed:
        Incident.objects.filter(pk=incident.pk, closed_at=None).update(**changed)
        vars(incident).update(changed)


def _turned(incident: Incident, bad: Counted | None, now: datetime) -> dict[str, object]:
    """A cause that staff gave stays; so does that of refusals, or an outage on top of them would
    let them be believed. No other one opens beside it: refusals of many that come when it holds
    none, or none any more, are held from now on, also when more calls fail otherwise."""
    if incident.opened_by_id is not None:
        return {}
    are_many = are_many_refused((incident.surface, incident.region), now - WINDOW)
    if are_many or (bad is not None and bad.cause == REFUSING):
        is_known = incidents.is_freshly_refusing(incident, now)
        return {} if is_known else {"cause": REFUSING, "refusing_since": now}
    if bad is None or incident.cause in (REFUSING, bad.cause):
        return {}
    return {"cause": bad.cause}


# Closing -----------------------------------------------------------------------------------


def _is_over(incident: Incident, now: datetime, *, is_bad: bool) -> bool:
    long_enough = GOOD_AFTER_REFUSALS if incident.cause == REFUSING else GOOD
    good_since = _good_since(incident, now - long_enough)
    if good_since != incident.good_since:
        Incident.objects.filter(pk=incident.pk).update(good_since=good_since)
        incident.good_since = good_since
    if is_bad and incidents.is_freshly_refusing(incident, now):
        return False  # one by one, between calls that are answered
    if good_since is not None and good_since <= now - long_enough:
        return True
    return not is_bad and _is_long_forgotten(incident, now)


def _good_since(incident: Incident, since: datetime) -> datetime | None:
    """The first minute with a success after the last one in which half of the calls failed. Fewer
    organizations than open an incident do not keep one open: theirs are reasons of their own."""
    part = (incident.surface, incident.region)
    _asking, failing = asking_and_failing(part, since)
    last_bad, first_good = None, None
    for minute, calls, failures in by_minute(part, since):
        if failing >= LEAST_ORGANIZATIONS and failures >= OPEN_SHARE * calls:
            last_bad, first_good = minute, None
        elif first_good is None and failures < calls:
            first_good = minute
    known = incident.good_since
    if known is not None and (last_bad is None or known > last_bad):
        return known
    return first_good


def _is_long_forgotten(incident: Incident, now: datetime) -> bool:
    """Not while it holds refusals: what Amazon goes on refusing is no news (`incident_counts.py`),
    so nobody seems to ask, and all of it would be believed."""
    if incident.opened_at > now - LONG or incidents.is_freshly_refusing(incident, now):
        return False
    asking, failing = asking_and_failing((incident.surface, incident.region), now - LONG)
    return asking == 0 or failing < OPEN_SHARE * asking
