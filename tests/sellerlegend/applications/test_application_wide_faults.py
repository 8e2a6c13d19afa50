"""C4: our own application's fault changes no seller's row, and staff hear of it once."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.checks import run_checks
from pytest_django import Settings

from connections import credentials
from connections.models import Connection, SpApiGrant
from sellerlegend.amazon import sellers
from sellerlegend.amazon.errors import ClientMisconfigured
from sellerlegend.amazon.regions import Region
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.notices import tell_staff
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.organizations.models import VaultUse
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import all_rows, changed_columns, event_count
from tests.operators import run_command

NORTHSTAR = "A1NORTHSTAR001"
GRANTS = 1_000
ORGANIZATIONS = 20

pytestmark = pytest.mark.django_db


@pytest.fixture
def connections(amazon: RunningEmulator) -> list[Connection]:
    """One seller's consent in GRANTS rows of 20 organizations."""
    factories.make_user("staff@example.com", is_staff=True)
    look_after_secrets()
    rows = [factories.make_connection(factories.make_organization()) for _ in range(ORGANIZATIONS)]
    grants = [factories.grant_of(row) for row in rows]
    copies = [copy_of(rows[n % ORGANIZATIONS], n) for n in range(GRANTS)]
    Connection._base_manager.all().delete()
    Connection._base_manager.bulk_create(copies)
    SpApiGrant._base_manager.bulk_create(
        grant_like(
            grants[number % ORGANIZATIONS], row, Secret(amazon.world.authorize(NORTHSTAR, "NA"))
        )
        for number, row in enumerate(copies)
    )
    return copies


def copy_of(row: Connection, number: int) -> Connection:
    """Another row of the same organization; a thousand by the form's way would take a minute."""
    twin = copy.copy(row)
    twin.pk = uuid.uuid4()
    twin.name, twin.selling_partner_id = f"Copy {number}", f"A{number:013d}"
    return twin


def grant_like(grant: SpApiGrant, row: Connection, token: Secret) -> SpApiGrant:
    """Sealed for its own place, as the product does it."""
    twin = copy.copy(grant)
    twin.pk, twin.connection = uuid.uuid4(), row
    columns = credentials.seal_refresh_token(twin, token, row.organization.data_key)
    for name in ("refresh_token", "fingerprint", "client_id"):
        setattr(twin, name, columns[name])
    return twin


def read(connection: Connection) -> None:
    """What a worker does with a row."""

    def call(access_token: Secret) -> Any:
        return sellers.get_marketplace_participations(
            endpoints=django_settings.AMAZON_ENDPOINTS,
            region=Region.NA,
            access_token=access_token,
        )

    with pytest.raises(ClientMisconfigured):
        credentials.spapi_call(connection, call)


# The refresh itself and the vault's count of it, which say nothing of the consent.
FORGIVEN = frozenset({"last_refreshed_at", "refresh_lease_until"})
COUNTS = VaultUse._meta.label


@contextmanager
def no_seller_is_touched() -> Iterator[None]:
    before, events = all_rows(), event_count()
    yield
    after = all_rows()
    sellers = {key for key in before.keys() | after.keys() if key[0] != COUNTS}
    assert sellers <= before.keys() & after.keys()
    changed = {key: changed_columns(before[key], after[key]) - FORGIVEN for key in sellers}
    assert {key: names for key, names in changed.items() if names} == {}
    assert event_count() == events


# Twenty seconds of work, and a busy machine.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scenario", "answers", "subject"),
    [
        ("expired_secret", (GRANTS, 0), "Amazon calls our client secret too old"),
        # One refusal of the secret is enough for all: the breaker of the client.
        ("wrong_secret", (0, 1), "Amazon refuses our client secret"),
    ],
)
def test_a_thousand_consents_survive_a_fault_of_ours(
    amazon: RunningEmulator,
    connections: list[Connection],
    scenario: str,
    answers: tuple[int, int],
    subject: str,
) -> None:
    amazon.scenario(scenario)

    with no_seller_is_touched():
        for connection in connections:
            read(connection)
        for _ in range(3):
            look_after_secrets()
            tell_staff()

    lwa = {"surface": "lwa", "operation": "refresh_token"}
    asked = (amazon.ledger.count(**lwa, status=200), amazon.ledger.count(**lwa, status=401))
    assert asked == answers
    states = SpApiGrant._base_manager.values_list("status", "refusals").distinct()
    assert list(states) == [("active", 0)]
    assert [message.subject for message in mail.outbox] == [f"Selling Partner API: {subject}"]


