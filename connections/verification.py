"""When each consent is proved again: once a day, spread over the day.

Any reading that succeeds is a proof and sets the next one, 20 to 23 hours later: at most a day
lies between two, and what began together comes apart. A consent that Amazon ended is asked some
more times in four days, soon at first, in case it was a mistake of Amazon's; then nothing until a
new one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from connections.models import AdsGrant, Grant, SpApiGrant
from connections.token_cache import AnyGrant
from sellerlegend.jobs import sweeping
from sellerlegend.jobs.models import Job, Slot
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.scoping import across_organizations

SLOT = "verification"
SWEEP_EVERY_SECONDS = 60.0
SLOTS_KEPT = timedelta(hours=1)
BATCH = 1000
# A sweep has seconds, and each organization costs a few statements. Still thirty times what ten
# thousand consents need.
QUEUED_AT_ONCE = 300

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SOONEST, LATEST = timedelta(hours=20), timedelta(hours=23)
# After a first reading: the roles have not been asked for yet.
SOON = timedelta(minutes=10)
# Also when a job waits long or a sweep is missed: not queued again before.
QUEUED_FOR = HOUR

# After the end: what many were refused by mistake comes back within the hour.
QUIET_PROBES = (HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY, 4 * DAY)
# Sooner by a fifth at most, so that what ended together is not asked together.
QUIET_SOONEST = 0.8
LIVING = (Grant.Status.ACTIVE, Grant.Status.DOUBTED)
# Amazon itself said so; what our staff or our vault stopped is not asked again by itself.
ENDED_BY_AMAZON = ("invalid_grant", "access_token_rejected")


# When --------------------------------------------------------------------------------------


def next_proof(now: datetime) -> datetime:
    return now + _between(SOONEST, LATEST)


def first_proof(now: datetime) -> datetime:
    """Of a consent that nobody has scheduled: some time in the next day."""
    return now + _between(timedelta(0), DAY)


def soon_after(grant: AnyGrant, now: datetime) -> datetime:
    overdue = now - (grant.verified_at or grant.authorized_at) - DAY
    return now + _between(SOON, min(max(2 * SOON, overdue), LATEST))


def next_quiet_probe(ended_at: datetime, now: datetime) -> datetime | None:
    """The next of `QUIET_PROBES` whose time has not begun; None: enough."""
    for after in QUIET_PROBES:
        soonest = QUIET_SOONEST * after
        if now < ended_at + soonest:
            return ended_at + _between(soonest, after)
    return None


def columns_of_end(ended_at: datetime) -> dict[str, datetime | None]:
    """What a consent that Amazon has just ended is given: its first quiet probe."""
    return {"verify_due_at": next_quiet_probe(ended_at, ended_at)}


def _between(least: timedelta, most: timedelta) -> timedelta:
    return least + random.random() * (most - least)  # noqa: S311  # jitter, not a secret


# What a reading says -----------------------------------------------------------------------


def note_proof(grant: AnyGrant, *, is_incomplete: bool = False) -> None:
    """A reading with this consent succeeded, in the caller's transaction. `is_incomplete`: there
    is more to ask soon. One that Amazon has refused since keeps its next check."""
    now = timezone.now()
    due = now + _between(timedelta(0), SOON) if is_incomplete else next_proof(now)
    present = type(grant)._base_manager.filter(pk=grant.pk, version=grant.version)
    # The success is written here too: that of the call is not, minutes after another one.
    present.filter(status=Grant.Status.ACTIVE).update(
        verified_at=now, last_success_at=now, verify_due_at=due
    )


def note_next(grant: AnyGrant) -> None:
    """It was proved a moment ago by other work: the next time, in the caller's transaction. One
    that Amazon has refused since keeps its next check."""
    present = type(grant)._base_manager.filter(pk=grant.pk, version=grant.version)
    present.filter(status=Grant.Status.ACTIVE).update(verify_due_at=next_proof(timezone.now()))


def note_no_proof(grant: AnyGrant, reason: str) -> None:
    """The proof ended without one, in the caller's transaction: again tomorrow, or no more. What
    nobody can explain may be over in a minute, so its message is not left for a day."""
    now = timezone.now()
    present = type(grant)._base_manager.filter(pk=grant.pk, version=grant.version)
    row = present.first()
    if row is None:
        return
    due: datetime | None = next_proof(now)
    if reason == "unexpected_reply":
        due = soon_after(row, now)
    if row.status == Grant.Status.INVALID:
        is_asked = row.last_error_code in ENDED_BY_AMAZON and row.refresh_token
        due = next_quiet_probe(row.status_changed_at, now) if is_asked else None
    present.update(verify_due_at=due)


def note_doubt(grant: AnyGrant) -> None:
    """A reading came, but not whole, in the caller's transaction: again soon, and the longer the
    last proof is overdue, the later."""
    present = type(grant)._base_manager.filter(pk=grant.pk, version=grant.version)
    due = soon_after(grant, timezone.now())
    present.filter(status__in=LIVING).update(verify_due_at=due)


# The sweep ---------------------------------------------------------------------------------


def sweep_in_turn(model: type[SpApiGrant] | type[AdsGrant], begin: Callable[..., None]) -> int:
    """For the sweep: schedule what nobody scheduled, and queue what is due, a batch of each.

    `begin(organization_id, grants)` queues one job for each. Killed between two steps it leaves
    nothing by halves: what is queued is put off only afterwards, and one live job per subject is
    the database's own rule. Nothing in quarantine.
    """
    if quarantine.is_on():
        return 0
    slot = sweeping.take_slot(f"{SLOT}.{model.EVENT_PREFIX}", SWEEP_EVERY_SECONDS)
    if slot is None:
        return 0
    touched = schedule_new(model) + queue_due(model, begin)
    Slot.objects.filter(pk=slot.pk).update(finished_at=timezone.now())
    Slot.objects.filter(name=slot.name, starts_at__lt=slot.starts_at - SLOTS_KEPT).delete()
    return touched


def schedule_new(model: type[SpApiGrant] | type[AdsGrant]) -> int:
    """A random time within the day for living consents that have none: an upgrade does not fire
    ten thousand at once."""
    now = timezone.now()
    with across_organizations("verification of every organization"):
        unscheduled = model.objects.filter(status__in=LIVING, verify_due_at=None)
        rows = list(unscheduled.only("pk", "version").order_by("pk")[:BATCH])
        for row in rows:
            row.verify_due_at = first_proof(now)
        # The filter stays in force: a reading that came first has set its own time.
        return int(unscheduled.bulk_update(rows, ["verify_due_at"])) if rows else 0


def queue_due(model: type[SpApiGrant] | type[AdsGrant], begin: Callable[..., None]) -> int:
    now = timezone.now()
    with across_organizations("verification of every organization"):
        due = list(due_grants(model, now).order_by("verify_due_at")[:QUEUED_AT_ONCE])
    by_owner: dict[UUID, list[Any]] = {}
    for grant in due:
        by_owner.setdefault(grant.owner_id(), []).append(grant)
    for organization_id, grants in by_owner.items():
        begin(organization_id, grants)
        _put_off(model, grants, now)
    return len(due)


def due_grants(model: type[SpApiGrant] | type[AdsGrant], now: datetime) -> QuerySet[Any]:
    rows: QuerySet[Any] = model.objects.filter(
        Q(status__in=LIVING) | _asked_quietly(now), verify_due_at__lte=now
    ).defer("refresh_token")
    return rows.select_related("connection") if model is SpApiGrant else rows


def _asked_quietly(now: datetime) -> Q:
    return Q(
        status=Grant.Status.INVALID,
        last_error_code__in=ENDED_BY_AMAZON,
        status_changed_at__gt=now - QUIET_PROBES[-1] - DAY,
    ) & ~Q(refresh_token="")


def _put_off(
    model: type[SpApiGrant] | type[AdsGrant], grants: Iterable[AnyGrant], now: datetime
) -> None:
    """Its job sets the next time. If that never comes to an end, the sweep looks again."""
    ids = [grant.pk for grant in grants]
    with across_organizations("verification of every organization"):
        same = model.objects.filter(pk__in=ids, verify_due_at__lte=now)
        same.update(verify_due_at=now + QUEUED_FOR)


def without_live_job(
    organization_id: UUID, subjects: Iterable[UUID], kinds: Iterable[str]
) -> list[UUID]:
    """Those whose proof is not on its way already by one of these kinds of work."""
    jobs = Job.objects.for_organization(organization_id)
    wanted = list(subjects)
    live = jobs.filter(subject_id__in=wanted, kind__in=list(kinds), status__in=Job.LIVE)
    busy = set(live.values_list("subject_id", flat=True))
    return [subject for subject in wanted if subject not in busy]
