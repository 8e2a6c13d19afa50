"""A part of Amazon that is down is left alone by all, and tried again by one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
import time_machine
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from connections.credentials import access_token
from connections.models import Connection
from marketplaces import services as marketplace_services
from sellerlegend.amazon.errors import (
    AccessDenied,
    AmazonError,
    AmazonUnavailable,
    ClientMisconfigured,
    GrantInvalid,
)
from sellerlegend.applications.models import LwaApplication
from sellerlegend.jobs import breakers, ledger
from sellerlegend.jobs.models import Breaker, Job
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.threads import run_many

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAME, OPERATION = "sellers.EU", "sellers.read"
SELLER = "A1NORTHSTAR001"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


def call(error: Exception | None = None, *, name: str = NAME) -> None:
    with breakers.guarded(name, operation=OPERATION):
        if error is not None:
            raise error


def outage(**columns: object) -> AmazonUnavailable:
    return AmazonUnavailable(operation=OPERATION, **columns)  # type: ignore[arg-type]  # as given


def fail(times: int, name: str = NAME) -> None:
    for _ in range(times):
        with pytest.raises(AmazonUnavailable):
            call(outage(), name=name)


def is_open(name: str = NAME) -> bool:
    breakers.forget()
    return Breaker.objects.filter(name=name, open_until__isnull=False).exists()


def let_time_pass(clock: time_machine.Traveller, seconds: float) -> None:
    clock.shift(seconds)
    breakers.forget()


# Opening -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("successes", "failures", "opens"),
    [(0, 9, False), (0, 10, True), (5, 5, True), (6, 5, False), (100, 20, False)],
)
def test_half_of_ten_calls_open_it(successes: int, failures: int, opens: bool) -> None:
    for _ in range(successes):
        call()

    fail(failures)

    assert is_open() is opens


@pytest.mark.usefixtures("clock")
def test_while_it_is_open_nobody_is_called_and_the_wait_is_told() -> None:
    fail(10)
    called = []

    with pytest.raises(AmazonUnavailable) as refused, breakers.guarded(NAME, operation=OPERATION):
        called.append(1)

    assert called == []
    assert refused.value.retry_after is not None
    assert 30 <= refused.value.retry_after <= 35
    assert refused.value.throttled is False


@pytest.mark.usefixtures("clock")
def test_other_parts_of_amazon_are_not_concerned() -> None:
    """D18: an outage in Europe."""
    fail(10)

    call(name="sellers.NA")

    assert is_open()
    assert not is_open("sellers.NA")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    "answer",
    [outage(throttled=True), GrantInvalid(), AccessDenied(), AmazonError()],
    ids=["429", "a refused grant", "a missing role", "anything that was an answer"],
)
def test_an_answer_is_no_outage(answer: AmazonError) -> None:
    for _ in range(30):
        with pytest.raises(type(answer)):
            call(answer)

    assert not is_open()


def test_old_failures_are_forgotten(clock: time_machine.Traveller) -> None:
    fail(9)
    let_time_pass(clock, 61)

    fail(9)

    assert not is_open()


# Closing -----------------------------------------------------------------------------------


def test_one_probe_goes_out_and_its_success_closes(clock: time_machine.Traveller) -> None:
    fail(10)
    let_time_pass(clock, 31)
    refused = []

    with breakers.guarded(NAME, operation=OPERATION):
        for _ in range(3):
            with pytest.raises(AmazonUnavailable) as other:
                call()
            refused.append(other.value.retry_after)
        assert is_open()

    assert not is_open()
    assert all(wait and wait < 10 for wait in refused)
    call()


def test_a_probe_that_fails_opens_again(clock: time_machine.Traveller) -> None:
    fail(10)
    let_time_pass(clock, 31)

    fail(1)

    with pytest.raises(AmazonUnavailable) as refused:
        call()
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 30


def test_a_probe_that_died_is_replaced(clock: time_machine.Traveller) -> None:
    fail(10)
    let_time_pass(clock, 31)
    Breaker.objects.update(probe_until=START)

    call()

    assert not is_open()


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_of_eight_processes_one_probes(clock: time_machine.Traveller) -> None:
    fail(10)
    let_time_pass(clock, 31)
    began = []

    def attempt() -> None:
        with breakers.guarded(NAME, operation=OPERATION):
            began.append(1)
            raise outage()

    run_many(8, attempt)

    assert began == [1]


def test_flapping_for_ten_minutes_costs_a_fraction_of_the_calls(
    clock: time_machine.Traveller,
) -> None:
    """D21: half of the calls fail; five calls a second are wanted."""
    wanted, made = 0, 0
    for tick in range(3_000):
        clock.shift(0.2)
        if tick % 25 == 0:
            breakers.forget()
        wanted += 1
        try:
            with breakers.guarded(NAME, operation=OPERATION):
                made += 1
                if made % 2:
                    raise outage()
        except AmazonUnavailable:
            continue

    assert made <= 0.15 * wanted


# Cost --------------------------------------------------------------------------------------


def test_calls_that_succeed_cost_one_look_every_few_seconds() -> None:
    with CaptureQueriesContext(database) as sent:
        for _ in range(50):
            call()

    assert len(sent) == 1


# Where calls go through it -----------------------------------------------------------------


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=SELLER,
        refresh_token=amazon.world.authorize(SELLER, "NA"),
    )


def test_jobs_are_put_off_and_not_failed(amazon: RunningEmulator, connection: Connection) -> None:
    fail(10, "sellers.NA")
    job = marketplace_services.begin_reading(connection=connection)

    ledger.drain("interactive")

    stored = Job._base_manager.get(pk=job.pk)
    assert (stored.status, stored.waiting_reason) == ("waiting", "amazon_unavailable")
    assert (stored.attempts, amazon.ledger.count(surface="sellers")) == (0, 0)
    wait = (stored.next_attempt_at - stored.created_at).total_seconds()
    assert 29 < wait < 60


def test_a_token_server_that_is_down_is_not_asked(
    amazon: RunningEmulator, connection: Connection
) -> None:
    fail(10, "lwa")

    with pytest.raises(AmazonUnavailable):
        access_token(factories.grant_of(connection))

    assert amazon.ledger.count(surface="lwa") == 0
    assert factories.grant_of(connection).status == "active"


# Our own client ----------------------------------------------------------------------------


def refuse_client() -> None:
    raise ClientMisconfigured(operation="lwa.refresh")


def ask_as_client(do: Callable[[], None], settings: Settings) -> None:
    with breakers.guarded_client(settings.SPAPI_CLIENT, operation="lwa.refresh"):
        do()


def test_our_own_refused_secrets_are_tried_ever_less_often(
    clock: time_machine.Traveller, settings: Settings
) -> None:
    """C4, without one row of a seller."""
    asked: list[datetime] = []

    def ask() -> None:
        asked.append(datetime.now(UTC))
        refuse_client()

    for _ in range(1200):
        with pytest.raises(ClientMisconfigured):
            ask_as_client(ask, settings)
        let_time_pass(clock, 6)

    gaps = [(later - sooner).total_seconds() for sooner, later in pairwise(asked)]
    assert 45 < gaps[0] < 70
    assert gaps[:4] == sorted(gaps[:4])
    assert all(700 < gap < 920 for gap in gaps[4:])
    assert len(set(gaps[4:])) > 1
    let_time_pass(clock, 900)
    ask_as_client(lambda: None, settings)
    ask_as_client(lambda: None, settings)
    assert not is_open(breakers.client_breaker(settings.SPAPI_CLIENT))
    with pytest.raises(ClientMisconfigured):
        ask_as_client(ask, settings)
    let_time_pass(clock, 70)
    ask_as_client(lambda: None, settings)


def test_refusals_that_were_on_their_way_together_count_as_one(
    clock: time_machine.Traveller, settings: Settings
) -> None:
    with contextlib.suppress(ClientMisconfigured), contextlib.ExitStack() as at_once:
        for _ in range(5):
            at_once.enter_context(
                breakers.guarded_client(settings.SPAPI_CLIENT, operation="lwa.refresh")
            )
        refuse_client()

    let_time_pass(clock, 65)
    ask_as_client(lambda: None, settings)


@pytest.mark.usefixtures("clock")
def test_a_seller_whose_grant_is_refused_says_nothing_about_our_client(settings: Settings) -> None:
    def refuse_grant() -> None:
        raise GrantInvalid

    for _ in range(20):
        with pytest.raises(GrantInvalid):
            ask_as_client(refuse_grant, settings)

    assert not Breaker.objects.exists()


def test_the_two_applications_and_a_new_secret_have_breakers_of_their_own(
    settings: Settings,
) -> None:
    names = {
        breakers.client_breaker(settings.SPAPI_CLIENT),
        breakers.client_breaker(settings.ADS_CLIENT),
    }

    assert len(names) == len(LwaApplication)
    assert all(len(name) <= 160 for name in names)
    for name in names:
        assert not any(secret.reveal() in name for secret in settings.SPAPI_CLIENT.secrets)


def test_a_thousand_sellers_make_one_call_and_lose_nothing(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.faults.add(surface="lwa", status=401, body=b'{"error":"invalid_client"}')
    grant = factories.grant_of(connection)

    for _ in range(30):
        with pytest.raises(ClientMisconfigured):
            access_token(grant)

    assert amazon.ledger.count(surface="lwa") <= 2  # both secrets, where there are two
    grant.refresh_from_db()
    assert (grant.status, grant.refusals) == ("active", 0)
