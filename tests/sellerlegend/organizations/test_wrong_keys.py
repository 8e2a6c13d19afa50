"""An id is no proof of a key: another key under it is noticed, and nothing is done with it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client
from pytest_django import Settings

from connections.models import Connection, SpApiGrant
from sellerlegend import crypto
from sellerlegend.monitoring import readiness
from sellerlegend.monitoring.gauges import locked_organizations
from sellerlegend.organizations import custody, quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.key_states import key_states
from sellerlegend.organizations.models import Organization, VaultKey
from sellerlegend.organizations.services import create_organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import owner_of
from tests.operators import run_command

NORTHSTAR = "A1NORTHSTAR001"
RIGHT, WRONG = {"tests": b"\0" * 32}, {"tests": b"w" * 32}

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


@pytest.fixture(params=["known", "never_seen"])
def wrong_ring(request: pytest.FixtureRequest, row: Connection, settings: Settings) -> None:
    """Another key under the right id: after a sweep with the right one, or before any."""
    if request.param == "known":
        custody.remember_keys()
    settings.TOKEN_ENCRYPTION_KEYS = WRONG


def told() -> list[str]:
    found = run_checks(databases=["default"])
    return [str(message.id) for message in found if str(message.id).startswith("SL.E05")]


def rows() -> list[dict[str, Any]]:
    found: list[Any] = [*SpApiGrant._base_manager.values(), *Organization.objects.values()]
    return found


def test_the_right_keys_are_told_nothing(row: Connection) -> None:
    assert custody.wrong_keys() == []
    custody.remember_keys()

    assert custody.wrong_keys() == []
    assert VaultKey.objects.get(pk="tests").canary.startswith("v1.tests.")
    assert (readiness.keys(), told(), list(locked_organizations())) == ("ok", [], [((), 0)])


def test_another_key_under_the_id_is_seen_from_outside(wrong_ring: None) -> None:
    custody.remember_keys()

    assert custody.wrong_keys() == ["tests"]
    assert readiness.keys() == "wrong"
    assert told() == ["SL.E052"]
    assert list(locked_organizations()) == [((), 1)]


@pytest.mark.parametrize(
    "command",
    [
        ["resync_tokens"],
        ["resync_tokens", "--dry-run"],
        ["rotate_encryption_keys"],
        ["rotate_encryption_keys", "--new-data-keys"],
        ["release_quarantine"],
        ["release_quarantine", "--yes"],
    ],
)
def test_no_command_works_with_it(
    command: list[str], amazon: RunningEmulator, wrong_ring: None
) -> None:
    if command[0] == "release_quarantine":
        quarantine.begin(actor=COMMAND, reason="drill")
    before, known = rows(), amazon.ledger.last_number

    run = run_command(*command)

    assert run.code == 1
    assert "Another key is loaded under tests than the one that stood there." in run.err
    assert rows() == before
    assert len(amazon.ledger.calls(since=known)) == 0
    assert (quarantine.cause() != "") is (command[0] == "release_quarantine")


def test_nothing_new_is_wrapped_under_it(wrong_ring: None) -> None:
    person, before = factories.make_user(), Organization.objects.count()

    with pytest.raises(custody.KeyRefused, match="tests"):
        create_organization(name="Lost at once", owner=person)

    assert Organization.objects.count() == before


def test_an_approval_is_not_exchanged_for_what_could_not_be_stored(
    amazon: RunningEmulator, client: Client, settings: Settings
) -> None:
    waiting = factories.make_waiting_connection(factories.make_organization())
    client.force_login(owner_of(waiting.organization))
    callback = trips.confirm(trips.leave(client, waiting), NORTHSTAR)
    settings.TOKEN_ENCRYPTION_KEYS = WRONG
    known = amazon.ledger.last_number

    assert trips.come_back(client, callback) == "vault_key_missing"

    assert len(amazon.ledger.calls(since=known)) == 0
    assert not SpApiGrant._base_manager.exists()


def test_a_key_that_opens_nothing_gets_no_canary(row: Connection, settings: Settings) -> None:
    """Or the wrong one would pass for the right one ever after."""
    settings.TOKEN_ENCRYPTION_KEYS = WRONG
    custody.remember_keys()
    assert VaultKey.objects.get(pk="tests").canary == ""

    settings.TOKEN_ENCRYPTION_KEYS = RIGHT
    custody.remember_keys()

    assert custody.wrong_keys() == []


# One data key is damaged --------------------------------------------------------------------


@pytest.mark.parametrize("text", ["v1.tests.AAAA.AAAA", "v1.tests.AAAA", "nonsense", "v1..A.B"])
def test_a_damaged_data_key_is_told_and_concerns_nobody_else(text: str, row: Connection) -> None:
    other = factories.make_organization()
    custody.remember_keys()
    Organization.objects.filter(pk=row.organization_id).update(data_key=text)

    assert told() == ["SL.E053"]
    assert list(locked_organizations()) == [((), 1)]
    assert custody.wrong_keys() == []

    rotated = run_command("rotate_encryption_keys")

    assert rotated.code == 3
    assert f"{row.organization_id} organization={row.organization.slug} " in rotated.out
    assert "failed (DataKeyUnreadable)" in rotated.out
    assert f"organization={other.slug} key=tests done (current)" in rotated.out
    assert Organization.objects.get(pk=row.organization_id).data_key == text


def test_a_key_does_not_retire_while_a_data_key_names_none(
    row: Connection, settings: Settings
) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"new": b"n" * 32} | RIGHT
    custody.remember_keys()
    Organization.objects.update(data_key="nonsense")

    run = run_command("rotate_encryption_keys", "--retire", "tests")

    assert (run.code, "1 data keys are damaged" in run.err) == (1, True)
    assert VaultKey.objects.get(pk="tests").retired_at is None
    assert custody.rows_by_key() == {crypto.UNKNOWN_KID: 1}
    assert [key.label for key in key_states()][-1] == "Damaged"


def test_a_release_goes_on_with_a_damaged_data_key_and_says_so(row: Connection) -> None:
    Organization.objects.update(data_key="nonsense")
    quarantine.begin(actor=COMMAND, reason="drill")

    run = run_command("release_quarantine", "--yes", "--no-deletions-known")

    assert (run.code, quarantine.cause()) == (0, "")
    assert "Data keys that do not open: 1 organizations' work will wait." in run.err
