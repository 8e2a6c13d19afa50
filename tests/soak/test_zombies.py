"""T22: a worker that lives, answers and takes nothing is ended, and its successor does the work.

What lab L8 saw: a process that is alive and a pool that never gets anything to do. Here the pool
is frozen, so the worker takes messages, hands them over and hears nothing back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplaces import services as marketplace_services
from sellerlegend.env import PROJECT_DIR
from sellerlegend.jobs.models import Job, Slot
from sellerlegend.organizations.models import Organization
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.soak.crew import Crew, Post
from tests.soak.ours import worker
from tests.workers import Office, open_office, pool_of, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
    pytest.mark.timeout(240),
]

# In production 45: the same code with its clock turned down. `WATCHDOG=45` takes the real one.
WATCHDOG_SECONDS = float(os.environ.get("WATCHDOG", "12"))
JOBS = 6


@pytest.fixture
def office(transactional_db: None, amazon: RunningEmulator, tmp_path: Path) -> Iterator[Office]:
    with open_office("redis", amazon.url, tmp_path) as opened:
        opened.environment |= {"WATCHDOG_SECONDS": str(WATCHDOG_SECONDS), "SWEEP_SECONDS": "3"}
        yield opened


def begin_readings(amazon: RunningEmulator, organization: Organization) -> None:
    for number in range(JOBS):
        seller = f"A{number:013d}"
        amazon.world.add_seller(seller, marketplaces=["US"])
        token = amazon.world.authorize(seller, "NA")
        row = factories.make_connection(organization, seller=seller, refresh_token=token)
        job = marketplace_services.begin_reading(connection=row)
        assert job.status == Job.Status.QUEUED


def answers_ping(office: Office) -> bool:
    """What most people would look at."""
    command = [sys.executable, "-m", "celery", "--app", "sellerlegend", "inspect", "ping"]
    told = subprocess.run(
        [*command, "--timeout", "10"],
        cwd=PROJECT_DIR,
        env=office.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "pong" in told.stdout


def test_a_zombie_is_found_in_time_and_the_supervisors_new_worker_finishes(
    amazon: RunningEmulator, office: Office, tmp_path: Path
) -> None:
    post = Post("worker1", worker("worker1"))
    crew = Crew(tmp_path, office.environment, [post])
    try:
        crew.open()
        wait_until(Slot.objects.exists, "first sweep, so the worker tends")
        zombie = post.pid
        pool = pool_of(zombie)
        for child in pool:
            os.kill(child, signal.SIGSTOP)
        began = time.monotonic()
        begin_readings(amazon, factories.make_organization())

        assert answers_ping(office)
        assert not Job._base_manager.exclude(status=Job.Status.QUEUED).exists()
        while post.generation == 1 and time.monotonic() - began < 2 * WATCHDOG_SECONDS + 30:
            time.sleep(0.1)
        found = time.monotonic() - began

        assert post.generation == 2, "nobody ended it"
        assert "worker_stuck" in crew.log_of(post)
        print(f"found after {found:.1f} s")  # noqa: T201  # the figure, with -s
        assert found < WATCHDOG_SECONDS + 15
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pool), "dead pool")
        wait_until(lambda: Job._base_manager.filter(status="done").count() == JOBS, "all work done")
    finally:
        crew.close()
