"""A role that our application got at Amazon: consents from before that day do not have it.

Amazon gives it with the next consent only, so every older one asks for renewal (`health.py`).
"""

from __future__ import annotations

from django.db import transaction

from connections import revisions
from sellerlegend.applications.models import ApplicationRole
from sellerlegend.organizations.audit import Actor, record_event
from sellerlegend.organizations.models import Organization


def add_role(role: ApplicationRole, *, actor: Actor) -> None:
    """Write it down and show it: the rows of every organization say something else now."""
    with transaction.atomic():
        role.save(force_insert=True)
        record_event(
            "application_role_added",
            actor=actor,
            application=role.application,
            role=role.name,
            added_at=role.added_at.isoformat(),
        )
    # One organization at a time: nobody waits for the lock of another.
    owners = Organization.objects.filter(deleted_at=None).order_by("pk")
    for organization_id in owners.values_list("pk", flat=True).iterator():
        revisions.touch_all(organization_id)
