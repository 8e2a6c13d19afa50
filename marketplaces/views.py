"""*Continue* and *Start Now*: choosing the marketplaces to onboard."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from connections.answers import answer_changed, say
from connections.countries import marketplace_name
from connections.models import Connection
from connections.views import connection_of, form_page
from marketplaces import onboarding, pausing, services
from marketplaces.choices import Choice
from marketplaces.models import Marketplace, MarketplaceAccount
from sellerlegend.folding import plain
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role


def uuids_from(values: list[str]) -> list[UUID]:
    """Only what really is an id; the rest is dropped, not an error page."""
    found = []
    for value in values:
        try:
            found.append(UUID(value))
        except ValueError:
            continue
    return found


@form_page
@organization_view(Role.MEMBER)
@costly
def marketplaces_onboard(request: OrganizationRequest, connection_id: UUID) -> HttpResponseBase:
    connection = connection_of(request, connection_id)
    error = ""
    if request.method == "POST":
        chosen = uuids_from(request.POST.getlist("account"))
        if chosen:
            started = onboarding.begin_onboarding(
                connection=connection, account_ids=chosen, actor=request.actor()
            )
            if started or has_consent(connection):
                say_started(request, len(started))
                return answer_changed(request, connection)
            error = without_consent_words()
        else:
            error = _("Tick at least one marketplace.")
    choices = onboarding_choices(connection, ticked="" if error else connection.marketplace_id)
    context = {
        "connection": connection,
        "choices": choices,
        "can_start": any(not choice.obstacle for choice in choices),
        "error": error,
    }
    status = 422 if error else 200
    return render_part(request, "marketplaces/onboard.html", "dialog", context, status=status)


def say_started(request: OrganizationRequest, count: int) -> None:
    if count:
        text = ngettext("%(count)d marketplace started.", "%(count)d marketplaces started.", count)
        say(request, text % {"count": count})
    else:
        say(request, _("These marketplaces had been started already."), messages.INFO)


def without_consent_words() -> str:
    return _("No consent that works: reconnect the account first")


def has_consent(connection: Connection) -> bool:
    return services.has_working_consent(connection.organization_id, connection.pk)


def onboarding_choices(connection: Connection, *, ticked: str) -> list[Choice]:
    """Every Amazon marketplace of the row that is not onboarded, startable ones first; the
    marketplace with the id `ticked` is chosen already."""
    known = {row.marketplace_id: row for row in Marketplace.objects.all()}
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    rows = accounts.filter(connection=connection, marketplace_id__in=list(known)).exclude(
        onboarding=MarketplaceAccount.Onboarding.ONBOARDED
    )
    is_over = not has_consent(connection)
    choices = [
        choice_of(row, known[row.marketplace_id], connection, ticked, is_over=is_over)
        for row in rows
    ]
    return sorted(choices, key=lambda choice: (bool(choice.obstacle), plain(choice.name)))


def choice_of(
    account: MarketplaceAccount,
    marketplace: Marketplace,
    connection: Connection,
    picked: str,
    *,
    is_over: bool,
) -> Choice:
    obstacle = ""
    if is_over:
        obstacle = without_consent_words()
    elif marketplace.region != connection.region:
        obstacle = _("Belongs to another region: connect the seller there")
    elif not marketplace.is_supported:
        obstacle = _("Not supported yet")
    elif not account.is_participating:
        obstacle = _("The seller does not take part in this marketplace")
    elif account.onboarding == MarketplaceAccount.Onboarding.WORKING:
        obstacle = _("Already being onboarded")
    elif account.onboarding == MarketplaceAccount.Onboarding.PAUSED:
        obstacle = _("Paused")
    return Choice(
        account_id=account.pk,
        name=marketplace_name(marketplace.pk, marketplace.name),
        note=account.store_name,
        is_ticked=not obstacle and account.marketplace_id == picked,
        obstacle=obstacle,
    )


@require_POST
@organization_view(Role.MEMBER)
@costly
def marketplaces_retry(
    request: OrganizationRequest, connection_id: UUID, account_id: UUID
) -> HttpResponse:
    """Repeat only what failed."""
    connection = connection_of(request, connection_id)
    started = onboarding.begin_onboarding(
        connection=connection, account_ids=[account_id], actor=request.actor()
    )
    if not started and not has_consent(connection):
        messages.error(request, without_consent_words())
    else:
        say_started(request, len(started))
    return answer_changed(request, connection)


@require_POST
@organization_view(Role.MEMBER)
def marketplace_pause(
    request: OrganizationRequest, connection_id: UUID, account_id: UUID
) -> HttpResponse:
    connection = connection_of(request, connection_id)
    if pausing.pause(connection=connection, account_id=account_id, actor=request.actor()):
        say(request, _("Paused. Nothing is imported for this marketplace until you resume it."))
    return answer_changed(request, connection)


@require_POST
@organization_view(Role.MEMBER)
@costly
def marketplace_resume(
    request: OrganizationRequest, connection_id: UUID, account_id: UUID
) -> HttpResponse:
    connection = connection_of(request, connection_id)
    try:
        state = pausing.resume(connection=connection, account_id=account_id, actor=request.actor())
    except pausing.SellerLeft:
        messages.error(request, seller_left_words())
        return answer_changed(request, connection)
    if state and has_consent(connection):
        say(request, _("Resumed. No new consent was needed."))
    elif state:
        say(request, no_longer_paused_words(state) % {"name": connection.name})
    return answer_changed(request, connection)


def seller_left_words() -> str:
    return _(
        "Still paused: the seller takes no part in this marketplace. Once the seller joins it "
        "again in Seller Central, we find it within a day; then resume it."
    )


def no_longer_paused_words(state: str) -> str:
    """Of a marketplace whose row has no consent that works."""
    if state == MarketplaceAccount.Onboarding.ONBOARDED:
        return _(
            "No longer paused, but %(name)s has no consent that works: reconnect it first. Until "
            "then nothing is imported."
        )
    return _(
        "No longer paused, but not started: %(name)s has no consent that works. Reconnect it "
        "first, then start this marketplace."
    )
