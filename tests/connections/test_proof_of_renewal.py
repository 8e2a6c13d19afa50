"""A consent that works gives way only to one that was used, and is of its seller (A13, A14)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.utils import timezone

from connections import capabilities, exchange, flows, storing
from connections.health_models import Capability, CapabilityCheck
from connections.models import Connection, SpApiGrant
from marketplaces.models import MarketplaceAccount
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import rates
from sellerlegend.jobs.models import RateBucket
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Organization, Role
from tests import client_trips, factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.sellers import TOKEN_INVALID
from tests.nothing_changed import nothing_changes
from tests.trips import Callback

pytestmark = pytest.mark.django_db
State = CapabilityCheck.State

# What Amazon says to an access token that it does not know.
REJECTED: dict[str, Any] = {
    "surface": "sellers",
    "operation": "getMarketplaceParticipations",
    "status": 403,
    "body": json.dumps(
        {
            "errors": [
                {
                    "code": "Unauthorized",
                    "message": "Access to requested resource is denied.",
                    "details": TOKEN_INVALID,
                }
            ]
        }
    ).encode(),
}

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"


@pytest.fixture
def row(amazon: RunningEmulator, organization: Organization) -> Connection:
    """Connected, and read."""
    token = amazon.world.authorize(NORTHSTAR, "NA")
    row = factories.make_connection(organization, seller=NORTHSTAR, refresh_token=token)
    factories.make_account(row, store_name="Northstar Outdoors")
    return row


@pytest.fixture
def callback(browser: Client, row: Connection) -> Callback:
    return trips.confirm(trips.leave(browser, row), NORTHSTAR)


@pytest.fixture
def tampered(browser: Client, row: Connection) -> Callback:
    """Signed in as another seller, with the id of this one written into the address."""
    own = trips.confirm(trips.leave(browser, row), BLUE_HARBOR)
    return own.with_params(selling_partner_id=NORTHSTAR)


def test_what_amazon_confirms_takes_its_place_and_proves_the_seller(
    browser: Client, row: Connection, callback: Callback
) -> None:
    assert trips.come_back(browser, callback) == "reconnected"

    row.refresh_from_db()
    assert factories.grant_of(row).version == 2
    assert row.seller_proved_at is not None


def spend_allowance(row: Connection) -> None:
    """As many quick renewals do: for a minute nobody may ask for this seller's marketplaces."""
    plan = rates.MARKETPLACE_PARTICIPATIONS
    key = rates.bucket_key(
        application_id=settings.SPAPI_APPLICATION_ID,
        organization_id=row.organization_id,
        selling_partner_id=row.selling_partner_id or "",
        region=row.region,
        plan=plan,
    )
    RateBucket.objects.create(key=key, tokens=0.0, updated_at=timezone.now())


def test_one_call_is_proof_enough_while_the_other_is_not_allowed(
    amazon: RunningEmulator, browser: Client, row: Connection, callback: Callback
) -> None:
    spend_allowance(row)
    asked = amazon.ledger.last_number

    assert trips.come_back(browser, callback) == "reconnected"

    row.refresh_from_db()
    assert factories.grant_of(row).version == 2
    assert row.seller_proved_at is not None
    called = [call.operation for call in amazon.ledger.calls(since=asked)]
    assert called.count("getMarketplaceParticipations") == 0


def test_where_that_call_confirms_nothing_the_consent_in_use_stays(
    amazon: RunningEmulator, browser: Client, row: Connection, tampered: Callback
) -> None:
    """Without the stores, only the call that names the Seller ID counts."""
    spend_allowance(row)

    with nothing_changes(amazon, events=("authorization_ended",), ended=tampered.trip, calls=2):
        ending = trips.come_back(browser, tampered)

    assert ending == "amazon_unavailable"


def test_the_consent_of_another_seller_replaces_none_by_an_edited_id(
    amazon: RunningEmulator, browser: Client, tampered: Callback
) -> None:
    with nothing_changes(amazon, events=("authorization_ended",), ended=tampered.trip, calls=3):
        ending = trips.come_back(browser, tampered)

    assert ending == "renewal_unproved"


def test_nor_does_it_from_a_waiting_row(
    amazon: RunningEmulator, browser: Client, row: Connection
) -> None:
    waiting = factories.make_waiting_connection(row.organization, name="Waits")
    own = trips.confirm(trips.leave(browser, waiting), BLUE_HARBOR)
    edited = own.with_params(selling_partner_id=NORTHSTAR)

    with nothing_changes(amazon, events=("authorization_ended",), ended=edited.trip, calls=3):
        ending = trips.come_back(browser, edited)

    assert ending == "renewal_unproved"


def test_nor_does_that_of_a_client_with_a_link(amazon: RunningEmulator, row: Connection) -> None:
    phone = Client()
    asked = client_trips.ask(row)
    own = trips.confirm(client_trips.press_continue(phone, asked.path), BLUE_HARBOR)
    known = factories.grant_of(row)

    client_trips.come_back(phone, own.with_params(selling_partner_id=NORTHSTAR))

    assert own.trip.outcome == "renewal_unproved"
    assert factories.grant_of(row).fingerprint == known.fingerprint


