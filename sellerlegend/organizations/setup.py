"""Which Amazon credentials are missing or look wrong, and what to register where."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from sellerlegend.amazon.environment import conflicting_environment
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.env import environment

# Amazon: application authorization limits. Only the seller frees a place, at Amazon.
UNLISTED_SELLERS = 25

APPLICATION_ID = re.compile(r"amzn1\.(sellerapps\.app|sp\.solution)\.[\w-]+")
CLIENT_ID = re.compile(r"amzn1\.application-oa2-client\.[\w-]+")
CLIENT_SECRET = re.compile(r"amzn1\.oa2-cs\.v1\.[\w-]+")


@dataclass(frozen=True)
class Credential:
    """One variable of the environment. `problem` is empty when all is well; the value of a
    secret is never part of this."""

    variable: str
    meaning: str
    problem: str


def checklist() -> dict[str, Any]:
    """What the first-run page shows."""
    credentials = [*spapi_credentials(), *ads_credentials()]
    return {
        "credentials": credentials,
        "is_complete": not any(row.problem for row in credentials),
        "spapi_redirect_uri": settings.SPAPI_REDIRECT_URI,
        "spapi_login_uri": settings.SPAPI_LOGIN_URI,
        "ads_redirect_uri": settings.ADS_REDIRECT_URI,
        "is_draft": settings.SPAPI_DRAFT_APPLICATION,
        "is_listed": settings.SPAPI_LISTED_IN_APPSTORE,
        "sellers_limit": UNLISTED_SELLERS,
        "sellers_used": sellers_used(),
        "conflicting": conflicting_environment(environment()),
    }


def spapi_credentials() -> list[Credential]:
    client = settings.SPAPI_CLIENT
    return [
        Credential(
            "SPAPI_APPLICATION_ID",
            _("The application's id in the Solution Provider Portal, not its client id"),
            problem_of(settings.SPAPI_APPLICATION_ID, APPLICATION_ID),
        ),
        Credential(
            "SPAPI_CLIENT_ID",
            _("The LWA client id of the Selling Partner application"),
            problem_of(client.client_id, CLIENT_ID),
        ),
        Credential(
            "SPAPI_CLIENT_SECRET",
            _("Its client secret; Amazon ends it after 180 days"),
            problem_of_secrets(client),
        ),
    ]


def ads_credentials() -> list[Credential]:
    client = settings.ADS_CLIENT
    same = client.client_id and client.client_id == settings.SPAPI_CLIENT.client_id
    return [
        Credential(
            "ADS_CLIENT_ID",
            _("The client id of a login security profile of its own for Amazon Ads"),
            _("It is the Selling Partner one. Amazon Ads needs its own.")
            if same
            else problem_of(client.client_id, CLIENT_ID),
        ),
        Credential(
            "ADS_CLIENT_SECRET",
            _("Its client secret"),
            problem_of_secrets(client),
        ),
    ]


def problem_of(value: str, shape: re.Pattern[str]) -> str:
    if not value:
        return _("Missing")
    return "" if shape.fullmatch(value) else _("Does not look like Amazon's")


def problem_of_secrets(client: LwaClient) -> str:
    """The first trouble among the newest secret and the one before it."""
    problems = [problem_of(secret.reveal(), CLIENT_SECRET) for secret in client.secrets]
    return next(filter(None, problems or [_("Missing")]), "")


_counters: list[Callable[[], int]] = []


def count_sellers_with(counter: Callable[[], int]) -> None:
    """The app that holds the grants says how to count them; this one knows no grants."""
    if counter not in _counters:
        _counters.append(counter)


def sellers_used() -> int:
    """Sellers that hold one of the unlisted application's places, as far as we know."""
    return sum(counter() for counter in _counters)
