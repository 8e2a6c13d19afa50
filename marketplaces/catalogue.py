"""Which of Amazon's marketplaces we support: a switch that staff turn."""

from __future__ import annotations

from django.db import transaction

from connections import revisions
from connections.models import Connection
from marketplaces.models import Marketplace
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.scoping import across_organizations


def switch_support(
    *, marketplace: Marketplace, is_supported: bool, actor: Actor, reason: str
) -> None:
    """Support a marketplace from now on, or no longer. What was onboarded stays as it is.

    Every row of the region reads differently afterwards; they are shown anew after the commit,
    an organization at a time.
    """
    with transaction.atomic():
        rows = Marketplace.objects.filter(pk=marketplace.pk)
        if not rows.exclude(is_supported=is_supported).update(is_supported=is_supported):
            return
        record_event(
            "marketplace_supported" if is_supported else "marketplace_unsupported",
            actor=actor,
            marketplace=marketplace.pk,
            reason=reason,
        )
        transaction.on_commit(lambda: show_everywhere(marketplace.region), robust=True)


def show_everywhere(region: str) -> None:
    with across_organizations("the list of supported marketplaces is everybody's"):
        rows = Connection.objects.filter(region=region).order_by()
        affected = list(rows.values_list("organization_id", flat=True).distinct())
    for organization_id in affected:
        revisions.touch_all(organization_id)
