"""*Invite these clients to connect*: a link for each row that a confirmed list brought or named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from connections import client_lists
from connections.client_link_batch_pages import Page, answer
from connections.client_link_batches import Prospect, prospects_of
from connections.client_list_views import url_of
from connections.health import NEEDS_A_PERSON, Health, health_of, moments
from connections.import_models import ClientList
from connections.models import Connection
from connections.views import form_page
from sellerlegend.applications.models import LwaApplication
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import sending_wants_proof


@form_page
@organization_view(Role.ADMIN)
@sending_wants_proof
@costly
def client_list_invite(request: OrganizationRequest, list_id: UUID) -> HttpResponseBase:
    """New rows get a link to connect, those that were there one to reconnect. Nobody is asked
    about a list that was not carried out."""
    lists = ClientList.objects.for_organization(request.organization)
    found: ClientList = get_object_or_404(lists, pk=list_id)
    page = Page(
        title=_("Invite these clients to connect"),
        intro=_(
            "Each client whose address is known gets one mail with a link for each store; the "
            "other links you copy. They give the consents at Amazon without a login here."
        ),
        back_url=url_of(request, found),
        back_label=_("List of clients"),
    )
    return answer(request, page, prospects_in(found))


def prospects_in(found: ClientList) -> list[Prospect]:
    """In the order of the file. Rows that work are there to be ticked, and are not at first."""
    done = [line for line in client_lists.lines_of(found) if line.outcome and line.connection]
    place = {UUID(line.connection): number for number, line in enumerate(done)}
    state = health_of(LwaApplication.SPAPI, moments(), prefix="spapi_grant__", region="region")
    rows = Connection.objects.for_organization(found.organization_id).filter(pk__in=place)
    told: list[Any] = list(rows.select_related("client", "spapi_grant").annotate(state=state))
    told.sort(key=lambda row: place[row.pk])
    notes = {row.pk: note_of(row.state) for row in told if not row.waits_for_consent}
    return [
        replace(one, note=notes.get(one.id, ""), is_ticked=not notes.get(one.id))
        for one in prospects_of(found.organization_id, told)
    ]


def note_of(state: str) -> str:
    """Why its client may not want to be asked."""
    if state == Health.DISCONNECTED:
        return _("Somebody disconnected it.")
    return "" if state in NEEDS_A_PERSON else _("Its consent works.")