def test_one_that_reads_nothing_replaces_none_that_works(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    amazon.scenario("missing_role")

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=3):
        ending = trips.come_back(browser, callback)

    assert ending == "renewal_unproved"
    page = browser.get(f"/amazon/outcome/{callback.trip.reference}").content.decode()
    assert "Amazon did not confirm the new consent" in page
    # The same 403, whoever is at fault.
    assert (
        "somebody else than its primary user approved, or our own application lacks a permission "
        "at Amazon." in page
    )
    assert "If you were signed in so already, write to support with this reference." in page


def test_while_amazon_cannot_be_asked_the_one_that_works_stays(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    amazon.scenario("outage", surface="sellers")

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=2):
        ending = trips.come_back(browser, callback)

    assert ending == "amazon_unavailable"


def test_calls_that_hang_share_one_deadline(
    amazon: RunningEmulator, browser: Client, callback: Callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy waits for a minute; exchange, proof and storing have to end before."""
    monkeypatch.setattr(flows, "PROOF_SECONDS", 0.5)
    amazon.faults.add(surface="sellers", operation="getMarketplaceParticipations", delay=3)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=2):
        ending = trips.come_back(browser, callback)

    assert ending == "amazon_unavailable"


def test_one_refusal_of_so_young_a_token_is_asked_again(
    amazon: RunningEmulator, browser: Client, callback: Callback, row: Connection
) -> None:
    amazon.faults.add(**REJECTED, times=1)

    assert trips.come_back(browser, callback) == "reconnected"

    assert factories.grant_of(row).version == 2


def test_a_second_refusal_is_believed(
    amazon: RunningEmulator, browser: Client, callback: Callback
) -> None:
    amazon.faults.add(**REJECTED)

    with nothing_changes(amazon, events=("authorization_ended",), ended=callback.trip, calls=3):
        ending = trips.come_back(browser, callback)

    assert ending == "renewal_unproved"


@pytest.mark.parametrize(
    ("store", "ending", "version"),
    [("Northstar Outdoors", "reconnected", 2), ("Another Shop", "renewal_unproved", 1)],
)
def test_without_the_role_that_confirms_it_the_stores_tell(
    amazon: RunningEmulator,
    browser: Client,
    row: Connection,
    callback: Callback,
    store: str,
    ending: str,
    version: int,
) -> None:
    amazon.world.applications["spapi"].roles.remove("Product Listing")
    MarketplaceAccount.objects.for_organization(row.organization).update(store_name=store)

    assert trips.come_back(browser, callback) == ending

    row.refresh_from_db()
    assert factories.grant_of(row).version == version
    assert row.seller_proved_at is None


def test_while_only_the_call_that_names_the_seller_fails_the_stores_tell(
    amazon: RunningEmulator, browser: Client, callback: Callback, row: Connection
) -> None:
    amazon.faults.add(surface="sellers", operation="searchListingsItems", status=503, times=9)

    assert trips.come_back(browser, callback) == "reconnected"

    row.refresh_from_db()
    assert row.seller_proved_at is None


def test_where_the_old_one_lost_its_stores_as_well_the_new_one_is_no_worse(
    amazon: RunningEmulator, browser: Client, callback: Callback, row: Connection
) -> None:
    capabilities.record(factories.grant_of(row), {Capability.MARKETPLACES: State.MISSING})
    amazon.scenario("missing_role")

    assert trips.come_back(browser, callback) == "reconnected"


def test_another_trip_that_was_faster_costs_no_consent(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    """The row got its consent between the look before the exchange and the storing."""
    waiting = factories.make_waiting_connection(organization, name="Waits")
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    token = amazon.world.authorize(NORTHSTAR, "NA")

    def first(*arguments: Any, **named: Any) -> Any:
        factories.consent(waiting, seller=NORTHSTAR, refresh_token=token)
        return exchange.exchange(*arguments, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flows, "exchange", first)
        assert trips.come_back(browser, callback) == "reconnected"

    assert factories.grant_of(waiting).version == 2


def test_where_nothing_was_read_yet_the_new_one_is_no_worse(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    row = factories.make_connection(organization, seller=NORTHSTAR)
    callback = trips.confirm(trips.leave(browser, row), NORTHSTAR)
    amazon.scenario("missing_role")

    assert trips.come_back(browser, callback) == "reconnected"


@pytest.mark.parametrize("change", [{"status": "invalid"}, {"authorized_at": "a year ago"}])
def test_what_is_over_is_replaced_without_a_question(
    amazon: RunningEmulator,
    browser: Client,
    row: Connection,
    callback: Callback,
    change: dict[str, object],
) -> None:
    if "authorized_at" in change:
        change = {"authorized_at": timezone.now() - timedelta(days=366)}
    SpApiGrant.objects.for_organization(row.organization).update(**change)
    amazon.scenario("outage", surface="sellers")

    assert trips.come_back(browser, callback) == "reconnected"


def test_under_the_lock_nothing_less_than_a_proof_replaces_what_works(row: Connection) -> None:
    owner = factories.make_member(row.organization, Role.ADMIN)

    with pytest.raises(storing.NotProved), transaction.atomic():
        storing.store_spapi_grant(
            connection=row,
            seller=NORTHSTAR,
            token=Secret("Atzr|unproved"),
            actor=Actor.person(owner),
        )

    assert factories.grant_of(row).version == 1
