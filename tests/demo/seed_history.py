"""A past for the demo's rows, written through the ORM: consents have dates, some have troubles."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import django

if __name__ == "__main__":
    # The models below need it.
    django.setup()

from django.db import transaction
from django.utils import timezone

from connections import revisions
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from marketplaces.models import MarketplaceAccount
from ppc.models import PpcLink
from sellerlegend.organizations.scoping import across_organizations

# How long ago the consent of each row was given. Amazon ends it after 365 days. One row is new: the
# product proves it, and asks whether the Seller ID is right.
CONSENT_AGE_DAYS = {
    "Northstar Outdoors NA": 128,
    "Northstar Outdoors EU": 92,
    "Northstar Outdoors Japan": 214,
    "Oasis by Desert Rose": 201,
    "Sakura Tea": 340,
    "Northstar, managed by us": 367,
}
ADS_CONSENT_AGE_DAYS = 96
REVOKED = "Oasis by Desert Rose"
REVOKED_DAYS_AGO = 2
THROTTLED = "Northstar Outdoors EU"
WITHOUT_PERMISSION = "Northstar Outdoors Japan"


def write_history(organization_id: UUID) -> None:
    now = timezone.now()
    with across_organizations("the demo's history"), transaction.atomic():
        rows = Connection.objects.filter(organization_id=organization_id)
        for row in rows.filter(name__in=CONSENT_AGE_DAYS):
            give_past(row, now - timedelta(days=CONSENT_AGE_DAYS[row.name], hours=3))
        revoke(SpApiGrant.objects.filter(connection__in=rows.filter(name=REVOKED)))
        trouble(rows.filter(name=THROTTLED), "throttled_since", "amazon_throttled", 1)
        trouble(
            rows.filter(name=WITHOUT_PERMISSION),
            "permission_missing_since",
            "permission_missing",
            80,
        )
        consented = now - timedelta(days=ADS_CONSENT_AGE_DAYS)
        AdsGrant.objects.filter(organization_id=organization_id).update(
            authorized_at=consented, status_changed_at=consented
        )
        links = PpcLink.objects.filter(organization_id=organization_id)
        links.filter(status=PpcLink.Status.LINKED).update(
            status_changed_at=consented, linked_at=consented
        )
        revisions.touch_all(organization_id)


def give_past(row: Connection, given: datetime) -> None:
    """As if the person had connected and onboarded it then."""
    SpApiGrant.objects.filter(connection=row).update(authorized_at=given, status_changed_at=given)
    rows = Connection.objects.filter(pk=row.pk)
    rows.update(created_at=given)
    if row.mws_auth_token_tail:
        rows.update(mws_auth_token_updated_at=given)
    done = MarketplaceAccount.objects.filter(
        connection=row, onboarding=MarketplaceAccount.Onboarding.ONBOARDED
    )
    finished = given + timedelta(minutes=2)
    done.update(onboarding_changed_at=finished, onboarded_at=finished, chosen_at=given)


def revoke(grants: Any) -> None:
    """As three refusals over more than a quarter of an hour leave it."""
    refused = timezone.now() - timedelta(days=REVOKED_DAYS_AGO)
    grants.update(
        status=Grant.Status.INVALID,
        status_changed_at=refused,
        first_refused_at=refused - timedelta(minutes=20),
        last_refused_at=refused,
        refusals=3,
        last_error_code="invalid_grant",
    )


def trouble(rows: Any, column: str, code: str, hours_ago: int) -> None:
    """As a call that Amazon refused leaves the consent, until another one succeeds."""
    began = timezone.now() - timedelta(hours=hours_ago)
    grants = SpApiGrant.objects.filter(connection__in=rows)
    grants.update(**{column: began}, last_failure_at=began, last_failure_code=code)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        write_history(UUID(argument))
