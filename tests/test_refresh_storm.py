"""T9: fifty threads in four processes want the access token that has just run out.

At most one refresh succeeds at Amazon for each expiry, and everybody gets the token or an error
with a name within the time a waiter is granted: also when Login with Amazon is slow, down, or
when the process that holds the lease is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.utils import timezone

from connections import credentials
from connections.models import SpApiGrant
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.workers import Office, open_office

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
]

SELLER = "A1NORTHSTAR001"
# Fifty in all.
THREADS = (13, 13, 12, 12)
# What a loaded machine may add to the time that the product grants.
SLACK_SECONDS = 10

STORM = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import django

django.setup()
from django.db import connection
from connections import credentials, models
from sellerlegend.amazon.errors import AmazonError
from sellerlegend.crypto import fingerprint

threads = int(sys.argv[2])
gate = Barrier(threads + 1)

def refresh(_number):
    grant = models.SpApiGrant._base_manager.get(pk=sys.argv[1])
    gate.wait()
    began = time.monotonic()
    try:
        found = fingerprint(credentials.access_token(grant))
    except AmazonError as error:
        found = type(error).__name__
    finally:
        connection.close()
    return found, time.monotonic() - began

with ThreadPoolExecutor(threads) as pool:
    waiting = [pool.submit(refresh, number) for number in range(threads)]
    while gate.n_waiting < threads:
        for each in waiting:
            if each.done():
                each.result()
        time.sleep(0.01)
    print("ready", flush=True)
    sys.stdin.readline()
    gate.wait()
    print(json.dumps([each.result() for each in waiting]), flush=True)
"""


@dataclass(frozen=True)
class Storm:
    """What the fifty got: fingerprints of tokens, names of errors, and how long it took."""

    tokens: set[str]
    errors: list[str]
    longest_seconds: float


