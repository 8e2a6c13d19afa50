"""Account Settings → Notifications: what is open, who knows of it, and what one wants to hear."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from connections import client_reminders, notification_choices
from connections.notice_models import Notice
from connections.notice_words import ORDER, words_of
from connections.notices import open_notices
from connections.notification_choices import SNOOZE_DAYS, NotASnooze
from connections.notification_forms import NotificationForm
from connections.reach import notices_within
from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits, mail_trial
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Role

NOTICES_A_PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@organization_view(Role.VIEWER)
def notifications(request: OrganizationRequest) -> HttpResponseBase:
    """Everybody reads; whoever can get mail chooses what and when."""
    may_choose = request.membership.may(Role.MEMBER)
    if request.method == "POST" and not may_choose:
        return render(request, "403.html", status=403)
    choice = notification_choices.choice_of(request.organization, request.user)
    form = NotificationForm(request.POST if request.method == "POST" else None, choice=choice)
    if form.is_bound and form.is_valid():
        notification_choices.choose(
            organization=request.organization, user=request.user, **form.cleaned_data
        )
        messages.success(request, _("Saved."))
        return back(request)
    status = 422 if form.is_bound else 200
    context = page_context(request) | {"form": form, "may_choose": may_choose}
    return render(request, "connections/notifications.html", context, status=status)


def page_context(request: OrganizationRequest) -> dict[str, Any]:
    """One page of what is open, the worst first."""
    ranks = {kind.value: rank for rank, kind in enumerate(ORDER)}
    every = open_notices(request.organization, request.membership)
    found = list(every.values_list("pk", "kind", "days"))
    keys = [key for key, kind, days in sorted(found, key=lambda n: (ranks[n[1]], n[2] or 0))]
    page = Paginator(keys, NOTICES_A_PAGE).get_page(request.GET.get("page"))
    shown = every.filter(pk__in=list(page.object_list))
    snoozed = notification_choices.snoozed_until(request.organization, request.user, shown)
    items = words_of(request.organization, shown, request.membership)
    return {
        "page": page,
        "items": [(item, snoozed.get(item.notice.pk)) for item in items],
        "snooze_days": SNOOZE_DAYS,
        "may_act": request.membership.may(Role.MEMBER),
        "may_administer": request.membership.may(Role.ADMIN),
        "are_clients_asked": client_reminders.are_on(request.organization),
    }


def notice_of(request: OrganizationRequest, notice_id: UUID) -> Notice:
    every = Notice.objects.for_organization(request.organization)
    found: Notice = get_object_or_404(notices_within(every, request.membership), pk=notice_id)
    return found


def back(request: OrganizationRequest) -> HttpResponse:
    url = reverse("notifications", args=[request.organization.slug])
    return HttpResponseRedirect(url, status=303)


@require_POST
@organization_view(Role.MEMBER)
def notice_acknowledge(request: OrganizationRequest, notice_id: UUID) -> HttpResponseBase:
    notice = notice_of(request, notice_id)
    if words_of(request.organization, [notice], request.membership)[0].reaches_further:
        raise PermissionDenied("the consent also feeds rows outside of this person's reach")
    if notification_choices.acknowledge(notice=notice, actor=request.actor()):
        messages.success(request, _("Your colleagues see that you know."))
    return back(request)


@require_POST
@organization_view(Role.MEMBER)
def notice_snooze(request: OrganizationRequest, notice_id: UUID) -> HttpResponseBase:
    """For oneself alone."""
    notice = notice_of(request, notice_id)
    text = request.POST.get("days", "")
    try:
        days = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
        notification_choices.snooze(notice=notice, user=request.user, days=days)
    except NotASnooze:
        messages.error(request, _("Choose one of the offered numbers of days."))
    return back(request)


@require_POST
@organization_view(Role.MEMBER)
def notifications_test_mail(request: OrganizationRequest) -> HttpResponseBase:
    """To one's own address: does our mail arrive?"""
    wait = limits.take((mail_trial.TEST_MAIL, request.user.pk.hex))
    if wait:
        return too_many_requests(request, wait)
    answer = mail_trial.send(request.user.email, actor=request.actor())
    tell = messages.success if answer.is_accepted else messages.error
    tell(request, answer.words)
    return back(request)
