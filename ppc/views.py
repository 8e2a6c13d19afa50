"""*Continue* in the PPC column: choosing marketplaces, and the trip to Amazon Ads."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from connections import bulk, departures
from connections.answers import SPOKEN, answer_changed, back_to_list
from connections.dialogs import leave_for
from connections.list_address import list_seen
from connections.models import Connection
from connections.reader import Reader
from connections.screen import row_of
from connections.selection import asked_by_form, selection_of
from connections.views import (
    cannot_leave,
    connection_of,
    form_page,
)
from connections.words import Facts, exact_time
from marketplaces.views import say_started, uuids_from
from ppc import asking, check_results, checking, disconnecting, screen, services
from ppc.disconnecting import Side
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.limits import costly, opens_trip
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import recently_authenticated

# A result with more rows is read less often while it changes.
FEW = 100


@form_page
@organization_view(Role.MEMBER)
@costly
@opens_trip
def ppc_connect(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """A consent we hold links at once; otherwise the browser goes to Amazon Ads and back.

    The form is a plain post, never htmx: it may end at Amazon.
    """
    connection = connection_of(request, connection_id)
    error = ""
    if request.method == "POST":
        chosen = services.of_the_row(connection, uuids_from(request.POST.getlist("account")))
        is_renewal = "renew" in request.POST and services.can_renew(connection)
        if chosen or is_renewal:
            is_new_consent = is_renewal or "new_consent" in request.POST
            return link_or_leave(request, connection, chosen, is_new_consent=is_new_consent)
        error = _("Tick at least one marketplace.")
    context = connect_context(request, connection) | {"error": error}
    status = 422 if error else 200
    return render_part(request, "ppc/connect.html", "dialog", context, status=status)


def connect_context(request: OrganizationRequest, connection: Connection) -> dict[str, Any]:
    """A consent that has to be renewed comes first, and nothing else is ticked beside it."""
    can_renew = services.can_renew(connection)
    health = row_of(request, connection).ppc_health if can_renew else None
    renewal = screen.renewal_of(health)
    choices = screen.link_choices(connection, are_ticked=renewal is None)
    return {
        "connection": connection,
        "choices": choices,
        "can_start": any(not choice.obstacle for choice in choices),
        "can_renew": can_renew,
        "renewal": renewal,
        "consents": screen.consents(connection, request.membership),
    }


def link_or_leave(
    request: OrganizationRequest,
    connection: Connection,
    account_ids: list[UUID],
    *,
    is_new_consent: bool,
) -> HttpResponseBase:
    if not is_new_consent and services.is_covered(connection, account_ids):
        started = services.begin_linking(
            connection=connection, account_ids=account_ids, actor=request.actor()
        )
        say_started(request, len(started))
        return answer_changed(request, connection)
    try:
        url = departures.start_ads_authorization(
            connection=connection,
            user=request.user,
            session=request.session,
            account_ids=account_ids,
        )
    except (departures.CredentialsMissing, departures.VaultClosed) as error:
        return cannot_leave(request, error)
    return HttpResponseRedirect(url)


@require_POST
@organization_view(Role.MEMBER)
@costly
def ppc_retry(request: OrganizationRequest, connection_id: UUID, account_id: UUID) -> HttpResponse:
    """Repeat only what failed."""
    connection = connection_of(request, connection_id)
    started = services.begin_linking(
        connection=connection, account_ids=[account_id], actor=request.actor()
    )
    say_started(request, len(started))
    return answer_changed(request, connection)


@form_page
@organization_view(Role.ADMIN)
@recently_authenticated
def connection_disconnect(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    """What would end, for which rows; then it ends."""
    connection = connection_of(request, connection_id)
    affected = disconnecting.affected(connection)
    sides = disconnecting.sides_from(request.POST.getlist("side"))
    is_over = not (affected.has_spapi or affected.has_ppc)
    if connection.waits_for_consent or (is_over and not sides):
        raise Http404("nothing to disconnect")
    if request.method == "POST" and sides:
        ended = disconnecting.disconnect(connection=connection, sides=sides, actor=request.actor())
        tell = messages.success if ended else messages.info
        tell(request, disconnected_words(connection.name, ended))
        return HttpResponseRedirect(back_to_list(request, connection), status=303)
    error = _("Tick at least one side.") if request.method == "POST" else ""
    context = {"connection": connection, "affected": affected, "error": error}
    status = 422 if error else 200
    return render_part(request, "ppc/disconnect.html", "dialog", context, status=status)


def disconnected_words(name: str, ended: frozenset[Side]) -> str:
    """Only the steps of what was ended: the other consent is to live on. Somebody may have been
    faster."""
    if not ended:
        return _("Nothing was ended: %(name)s had no such consent any more.") % {"name": name}
    if ended == {Side.PPC}:
        deed = _("Amazon Ads of %(name)s was disconnected and its token destroyed.")
    else:
        deed = _("%(name)s was disconnected and its token destroyed.")
    words = [deed % {"name": name}]
    if Side.SPAPI in ended:
        words.append(
            _(
                "To finish, disable our app in Seller Central → Apps and Services → Manage Your "
                "Apps."
            )
        )
    if Side.PPC in ended:
        words.append(
            _(
                "To finish for Amazon Ads, whoever approved it removes our app at Amazon, under "
                "Login with Amazon."
            )
        )
    return " ".join([*words, _("The proof is linked in its timeline.")])


@require_POST
@organization_view(Role.MEMBER)
@costly
def connection_check(request: OrganizationRequest, connection_id: UUID) -> HttpResponse:
    """*Check now*: ask Amazon about each side of the row that has a consent with a token."""
    connection = connection_of(request, connection_id)
    if connection.waits_for_consent:
        raise Http404("nothing to check before a consent")
    jobs = checking.begin_check(connection=connection, actor=request.actor())
    words = checked_words(checking.sides_of(jobs)) % {"name": connection.name}
    # The row says by itself what is asked, but not why nothing is.
    messages.info(request, words, extra_tags=SPOKEN if jobs else "")
    return answer_changed(request, connection)


def checked_words(sides: asking.Sides) -> str:
    """What Amazon is asked about, or why it is not."""
    if not sides:
        return _("%(name)s has no consent to check. Reconnect it first.")
    if Side.SPAPI not in sides:
        return _(
            "The Amazon Ads consent of %(name)s is being checked. Selling Partner has none to "
            "check: Reconnect brings it back."
        )
    if Side.PPC not in sides:
        return _("The Selling Partner consent of %(name)s is being checked.")
    return _("Selling Partner and Amazon Ads of %(name)s are being checked.")


@form_page
@organization_view(Role.MEMBER)
@asked_by_form
@costly
def connections_check(request: OrganizationRequest) -> HttpResponseBase:
    """The same for a selection."""
    selection = selection_of(request)
    if request.method != "POST" or not selection.count:
        plans = checking.plans(request.organization.pk, selection.ids)
        lines = bulk.lines(request, selection.ids, lambda fact: planned_words(fact, plans))
        return bulk.ask(
            request,
            "connections/check.html",
            selection=selection,
            lines=lines,
            also_shown=checking.also_shown(request.membership, selection.ids),
        )
    begun = checking.begin_checks(
        organization=request.organization, rows=selection.ids, actor=request.actor()
    )
    if begun.rows:
        url = reverse("connections_check_result", args=[request.organization.slug, begun.id])
        return leave_for(request, url)

    obstacles = asking.obstacles(request.organization.pk, selection.ids)

    def words_of(fact: Facts) -> tuple[str, bool]:
        obstacle = obstacles.get(fact["id"])
        return asking.obstacle_words(obstacle) if obstacle else _("Was being checked already"), True

    lines = bulk.lines(request, selection.ids, words_of)
    title = done_words = _("Nothing new to check")
    return bulk.tell(request, title=title, lines=lines, done_words=f"{done_words}.")


@require_GET
@organization_view(Role.MEMBER)
def connections_check_result(request: OrganizationRequest, batch: UUID) -> HttpResponse:
    """What came of it, for each row, while it is going on and after."""
    result = check_results.result_of(batch, Reader.of(request), request.membership)
    if result is None:
        raise Http404("no such check for this person")
    context = {
        "result": result,
        "intro": _("Asked on %(time)s.") % {"time": exact_time(result.asked_at)},
        "seconds": 3 if result.total <= FEW else 10,
        "list_url": list_seen(request),
    }
    return render_part(request, "connections/check_result.html", "results", context)


def planned_words(fact: Facts, plans: dict[UUID, checking.Plan]) -> tuple[str, bool]:
    """What would be asked about a row, side by side, and whether it is left alone."""
    plan = plans.get(fact["id"], checking.Plan(frozenset(), frozenset()))
    if plan.asked and plan.already:
        return half_asked_words(plan.asked), False
    if plan.asked:
        return asked_words(plan.asked), False
    if plan.already:
        return _("Is being checked already"), True
    return asking.obstacle_words(asking.obstacle_of(fact["selling_partner_id"])), True


def asked_words(sides: asking.Sides) -> str:
    if Side.SPAPI not in sides:
        return _("Amazon Ads is asked")
    if Side.PPC not in sides:
        return _("Selling Partner is asked")
    return _("Selling Partner and Amazon Ads are asked")


def half_asked_words(asked: asking.Sides) -> str:
    if Side.PPC in asked:
        return _("Amazon Ads is asked; Selling Partner is being checked already")
    return _("Selling Partner is asked; Amazon Ads is being checked already")
