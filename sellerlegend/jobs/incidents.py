"""When it is Amazon's fault: one open incident for each part of Amazon, by itself or by hand.

Here it opens, closes and is told; `incident_watch.py` decides when. Whoever has to do something
for the organizations concerned registers a listener: it is called once for each organization and
kind of news, in one transaction with the audit event that says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from sellerlegend.amazon.regions import Region
from sellerlegend.jobs.incident_counts import are_many_refused, are_others_answered, is_any_answered
from sellerlegend.jobs.models import CallWindow, Incident
from sellerlegend.organizations import staff_notices
from sellerlegend.organizations.audit import WORKER, Actor, record_event
from sellerlegend.organizations.models import AuditEvent, Organization
from sellerlegend.organizations.scoping import across_organizations

logger = logging.getLogger(__name__)

WINDOW = timedelta(minutes=10)
LOOK_SECONDS = 5.0
# So long after the end organizations that a killed sweep left out are still told.
TOLD_WITHIN = timedelta(hours=1)
HELD_FOR = timedelta(hours=2)
# As many good minutes as end one of refusals by itself (`incident_watch.py`).
ANSWERED_FOR = timedelta(minutes=20)
WINDOWS_KEPT = timedelta(days=2)

# Every part of Amazon that has incidents of its own: surface, and region where it has one.
PARTS: tuple[tuple[str, str], ...] = (
    (Incident.Surface.LWA.value, ""),
    *((Incident.Surface.SELLERS.value, region.value) for region in Region),
    *((Incident.Surface.ADS.value, region.value) for region in Region),
)

OPENED, CLOSED = "opened", "closed"
# (incident, organizations, OPENED or CLOSED); what it returns stands in the audit event.
Listener = Callable[[Incident, list[UUID], str], Mapping[str, Any] | None]
LISTENERS: list[Listener] = []


def register_listener(listener: Listener) -> None:
    if listener not in LISTENERS:
        LISTENERS.append(listener)


# What is open ------------------------------------------------------------------------------


@dataclass
class _Known:
    """What this process saw last, so that asking costs one look in five seconds."""

    incidents: list[Incident] = field(default_factory=list)
    until: float = 0.0


_known = _Known()


def forget() -> None:
    _known.incidents, _known.until = [], 0.0


def open_now() -> list[Incident]:
    """As this process last saw them. Raises DatabaseError."""
    if time.monotonic() >= _known.until:
        _known.incidents = list(Incident.objects.filter(closed_at=None).order_by("opened_at"))
        _known.until = time.monotonic() + LOOK_SECONDS
    return _known.incidents


def shown_now() -> list[Incident]:
    """For a page, which must not fail because of this look."""
    try:
        return open_now()
    except DatabaseError:
        return _known.incidents


def is_open_at(part: tuple[str, str]) -> bool:
    """Whether this very part of Amazon has an open incident, as `open_now` knows it."""
    return any((incident.surface, incident.region) == part for incident in open_now())


def are_many_refused_now(surface: str, region: str = "", since: datetime | None = None) -> bool:
    """Whether an open incident says so, for however long: words are chosen by it, and no consent is
    judged. Without a region any region counts. `since`: what happened before it began is none of
    its doing."""
    here = [
        incident
        for incident in shown_now()
        if incident.surface == Incident.Surface.LWA
        or (incident.surface == surface and region in ("", incident.region))
    ]
    return any(
        incident.cause == Incident.Cause.REFUSING
        and (since is None or since >= (incident.refusing_since or incident.opened_at) - WINDOW)
        for incident in here
    )


def are_refusals_amazons(surface: Incident.Surface, region: str = "") -> bool:
    """Whether consents that this part of Amazon or the token endpoint refuses now are refused all
    at once, so that none of it is believed. Without a region any region counts. Asks the database:
    believing is rare, and a copy five seconds old would be too old for it."""
    here = Q(surface=surface) & (Q(region=region) if region else Q())
    running = Incident.objects.filter(here | Q(surface=Incident.Surface.LWA), closed_at=None)
    now = timezone.now()
    return any(_holds_refusals(incident, now) for incident in running)


def _holds_refusals(incident: Incident, now: datetime) -> bool:
    """For `HELD_FOR` at most: real revocations of many must not keep one open for ever. One that
    staff opened does not end by itself, so it holds none that is a seller's own; and since no
    other one opens beside it, it holds what would have opened one."""
    is_fresh = is_freshly_refusing(incident, now)
    if incident.opened_by_id is None:
        return is_fresh
    part = (incident.surface, incident.region)
    if not is_fresh and not are_many_refused(part, now - HELD_FOR):
        return False
    return not are_others_answered(part, now - ANSWERED_FOR)


def has_staff_ended_since(moment: datetime, surface: Incident.Surface, region: str = "") -> bool:
    """Whether they said of one that held refusals that it is over: nothing has shown it."""
    here = Q(surface=surface) & (Q(region=region) if region else Q())
    ended = Incident.objects.filter(
        here | Q(surface=Incident.Surface.LWA), closed_at__gt=moment, closed_by__isnull=False
    )
    return any(_may_have_held(incident, moment) for incident in ended)


def _may_have_held(incident: Incident, moment: datetime) -> bool:
    """One that staff opened for another cause holds refusals only while many are in doubt, and
    those whom it held still are."""
    if incident.cause == Incident.Cause.REFUSING:
        return True
    if incident.opened_by_id is None:
        return False
    return are_many_refused((incident.surface, incident.region), moment)


def is_freshly_refusing(incident: Incident, now: datetime) -> bool:
    # One that an older release opened has no such moment.
    since = incident.refusing_since or incident.opened_at
    return incident.cause == Incident.Cause.REFUSING and since > now - HELD_FOR


def tell_of_those_left_open() -> int:
    """For the sweep: staff hear, once a day, that one which they opened is still open."""
    since = timezone.now() - HELD_FOR
    left = [row for row in shown_now() if row.opened_by_id and row.opened_at <= since]
    if left:
        staff_notices.tell("amazon_incident_left_open")
    return len(left)


# Opening and closing -----------------------------------------------------------------------


def open_one(
    *,
    surface: str,
    region: str,
    cause: str,
    actor: Actor,
    reason: str = "",
    counted: Mapping[str, int] | None = None,
) -> Incident | None:
    """None when this part has an open incident already: two sweeps open one."""
    incident = Incident(
        surface=surface,
        region=region,
        cause=cause,
        opened_by=actor.user,
        refusing_since=timezone.now() if cause == Incident.Cause.REFUSING else None,
        **(counted or {}),
    )
    with transaction.atomic():
        Incident.objects.bulk_create([incident], ignore_conflicts=True)
        if not Incident.objects.filter(pk=incident.pk).exists():
            return None
        _note("incident_opened", incident, actor, reason)
        staff_notices.tell("amazon_incident")
    forget()
    return incident


def reopen(incident: Incident) -> bool:
    """It began again so soon after its end that it is the same one: nobody was told of an end yet.
    False: another is open, or it is too late."""
    # Whoever waits for the row may come when it has been told that it is over.
    now = timezone.now()
    ended = Incident.objects.filter(pk=incident.pk, closed_at__gt=now - WINDOW)
    begun: dict[str, datetime | None] = {"closed_at": None, "good_since": None}
    if incident.cause == Incident.Cause.REFUSING:
        begun["refusing_since"] = now
    try:
        with transaction.atomic():
            if not ended.update(**begun):
                return False
            _note("incident_reopened", incident, WORKER)
    except IntegrityError:
        return False
    vars(incident).update(begun)
    forget()
    return True


def close(incident: Incident, *, actor: Actor, reason: str = "") -> bool:
    """False when it was closed meanwhile. The next sweep tells the organizations."""
    now = timezone.now()
    running = Incident.objects.filter(pk=incident.pk, closed_at=None)
    with transaction.atomic():
        if not running.update(closed_at=now, closed_by=actor.user):
            return False
        incident.closed_at, incident.closed_by = now, actor.user
        _note("incident_closed", incident, actor, reason)
        staff_notices.tell("amazon_incident_over")
    forget()
    return True


def _note(code: str, incident: Incident, actor: Actor, reason: str = "") -> None:
    facts = {name: getattr(incident, name) for name in ("calls", "failures", "organizations")}
    details = _facts(incident) | facts | ({"reason": reason} if reason else {})
    record_event(code, actor=actor, subject=incident, **details)
    logger.warning(code, extra=details | {"incident": incident.pk})


def _facts(incident: Incident) -> dict[str, Any]:
    return {
        "surface": str(incident.surface),
        "region": incident.region,
        "cause": str(incident.cause),
    }


# The organizations concerned ---------------------------------------------------------------


def failures_of(incident: Incident) -> QuerySet[CallWindow]:
    """The minutes in which it hurt somebody, from the window that opened it."""
    minutes = CallWindow.objects.filter(
        surface=incident.surface,
        region=incident.region,
        minute__gte=incident.opened_at - WINDOW,
        failures__gt=0,
    )
    if incident.closed_at is not None:
        minutes = minutes.filter(minute__lte=incident.closed_at)
    return minutes


def old_windows() -> QuerySet[CallWindow]:
    """For the day's pruning. By age alone: one that staff forgot to close must not keep them. Who
    was told of it stands in the record, and when."""
    return CallWindow.objects.filter(minute__lt=timezone.now() - WINDOWS_KEPT)


def may_begin_again(incident: Incident) -> bool:
    """It ended by itself a moment ago: whoever heard that it is over might hear a lie."""
    ended_at = incident.closed_at
    is_by_itself = ended_at is not None and incident.closed_by_id is None
    return is_by_itself and ended_at is not None and ended_at > timezone.now() - WINDOW


def is_seen_to_be_over(incident: Incident) -> bool:
    """Refusals also end because they are believed at last, or because nobody asks any more: that
    is no end that people should hear of, unless staff say so or Amazon has answered somebody."""
    if incident.closed_at is None:
        return False
    is_vouched_for = incident.closed_by_id is not None or incident.good_since is not None
    if is_vouched_for or incident.cause != Incident.Cause.REFUSING:
        return True
    part = (incident.surface, incident.region)
    return is_any_answered(part, incident.closed_at - ANSWERED_FOR)


def tell_organizations(incident: Incident, limit: int) -> int:
    """Once each that it opened, those as well that it reaches later; and that it closed, all who
    were told that it opened, once it is seen to be over and cannot begin again. At most `limit`:
    the events say who is left. Returns how many were told now."""
    has_ended = incident.closed_at is not None
    if limit <= 0 or may_begin_again(incident):
        return 0
    if has_ended and not is_seen_to_be_over(incident):
        return 0
    told = _told(incident, OPENED)
    if has_ended:
        due, kind = told - _told(incident, CLOSED), CLOSED
    else:
        met = failures_of(incident).order_by().values_list("organization_id", flat=True)
        due, kind = set(met.distinct()) - told, OPENED
    if not due:
        return 0
    # In no order: those that cannot be told must not stand in front of all others at every sweep.
    living = Organization.objects.filter(pk__in=due, deleted_at=None).order_by("?")
    return sum(_tell(incident, organization, kind) for organization in living[:limit])


def _told(incident: Incident, kind: str) -> set[UUID]:
    with across_organizations("who was told of an incident of Amazon's"):
        events = AuditEvent.objects.filter(
            at__gte=incident.opened_at,
            code=f"incident_{kind}",
            subject_id=incident.pk,
            organization__isnull=False,
        )
        return set(events.values_list("organization_id", flat=True))


def _tell(incident: Incident, organization: Organization, kind: str) -> int:
    """One that cannot be told must not keep all others from it; the next sweep tries again."""
    try:
        return _tell_once(incident, organization, kind)
    except Exception:
        logger.exception("incident_not_told", extra={"organization": organization.pk})
        return 0


def _tell_once(incident: Incident, organization: Organization, kind: str) -> int:
    with transaction.atomic():
        # Two sweeps at once: the second one waits here, and sees the first one's event, or that
        # the incident closed or began again meanwhile.
        now = Incident.objects.select_for_update().get(pk=incident.pk)
        if (now.closed_at is None) != (kind == OPENED) or may_begin_again(now):
            return 0
        mine = AuditEvent.objects.for_organization(organization).filter(
            at__gte=incident.opened_at, code=f"incident_{kind}", subject_id=incident.pk
        )
        if mine.exists():
            return 0
        details = _facts(incident)
        for listener in LISTENERS:
            details |= listener(incident, [organization.pk], kind) or {}
        record_event(
            f"incident_{kind}",
            actor=WORKER,
            organization=organization,
            subject=incident,
            **details,
        )
    return 1
