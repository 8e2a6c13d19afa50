"""Rows of a reconnect queue that clients are asked to reconnect, by link, instead of the person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Value
from django.utils import timezone
from django.utils.translation import gettext as _

from connections.client_link_batches import Prospect, prospects_of
from connections.models import Connection
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.queue_walk import NOT_WALKED, changed_since, is_out, is_pending, items_of
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Membership
from sellerlegend.transitions import advance

Status = ReconnectItem.Status


def sendable(queue: ReconnectQueue, membership: Membership) -> list[Any]:
    """What is left, was skipped or failed, and needs a consent still; of the rows in sight."""
    return [item for item in _with_changes(queue, membership) if may_be_sent(item)]


def sent_or_sendable(queue: ReconnectQueue, membership: Membership) -> list[Any]:
    """For a form that comes twice: also what is out already, to be told so."""
    items = _with_changes(queue, membership)
    return [item for item in items if may_be_sent(item) or is_out(item)]


def _with_changes(queue: ReconnectQueue, membership: Membership) -> Sequence[Any]:
    items = items_of(queue, membership).select_related(
        "connection__client", "connection__spapi_grant__authorized_by", "queue"
    )
    return list(items.annotate(changed=changed()))


def changed() -> Case:
    """Of any item, skipped ones too: what happened to its row since it came into the queue."""
    return Case(*changed_since(), default=Value(""), output_field=CharField(max_length=12))


def prospects_of_items(organization_id: UUID, items: Sequence[Any]) -> list[Prospect]:
    """Whom a person skipped on purpose is asked only when somebody ticks it."""
    skipped = skipped_on_purpose(organization_id, items)
    found = prospects_of(organization_id, [item.connection for item in items])
    note = _("You skipped it in the queue.")
    return [replace(one, is_ticked=False, note=note) if one.id in skipped else one for one in found]


def skipped_on_purpose(organization_id: UUID, items: Sequence[Any]) -> set[UUID]:
    """Their rows. At the end of a queue also what was not walked counts as skipped."""
    skipped = {item.pk: item.connection_id for item in items if item.status == Status.SKIPPED}
    events = AuditEvent.objects.for_organization(organization_id).filter(
        code="reconnect_item_skipped", subject_id__in=skipped, details__reason=NOT_WALKED
    )
    not_walked = set(events.values_list("subject_id", flat=True))
    return {row_id for key, row_id in skipped.items() if key not in not_walked}


def may_be_sent(item: Any) -> bool:
    """Items carry `passed` and `changed`."""
    if item.changed:
        return False
    return item.status == Status.SKIPPED or is_pending(item)


def marker(
    items: Sequence[Any], membership: Membership, actor: Actor
) -> Callable[[Connection], bool]:
    """For `client_link_batches.ask`: notes in the transaction that makes a row's link that the item
    is out, also in a queue that is finished. False: the row left the queue or needs nothing."""
    by_row = {item.connection_id: item for item in items}

    def mark(row: Connection) -> bool:
        item = by_row[row.pk]
        fresh = next(
            iter(
                items_of(item.queue, membership)
                .filter(pk=item.pk)
                .annotate(changed=changed())
                .select_related("queue", "connection")
            ),
            None,
        )
        if fresh is None or not (may_be_sent(fresh) or is_out(fresh)):
            return False
        if not is_out(fresh):
            advance(fresh, to=Status.LINKED, actor=actor, cause="", linked_at=timezone.now())
        return True

    return mark
