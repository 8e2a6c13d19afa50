"""Pages that only measuring needs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.shortcuts import render

from connections import screen
from connections.answers import PAGE
from sellerlegend.organizations.models import Membership, Organization, Role

# Whose list `list_part` shows, set by `benchmarks.screen`.
shown: list[Organization] = []


def hello(request: Any) -> HttpResponse:
    """The least a signed-in page can do: session and user."""
    return HttpResponse(f"Hello {request.user.email}")


@login_not_required
def list_part(request: Any) -> HttpResponse:
    """The page's list inside Django, without session, user and frame: what the floor is
    compared with."""
    request.organization = shown[0]
    request.membership = Membership(organization=shown[0], role=Role.ADMIN)
    return render(request, f"{PAGE}#list", screen.page_context(request))
