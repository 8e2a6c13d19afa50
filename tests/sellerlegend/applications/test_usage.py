"""Each secret's uses, through real refreshes against the fake Amazon."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django.db import connection as database
from pytest_django import Settings

from connections.credentials import access_token
from connections.models import Connection
from sellerlegend import crypto
from sellerlegend.amazon import lwa
from sellerlegend.amazon.errors import ClientSecretRefused
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications import clients, usage
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.organizations.models import VaultUse
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.pauses import end_pauses

NORTHSTAR = "A1NORTHSTAR001"
WEEK = 7 * 24 * 3600

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


def refresh(connection: Connection) -> None:
    access_token(factories.grant_of(connection), force=True)


def rotate_at_amazon(amazon: RunningEmulator, settings: Settings) -> tuple[Secret, Secret]:
    """Returns (new, old); the environment gets both, as after a restart."""
    old = settings.SPAPI_CLIENT.secrets[0]
    new = Secret(amazon.world.rotate_secret())
    settings.SPAPI_CLIENT = LwaClient(settings.SPAPI_CLIENT.client_id, (new, old))
    look_after_secrets()
    return new, old


def row_of(secret: Secret) -> ClientSecret:
    return ClientSecret.objects.get(fingerprint=crypto.fingerprint(secret))


def calls(amazon: RunningEmulator, status: int) -> int:
    return amazon.ledger.count(surface="lwa", operation="refresh_token", status=status)


def test_uses_are_counted_and_written_seldom(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    look_after_secrets()
    for _ in range(3):
        refresh(connection)
    [secret] = settings.SPAPI_CLIENT.secrets
    at_once = row_of(secret).uses

    usage.TALLY.flush()
    row = row_of(secret)

    assert (at_once, row.uses, row.fallback_uses) == (1, 3, 0)
    assert row.last_used_at is not None


def test_a_stored_secret_is_counted_by_its_use_and_not_by_its_openings(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """Every process opens it every 15 seconds: docs/security.md says so."""
    look_after_secrets()
    new = Secret(amazon.world.rotate_secret())
    clients.store(LwaApplication.SPAPI, new, issued_at=None, expires_at=None)
    for _ in range(3):
        clients.forget_clients()
        clients.client_of(LwaApplication.SPAPI)

    assert not VaultUse._base_manager.exists()
    refresh(connection)

    assert row_of(new).uses == 1
    uses = VaultUse._base_manager.values_list("purpose", "count")
    assert list(uses) == [("refresh", 1)]


def test_before_the_first_sweep_nothing_is_lost(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    refresh(connection)
    refresh(connection)

    look_after_secrets()  # writes the row
    look_after_secrets()

    assert row_of(settings.SPAPI_CLIENT.secrets[0]).uses == 2


def test_the_new_secret_serves_while_both_live(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    new, old = rotate_at_amazon(amazon, settings)

    refresh(connection)

    assert (row_of(new).uses, row_of(old).uses) == (1, 0)


def test_a_new_secret_that_is_refused_falls_back_and_is_counted(
    amazon: RunningEmulator,
    connection: Connection,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = settings.SPAPI_CLIENT
    settings.SPAPI_CLIENT = LwaClient(client.client_id, (Secret("mistyped"), *client.secrets))
    look_after_secrets()

    for _ in range(3):
        refresh(connection)
    usage.TALLY.flush()

    new, old = row_of(Secret("mistyped")), row_of(client.secrets[0])
    assert (new.uses, old.uses, old.fallback_uses) == (0, 3, 3)
    assert new.refused_at is not None
    assert (calls(amazon, 401), calls(amazon, 200)) == (1, 3)
    assert "client_secret_refused" in caplog.text


def test_a_typo_that_is_put_right_leaves_no_fallback_behind(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    client = settings.SPAPI_CLIENT
    look_after_secrets()
    settings.SPAPI_CLIENT = LwaClient(client.client_id, (Secret("mistyped"), *client.secrets))
    look_after_secrets()
    refresh(connection)
    settings.SPAPI_CLIENT = client
    look_after_secrets()

    refresh(connection)
    usage.TALLY.flush()

    row = row_of(client.secrets[0])
    assert (row.uses, row.fallback_uses, row.superseded_at) == (2, 1, None)


@pytest.mark.django_db(transaction=True)
def test_a_refusal_that_the_database_did_not_hear_is_told_again(settings: Settings) -> None:
    """Quiet is for what is written: else staff would hear of it a minute late."""
    look_after_secrets()
    client = settings.SPAPI_CLIENT

    def refuse(*_call: Any) -> None:
        raise OperationalError("gone")

    with database.execute_wrapper(refuse):
        usage.TALLY.refused(client.client_id, client.secrets[0])
    unheard = row_of(client.secrets[0]).refused_at
    usage.TALLY.refused(client.client_id, client.secrets[0])

    assert unheard is None
    assert row_of(client.secrets[0]).refused_at is not None


def test_the_old_secret_dies_mid_run_and_no_refresh_fails(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    """C5: both configured, the old one ends after its seven days."""
    rotate_at_amazon(amazon, settings)

    for _ in range(3):
        refresh(connection)
    amazon.advance_clock(WEEK)
    for _ in range(3):
        refresh(connection)

    assert (calls(amazon, 200), calls(amazon, 401)) == (6, 0)
    assert factories.grant_of(connection).status == "active"


def test_a_process_that_went_back_to_the_old_one_finds_the_new_one_when_it_dies(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    new, old = rotate_at_amazon(amazon, settings)
    lwa._set_aside[settings.SPAPI_CLIENT.client_id, new] = time.monotonic() + 300
    refresh(connection)
    assert row_of(old).uses == 1
    amazon.advance_clock(WEEK)

    refresh(connection)

    assert (calls(amazon, 200), calls(amazon, 401)) == (2, 1)
    assert row_of(new).uses == 1


def test_a_success_ends_a_refusal(
    amazon: RunningEmulator, connection: Connection, settings: Settings
) -> None:
    look_after_secrets()
    [secret] = settings.SPAPI_CLIENT.secrets
    amazon.scenario("wrong_secret")
    for _ in range(2):
        with pytest.raises(ClientSecretRefused):
            refresh(connection)
        end_pauses()
    refused_at = row_of(secret).refused_at
    amazon.scenario("normal")
    cache.clear()

    refresh(connection)

    assert refused_at is not None
    assert row_of(secret).refused_at is None
