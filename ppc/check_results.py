"""What came of one *Check now* for many rows. No table of its own: the events that it left carry
its batch, and each row says itself how it is now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import ads_consents, list_queries, screen
from connections.countries import region_name
from connections.health import Health
from connections.health_words import SideHealth, feeding, spapi_health
from connections.models import Connection
from connections.reach import within_reach
from connections.reader import Reader
from connections.reasons import reason_for
from connections.words import Facts, Sign, url_of, waiting_words
from marketplaces import verification as marketplace_verification
from ppc import asking, checking
from ppc.asking import Sides
from ppc.cell import ppc_health
from ppc.checking import Plan
from ppc.disconnecting import Side
from sellerlegend.alphabet import Alphabetical
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import AuditEvent, Membership

# What each refusal of a consent leaves (`connections.refusals`).
REFUSED_NOW = "grant_doubted"
# As the results of an import; it also bounds how many events are looked through.
RESULTS_KEPT = timedelta(days=14)


@dataclass(frozen=True)
class SideLine:
    """One side of a row: what Amazon is still asked, or how it is since."""

    sign: Sign
    note: str = ""
    is_moving: bool = False
    needs_a_person: bool = False
    has_no_answer: bool = False


@dataclass(frozen=True)
class Line:
    id: UUID
    name: str
    seller_id: str
    region: str
    url: str
    spapi: SideLine
    ppc: SideLine

    @property
    def is_moving(self) -> bool:
        return self.spapi.is_moving or self.ppc.is_moving

    @property
    def needs_a_person(self) -> bool:
        return self.spapi.needs_a_person or self.ppc.needs_a_person

    @property
    def has_no_answer(self) -> bool:
        return self.spapi.has_no_answer or self.ppc.has_no_answer


@dataclass(frozen=True)
class LeftLine:
    """A row that was chosen and not asked, and why."""

    name: str
    note: str
    words: str


@dataclass(frozen=True)
class CheckResult:
    """`absent`: rows that are gone, or that the reader does not see any more."""

    asked_at: datetime
    lines: tuple[Line, ...]
    left: tuple[LeftLine, ...]
    absent: int

    @property
    def total(self) -> int:
        return len(self.lines)

    @property
    def over(self) -> list[Line]:
        return [line for line in self.lines if not line.is_moving]

    @property
    def done(self) -> int:
        return len(self.over)

    @property
    def is_moving(self) -> bool:
        return self.done < self.total

    @property
    def needing(self) -> int:
        return sum(line.needs_a_person for line in self.over)

    @property
    def words(self) -> str:
        told = [_("%(done)d of %(total)d checked") % {"done": self.done, "total": self.total}]
        if self.needing:
            words = ngettext("%(count)d needs you", "%(count)d need you", self.needing)
            told.append(words % {"count": self.needing})
        silent = sum(line.has_no_answer and not line.needs_a_person for line in self.over)
        if silent:
            words = ngettext("%(count)d without an answer", "%(count)d without an answer", silent)
            told.append(words % {"count": silent})
        return ", ".join(told)


@dataclass(frozen=True)
class Asked:
    """What the events say: whose it was, when, and which sides of which rows it asked about, or
    found being checked already."""

    by: UUID | None
    at: datetime
    plans: dict[UUID, Plan]


def result_of(batch: UUID, reader: Reader, membership: Membership) -> CheckResult | None:
    """None where there is no such check, or nothing of it for this person: what somebody else
    asked about rows outside of the reach is not there, not even as a number."""
    asked = _asked(batch, membership.organization_id)
    if asked is None:
        return None
    every = Connection.objects.for_organization(membership.organization_id)
    in_reach = within_reach(every, membership)
    rows = list(in_reach.filter(pk__in=asked.plans))
    knows_all = not membership.is_limited or asked.by == membership.user_id
    if not (rows or knows_all):
        return None
    absent = len(asked.plans) - len(rows) if knows_all else 0
    left = tuple(_left_lines(batch, in_reach, membership.organization_id))
    return CheckResult(asked.at, tuple(_lines(asked, rows, reader)), left, absent)


def _left_lines(
    batch: UUID, in_reach: QuerySet[Connection], organization_id: UUID
) -> Iterable[LeftLine]:
    """By name."""
    events = AuditEvent.objects.for_organization(organization_id).filter(
        code="check_left_out",
        at__gte=timezone.now() - RESULTS_KEPT,
        details__batch=str(batch),
    )
    event = events.first()
    why = event.details["rows"] if event is not None else {}
    for row in in_reach.filter(pk__in=why).order_by(Alphabetical("name"), "pk"):
        note = " · ".join(filter(None, [row.selling_partner_id, region_name(row.region)]))
        yield LeftLine(row.name, note, _left_words(why[str(row.pk)]))


def _left_words(why: str) -> str:
    if why == checking.ALREADY:
        return _("Was being checked already")
    return asking.obstacle_words(asking.Obstacle(why))


def _asked(batch: UUID, organization_id: UUID) -> Asked | None:
    events = AuditEvent.objects.for_organization(organization_id).filter(
        code="check_requested",
        at__gte=timezone.now() - RESULTS_KEPT,
        details__batch=str(batch),
    )
    found = list(events.values_list("actor_id", "at", "connection_id", "details"))
    if not found:
        return None
    by, at, *_rest = found[0]
    plans = {
        row_id: Plan(_sides(details["sides"]), _sides(details.get("already", ())))
        for _by, _at, row_id, details in found
    }
    return Asked(by, at, plans)


def _sides(names: Iterable[str]) -> Sides:
    return frozenset(Side(name) for name in names)


def _lines(asked: Asked, rows: list[Connection], reader: Reader) -> Iterable[Line]:
    """By name, in as many statements for many rows as for one."""
    if not rows:
        return
    organization_id, ids = rows[0].organization_id, [row.pk for row in rows]
    parts = list_queries.marketplace_facts(organization_id, ids)
    live = _live_checks(organization_id, rows)
    for fact in list_queries.some_facts(organization_id, ids):
        known = screen.amazon_marketplaces(parts.get(fact["id"], []), fact["region"])
        health = {
            Side.SPAPI: (spapi_health(fact, reader), [fact]),
            Side.PPC: (ppc_health(fact, known, reader), list(feeding(known).values())),
        }
        plan = asked.plans[fact["id"]]
        told = {
            side: _side_line(live.get((fact["id"], side)), *health[side], asked.at)
            if side in plan.asked | plan.already
            else SideLine(Sign(_("Not asked"), "minus", "neutral"))
            for side in Side
        }
        told |= {side: _begun_before(told[side]) for side in plan.already if told[side].is_moving}
        yield Line(
            id=fact["id"],
            name=fact["name"],
            seller_id=fact["selling_partner_id"] or "",
            region=region_name(fact["region"]),
            url=url_of("connection_details", reader, fact["id"]),
            spapi=told[Side.SPAPI],
            ppc=told[Side.PPC],
        )


def _live_checks(organization_id: UUID, rows: list[Connection]) -> dict[tuple[UUID, Side], Any]:
    """The check that is on the way for a side of a row, with what it waits for."""
    grants = ads_consents.by_row(ads_consents.askable(organization_id), rows)
    jobs = Job.objects.for_organization(organization_id).filter(
        subject_id__in={row.pk for row in rows}.union(*grants.values()),
        kind__in=[marketplace_verification.CHECK, checking.CHECK],
        status__in=Job.LIVE,
    )
    live = {job.subject_id: job for job in jobs}
    found = {(row.pk, Side.SPAPI): live[row.pk] for row in rows if row.pk in live}
    for row_id, consents in grants.items():
        for consent in sorted(consents & live.keys()):
            found[row_id, Side.PPC] = live[consent]
    return found


def _side_line(
    job: Job | None, health: SideHealth | None, consents: list[Facts], asked_at: datetime
) -> SideLine:
    if job is not None:
        sign = Sign(_("Being checked"), "progress", "progress")
        if health is not None and health.state == Health.DOUBTED:
            sign = health.sign  # says that too
        waits = waiting_words(job.waiting_reason, job.next_attempt_at) if job.waiting_reason else ""
        return SideLine(sign, waits, is_moving=True)
    failure = _failure_since(asked_at, consents, is_over=_is_revoked(health))
    if health is None:  # a consent that feeds nothing has no health in the list either
        sign = Sign(_("Checked"), "check", "neutral")
        return SideLine(sign, failure, has_no_answer=bool(failure))
    return SideLine(
        health.sign,
        failure or health.since,
        needs_a_person=health.needs_a_person,
        has_no_answer=bool(failure),
    )


def _begun_before(line: SideLine) -> SideLine:
    """This check asked nothing there: another one was on its way."""
    return replace(line, note=". ".join(filter(None, [_("Was being checked already"), line.note])))


def _is_revoked(health: SideHealth | None) -> bool:
    return health is not None and health.state == Health.REVOKED


def _failure_since(moment: datetime, consents: list[Facts], *, is_over: bool) -> str:
    """Why Amazon has not answered since then. The next success takes the code away. A refusal of a
    consent that is over is the answer, which its state says already."""
    for consent in consents:
        code, failed_at = consent["last_failure_code"], consent["last_failure_at"]
        is_answer = is_over and code == REFUSED_NOW
        if code and not is_answer and failed_at is not None and failed_at >= moment:
            return str(reason_for(code).title)
    return ""
