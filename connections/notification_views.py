"""Account Settings → Notifications: what is open, who knows of it, and what one wants to hear."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from connections import client_reminders, notification_choices
from connections.notice_groups import answerable, groups_of, outline_of
from connections.notice_models import Notice
from connections.notices import open_notices
from connections.notification_choices import SNOOZE_DAYS, NotASnooze
from connections.notification_forms import NotificationForm
from connections.queue_rows import uuid_of
from connections.reach import notices_within
from sellerlegend.errors import OutsideOfReach, too_many_requests
from sellerlegend.organizations import limits, mail_trial
from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Role


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
    """One page of what is open, by kind, the worst first."""
    organization, reader = request.organization, request.membership
    outline = outline_of(organization, reader)
    page = outline.page(request.GET.get("page"))
    shown = open_notices(organization, reader).filter(pk__in=list(page.object_list))
    return {
        "page": page,
        "groups": list(groups_of(organization, reader, outline, shown)),
        "jumps": outline.jumps(),
        "shown_at": timezone.now().isoformat(),
        "snooze_days": SNOOZE_DAYS,
        "may_act": reader.may(Role.MEMBER),
        "may_administer": reader.may(Role.ADMIN),
        "are_clients_asked": client_reminders.are_on(organization),
    }


def notice_of(request: OrganizationRequest, notice_id: UUID | None) -> Notice:
    every = Notice.objects.for_organization(request.organization)
    found: Notice = get_object_or_404(notices_within(every, request.membership), pk=notice_id)
    return found


def back(request: OrganizationRequest) -> HttpResponse:
    """To the page of the list that held the form."""
    url = reverse("notifications", args=[request.organization.slug])
    page = request.POST.get("page", "")
    if page.isascii() and page.isdigit() and len(page) < 6:
        url = f"{url}?page={page}"
    return HttpResponseRedirect(url, status=303)


@require_POST
@organization_view(Role.MEMBER)
def notices_acknowledge(request: OrganizationRequest) -> HttpResponseBase:
    """ "I know" of one notice (`notice`), of all of a `kind`, or of the `ticked` ones."""
    asked = asked_about(request)
    notices = answerable(request.organization, asked, request.membership)
    if asked and not notices:
        raise OutsideOfReach("the consents also feed rows outside of this person's reach")
    count = notification_choices.acknowledge(
        organization=request.organization, notices=notices, actor=request.actor()
    )
    if count:
        words = ngettext(
            "Your colleagues see that you know of %(count)d notice.",
            "Your colleagues see that you know of %(count)d notices.",
            count,
        )
        messages.success(request, words % {"count": count})
    elif not asked and "kind" not in request.POST:
        messages.info(request, _("Nothing was ticked, so nothing has changed."))
    return back(request)


def asked_about(request: OrganizationRequest) -> list[Notice]:
    """What the form names, of what the person sees. Of a kind nothing that was made after the page
    was shown: nobody knows of what they have not read."""
    if "notice" in request.POST:
        key = uuid_of(request.POST["notice"])
        return [notice_of(request, key)]
    found = open_notices(request.organization, request.membership)
    if "kind" in request.POST:
        shown_at = moment_of(request.POST.get("shown_at", ""))
        if shown_at is None:
            return []
        return list(found.filter(kind=request.POST["kind"], created_at__lte=shown_at))
    keys = [uuid_of(text) for text in request.POST.getlist("ticked")]
    return list(found.filter(pk__in=[key for key in keys if key is not None]))


def moment_of(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


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
