"""The reconnect queue: choosing rows for it, and walking them one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from connections import departures, queue_links, queue_walk, queue_words, screen
from connections.bulk_actions import MOST_SELECTED
from connections.list_address import list_seen
from connections.listing import Chosen
from connections.models import Connection
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.queue_rows import (
    Candidate,
    Pick,
    candidates,
    picked,
    picks_of,
    seller_by_seller,
    uuid_of,
)
from connections.selection import asked_by_form, selection_of, ticked_ids
from connections.views import cannot_leave, connection_of, form_page
from sellerlegend.organizations.access import (
    OrganizationRequest,
    ask_first,
    organization_view,
    render_part,
)
from sellerlegend.organizations.limits import costly, opens_trip
from sellerlegend.organizations.models import Role


def queue_url(request: OrganizationRequest) -> str:
    return reverse("reconnect_queue", args=[request.organization.slug])


def back(request: OrganizationRequest, queue: ReconnectQueue | None = None) -> HttpResponse:
    """To the store whose turn it is; to the summary when the last step finished the queue."""
    url = queue_url(request)
    if queue is not None:
        queue.refresh_from_db()
        if queue.status == ReconnectQueue.Status.FINISHED:
            url = f"{url}?queue={queue.pk}"
    return HttpResponseRedirect(url, status=303)


# The walk ----------------------------------------------------------------------------------


@require_GET
@organization_view(Role.MEMBER)
def reconnect_queue(request: OrganizationRequest) -> HttpResponse:
    """The open queue, or how a finished one ended (`?queue=`), or what one could be made of."""
    asked = request.GET.get("queue", "")
    readable = queue_walk.readable_queues(request.organization, request.user)
    if asked:
        queue: ReconnectQueue | None = get_object_or_404(readable, pk=uuid_of(asked))
    else:
        queue = queue_walk.open_queue(request.organization, request.user)
    if queue is None:
        return render(request, "connections/queue_start.html", start_context(request))
    walk = queue_walk.walk_of(queue, request.membership)
    lines, turn = queue_words.lines_of(walk), queue_words.turn_of(walk)
    context = {
        "queue": queue,
        "lines": lines,
        "turn": turn,
        "is_open": queue.status == ReconnectQueue.Status.OPEN,
        "progress": queue_words.progress_of(walk, lines),
        "sendable": bool(queue_links.sendable(queue, request.membership)),
        "tallies": queue_words.tallies_of(lines),
        "kept_until": queue_words.kept_until(queue),
    }
    template = "queue" if turn is not None else "queue_summary"
    return render(request, f"connections/{template}.html", context)


def start_context(request: OrganizationRequest) -> dict[str, Any]:
    """The ready-made choices with how many rows each has, and the queues that are over."""
    over = queue_walk.readable_queues(request.organization, request.user)
    return {
        "picks": picks_of(request.membership),
        "finished": list(over.filter(status=ReconnectQueue.Status.FINISHED)),
    }


@require_POST
@organization_view(Role.MEMBER)
@opens_trip
def reconnect_queue_open(request: OrganizationRequest) -> HttpResponseBase:
    """Leave for Seller Central: the ordinary trip, and the queue hears how it ended. Asks Amazon
    nothing by itself, so it is counted as a trip and not as costly."""
    item = item_of(request)
    if item is None:
        return back(request)
    try:
        return HttpResponseRedirect(way_out(request, item))
    except (departures.CredentialsMissing, departures.VaultClosed) as error:
        return cannot_leave(request, error)
    except queue_walk.QueueOver:
        return passed_over(request, item.queue)


def way_out(request: OrganizationRequest, item: ReconnectItem) -> str:
    """Raises QueueOver for a row that needs nothing any more, CredentialsMissing, VaultClosed; then
    nothing was changed."""
    if not is_there(request, item):
        raise queue_walk.QueueOver(str(item.pk))
    connection = connection_of(request, item.connection_id)
    departures.require_open_vault(request.organization)  # staff are told outside of the step
    with queue_walk.step(item.queue, request.actor()):
        queue_walk.set_out(item=item, actor=request.actor())
        return departures.start_spapi_authorization(
            connection=connection,
            user=request.user,
            session=request.session,
            reconnect_item=item,
        )


def passed_over(request: OrganizationRequest, queue: ReconnectQueue) -> HttpResponse:
    messages.info(request, _("That store needs nothing any more. The queue went on."))
    return back(request, queue)


def item_of(request: OrganizationRequest) -> ReconnectItem | None:
    """The item that the form names: of the person's own queue, with a row that the person still
    sees, or 404. None without one."""
    key = uuid_of(request.POST.get("item", ""))
    if key is None:
        return None
    items = ReconnectItem.objects.for_organization(request.organization)
    own = items.filter(queue_walk.in_sight(request.membership), queue__user=request.user)
    item: ReconnectItem = get_object_or_404(own.select_related("queue"), pk=key)
    return item


def is_there(request: OrganizationRequest, item: ReconnectItem) -> bool:
    """Not removed."""
    rows = Connection.objects.for_organization(request.organization)
    return rows.filter(pk=item.connection_id).exists()


def taken(request: OrganizationRequest, step: Callable[..., bool], done: str) -> HttpResponse:
    """One step with the item that the form names. Of two tabs the second is told."""
    item = item_of(request)
    if item is None:
        return back(request)
    try:
        is_done = step(item=item, actor=request.actor())
    except queue_walk.QueueOver:
        is_done = False
    if is_done:
        messages.success(request, done % {"name": item.connection.name})
    else:
        messages.info(request, _("That was done already, perhaps in another tab."))
    return back(request, item.queue)


@require_POST
@organization_view(Role.MEMBER)
def reconnect_queue_skip(request: OrganizationRequest) -> HttpResponse:
    words = _("%(name)s was skipped. You can take it up again from the list of stores.")
    return taken(request, queue_walk.skip, words)


@require_POST
@organization_view(Role.MEMBER)
def reconnect_queue_put_last(request: OrganizationRequest) -> HttpResponse:
    return taken(request, queue_walk.put_last, _("%(name)s comes last now."))


@require_POST
@organization_view(Role.MEMBER)
def reconnect_queue_take_up(request: OrganizationRequest) -> HttpResponse:
    return taken(request, queue_walk.take_up, _("%(name)s is in the queue again, at its end."))


@form_page
@organization_view(Role.MEMBER)
def reconnect_queue_finish(request: OrganizationRequest) -> HttpResponse:
    """What was not walked counts as skipped. GET asks, POST does."""
    queue = queue_walk.open_queue(request.organization, request.user)
    if request.method != "POST":
        return ask_first(
            request,
            title=_("End this queue?"),
            intro=left_words(request, queue),
            deed=_("End this queue, skip the rest"),
            back_url=queue_url(request),
        )
    if queue is None:
        return back(request)
    try:
        queue_walk.finish(queue=queue, actor=request.actor())
    except queue_walk.QueueOver:
        messages.info(request, _("That was done already, perhaps in another tab."))
    else:
        messages.success(request, _("The queue is over. What was left of it counts as skipped."))
    return back(request, queue)


def left_words(request: OrganizationRequest, queue: ReconnectQueue | None) -> str:
    if queue is None:
        return _("That was done already, perhaps in another tab.")
    walk = queue_walk.walk_of(queue, request.membership)
    progress = queue_words.progress_of(walk, queue_words.lines_of(walk))
    left = progress.total - progress.done
    words = ngettext(
        "%(count)d store was not walked yet and will count as skipped. To go on another day, stop "
        "for today instead: then everything is kept.",
        "%(count)d stores were not walked yet and will count as skipped. To go on another day, "
        "stop for today instead: then everything is kept.",
        left,
    )
    return words % {"count": left}


# Filling it --------------------------------------------------------------------------------


@form_page
@organization_view(Role.MEMBER)
@asked_by_form
@costly
def reconnect_queue_add(request: OrganizationRequest) -> HttpResponseBase:
    """Of a selection of the list, or of a ready-made choice: first what will be in and what not,
    then the queue."""
    queue = queue_walk.open_queue(request.organization, request.user)
    ids, asked, title = wanted(request)
    found = candidates(request.membership, ids, queue_walk.queued_statuses(queue))
    able = [one for one in found if not one.obstacle]
    if request.method == "POST" and able:
        return filled(request, able)
    context = {
        "title": title,
        "able": able,
        "unable": [one for one in found if one.obstacle],
        "absent": max(0, asked - len(found)),
        "has_queue": queue is not None,
        "list_url": list_seen(request),
    }
    status = 422 if request.method == "POST" else 200
    return render_part(request, "connections/queue_add.html", "dialog", context, status=status)


def filled(request: OrganizationRequest, able: list[Candidate]) -> HttpResponse:
    queue, added = queue_walk.fill(
        organization=request.organization,
        user=request.user,
        chosen=able,
        actor=request.actor(),
    )
    words = ngettext(
        "%(count)d store was added to your queue.",
        "%(count)d stores were added to your queue.",
        added,
    )
    messages.success(request, words % {"count": added}, extra_tags="selection-done")
    return back(request, queue)


def wanted(request: OrganizationRequest) -> tuple[list[UUID], int, str]:
    """Ids in the order of the list that they were ticked in, and the deed in that of its question;
    a ready-made choice has what ends first in front. Then how many were asked for, and the name of
    the choice."""
    pick = Pick.of(request.GET)
    is_selection = request.method == "POST" or "row" in request.GET or "all" in request.GET
    if is_selection or not pick.kind:
        selection = selection_of(request)
        ids = list(selection.ids)
        return as_asked(request, ids), selection.asked, ""
    sellers = dict(picked(request.membership, pick).values_list("pk", "selling_partner_id"))
    soonest_first = Chosen(sort="renew_by")
    ids, _total = screen.matching_ids(
        request, soonest_first, only=list(sellers), limit=MOST_SELECTED
    )
    return seller_by_seller(ids, sellers), len(sellers), pick.words


def as_asked(request: OrganizationRequest, ids: list[UUID]) -> list[UUID]:
    """The question's form names the rows as it showed them."""
    if request.method != "POST":
        return ids
    places = {row_id: place for place, row_id in enumerate(ticked_ids(request.POST))}
    return sorted(ids, key=lambda row_id: places.get(row_id, len(places)))