def swap_the_pairs(settings: Settings) -> None:
    """Each client id with its own secret stands where the other one should."""
    settings.SPAPI_CLIENT, settings.ADS_CLIENT = settings.ADS_CLIENT, settings.SPAPI_CLIENT


def told() -> list[tuple[str | None, str]]:
    found = run_checks(databases=["default"])
    return [(message.id, message.msg) for message in found if message.id == "SL.E032"]


def test_the_pair_of_another_application_puts_no_consent_in_doubt(
    amazon: RunningEmulator, connections: list[Connection], settings: Settings
) -> None:
    """Amazon would accept the client and call every consent invalid."""
    assert told() == []
    swap_the_pairs(settings)

    with no_seller_is_touched():
        for connection in connections[:20]:
            read(connection)
    resync = run_command("resync_tokens", "--limit", 5)

    assert resync.code == 3
    assert len(amazon.ledger) == 0
    states = SpApiGrant._base_manager.values_list("status", "refusals").distinct()
    assert list(states) == [("active", 0)]
    assert told() == [
        (
            "SL.E032",
            f"{GRANTS} consents of spapi were given to another client id than SPAPI_CLIENT_ID.",
        )
    ]


def test_neither_an_ads_consent(amazon: RunningEmulator, settings: Settings) -> None:
    grant = factories.make_ads_grant(
        factories.make_organization(),
        refresh_token=amazon.world.authorize_ads("ads@northstar.example"),
    )
    credentials.access_token(grant)
    known = amazon.ledger.last_number
    swap_the_pairs(settings)

    with no_seller_is_touched(), pytest.raises(ClientMisconfigured):
        credentials.ads_call(grant, lambda token: token)  # although a token is cached

    assert len(amazon.ledger.calls(since=known)) == 0
    assert told() == [
        ("SL.E032", "1 consents of ads were given to another client id than ADS_CLIENT_ID.")
    ]


def test_a_consent_from_before_learns_its_client_with_the_next_success(
    amazon: RunningEmulator, settings: Settings
) -> None:
    connection = factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )
    given_to = factories.grant_of(connection).client_id
    SpApiGrant._base_manager.update(client_id="")

    credentials.access_token(factories.grant_of(connection))

    assert given_to == factories.grant_of(connection).client_id == settings.SPAPI_CLIENT.client_id


def test_a_new_consent_is_of_the_new_client(amazon: RunningEmulator) -> None:
    connection = factories.make_connection(factories.make_organization(), seller=NORTHSTAR)
    SpApiGrant._base_manager.update(client_id="amzn1.application-oa2-client.before")
    with pytest.raises(ClientMisconfigured):
        credentials.access_token(factories.grant_of(connection))

    factories.consent(connection, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))

    assert credentials.access_token(factories.grant_of(connection))


def test_when_the_secret_is_good_again_the_next_call_gets_a_token_of_it(
    amazon: RunningEmulator,
) -> None:
    """A cached access token that was got with the expired secret would be refused for an hour."""
    connection = factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )
    amazon.scenario("expired_secret")
    read(connection)
    amazon.world.applications["spapi"].register_secret(
        django_settings.SPAPI_CLIENT.secrets[0].reveal(), amazon.clock
    )

    def call(access_token: Secret) -> Any:
        return sellers.get_marketplace_participations(
            endpoints=django_settings.AMAZON_ENDPOINTS, region=Region.NA, access_token=access_token
        )

    assert credentials.spapi_call(connection, call).participations != ()
