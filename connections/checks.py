"""The system check on whose consents we hold."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from connections.models import AdsGrant, Grant, SpApiGrant
from sellerlegend.applications.clients import configured_client
from sellerlegend.organizations.scoping import across_organizations

IN_USE = (Grant.Status.ACTIVE, Grant.Status.DOUBTED)


@register(Tags.database)
def know_the_client_of_every_consent(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Only with `check --database default`."""
    if not databases:
        return []
    try:
        with across_organizations("a check counts, and names nobody"):
            counts = {model: _of_another_client(model) for model in (SpApiGrant, AdsGrant)}
    except DatabaseError:
        return []  # before the migration there is nothing to know
    return [
        Error(
            f"{number} consents of {model.application.value} were given to another client id than "
            f"{model.application.value.upper()}_CLIENT_ID.",
            hint="Are the SPAPI_ and ADS_ pairs swapped? These consents are not used meanwhile.",
            id="SL.E032",
        )
        for model, number in counts.items()
        if number
    ]


def _of_another_client(model: type[SpApiGrant] | type[AdsGrant]) -> int:
    ours = configured_client(model.application).client_id
    rows = model.objects.filter(status__in=IN_USE).exclude(client_id__in=["", ours])
    return rows.count()
