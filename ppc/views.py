"""*Continue* in the PPC column: choosing marketplaces, and the trip to Amazon Ads."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from connections import bulk, departures
from connections.models import Connection
from connections.selection import selection_of
from connections.views import (
    answer_changed,
    back_to_list,
    cannot_leave,
    connection_of,
    form_page,
)
from connections.words import Facts
from marketplaces.views import say_started, uuids_from
from ppc import asking, checking, disconnecting, screen, services
from ppc.disconnecting import Side
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.limits import costly, opens_trip
from sellerlegend.organizations.models import Role
from sellerlegend.organizations.step_up import recently_authenticated


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
    choices = screen.link_choices(connection)
    context = {
        "connection": connection,
        "choices": choices,
        "can_start": any(not choice.obstacle for choice in choices),
        "can_renew": services.can_renew(connection),
        "consents": screen.consents(connection, request.membership),
        "error": error,
    }
    status = 422 if error else 200
    return render_part(request, "ppc/connect.html", "dialog", context, status=status)


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
    words = [_("%(name)s was disconnected and its token destroyed.") % {"name": name}]
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
    if not (request.htmx and jobs):  # under htmx the row itself says what is asked
        words = checked_words(checking.sides_of(jobs))
        messages.info(request, words % {"name": connection.name})
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
@costly
def connections_check(request: OrganizationRequest) -> HttpResponseBase:
    """The same for a selection."""
    selection = selection_of(request)
    obstacles = asking.obstacles(request.organization.pk, selection.ids)
    if request.method != "POST" or not selection.count:
        lines = bulk.lines(request, selection.ids, lambda fact: left_alone(fact, obstacles))
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

    def words_of(fact: Facts) -> tuple[str, bool]:
        if fact["id"] in begun:
            return being_checked(begun[fact["id"]]), False
        words, is_left = left_alone(fact, obstacles)
        return (words, True) if is_left else (_("Was being checked already"), True)

    lines = bulk.lines(request, selection.ids, words_of)
    count = sum(not line.is_left for line in lines)
    done_words = ngettext(
        "%(count)d connection is being checked.", "%(count)d connections are being checked.", count
    ) % {"count": count}
    return bulk.tell(request, title=_("Checking now"), lines=lines, done_words=done_words)


def being_checked(sides: asking.Sides) -> str:
    """Behind the name of a row in the result."""
    if Side.SPAPI not in sides:
        return _("Being checked: Amazon Ads. Selling Partner has no consent to check")
    if Side.PPC not in sides:
        return _("Being checked: Selling Partner")
    return _("Being checked: Selling Partner and Amazon Ads")


def left_alone(fact: Facts, obstacles: dict[UUID, asking.Obstacle]) -> tuple[str, bool]:
    obstacle = obstacles.get(fact["id"])
    if obstacle is None:
        return "", False
    return {
        asking.Obstacle.WAITS: _("Waits for its first consent"),
        asking.Obstacle.ENDED: _("No consent to check: reconnect it first"),
    }[obstacle], True
