"""Walking a reconnect queue: what is done, what is next, and every step of it.

The steps take the organization's lock first, as everywhere, so of two tabs the second finds what
the first did. What happened to a row elsewhere is computed where it is read, by one expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from django.db.models import (
    Case,
    CharField,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.lookups import Exact, In
from django.utils import timezone

from connections import revisions
from connections.client_link_models import ClientLink
from connections.models import AuthorizationRequest, Grant
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.queue_rows import OVER, Candidate, rows_in_sight
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Membership, Organization, User
from sellerlegend.transitions import advance

Status = ReconnectItem.Status
Cause = ReconnectItem.Cause
# Why an item counts as skipped that nobody skipped: the event of it says so.
NOT_WALKED = "queue_finished"


class QueueOver(ValueError):
    """The queue was finished in another tab, or the item cannot take this step any more."""


# What is read ------------------------------------------------------------------------------


def passed_over(organization_id: UUID) -> Case:
    """Why an item that is still to be walked need not be, by what happened to its row since; and
    how it ended with a client who was to give the consent by link."""
    return Case(
        When(~Q(status__in=[*ReconnectItem.PENDING, Status.LINKED]), then=Value("")),
        *changed_since(),
        *links_over(organization_id),
        default=Value(""),
        output_field=CharField(max_length=20),
    )


def changed_since() -> tuple[When, ...]:
    grant = "connection__spapi_grant"
    return (
        When(connection__removed_at__isnull=False, then=Value(Cause.REMOVED.value)),
        When(**{f"{grant}__status": Grant.Status.DISCONNECTED}, then=Value("disconnected")),
        When(**{f"{grant}__authorized_at__gt": F("added_at")}, then=Value(Cause.RENEWED.value)),
    )


def links_over(organization_id: UUID) -> tuple[When, ...]:
    """No link of the row is open any more, so the newest one says how it ended. A link that was
    asked again is the newest."""
    links = ClientLink.objects.for_organization(organization_id).filter(
        connection=OuterRef("connection")
    )
    still_open = links.filter(status__in=ClientLink.LIVE, expires_at__gt=timezone.now())
    newest = Subquery(links.order_by("-created_at").values("status")[:1])
    expired = [ClientLink.Status.EXPIRED.value, *ClientLink.LIVE]
    return (
        When(~Q(status=Status.LINKED) | Exists(still_open), then=Value("")),
        When(Exact(newest, Value("consented")), then=Value(Cause.RENEWED.value)),
        When(Exact(newest, Value("declined")), then=Value(Cause.LINK_DECLINED.value)),
        When(In(newest, expired), then=Value(Cause.LINK_EXPIRED.value)),
        When(status=Status.LINKED, then=Value(Cause.LINK_ENDED.value)),
    )


@dataclass(frozen=True)
class Walk:
    """A queue at one moment. Items carry `passed`, the cause of `passed_over`."""

    queue: ReconnectQueue
    items: Sequence[Any]

    @property
    def total(self) -> int:
        return len(self.items)

    @property
    def done(self) -> int:
        return self.total - len(self.pending) - self.out

    @property
    def skipped(self) -> int:
        return sum(item.status == Status.SKIPPED for item in self.items)

    @property
    def out(self) -> int:
        return sum(is_out(item) for item in self.items)

    @property
    def pending(self) -> list[Any]:
        return [item for item in self.items if is_pending(item)]

    @property
    def present(self) -> Any | None:
        """The store whose turn it is."""
        pending = self.pending
        return pending[0] if pending and self.queue.status == ReconnectQueue.Status.OPEN else None

    @property
    def previous(self) -> Any | None:
        """The other store for which the person last left for Amazon."""
        left = [item for item in self.items if item.left_at and item is not self.present]
        return max(left, key=lambda item: item.left_at, default=None)


def is_pending(item: Any) -> bool:
    """Also one that was sent as a link which brought nothing: its turn comes again."""
    if item.status == Status.LINKED:
        return item.passed in ReconnectItem.LINK_OVER
    return item.status in ReconnectItem.PENDING and not item.passed


def is_out(item: Any) -> bool:
    """With a client, who has an open link for it."""
    return item.status == Status.LINKED and not item.passed


def is_over(item: Any) -> bool:
    """Had its turn, or needs none any more; what was skipped may come again."""
    return not (item.status == Status.SKIPPED or is_pending(item) or is_out(item))


def walk_of(queue: ReconnectQueue, membership: Membership) -> Walk:
    return Walk(queue, list(items_of(queue, membership)))


def items_of(queue: ReconnectQueue, membership: Membership) -> QuerySet[Any]:
    """In order, without rows that the person sees no more. Removed ones are told of."""
    told = all_of(queue).filter(in_sight(membership))
    told = told.annotate(passed=passed_over(queue.organization_id))
    related = ("connection__spapi_grant__authorized_by", "reconnected_by")
    found: QuerySet[Any] = told.select_related(*related).order_by("position", "pk")
    return found


def in_sight(membership: Membership) -> Q:
    return Q(connection__in=rows_in_sight(membership)) | Q(connection__removed_at__isnull=False)


def all_of(queue: ReconnectQueue) -> QuerySet[Any]:
    items: QuerySet[Any] = ReconnectItem.objects.for_organization(queue.organization_id)
    return items.filter(queue=queue)


def queues_of(organization: Organization, user: User) -> QuerySet[ReconnectQueue]:
    """The person's own, the newest first. Nobody else's can be reached."""
    queues: QuerySet[ReconnectQueue] = ReconnectQueue.objects.for_organization(organization)
    return queues.filter(user=user).order_by("-created_at")


def open_queue(organization: Organization, user: User) -> ReconnectQueue | None:
    return queues_of(organization, user).filter(status=ReconnectQueue.Status.OPEN).first()


def readable_queues(organization: Organization, user: User) -> QuerySet[ReconnectQueue]:
    since = timezone.now() - ReconnectQueue.KEPT
    return queues_of(organization, user).filter(Q(finished_at=None) | Q(finished_at__gte=since))


def queued_statuses(queue: ReconnectQueue | None) -> dict[UUID, str]:
    """OVER for those whose turn will not come any more."""
    if queue is None:
        return {}
    told = all_of(queue).annotate(passed=passed_over(queue.organization_id))
    return {item.connection_id: OVER if is_over(item) else item.status for item in told}


def last_trip(item: ReconnectItem) -> AuthorizationRequest | None:
    trips = AuthorizationRequest.objects.for_organization(item.organization_id)
    trip: AuthorizationRequest | None = (
        trips.filter(reconnect_item=item).order_by("-created_at").first()
    )
    return trip


# Filling -----------------------------------------------------------------------------------


def fill(
    *, organization: Organization, user: User, chosen: Sequence[Candidate], actor: Actor
) -> tuple[ReconnectQueue, int]:
    """Add what has no obstacle at the end of the person's open queue, or of a new one; what was
    skipped comes again. Returns the queue, and how many were added."""
    ids = [candidate.id for candidate in chosen if not candidate.obstacle]
    with transaction.atomic():
        revisions.touch(organization.pk, [])  # the lock: one open queue each
        queue = open_queue(organization, user)
        if queue is None:
            queue = ReconnectQueue.objects.for_organization(organization).create(user=user)
        known = queued_statuses(queue)
        fresh = [row_id for row_id in ids if row_id not in known]
        _append(queue, fresh[: ReconnectQueue.MOST_ITEMS - len(known)])
        again = [item for item in _items(queue, ids) if item.status == Status.SKIPPED]
        for item in again:
            _take_up(item, actor)
        added = len(queued_statuses(queue)) - len(known) + len(again)
        if added:
            record_event("reconnect_queue_filled", actor=actor, subject=queue, added=added)
    return queue, added


def _append(queue: ReconnectQueue, row_ids: Sequence[UUID]) -> None:
    first = next_position(queue)
    ReconnectItem.objects.for_organization(queue.organization_id).bulk_create(
        ReconnectItem(
            organization_id=queue.organization_id,
            queue=queue,
            connection_id=row_id,
            position=first + offset,
        )
        for offset, row_id in enumerate(row_ids)
    )


def _items(queue: ReconnectQueue, row_ids: Sequence[UUID]) -> list[ReconnectItem]:
    return list(all_of(queue).filter(connection_id__in=row_ids).order_by("position", "pk"))


def next_position(queue: ReconnectQueue) -> int:
    last: int | None = all_of(queue).aggregate(last=Max("position"))["last"]
    return 1 if last is None else last + 1


# Steps -------------------------------------------------------------------------------------


@contextmanager
def step(queue: ReconnectQueue, actor: Actor) -> Iterator[None]:
    """One step of the person, in one transaction: passes over what needs no consent any more, and
    finishes a queue in which nothing is left. Raises QueueOver."""
    with transaction.atomic():
        revisions.touch(queue.organization_id, [])
        queue.refresh_from_db()
        if queue.status != ReconnectQueue.Status.OPEN:
            raise QueueOver(str(queue.pk))
        yield
        _settle(queue, actor)


def set_out(*, item: ReconnectItem, actor: Actor) -> None:
    """The person leaves for Amazon, in the caller's `step`. Raises QueueOver for a row that needs
    no consent any more."""
    seen = _fresh(item)
    if not is_pending(seen):
        raise QueueOver(str(item.pk))
    advance(seen, to=Status.AT_AMAZON, actor=actor, left_at=timezone.now(), cause="")


def skip(*, item: ReconnectItem, actor: Actor) -> bool:
    """False: it is not to be walked any more."""
    with step(item.queue, actor):
        seen = _fresh(item)
        if not is_pending(seen):
            return False
        advance(seen, to=Status.SKIPPED, actor=actor, cause="")
    return True


def put_last(*, item: ReconnectItem, actor: Actor) -> bool:
    with step(item.queue, actor):
        seen = _fresh(item)
        if not is_pending(seen):
            return False
        _move(seen, next_position(seen.queue))
    return True


def take_up(*, item: ReconnectItem, actor: Actor) -> bool:
    """A skipped one stands last again, and so does one that a client was to reconnect. False: it
    was neither."""
    with step(item.queue, actor):
        seen = _fresh(item)
        if seen.status != Status.SKIPPED and not is_out(seen):
            return False
        _take_up(seen, actor)
    return True


def finish(*, queue: ReconnectQueue, actor: Actor) -> None:
    """What was not walked counts as skipped; what failed stays so."""
    with step(queue, actor):
        left = all_of(queue).filter(status__in=[Status.WAITING, Status.AT_AMAZON])
        passed = passed_over(queue.organization_id)
        for item in left.annotate(passed=passed).filter(passed=""):
            advance(item, to=Status.SKIPPED, actor=actor, reason=NOT_WALKED)
        _settle(queue, actor)
        if queue.status == ReconnectQueue.Status.OPEN:
            _close(queue, actor)


def _take_up(item: ReconnectItem, actor: Actor) -> None:
    """Only a consent from now on counts as given elsewhere."""
    position = next_position(item.queue)
    advance(item, to=Status.WAITING, actor=actor, added_at=timezone.now(), position=position)


def _move(item: ReconnectItem, position: int) -> None:
    items = ReconnectItem.objects.for_organization(item.organization_id)
    items.filter(pk=item.pk).update(position=position)


def _fresh(item: ReconnectItem) -> Any:
    items: QuerySet[Any] = ReconnectItem.objects.for_organization(item.organization_id)
    with_cause = items.annotate(passed=passed_over(item.organization_id))
    seen = with_cause.filter(pk=item.pk).select_related("queue").first()
    if seen is None:
        raise QueueOver(str(item.pk))
    return seen


def _settle(queue: ReconnectQueue, actor: Actor) -> None:
    """In the caller's transaction, under the organization's lock."""
    if queue.status != ReconnectQueue.Status.OPEN:
        return
    items = all_of(queue).filter(status__in=[*ReconnectItem.PENDING, Status.LINKED])
    open_ones = items.annotate(passed=passed_over(queue.organization_id)).exclude(passed="")
    for item in open_ones.select_related("connection__spapi_grant"):
        to, columns = _where_it_ended(item)
        advance(item, to=to, actor=actor, **columns)
    if not items.exists():
        _close(queue, actor)


def _where_it_ended(item: Any) -> tuple[Status, dict[str, Any]]:
    if item.passed in ReconnectItem.LINK_OVER:
        return Status.FAILED, {"cause": item.passed}
    is_renewed = item.passed == Cause.RENEWED
    by = item.connection.spapi_grant.authorized_by_id if is_renewed else None
    if is_renewed and item.status == Status.LINKED:
        return Status.RECONNECTED, {"cause": "", "reconnected_by_id": by}
    return Status.NOT_NEEDED, {"cause": item.passed, "reconnected_by_id": by}


def _close(queue: ReconnectQueue, actor: Actor) -> None:
    advance(queue, to=ReconnectQueue.Status.FINISHED, actor=actor, finished_at=timezone.now())


# Coming back from Amazon -------------------------------------------------------------------


def trip_ended(trip: AuthorizationRequest, outcome: str, *, is_success: bool) -> None:
    """Tell the trip's item how it ended; a trip outside of a queue has none. A consent counts
    whatever was decided meanwhile, and a failure says nothing any more about an item that is done.

    In the transaction that stores a consent, or in one of its own.
    """
    if trip.reconnect_item_id is None:
        return
    with transaction.atomic():
        revisions.touch(trip.organization_id, [])
        items = ReconnectItem.objects.for_organization(trip.organization_id)
        item = items.select_related("queue").filter(pk=trip.reconnect_item_id).first()
        to = Status.RECONNECTED if is_success else Status.FAILED
        if item is None or to not in ReconnectItem.TRANSITIONS.get(item.status, set()):
            return
        # A queue is one person's, and so is each of its trips.
        actor = Actor.person(cast(User, trip.user))
        by = trip.user_id if is_success else None
        columns: dict[str, Any] = {"cause": "" if is_success else outcome, "reconnected_by_id": by}
        advance(item, to=to, actor=actor, **columns)
        _settle(item.queue, actor)
