"""D20, C10, C20: five kinds of 403, each made by the fake Amazon, each told from the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings

from sellerlegend.amazon import lwa, sellers
from sellerlegend.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    AmazonError,
    ClientSecretExpired,
    Denial,
)
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from tests.amazon_emulator import RunningEmulator

NORTHSTAR = "A1NORTHSTAR001"
HOUR = 3600


def nothing(amazon: RunningEmulator) -> None:
    pass


def revoked(amazon: RunningEmulator) -> None:
    amazon.scenario("revoked_grant")


def expired(amazon: RunningEmulator) -> None:
    amazon.advance_clock(HOUR)


def without_role(amazon: RunningEmulator) -> None:
    amazon.scenario("missing_role")


def old_secret(amazon: RunningEmulator) -> None:
    amazon.scenario("expired_secret")


@pytest.mark.parametrize(
    ("happens", "region", "expected", "detail"),
    [
        (revoked, Region.NA, AccessTokenRejected, None),
        (expired, Region.NA, AccessTokenRejected, None),
        (without_role, Region.NA, AccessDenied, Denial.MISSING_ROLE),
        (nothing, Region.EU, AccessDenied, Denial.WRONG_REGION),
        (old_secret, Region.NA, ClientSecretExpired, None),
    ],
)
def test_each_kind_has_its_own_class(
    amazon: RunningEmulator,
    happens: Callable[[RunningEmulator], None],
    region: Region,
    expected: type[AmazonError],
    detail: Denial | None,
) -> None:
    reply = lwa.refresh(
        endpoints=settings.AMAZON_ENDPOINTS,
        client=settings.SPAPI_CLIENT,
        refresh_token=Secret(amazon.world.authorize(NORTHSTAR, "NA")),
    )
    happens(amazon)

    with pytest.raises(AmazonError) as caught:
        sellers.get_marketplace_participations(
            endpoints=settings.AMAZON_ENDPOINTS, region=region, access_token=reply.access_token
        )

    assert type(caught.value) is expected
    assert getattr(caught.value, "detail", None) == detail
    [call] = amazon.ledger.calls(surface="sellers")
    assert call.status == 403
