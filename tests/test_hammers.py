"""Many at once at the doors that must open once: states redeemed, work begun, rows made.

`make hammer` redeems states ten thousand times in eight threads, and opens two thousand whole
callbacks; a run of the whole suite does some of both.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from connections import authorization
from connections.models import AuthorizationRequest, Connection
from marketplaces.models import MarketplaceAccount
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import Allowance, Organization, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import CANADA, US
from tests.threads import run_many

D = TypeVar("D")
A = TypeVar("A")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.timeout(600),
]

REDEMPTIONS = int(os.environ.get("HAMMER", "600"))
RACERS = 8
# Each by all racers. A trip to Amazon and back costs as much as hundreds of redemptions.
WHOLE_TRIPS = 250 if "HAMMER" in os.environ else 2
# Each holds a connection to PostgreSQL, which has a hundred for all test runs together.
THREADS = 32
NORTHSTAR = "A1NORTHSTAR001"
PATIENCE_SECONDS = 60


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return factories.make_organization("Hammered")


@pytest.fixture
def member(organization: Organization) -> User:
    return factories.make_member(organization)


def open_trips(organization: Organization, user: User, count: int) -> list[AuthorizationRequest]:
    made = [
        AuthorizationRequest(
            organization=organization,
            user=user,
            kind=AuthorizationRequest.Kind.SPAPI,
            region="NA",
            state_hash=uuid4().hex + uuid4().hex,
            browser_hash="b" * 64,
            expires_at=timezone.now() + timedelta(hours=1),
            reference=str(number),
        )
        for number in range(count)
    ]
    AuthorizationRequest.objects.for_organization(organization).bulk_create(made)
    return made


def raced(doors: Sequence[D], come: Callable[[D], A]) -> list[list[A]]:
    """Each door by eight threads that meet at a barrier before it: what each found, by door."""
    gate = threading.Barrier(RACERS)

    def come_to(door: D) -> A:
        gate.wait(PATIENCE_SECONDS)
        return come(door)

    def race() -> list[A]:
        try:
            return [come_to(door) for door in doors]
        except Exception:
            gate.abort()
            raise
        finally:
            database.close()

    with ThreadPoolExecutor(RACERS) as pool:
        racers = [pool.submit(race) for _ in range(RACERS)]
        found = [racer.result() for racer in racers]
    return [list(of_one_door) for of_one_door in zip(*found, strict=True)]


def test_no_raced_state_is_redeemed_twice(organization: Organization, member: User) -> None:
    """Each state by eight threads at once (lab L9: allauth's shape loses 200 of 200, "look it up,
    then delete it" 199 of 200). What a callback does with it, without the callback around it."""
    opened = open_trips(organization, member, REDEMPTIONS // RACERS)

    outcomes = raced(opened, lambda trip: authorization.consume(copy(trip), member))

    winners = [sorted(of_one_trip) for of_one_trip in outcomes]
    assert winners == [["", *["in_progress"] * (RACERS - 1)]] * len(opened)
    assert Counter(AuthorizationRequest._base_manager.values_list("status", flat=True)) == {
        AuthorizationRequest.Status.CONSUMED: len(opened)
    }


def test_no_raced_callback_asks_amazon_twice(
    amazon: RunningEmulator, organization: Organization, member: User
) -> None:
    """Whole callbacks, each in eight tabs of the browser that left: one exchange for each state."""
    browser = trips.sign_in(member)
    callbacks = [come_to_amazon(browser, organization) for _ in range(WHOLE_TRIPS)]

    answers = raced(callbacks, lambda callback: tab_of(browser).get(str(callback)).status_code)

    assert answers == [[303] * RACERS] * WHOLE_TRIPS
    assert amazon.ledger.count(surface="lwa") == WHOLE_TRIPS
    outcomes = Counter(callback.trip.outcome for callback in callbacks)
    assert outcomes == {"connected": 1, "merged": WHOLE_TRIPS - 1}


def come_to_amazon(browser: Client, organization: Organization) -> trips.Callback:
    Allowance.objects.all().delete()  # how often one may leave is told elsewhere
    row = factories.make_waiting_connection(organization)
    return trips.confirm(trips.leave(browser, row), NORTHSTAR)


def tab_of(browser: Client) -> Client:
    """Another tab: the same cookies, a client of its own because clients are not for threads."""
    tab = Client()
    tab.cookies = browser.cookies
    return tab


def press(client: Client, url: str, form: dict[str, Any]) -> list[int]:
    """Twice."""
    tab = tab_of(client)
    return [tab.post(url, form).status_code for _ in range(2)]


@pytest.fixture
def row(amazon: RunningEmulator, organization: Organization) -> Connection:
    token = amazon.world.authorize(NORTHSTAR, "NA")
    return factories.make_connection(organization, seller=NORTHSTAR, refresh_token=token)


def test_start_now_hammered_makes_one_job_and_one_call(
    amazon: RunningEmulator, row: Connection, member: User
) -> None:
    accounts = [factories.make_account(row, each) for each in (US, CANADA)]
    url = f"/o/{row.organization.slug}/connections/{row.pk}/onboard"
    form = {"account": [account.pk for account in accounts]}
    browser = trips.sign_in(member)

    statuses = run_many(THREADS, lambda: press(browser, url, form))

    seen = {status for of_thread in statuses if isinstance(of_thread, list) for status in of_thread}
    assert all(isinstance(of_thread, list) for of_thread in statuses), statuses
    assert seen <= {303, 429}
    assert 303 in seen
    jobs = Job.objects.for_organization(row.organization).filter(kind="marketplaces.onboard")
    assert Counter(jobs.values_list("subject_id", flat=True)) == {
        account.pk: 1 for account in accounts
    }
    assert amazon.ledger.count(surface="sellers") == 0

    for job in jobs:
        ledger.run_here(job)

    onboarded = MarketplaceAccount.objects.for_organization(row.organization)
    assert set(onboarded.filter(pk__in=form["account"]).values_list("onboarding", flat=True)) == {
        MarketplaceAccount.Onboarding.ONBOARDED
    }
    assert amazon.ledger.count(surface="sellers") == 1


def test_one_seller_consented_by_many_at_once_is_one_row(
    amazon: RunningEmulator, organization: Organization, member: User
) -> None:
    browser = trips.sign_in(member)
    callbacks = [
        trips.confirm(
            trips.leave(
                browser, factories.make_waiting_connection(organization, name=f"Store {number}")
            ),
            NORTHSTAR,
        )
        for number in range(THREADS)
    ]
    waiting = iter(callbacks)
    lock = threading.Lock()

    def come_back() -> int:
        with lock:
            callback = next(waiting)
        return tab_of(browser).get(str(callback)).status_code

    answers = run_many(THREADS, come_back)

    assert answers == [303] * THREADS
    [only] = Connection.objects.for_organization(organization)
    assert only.selling_partner_id == NORTHSTAR
    outcomes = Counter(callback.trip.outcome for callback in callbacks)
    assert outcomes == {"connected": 1, "merged": THREADS - 1}
    assert Job.objects.for_organization(organization).count() == 1
