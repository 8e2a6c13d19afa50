"""Which rows may come into a reconnect queue, and the ready-made choices of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, TextChoices
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.health import EXPIRING_DAYS, NEEDS_A_PERSON, Health, health_of, moments
from connections.listing import BY_LINK, MONTH, NONE
from connections.models import CONSENT_DAYS, Connection
from connections.narrowing import given_by, has_consent, has_end
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.reach import within_reach
from connections.renewals import month_after
from sellerlegend.applications.models import LwaApplication
from sellerlegend.organizations.models import Membership

# Nobody has these ids: the consents of people whose login was deleted, and of clients by links.
GONE, CLIENTS = UUID(int=0), UUID(int=1)
# Of a row in a queue: its turn was, and will not come again.
OVER = "over"


def rows_in_sight(membership: Membership) -> QuerySet[Connection]:
    """The organization's rows that this member sees: everything of queues and of authorisers
    begins here."""
    rows: QuerySet[Connection] = Connection.objects.for_organization(membership.organization_id)
    return within_reach(rows, membership)


# Which may come in -------------------------------------------------------------------------


class Obstacle(TextChoices):
    """Why a row stays out."""

    WAITING = "waiting", gettext_lazy("It never had a consent. Use Resume in its row.")
    DISCONNECTED = (
        "disconnected",
        gettext_lazy("Somebody disconnected it. Reconnect it from its row if it shall come back."),
    )
    RENEWED = "renewed", gettext_lazy("Its consent was renewed today.")
    QUEUED = "queued", gettext_lazy("It is in your queue already.")
    OVER = (
        "over",
        gettext_lazy("Its turn in your queue is over. Finish the queue to walk it once more."),
    )
    TOO_MANY = "too_many", gettext_lazy("A queue holds 500 connections at most.")


@dataclass(frozen=True)
class Candidate:
    id: UUID
    name: str
    seller_id: str
    region: str
    obstacle: str

    @property
    def obstacle_words(self) -> str:
        return str(Obstacle(self.obstacle).label) if self.obstacle else ""


def candidates(
    membership: Membership, ids: list[UUID], queued: Mapping[UUID, str]
) -> list[Candidate]:
    """These rows in this order. `queued`: what is in the queue already, with its status or OVER;
    one that was skipped may come again."""
    state = health_of(LwaApplication.SPAPI, moments(), prefix="spapi_grant__", region="region")
    found: dict[UUID, Any] = {
        fact["id"]: fact
        for fact in rows_in_sight(membership)
        .filter(pk__in=ids)
        .annotate(
            state=state,
            authorized_at=F("spapi_grant__authorized_at"),
            imported_at=F("spapi_grant__imported_at"),
        )
        .values(*CANDIDATE_COLUMNS)
    }
    room = ReconnectQueue.MOST_ITEMS - len(queued)
    chosen: list[Candidate] = []
    for row_id in ids:
        if row_id not in found:
            continue
        obstacle = obstacle_of(found[row_id], queued.get(row_id, ""))
        if not obstacle and row_id not in queued:
            room -= 1
            obstacle = Obstacle.TOO_MANY.value if room < 0 else ""
        chosen.append(candidate_of(found[row_id], obstacle))
    return chosen


CANDIDATE_COLUMNS = (
    "id",
    "name",
    "selling_partner_id",
    "region",
    "state",
    "authorized_at",
    "imported_at",
)


def candidate_of(fact: dict[str, Any], obstacle: str) -> Candidate:
    return Candidate(
        id=fact["id"],
        name=fact["name"],
        seller_id=fact["selling_partner_id"] or "",
        region=fact["region"],
        obstacle=obstacle,
    )


def obstacle_of(fact: dict[str, Any], queued: str) -> str:
    if queued not in ("", OVER, ReconnectItem.Status.SKIPPED):
        return Obstacle.QUEUED.value
    if fact["state"] == Health.WAITING:
        return Obstacle.WAITING.value
    if fact["state"] == Health.DISCONNECTED:
        return Obstacle.DISCONNECTED.value
    is_given_here = fact["imported_at"] is None
    is_of_today = is_given_here and (
        timezone.localdate(fact["authorized_at"]) == timezone.localdate()
    )
    # One that was refused again, or lacks a role that we got since, is not done by that.
    if is_of_today and fact["state"] not in NEEDS_A_PERSON:
        return Obstacle.RENEWED.value
    return Obstacle.OVER.value if queued == OVER else ""


# Ready-made choices ------------------------------------------------------------------------


@dataclass(frozen=True)
class Pick:
    """One of: `needed`, the consents that do not serve any more; `ending`, those that end within
    60 days; a month, those that end in it; a person, those that they gave."""

    kind: str = ""
    month: date | None = None
    person: UUID | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Pick:
        """What nobody knows is no choice."""
        month, person = parameters.get("month", ""), parameters.get("person", "")
        if MONTH.fullmatch(month):
            return cls("month", month=date.fromisoformat(f"{month}-01"))
        if person:
            known = uuid_of(person)
            return cls("person", person=known) if known is not None else cls()
        kind = parameters.get("pick", "")
        return cls(kind) if kind in ("needed", "ending") else cls()

    @property
    def query(self) -> str:
        if self.month is not None:
            return f"month={self.month:%Y-%m}"
        return f"person={self.person}" if self.person is not None else f"pick={self.kind}"

    @property
    def words(self) -> str:
        """Of everything but a person, whose name stands elsewhere."""
        if self.month is not None:
            month = formats.date_format(self.month, "YEAR_MONTH_FORMAT")
            return _("Consents that end in %(month)s") % {"month": month}
        return {
            "needed": _("Connections that need a new consent"),
            "ending": _("Consents that end within %(days)d days") % {"days": EXPIRING_DAYS},
            "person": _("Consents of one person"),
        }.get(self.kind, "")


def uuid_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def picked(membership: Membership, pick: Pick) -> QuerySet[Connection]:
    """Rows with a living consent that the choice is about; nothing without a choice."""
    living = rows_in_sight(membership).filter(has_consent())
    if pick.kind == "month" and pick.month is not None:
        return living.filter(has_its_end()).filter(ends_in(pick.month))
    if pick.kind == "person":
        return living.filter(given_by(giver_of(pick.person)))
    state = health_of(LwaApplication.SPAPI, moments(), prefix="spapi_grant__", region="region")
    if pick.kind == "needed":
        return living.annotate(state=state).filter(state__in=NEEDED)
    if pick.kind == "ending":
        since = moments()["expiring_since"]
        return living.annotate(state=state).filter(
            Q(spapi_grant__authorized_at__lt=since, spapi_grant__is_consent_dated=True)
            & ~Q(state__in=NEEDED)
        )
    return living.none()


def seller_by_seller(ids: list[UUID], sellers: Mapping[UUID, str | None]) -> list[UUID]:
    """The rows of one seller stand together where the first of them stands: no sign-out between
    them."""
    first: dict[str | UUID, int] = {}
    for place, row_id in enumerate(ids):
        first.setdefault(sellers[row_id] or row_id, place)
    return sorted(ids, key=lambda row_id: first[sellers[row_id] or row_id])


def giver_of(person: UUID | None) -> str:
    """As the list's filter calls whoever has this id."""
    return {GONE: NONE, CLIENTS: BY_LINK, None: NONE}.get(person, str(person))


