"""Answers to what a person does with a row, and to the poll: fresh rows, and what is said."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from connections import list_address, screen
from connections.models import Connection
from sellerlegend.organizations.access import OrganizationRequest

PAGE = "connections/account_connections.html"
# Of a message that the fresh row shows by itself: under htmx it is only spoken.
SPOKEN = "spoken"


def say(request: OrganizationRequest, words: str, level: int = messages.SUCCESS) -> None:
    """What became of an action on a row."""
    messages.add_message(request, level, words, extra_tags=SPOKEN)


def back_to_list(request: OrganizationRequest, connection: Connection | None = None) -> str:
    url = list_address.list_seen(request)
    return f"{url}#connection-{connection.pk}" if connection else url


def answer_changed(request: OrganizationRequest, connection: Connection) -> HttpResponse:
    """After a POST: under htmx the fresh row, what is told and a closed dialog, else back to the
    list."""
    if not request.htmx:
        return HttpResponseRedirect(back_to_list(request, connection), status=303)
    told = list(messages.get_messages(request))
    shown = [message for message in told if message.extra_tags != SPOKEN]
    context = screen.rows_context(request, [connection.pk]) | {"told": shown}
    events: dict[str, Any] = {"close-dialog": True}
    if told:
        events["announce"] = {"message": " ".join(str(message) for message in told)}
    return render_changes(request, "changed-rows", context, events)


def render_changes(
    request: OrganizationRequest, part: str, context: dict[str, Any], events: dict[str, Any]
) -> HttpResponse:
    """Rows as out-of-band swaps; the events tell the page from where to ask next, how soon, and
    how many rows need a person. The page itself knows what it showed, and says what changed."""
    response = render(request, f"{PAGE}#{part}", context)
    state = {"moving": context["is_moving"]}
    if "revision" in context:
        state |= {"revision": context["revision"], "attention": context["attention"].words}
    events["poll-state"] = state
    response.headers["HX-Trigger"] = json.dumps(events)
    return response
