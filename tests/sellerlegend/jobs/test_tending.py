"""Every worker sweeps, and one that takes nothing although work is due ends to be replaced."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery.worker import state
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from marketplaces import services as marketplace_services
from sellerlegend import celery
from sellerlegend.env import PROJECT_DIR
from sellerlegend.jobs import due, ledger, progress, tending
from sellerlegend.jobs.models import Job, Slot
from sellerlegend.jobs.tending import Watchdog
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.sellerlegend.jobs.conftest import Work
from tests.workers import Office, open_office, pool_of, wait_until

NORTHSTAR = "A1NORTHSTAR001"
CONTROL = [sys.executable, "-m", "celery", "--app", "sellerlegend", "control", "--timeout", "10"]


# Real workers ------------------------------------------------------------------------------


@pytest.fixture(
    params=[pytest.param("redis", marks=pytest.mark.needs_redis), pytest.param("filesystem")]
)
def office(
    request: pytest.FixtureRequest,
    transactional_db: None,
    amazon: RunningEmulator,
    tmp_path: Path,
) -> Iterator[Office]:
    with open_office(request.param, amazon.url, tmp_path) as opened:
        opened.environment |= {"SWEEP_SECONDS": "1", "WATCHDOG_SECONDS": "4"}
        yield opened


def queue_reading(amazon: RunningEmulator) -> Job:
    connected = factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )
    return marketplace_services.begin_reading(connection=connected)


def status_of(job: Job) -> str:
    return str(Job._base_manager.get(pk=job.pk).status)


@pytest.mark.django_db(transaction=True)
def test_without_beat_and_without_a_message_a_worker_finds_the_work(
    amazon: RunningEmulator, office: Office
) -> None:
    """E24, E26 and E27: the row was committed, nobody rang, beat is dead."""
    job = queue_reading(amazon)
    worker = office.hire()

    wait_until(lambda: status_of(job) == Job.Status.DONE, "finished job")

    assert Slot.objects.filter(name="sweep").exists()
    # It was taken, so there was no reason to end.
    assert worker.process.poll() is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "office", [pytest.param("redis", marks=pytest.mark.needs_redis)], indirect=True
)
def test_a_worker_that_takes_nothing_ends_with_its_pool_and_its_successor_does_the_work(
    amazon: RunningEmulator, office: Office
) -> None:
    """E13: it lives, it answers, and no message reaches its pool."""
    zombie = office.hire(concurrency=2)
    wait_until(Slot.objects.exists, "sweep of the worker")
    pool = pool_of(zombie.process.pid)
    stop_listening(office)
    job = queue_reading(amazon)

    assert zombie.process.wait(timeout=60) == 1

    assert "worker_stuck" in zombie.log.read_text()
    wait_until(lambda: not any(is_running(pid) for pid in pool), "end of the pool")
    assert status_of(job) == Job.Status.QUEUED
    office.hire()
    wait_until(lambda: status_of(job) == Job.Status.DONE, "finished job")


def stop_listening(office: Office) -> None:
    """By remote control, which the worker goes on to answer."""
    for queue in ("interactive", "background"):
        subprocess.run(
            [*CONTROL, "cancel_consumer", queue],
            cwd=PROJECT_DIR,
            env=office.environment,
            capture_output=True,
            timeout=60,
            check=True,
        )


def is_running(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "office", [pytest.param("redis", marks=pytest.mark.needs_redis)], indirect=True
)
def test_a_worker_whose_slots_are_all_busy_is_left_to_its_work(
    amazon: RunningEmulator, office: Office
) -> None:
    amazon.faults.add(surface="sellers", delay=12, times=1)
    worker = office.hire(concurrency=1)
    first = queue_reading(amazon)
    amazon.ledger.wait_for(1, timeout=30, surface="sellers")
    second = queue_reading(amazon)

    wait_until(lambda: status_of(second) == Job.Status.DONE, "second job after the slow first")

    assert status_of(first) == Job.Status.DONE
    assert worker.process.poll() is None


@pytest.mark.needs_redis
@pytest.mark.django_db(transaction=True)
def test_the_pool_opens_connections_of_its_own(amazon: RunningEmulator, tmp_path: Path) -> None:
    """E30: processes of the pool, and their mother, never share a connection."""
    with open_office("redis", amazon.url, tmp_path) as office:
        office.environment |= {"SWEEP_SECONDS": "1"}
        worker = office.hire(concurrency=2)
        amazon.faults.add(surface="sellers", delay=1)
        jobs = [queue_reading(amazon) for _ in range(4)]
        holders: dict[str, set[int]] = {}

        def are_done() -> bool:
            for pid in (worker.process.pid, *pool_of(worker.process.pid)):
                for socket in local_ports(pid):
                    holders.setdefault(socket, set()).add(pid)
            return {status_of(job) for job in jobs} == {"done"}

        wait_until(are_done, "finished jobs")

    assert len(set().union(*holders.values())) >= 2
    assert [pids for pids in holders.values() if len(pids) > 1] == []


def local_ports(pid: int) -> set[str]:
    """The sockets of a process that lead to PostgreSQL."""
    port = f"{int(connection.settings_dict['PORT'] or 5432):04X}"
    to_server = {
        line.split()[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if line.split()[2].endswith(f":{port}")
    }
    links = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            links.add(str(link.readlink()))
    return {link for link in links if link.removeprefix("socket:[").rstrip("]") in to_server}


# The watchdog's judgement ------------------------------------------------------------------


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process itself is the one thing that a test cannot let go."""
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    monkeypatch.setattr(tending, "active_children", list)
    monkeypatch.setattr(progress, "_memory", bytearray(8))
    return ends


