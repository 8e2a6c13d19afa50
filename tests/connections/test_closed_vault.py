"""While the key of an organization is missing, nobody is sent to Amazon and no code is spent."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from connections.models import AdsGrant, AuthorizationRequest, Connection, SpApiGrant
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import owner_of

NORTHSTAR = "A1NORTHSTAR001"
US = "ATVPDKIKX0DER"
MARKETING = "ads@northstar.example"
OTHER_KEY = {"k2": b"2" * 32}

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    connection = factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )
    factories.make_account(connection, marketplace_id=US)
    return connection


@pytest.fixture
def browser(connection: Connection) -> Client:
    return trips.sign_in(owner_of(connection.organization))


@pytest.mark.parametrize("way_out", ["connection_authorize", "ppc_connect"])
def test_nobody_is_sent_to_amazon(
    amazon: RunningEmulator,
    browser: Client,
    connection: Connection,
    settings: Settings,
    way_out: str,
) -> None:
    url = reverse(way_out, args=[connection.organization.slug, connection.pk])
    account = connection.marketplace_accounts.for_organization(connection.organization).get()
    settings.TOKEN_ENCRYPTION_KEYS = OTHER_KEY

    response = browser.post(url, {"account": [str(account.pk)], "new_consent": "1"})

    assert response.status_code == 503
    assert "Our vault is closed at the moment" in response.content.decode()
    assert not AuthorizationRequest._base_manager.exists()
    assert len(amazon.ledger) == 0


def test_a_new_row_waits_for_the_vault(
    amazon: RunningEmulator, browser: Client, connection: Connection, settings: Settings
) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = OTHER_KEY
    url = reverse("connection_new", args=[connection.organization.slug])

    response = browser.post(url, {"name": "Another", "marketplace": US})

    assert response.status_code == 503
    row = Connection._base_manager.get(name="Another")
    assert row.waits_for_consent
    assert not AuthorizationRequest._base_manager.exists()


@pytest.mark.parametrize("kind", ["spapi", "ads"])
def test_a_code_is_not_spent(
    amazon: RunningEmulator,
    browser: Client,
    connection: Connection,
    settings: Settings,
    kind: str,
) -> None:
    """The key went while the person was at Amazon."""
    if kind == "spapi":
        callback = trips.confirm(trips.leave(browser, connection), NORTHSTAR)
    else:
        account = connection.marketplace_accounts.for_organization(connection.organization).get()
        callback = trips.allow(
            trips.leave_for_ads(browser, connection, [account.pk], new_consent="1"), MARKETING
        )
    before = list(SpApiGrant._base_manager.values())
    known = amazon.ledger.last_number
    settings.TOKEN_ENCRYPTION_KEYS = OTHER_KEY

    assert trips.come_back(browser, callback) == "vault_key_missing"

    assert len(amazon.ledger.calls(since=known)) == 0
    assert list(SpApiGrant._base_manager.values()) == before
    assert not AdsGrant._base_manager.exists()
    page = browser.get(reverse("authorization_outcome", args=[callback.trip.reference]))
    assert "your approval could not be kept" in page.content.decode()
