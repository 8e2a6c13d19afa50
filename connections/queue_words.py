"""What a reconnect queue says: of each item, of the store whose turn it is, of the progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import client_links
from connections.client_link_models import ClientLink
from connections.client_link_words import asked_line, is_to_hand_over
from connections.countries import region_name
from connections.models import AuthorizationRequest, Connection, SpApiGrant
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.queue_walk import Walk, is_out, items_of, last_trip, open_queue
from connections.reasons import Reason, outcome_words
from connections.words import Sign, clock_time, exact_day
from sellerlegend.amazon.regions import MARKETPLACES
from sellerlegend.organizations.access import OrganizationRequest
from sellerlegend.organizations.models import User
from sellerlegend.prepared import PreparedQuery

Status = ReconnectItem.Status
Cause = ReconnectItem.Cause


# Items -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemLine:
    id: UUID
    name: str
    seller_id: str
    region: str
    sign: Sign
    note: str
    is_present: bool
    is_skipped: bool
    is_out: bool = False


def lines_of(walk: Walk) -> list[ItemLine]:
    present = walk.present
    out = [item.connection_id for item in walk.items if is_out(item)]
    live = client_links.live_of_rows(walk.queue.organization_id, out) if out else []
    links = {link.connection_id: link for link in live}
    return [
        line_of(item, links.get(item.connection_id), is_present=item is present)
        for item in walk.items
    ]


def line_of(item: Any, link: ClientLink | None, *, is_present: bool = False) -> ItemLine:
    """`link`: the open one of an item that is out."""
    row: Connection = item.connection
    status = status_told(item)
    is_by_hand = link is not None and is_to_hand_over(link)
    return ItemLine(
        id=item.pk,
        name=row.name,
        seller_id=row.selling_partner_id or "",
        region=row.region,
        sign=hand_over_sign() if is_by_hand else sign_of(status),
        note=asked_line(link) if link is not None else note_of(item, status),
        is_present=is_present,
        is_skipped=item.status == Status.SKIPPED,
        is_out=is_out(item),
    )


def status_told(item: Any) -> Status:
    """By what happened since: a link that is over brought a consent, or did not."""
    if not item.passed:
        return Status(item.status)
    if item.passed in ReconnectItem.LINK_OVER:
        return Status.FAILED
    is_by_link = item.status == Status.LINKED and item.passed == Cause.RENEWED
    return Status.RECONNECTED if is_by_link else Status.NOT_NEEDED


def sign_of(status: Status) -> Sign:
    icon, tone = {
        Status.WAITING: ("dashed", "neutral"),
        Status.AT_AMAZON: ("external", "progress"),
        Status.RECONNECTED: ("check-circle", "success"),
        Status.FAILED: ("alert", "warning"),
        Status.SKIPPED: ("minus", "neutral"),
        Status.NOT_NEEDED: ("info", "neutral"),
        Status.LINKED: ("mail", "progress"),
    }[status]
    return Sign(str(status.label), icon, tone)


def hand_over_sign() -> Sign:
    """Of a row with a link that nobody mails: it is not sent before somebody hands it over."""
    return Sign(_("Link to copy and hand over"), "link", "warning")


def note_of(item: Any, status: Status) -> str:
    if status == Status.FAILED:
        return str(failure_of(item.passed or item.cause).title)
    if status == Status.RECONNECTED:
        grant = grant_of(item)
        ends_on = exact_day(grant.reauthorize_by) if grant is not None else ""
        return _("Its consent counts until %(day)s.") % {"day": ends_on} if ends_on else ""
    return passed_words(item) if status == Status.NOT_NEEDED else ""


def failure_of(cause: str) -> Reason:
    """How a trip of our own ended, or what the client did with the link."""
    if cause not in ReconnectItem.LINK_OVER:
        return outcome_words(cause)
    titles = {
        Cause.LINK_EXPIRED: _("The client's link has expired"),
        Cause.LINK_DECLINED: _("The client declined"),
        Cause.LINK_ENDED: _("The client's link was ended"),
    }
    meanings = {
        Cause.LINK_DECLINED: _(
            "Whoever got the link does not know this request. Nothing was changed."
        ),
    }
    meaning = meanings.get(Cause(cause), _("No consent came by it. Nothing was changed."))
    return Reason(
        titles[Cause(cause)],
        meaning,
        _("Call the client, open Seller Central, or send a new link."),
    )


def passed_words(item: Any) -> str:
    cause = item.passed or item.cause
    if cause == Cause.REMOVED:
        return _("It was removed from the list in the meantime.")
    if cause == Cause.DISCONNECTED:
        return _("Somebody disconnected it in the meantime.")
    grant = grant_of(item)
    who = renewer_of(item, grant)
    if not who:
        return _("Reconnected by somebody else in the meantime.")
    words = {"who": who, "day": exact_day(grant.authorized_at) if grant else ""}
    return _("Reconnected by %(who)s on %(day)s.") % words


def renewer_of(item: Any, grant: SpApiGrant | None) -> str:
    """Empty for nobody of whom we know."""
    if not item.passed or grant is None:
        return name_of(item.reconnected_by) if item.reconnected_by is not None else ""
    if grant.is_by_client:
        return grant.authorized_name or _("the client by link")
    return name_of(grant.authorized_by) if grant.authorized_by is not None else ""


def grant_of(item: Any) -> SpApiGrant | None:
    grant: SpApiGrant | None = getattr(item.connection, "spapi_grant", None)
    return grant


def name_of(user: User | None) -> str:
    return (user.name or user.email) if user is not None else _("a deleted login")


# The store whose turn it is ----------------------------------------------------------------


@dataclass(frozen=True)
class SignOut:
    """Where somebody may still be signed in: Amazon connects whatever store is active there."""

    name: str
    host: str
    url: str


@dataclass(frozen=True)
class Turn:
    """`result`: how the last trip of this store ended, if it did not bring a consent."""

    id: UUID
    name: str
    seller_id: str
    region: str
    region_name: str
    host: str
    sign_out: SignOut | None
    result: Reason | None
    under_way: str
    trip: AuthorizationRequest | None
    names_both: bool

    @property
    def was_tried(self) -> bool:
        return self.result is not None or bool(self.under_way)


def turn_of(walk: Walk) -> Turn | None:
    item = walk.present
    if item is None:
        return None
    row: Connection = item.connection
    trip = last_trip(item) if item.status != Status.WAITING else None
    result = result_of(item, trip)
    return Turn(
        id=item.pk,
        name=row.name,
        seller_id=row.selling_partner_id or "",
        region=row.region,
        region_name=region_name(row.region),
        host=host_of(row),
        sign_out=sign_out_of(walk, trip),
        result=result,
        under_way="" if result else under_way_words(item, row),
        trip=trip,
        names_both=item.cause == "wrong_account" and trip is not None,
    )


def result_of(item: Any, trip: AuthorizationRequest | None) -> Reason | None:
    """Amazon sends nobody back who presses Cancel: then the trip's time is over, and no more is
    known."""
    if item.status == Status.FAILED or item.passed:
        return failure_of(item.passed or item.cause)
    if item.status != Status.AT_AMAZON:
        return None
    if trip is not None and trip.outcome not in ("", "expired"):
        return outcome_words(trip.outcome)
    if item.left_at + AuthorizationRequest.LIFETIME > timezone.now():
        return None
    return Reason(
        _("Nothing has come back from Amazon"),
        _("You left for it on %(day)s, and a trip ends after ten minutes. Nothing was changed.")
        % {"day": exact_day(item.left_at)},
        _("Open Seller Central again, or go on with another store."),
    )


def under_way_words(item: Any, row: Connection) -> str:
    if item.status != Status.AT_AMAZON:
        return ""
    words = _("You left for %(host)s at %(time)s. Confirm there, or open it again from here.")
    return words % {"host": host_of(row), "time": clock_time(item.left_at)}


def sign_out_of(walk: Walk, trip: AuthorizationRequest | None) -> SignOut | None:
    """Of the store that came back instead, or of the one before this. One seller's rows stand
    together, and need no sign-out between them."""
    row: Connection = walk.present.connection  # type: ignore[union-attr]  # the caller looked
    other = trip.returned_selling_partner_id if trip is not None else ""
    if other and other != row.selling_partner_id:
        return SignOut(other, host_of(row), seller_central_of(row))
    previous = walk.previous
    if previous is None or previous.connection.selling_partner_id == row.selling_partner_id:
        return None
    before: Connection = previous.connection
    return SignOut(before.name, host_of(before), seller_central_of(before))


def host_of(row: Connection) -> str:
    """As the person knows it, also where an emulator stands in its place."""
    return urlsplit(MARKETPLACES[row.marketplace_id].seller_central).netloc


def seller_central_of(row: Connection) -> str:
    return settings.AMAZON_ENDPOINTS.seller_central(row.marketplace_id)


# Progress ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """`done` has had its turn; `skipped` are those of them that nothing was done for. `out` are
    with a client; `by_hand` have a link that somebody has still to hand over."""

    done: int
    total: int
    out: int = 0
    skipped: int = 0
    by_hand: int = 0

    @property
    def words(self) -> str:
        told = _("%(done)d of %(total)d settled") % {
            "done": self.done - self.skipped,
            "total": self.total,
        }
        aside = [
            self.skipped_words if self.skipped else "",
            self.out_words if self.out else "",
            self.by_hand_words if self.by_hand else "",
        ]
        return ", ".join(filter(None, [told, *aside]))

    @property
    def skipped_words(self) -> str:
        words = ngettext("%(count)d skipped", "%(count)d skipped", self.skipped)
        return words % {"count": self.skipped}

    @property
    def out_words(self) -> str:
        words = ngettext("%(count)d sent as a link", "%(count)d sent as links", self.out)
        return words % {"count": self.out}

    @property
    def by_hand_words(self) -> str:
        words = ngettext(
            "%(count)d link to copy and hand over",
            "%(count)d links to copy and hand over",
            self.by_hand,
        )
        return words % {"count": self.by_hand}

    @property
    def banner_words(self) -> str:
        return _("Reconnect queue: %(progress)s.") % {"progress": self.words}


def progress_of(walk: Walk, lines: list[ItemLine]) -> Progress:
    by_hand = sum(line.sign == hand_over_sign() for line in lines)
    return Progress(walk.done, walk.total, walk.out - by_hand, walk.skipped, by_hand)


@dataclass(frozen=True)
class Tally:
    """One line of a summary: how many items ended in this way."""

    sign: Sign
    count: int


def tallies_of(lines: list[ItemLine]) -> list[Tally]:
    signs = [*(sign_of(status) for status in Status), hand_over_sign()]
    counted = [Tally(sign, sum(line.sign == sign for line in lines)) for sign in signs]
    return [tally for tally in counted if tally.count]


def open_query(organization_id: UUID, user_id: UUID) -> QuerySet[Any, Any]:
    queues = ReconnectQueue.objects.for_organization(organization_id)
    is_open = queues.filter(user_id=user_id, status=ReconnectQueue.Status.OPEN)
    found: QuerySet[Any, Any] = is_open.values("id")
    return found


# Every look at the list asks, and few people have one.
OPEN = PreparedQuery(open_query, organization_id=UUID, user_id=UUID)


def progress_for(request: OrganizationRequest) -> Progress | None:
    """For the banner on the list. None: the person has nothing to go on with."""
    if not OPEN.rows(organization_id=request.organization.pk, user_id=request.user.pk):
        return None
    queue = open_queue(request.organization, request.user)
    if queue is None:
        return None
    is_open = Q(status__in=[*ReconnectItem.PENDING, Status.LINKED])
    open_ones = is_open & (Q(passed="") | Q(passed__in=ReconnectItem.LINK_OVER))
    counts = (
        items_of(queue, request.membership)
        .order_by()
        .aggregate(
            total=Count("pk"),
            pending=Count("pk", filter=open_ones),
            skipped=Count("pk", filter=Q(status=Status.SKIPPED)),
        )
    )
    done = counts["total"] - counts["pending"]
    return Progress(done, counts["total"], skipped=counts["skipped"])


def kept_until(queue: ReconnectQueue) -> str:
    return exact_day(queue.finished_at + ReconnectQueue.KEPT) if queue.finished_at else ""
