"""Token buckets in the database, and whom they count."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.test import RequestFactory
from pytest_django import Settings

from sellerlegend.errors import words_for
from sellerlegend.organizations import limits
from sellerlegend.organizations.limits import Limit
from sellerlegend.organizations.models import Allowance
from tests.threads import run_many

DOOR = Limit("door", burst=5, seconds=60)
GATE = Limit("gate", burst=2, seconds=10)
ME = "203.0.113.7"
NOON = 1_800_000_000.0

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def tries(count: int) -> list[bool]:
    return [limits.take((DOOR, ME)) == 0.0 for _ in range(count)]


def test_a_burst_and_then_one_a_minute(clock: time_machine.Traveller) -> None:
    assert tries(7) == [True] * 5 + [False] * 2
    assert limits.take((DOOR, ME)) == pytest.approx(60)

    clock.shift(59)
    assert tries(1) == [False]
    clock.shift(1)
    assert tries(2) == [True, False]


def test_a_long_pause_never_gives_more_than_the_burst(clock: time_machine.Traveller) -> None:
    tries(5)
    clock.shift(86_400)

    assert tries(6) == [True] * 5 + [False]


def test_refusals_do_not_make_the_wait_longer(clock: time_machine.Traveller) -> None:
    tries(50)
    clock.shift(60)

    assert tries(1) == [True]


def test_others_are_counted_apart(clock: time_machine.Traveller) -> None:
    tries(6)

    assert limits.take((DOOR, "203.0.113.8")) == 0.0
    assert limits.take((GATE, ME)) == 0.0


def test_two_buckets_in_one_statement(
    clock: time_machine.Traveller, django_assert_num_queries: Any
) -> None:
    both = ((DOOR, ME), (GATE, "me@example.com"))

    with django_assert_num_queries(1):
        assert limits.take(*both) == 0.0
    assert limits.take(*both) == 0.0
    with django_assert_num_queries(2):
        assert limits.take(*both) == pytest.approx(10)


def test_a_success_is_given_back(clock: time_machine.Traveller) -> None:
    for _ in range(20):
        assert limits.take((DOOR, ME), (GATE, ME)) == 0.0
        limits.give_back((DOOR, ME), (GATE, ME))

    assert tries(6) == [True] * 5 + [False]


def test_a_bucket_that_is_forgotten_begins_full(clock: time_machine.Traveller) -> None:
    tries(6)
    limits.forget(DOOR, ME)

    assert tries(1) == [True]


def test_refusals_are_a_number_and_one_line(
    clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="sellerlegend.organizations.limits"):
        tries(5 + 37)

    assert Allowance.objects.get().refused == 37
    assert [record.message for record in caplog.records] == ["limit_reached"]
    assert ME not in caplog.text


def test_neither_addresses_nor_emails_stand_in_the_table(clock: time_machine.Traveller) -> None:
    limits.take((DOOR, ME), (GATE, "me@example.com"))

    for row in Allowance.objects.values():
        assert ME not in str(row)
        assert "example.com" not in str(row)
        assert len(row["key"]) == 64


def test_full_buckets_can_be_removed(clock: time_machine.Traveller) -> None:
    limits.take((DOOR, ME))
    assert list(limits.spent_rows()) == []

    clock.shift(61)

    assert limits.spent_rows().count() == 1


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_get_no_token_more_than_there_are() -> None:
    slow = Limit("slow", burst=20, seconds=3600)

    def take_some() -> list[float]:
        return [limits.take((slow, ME), (DOOR, ME)) for _ in range(4)]

    results = run_many(50, take_some)

    waits = [wait for waits in results if isinstance(waits, list) for wait in waits]
    assert len(waits) == 200
    assert Allowance.objects.count() == 2
    assert waits.count(0.0) <= 20
    assert limits.take((slow, ME)) > 0


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_get_every_token() -> None:
    """At one moment: whoever read the clock before the first writer would wait a moment longer."""
    slow = Limit("slow", burst=20, seconds=3600)

    with time_machine.travel(NOON, tick=False):
        waits = run_many(50, lambda: limits.take((slow, ME)))

    assert waits.count(0.0) == 20


# Whose address it is (F5) ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "expected"),
    [
        (0, ME, "", ME),
        (0, ME, "198.51.100.1", ME),
        (1, "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "evil, 1.1.1.1,198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.9", "198.51.100.1"),
        # Came round the proxies, or a proxy wrote nonsense: who is connected counts.
        (2, ME, "198.51.100.1", ME),
        (1, ME, "", ME),
        (1, ME, "not an address", ME),
        (1, ME, "198.51.100.1, ", ME),
        (1, "10.0.0.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, "10.0.0.1", "[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        (0, "::ffff:203.0.113.7", "", ME),
        (0, "", "", "unknown"),
    ],
)
def test_the_client_is_whom_the_trusted_proxies_name(
    settings: Settings, proxies: int, peer: str, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}

    request = RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)

    assert limits.client_address(request) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "5 seconds"),
        (21, "25 seconds"),
        (59, "1 minute"),
        (61, "2 minutes"),
        (4000, "2 hours"),
    ],
)
def test_the_wait_in_words(seconds: float, words: str) -> None:
    assert words_for(seconds) == words


def test_the_clock_is_the_wall_clock() -> None:
    limits.take((DOOR, ME))

    assert Allowance.objects.get().spent_until == pytest.approx(time.time() + 60, abs=20)