@pytest.fixture
def old_work(work: Work) -> Job:
    return work.enqueue(next_attempt_at=timezone.now() - timedelta(minutes=2))


def watch(monkeypatch: pytest.MonkeyPatch, watchdog: Watchdog, looks: int = 14) -> None:
    """Look every tenth of the watchdog's time, on a clock that the test moves."""
    start = float(int(time.monotonic()) + 1_000)
    for number in range(looks):
        monkeypatch.setattr(time, "monotonic", lambda at=start + number * watchdog.pause: at)
        watchdog.look()


@pytest.mark.usefixtures("old_work")
def test_work_that_is_due_and_not_taken_for_the_whole_time_ends_the_process(
    ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(slots=2, seconds=40)

    watch(monkeypatch, watchdog, looks=9)
    assert ended == []
    watch(monkeypatch, watchdog, looks=10)

    assert ended == [1]


@pytest.mark.django_db
def test_nothing_to_do_is_no_reason(ended: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch, Watchdog(slots=1, seconds=40))

    assert ended == []


def test_an_organization_at_its_cap_is_no_reason(
    ended: list[int], monkeypatch: pytest.MonkeyPatch, work: Work, old_work: Job
) -> None:
    for _ in range(due.RUNNING_PER_ORGANIZATION):
        assert ledger.claim(work.enqueue().pk) is not None

    watch(monkeypatch, Watchdog(slots=1, seconds=40))

    assert ended == []


@pytest.mark.usefixtures("old_work")
def test_a_claim_meanwhile_is_a_sign_of_life(
    ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(slots=1, seconds=40)
    start = float(int(time.monotonic()) + 1_000)
    for number in range(30):
        monkeypatch.setattr(time, "monotonic", lambda at=start + number * 4.0: at)
        if number % 5 == 4:
            progress.note_claim()
        watchdog.look()

    assert ended == []


@pytest.mark.usefixtures("old_work")
@pytest.mark.parametrize(("age", "ends"), [(30, []), (300, [1])], ids=["legal", "beyond the limit"])
def test_slots_that_are_busy_within_their_limit_are_no_reason(
    ended: list[int], monkeypatch: pytest.MonkeyPatch, age: int, ends: list[int]
) -> None:
    busy = [SimpleNamespace(time_start=time.time() - age) for _ in range(2)]
    monkeypatch.setattr(state, "active_requests", busy)

    watch(monkeypatch, Watchdog(slots=2, seconds=40), looks=10)

    assert ended == ends


@pytest.mark.usefixtures("old_work")
def test_a_broker_that_is_away_is_no_reason(
    ended: list[int], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(celery.app.conf, "broker_url", settings.REDIS_URL)

    watch(monkeypatch, Watchdog(slots=1, seconds=40), looks=40)

    assert ended == []


@pytest.mark.usefixtures("old_work")
def test_a_database_that_was_away_starts_the_count_anew(
    ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(slots=1, seconds=40)
    watch(monkeypatch, watchdog, looks=8)

    def refuse(*_arguments: object) -> None:
        raise OperationalError

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        watch(monkeypatch, watchdog, looks=2)

    assert watchdog.suspect_since is None
    watch(monkeypatch, watchdog, looks=8)
    assert ended == []


@pytest.mark.usefixtures("old_work")
def test_a_process_that_was_frozen_gets_its_time_again(
    ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(slots=1, seconds=40)
    watch(monkeypatch, watchdog, looks=5)
    start = time.monotonic() + 600

    monkeypatch.setattr(time, "monotonic", lambda: start)
    watchdog.look()

    assert (ended, watchdog.suspect_since) == ([], None)


@pytest.mark.usefixtures("old_work")
def test_work_of_a_queue_that_is_not_its_own_is_no_reason(
    ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch, Watchdog(slots=1, seconds=40, queues=("background",)), looks=40)

    assert ended == []


# Bells nobody hears ------------------------------------------------------------------------


def test_a_lifeboat_that_does_not_come_back_is_given_up_and_another_one_put_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boats: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def adrift(_command: list[str]) -> subprocess.Popen[bytes]:
        boats.append(start([sys.executable, "-c", "import time; time.sleep(600)"]))
        return boats[-1]

    monkeypatch.setattr(subprocess, "Popen", adrift)
    lifeboat = tending.Lifeboat()
    lifeboat.put_out()
    lifeboat.put_out()
    assert len(boats) == 1
    monkeypatch.setattr(tending, "TASK_SECONDS", -1)

    lifeboat.put_out()

    assert boats[0].wait(timeout=30) == -signal.SIGKILL
    lifeboat.put_out()
    assert len(boats) == 2
    boats[1].kill()
    boats[1].wait()


# A handler that comes in the middle of itself, as a second SIGTERM does, ten thousand times.
TOLD_AGAIN_AND_AGAIN = """
import os, signal, threading, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from sellerlegend.jobs import tending
threads = [threading.Thread(target=tending._repeat, args=(print, 60), daemon=True) for _ in "ab"]
for thread in threads:
    thread.start()
signal.signal(signal.SIGALRM, lambda *_: tending.stop_tending())
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
end = time.monotonic() + 1
while time.monotonic() < end:
    tending.stop_tending()
signal.setitimer(signal.ITIMER_REAL, 0)
for thread in threads:
    thread.join(10)
print("ended", [thread.is_alive() for thread in threads])
"""


def test_a_worker_that_is_told_to_end_while_it_is_told_ends() -> None:
    told = subprocess.run(
        [sys.executable, "-c", TOLD_AGAIN_AND_AGAIN],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert told.stdout == "ended [False, False]\n"
