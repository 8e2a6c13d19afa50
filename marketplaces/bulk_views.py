"""*Start onboarding* for a selection: what would start, then the start, with a result per row."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render

from connections.selection import asked_by_form, selection_of
from connections.views import form_page
from marketplaces import bulk
from sellerlegend.organizations.access import OrganizationRequest, organization_view, render_part
from sellerlegend.organizations.limits import costly
from sellerlegend.organizations.models import Role


@form_page
@organization_view(Role.MEMBER)
@asked_by_form
@costly
def marketplaces_onboard_many(request: OrganizationRequest) -> HttpResponseBase:
    """The work goes on in the background, and shows in the rows."""
    selection = selection_of(request)
    plans = bulk.plans_of(request.membership, selection.ids)
    able = [plan for plan in plans if not plan.obstacle_words]
    if request.method == "POST" and able:
        return show_results(request, plans)
    context = {
        "able": able,
        "unable": [plan for plan in plans if plan.obstacle_words],
        "count": sum(len(plan.account_ids) for plan in able),
        "absent": max(0, selection.asked - len(plans)),
    }
    status = 422 if request.method == "POST" else 200
    return render_part(request, "marketplaces/onboard_many.html", "dialog", context, status=status)


def show_results(request: OrganizationRequest, plans: list[bulk.Plan]) -> HttpResponse:
    """A reload sends the form again and finds everything started: it changes nothing."""
    results = bulk.begin(membership=request.membership, plans=plans, actor=request.actor())
    context = {"results": results, "count": sum(result.started for result in results)}
    return render(request, "marketplaces/onboarding_begun.html", context)