@pytest.fixture(autouse=True)
def one_storm_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two crowds side by side are more than PostgreSQL's usual hundred connections."""
    shared = tmp_path_factory.getbasetemp().parent
    with (shared / "storm.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@pytest.fixture
def grant(amazon: RunningEmulator, transactional_db: None) -> SpApiGrant:
    organization = factories.make_organization("Northstar Trading")
    token = amazon.world.authorize(SELLER, "NA")
    return factories.grant_of(
        factories.make_connection(organization, seller=SELLER, refresh_token=token)
    )


@pytest.fixture
def office(amazon: RunningEmulator, tmp_path: Path) -> Iterator[Office]:
    with open_office("redis", amazon.url, tmp_path) as hired:
        yield hired


@contextlib.contextmanager
def crowd(
    office: Office, grant: SpApiGrant, threads: tuple[int, ...] = THREADS
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes whose threads stand at the gate; none outlives the block."""
    processes = [office.run_python(STORM, str(grant.pk), str(count)) for count in threads]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def open_the_gate(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def storm(processes: list[subprocess.Popen[str]]) -> Storm:
    for process in processes:
        open_the_gate(process)
    found: list[tuple[str, float]] = []
    for process in processes:
        assert process.stdout is not None
        found += json.loads(process.stdout.readline())
    names = [name for name, _ in found]
    errors = [name for name in names if name[0].isupper()]
    return Storm(
        tokens=set(names) - set(errors),
        errors=errors,
        longest_seconds=max(seconds for _, seconds in found),
    )


def successes(amazon: RunningEmulator) -> int:
    return amazon.ledger.count(surface="lwa", operation="refresh_token", status=200)


@pytest.mark.parametrize("seconds", [0.0, 8.0, 20.0])
def test_fifty_threads_of_four_processes_share_one_refresh_however_slow(
    amazon: RunningEmulator, office: Office, grant: SpApiGrant, seconds: float
) -> None:
    with crowd(office, grant) as processes:
        if seconds:
            amazon.faults.add(surface="lwa", delay=seconds)
        seen = storm(processes)

    assert seen.errors == []
    assert len(seen.tokens) == 1
    assert seen.longest_seconds < credentials.LONGEST_WAIT_SECONDS + SLACK_SECONDS
    assert amazon.ledger.count(surface="lwa") == successes(amazon) == 1


def test_every_expiry_costs_one_refresh(
    amazon: RunningEmulator, office: Office, grant: SpApiGrant
) -> None:
    """Three generations of processes; between them the token runs out in the shared cache."""
    seen = []
    cache = redis.Redis.from_url(office.environment["REDIS_URL"])
    for _ in range(3):
        with crowd(office, grant) as processes:
            seen.append(storm(processes))
        for key in cache.scan_iter("*access-token*"):
            cache.pexpire(key, 1)
    cache.close()

    assert [each.errors for each in seen] == [[], [], []]
    assert [len(each.tokens) for each in seen] == [1, 1, 1]
    assert len(set.union(*[each.tokens for each in seen])) == 3
    assert amazon.ledger.count(surface="lwa") == successes(amazon) == 3


def test_an_outage_of_lwa_is_an_error_with_a_name_for_everybody(
    amazon: RunningEmulator, office: Office, grant: SpApiGrant
) -> None:
    with crowd(office, grant) as processes:
        amazon.faults.add(surface="lwa", status=500, body=b'{"error": "server_error"}')
        seen = storm(processes)

    assert seen.tokens == set()
    # Once the breaker is open, callers are held back and Amazon is not asked.
    assert set(seen.errors) == {"AmazonUnavailable", "HeldBack"}
    assert len(seen.errors) == sum(THREADS)
    assert seen.longest_seconds < credentials.LONGEST_WAIT_SECONDS + SLACK_SECONDS
    assert successes(amazon) == 0
    grant.refresh_from_db()
    assert (grant.status, grant.refusals, grant.refresh_lease_until) == ("active", 0, None)


def test_a_short_outage_is_over_for_everybody_at_once(
    amazon: RunningEmulator, office: Office, grant: SpApiGrant
) -> None:
    with crowd(office, grant) as processes:
        amazon.faults.add(surface="lwa", status=500, body=b'{"error": "server_error"}', times=3)
        seen = storm(processes)

    assert seen.errors == ["AmazonUnavailable"] * 3
    assert len(seen.tokens) == 1
    assert successes(amazon) == 1


def test_a_holder_that_is_killed_costs_its_lease_and_one_more_refresh(
    amazon: RunningEmulator, office: Office, grant: SpApiGrant
) -> None:
    amazon.faults.add(surface="lwa", delay=60, times=1)
    with crowd(office, grant, (1,)) as (holder,):
        open_the_gate(holder)
        amazon.ledger.wait_for(1, surface="lwa")
        holder.kill()
        holder.wait()
    with crowd(office, grant) as processes:
        # The dead process' lease has five more seconds to go; nobody can free it.
        ends = timezone.now() + timedelta(seconds=5)
        held = SpApiGrant._base_manager.filter(pk=grant.pk, refresh_lease_until__isnull=False)
        assert held.update(refresh_lease_until=ends) == 1
        seen = storm(processes)

    assert seen.errors == []
    assert len(seen.tokens) == 1
    assert amazon.ledger.count(surface="lwa") == 2


def test_a_holder_that_never_ends_keeps_nobody_beyond_the_time_of_a_waiter(
    office: Office, amazon: RunningEmulator, grant: SpApiGrant
) -> None:
    """As if the holder were frozen, and its lease renewed for ever."""
    later = timezone.now() + timedelta(hours=1)
    with crowd(office, grant) as processes:
        SpApiGrant._base_manager.filter(pk=grant.pk).update(refresh_lease_until=later)
        seen = storm(processes)

    assert seen.errors == ["HeldBack"] * sum(THREADS)
    assert seen.longest_seconds < credentials.LONGEST_WAIT_SECONDS + SLACK_SECONDS
    assert amazon.ledger.count(surface="lwa") == 0


def test_with_the_shared_cache_down_each_process_asks_once_at_most(
    amazon: RunningEmulator, office: Office, grant: SpApiGrant
) -> None:
    """Nothing is shared then but the lease; each process keeps the token that it got."""
    office.environment["REDIS_URL"] = "redis://127.0.0.1:1/0"
    with crowd(office, grant) as processes:
        seen = storm(processes)

    assert seen.errors == []
    assert seen.longest_seconds < credentials.LONGEST_WAIT_SECONDS + SLACK_SECONDS
    assert 1 <= successes(amazon) <= len(THREADS)
    assert len(seen.tokens) == successes(amazon)
