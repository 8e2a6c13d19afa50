"""Whether a role is there, by the status alone; everything unclear is raised, never guessed."""

from __future__ import annotations

import pytest
import requests
from django.conf import settings

from sellerlegend.amazon import probes
from sellerlegend.amazon.errors import (
    AccessTokenRejected,
    AmazonError,
    AmazonUnavailable,
    UnexpectedReply,
)
from sellerlegend.amazon.probes import ProbeKind
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import rates
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import BLUE_HARBOR, NORTHSTAR
from tests.amazon_emulator.sellers import LIMITS
from tests.amazon_emulator.tests.conftest import Caller

US = "ATVPDKIKX0DER"
ROLES = {
    ProbeKind.ORDERS: "Inventory and Order Tracking",
    ProbeKind.INVENTORY: "Amazon Fulfillment",
    ProbeKind.FINANCES: "Finance and Accounting",
    ProbeKind.LISTINGS: "Product Listing",
    ProbeKind.REPORTS: "Brand Analytics",
}
every_kind = pytest.mark.parametrize("kind", list(ProbeKind))


@pytest.fixture
def token(amazon: RunningEmulator) -> Secret:
    with requests.Session() as session:
        return Secret(Caller(amazon, session).spapi_token(NORTHSTAR))


def ask(kind: ProbeKind, token: Secret, seller: str = NORTHSTAR) -> bool:
    return probes.has_role(
        kind,
        endpoints=settings.AMAZON_ENDPOINTS,
        region=Region.NA,
        access_token=token,
        selling_partner_id=seller,
        marketplace_id=US,
    )


@every_kind
def test_200_is_a_role_granted_and_403_without_details_one_that_is_missing(
    amazon: RunningEmulator, token: Secret, kind: ProbeKind
) -> None:
    assert ask(kind, token) is True
    amazon.world.applications["spapi"].roles = list(ROLES.values())
    amazon.world.applications["spapi"].roles.remove(ROLES[kind])
    if kind == ProbeKind.INVENTORY:
        amazon.world.applications["spapi"].roles.remove("Inventory and Order Tracking")

    assert ask(kind, token) is False


@every_kind
def test_a_refused_token_says_nothing_of_the_role(amazon: RunningEmulator, kind: ProbeKind) -> None:
    with pytest.raises(AccessTokenRejected):
        ask(kind, Secret("Atza|made-up"))


@every_kind
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, '{"errors":[{"code":"QuotaExceeded","message":""}]}', AmazonUnavailable),
        (503, "<html>", AmazonUnavailable),
        (200, "<html>all is well</html>", AmazonUnavailable),
        (200, "[]", AmazonUnavailable),
        (400, '{"errors":[{"code":"InvalidInput","message":""}]}', UnexpectedReply),
        (403, "", UnexpectedReply),
    ],
)
def test_everything_else_is_raised(
    amazon: RunningEmulator,
    token: Secret,
    kind: ProbeKind,
    status: int,
    body: str,
    error: type[AmazonError],
) -> None:
    amazon.faults.add(surface="sellers", status=status, body=body.encode())

    with pytest.raises(error):
        ask(kind, token)


def test_a_foreign_seller_in_the_path_is_not_granted(token: Secret) -> None:
    assert ask(ProbeKind.LISTINGS, token, BLUE_HARBOR) is False


@pytest.mark.parametrize("seller", ["", "A1/../..", "A1?x=1", "A 1", "Ä1", "A" * 65])
def test_no_address_is_made_of_what_is_no_id(
    amazon: RunningEmulator, token: Secret, seller: str
) -> None:
    amazon.ledger.clear()

    with pytest.raises(ValueError, match="no id"):
        ask(ProbeKind.LISTINGS, token, seller)

    assert amazon.ledger.calls() == []


def test_our_plans_are_amazons() -> None:
    ours = {
        plan.operation.partition(".")[2]: (plan.rate, plan.burst) for plan in rates.PROBES.values()
    }

    assert ours == {name: (float(LIMITS[name][0]), LIMITS[name][1]) for name in ours}
    assert set(rates.PROBES) == set(ProbeKind)
