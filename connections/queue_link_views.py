"""*Send the rest as links*: the clients of a queue's rows are asked instead of walking them."""

from __future__ import annotations

from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from connections import queue_links, queue_walk
from connections.client_link_batch_pages import Page, answer
from connections.queue_models import ReconnectQueue
from connections.queue_rows import uuid_of
from connections.queue_views import queue_url
from connections.views import form_page
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import sending_wants_proof


def queue_of(request: OrganizationRequest) -> ReconnectQueue | None:
    """The person's own that is asked for, or 404; else the open one."""
    asked = request.GET.get("queue", "")
    if not asked:
        return queue_walk.open_queue(request.organization, request.user)
    readable = queue_walk.readable_queues(request.organization, request.user)
    queue: ReconnectQueue = get_object_or_404(readable, pk=uuid_of(asked))
    return queue


@form_page
@organization_view(Role.MEMBER)
@sending_wants_proof
@costly
def reconnect_queue_send(request: OrganizationRequest) -> HttpResponseBase:
    """Of the person's own queue `?queue=`, open or still readable: first whom it would ask, then
    the result for each row."""
    queue = queue_of(request)
    find = queue_links.sent_or_sendable if request.method == "POST" else queue_links.sendable
    items = find(queue, request.membership) if queue is not None else []
    page = Page(
        title=_("Send the rest as links"),
        intro=_(
            "Each client whose address is known gets one mail with a link for each row; the other "
            "links you copy. The queue waits for them, and says how each of them ended."
        ),
        back_url=f"{queue_url(request)}?queue={queue.pk}"
        if queue is not None
        else queue_url(request),
        back_label=_("Reconnect queue"),
    )
    prospects = queue_links.prospects_of_items(request.organization.pk, items)
    mark = queue_links.marker(items, request.membership, request.actor())
    return answer(request, page, prospects, mark)