def picks_of(membership: Membership) -> list[tuple[Pick, int]]:
    """The choices that have rows, with how many: what is urgent first, then month by month."""
    urgent = [(pick, picked(membership, pick).count()) for pick in (Pick("needed"), Pick("ending"))]
    rows = rows_in_sight(membership).filter(has_its_end())
    dated = rows.filter(spapi_grant__is_consent_dated=True)
    given = dated.values_list("spapi_grant__authorized_at", flat=True)
    year, today = timedelta(days=CONSENT_DAYS), timezone.localdate()
    ends = [timezone.localdate(at + year) for at in given]
    months = Counter(day.replace(day=1) for day in ends if day >= today.replace(day=1))
    monthly = [(Pick("month", month=month), count) for month, count in sorted(months.items())]
    return [(pick, count) for pick, count in (*urgent, *monthly) if count]


# Only a new consent helps.
NEEDED = (Health.EXPIRED, Health.REVOKED, Health.PERMISSION_MISSING)


def has_its_end() -> Q:
    """As the list's filter by month counts them."""
    return has_end("spapi_grant__")


def ends_in(month: date) -> Q:
    """In the reader's time zone."""
    year = timedelta(days=CONSENT_DAYS)
    first, after = midnight(month), midnight(month_after(month, 1))
    column = "spapi_grant__authorized_at"
    ends = Q(**{f"{column}__gte": first - year, f"{column}__lt": after - year})
    return ends & Q(spapi_grant__is_consent_dated=True)


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, datetime.min.time()))
