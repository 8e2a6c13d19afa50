"""T4 among real processes: what a worker says to Redis, to its log, to `ps` and to a backup.

A Redis of the test's own is listened to from the first command on (MONITOR), then every value it
holds is dumped. Workers log at DEBUG; Celery's events are switched off in the product. WAL files
need a cluster of one's own and hold what the tables hold, which `pg_dump` shows.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from marketplaces import onboarding
from marketplaces import services as marketplace_services
from ppc import upkeep
from sellerlegend.celery import RUN_JOB
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.own_redis import OwnRedis, own_redis
from tests.test_no_secret_leaks import Collected, leaks, own_secrets
from tests.workers import Office, Worker, database_url, open_office, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
    pytest.mark.timeout(300),
]

SELLER = "A1NORTHSTAR001"
LOGIN = "ads@northstar.example"
SPOKEN = "spoken"
OVER = (Job.Status.DONE, Job.Status.DEAD, Job.Status.WAITING)


@contextlib.contextmanager
def monitored(server: OwnRedis, path: Path) -> Iterator[None]:
    """Every command that anybody sends to this Redis, written to a file."""
    with path.open("wb") as output:
        listener = subprocess.Popen(["redis-cli", "-p", str(server.port), "monitor"], stdout=output)
        try:
            wait_until(lambda: path.read_bytes().startswith(b"OK"), "a listener")
            yield
        finally:
            listener.terminate()
            listener.wait()


@contextlib.contextmanager
def office_on(server: OwnRedis, amazon: RunningEmulator, folder: Path) -> Iterator[Office]:
    with open_office("redis", amazon.url, folder) as office:
        office.environment |= {"REDIS_URL": server.url}
        office.broker_url = server.url
        yield office


def work_of_all_kinds(amazon: RunningEmulator) -> list[Job]:
    """Readings, onboarding and listings that go well, and a consent that was revoked."""
    organization = factories.make_organization("Northstar Trading")
    row = factories.make_connection(
        organization, seller=SELLER, refresh_token=amazon.world.authorize(SELLER, "NA")
    )
    grant = factories.make_ads_grant(organization, refresh_token=amazon.world.authorize_ads(LOGIN))
    accounts = [factories.make_account(row)]
    onboarding.begin_onboarding(
        connection=row,
        account_ids=[account.pk for account in accounts],
        actor=COMMAND,
    )
    revoked = factories.make_connection(
        organization, seller="A2BLUEHARBOR02", refresh_token="Atzr|never-issued-" + "x" * 40
    )
    return [
        marketplace_services.begin_resync(connection=row),
        marketplace_services.begin_reading(connection=revoked),
        *upkeep.begin_grant_resync(grant=grant, actor=COMMAND),
        *Job.objects.for_organization(organization).filter(kind=onboarding.ONBOARD),
    ]


def are_over(jobs: list[Job]) -> bool:
    found = Job._base_manager.filter(pk__in=[job.pk for job in jobs])
    return all(status in OVER for status in found.values_list("status", flat=True))


def patiently(happened: Callable[[], bool], what: str) -> None:
    """A worker at DEBUG on a busy machine takes its time."""
    for _ in range(3):
        with contextlib.suppress(TimeoutError):
            wait_until(happened, what)
    assert happened(), f"no {what}"


def run(office: Office, worker: Worker, jobs: list[Job]) -> None:
    patiently(lambda: b"BRPOP" in (office.folder / SPOKEN).read_bytes(), "a worker that listens")
    for job in jobs:
        office.tell(RUN_JOB, str(job.pk))
    # Celery logs the body of a message whose task it does not know.
    office.tell("sellerlegend.no_such_task", str(jobs[0].pk))
    patiently(lambda: are_over(jobs), "end of the work")
    patiently(lambda: "no_such_task" in worker.log.read_text(), "an unknown task in the log")


def command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


def opened(said: bytes) -> list[bytes]:
    """Kombu wraps a message's body in base64."""
    found = []
    for run_of_letters in re.findall(rb"[A-Za-z0-9+/]{40,}={0,2}", said):
        with contextlib.suppress(ValueError):
            found.append(base64.b64decode(run_of_letters))
    return found


def dump_everything(server: OwnRedis, seen: Collected) -> None:
    with contextlib.closing(redis.Redis(port=server.port)) as client:
        for key in client.scan_iter("*"):
            seen.add("redis", [key, client.dump(key)])
            if client.type(key) == b"string":
                seen.add("redis", client.get(key))


def dump_as_a_backup(seen: Collected) -> None:
    program = shutil.which("pg_dump") or "/usr/lib/postgresql/15/bin/pg_dump"
    done = subprocess.run(
        [program, "--dbname", database_url()], capture_output=True, check=True, env=os.environ
    )
    seen.add("pg_dump", done.stdout)


def test_no_secret_leaves_a_worker(amazon: RunningEmulator, tmp_path: Path) -> None:
    seen = Collected()
    jobs = work_of_all_kinds(amazon)
    amazon.scenario("html_error_page", surface="sellers", times=1)
    spoken = tmp_path / SPOKEN
    with (
        own_redis(tmp_path) as server,
        monitored(server, spoken),
        office_on(server, amazon, tmp_path) as office,
    ):
        worker = office.hire(concurrency=2, loglevel="DEBUG")
        run(office, worker, jobs)
        seen.add("command lines", command_lines())
        dump_everything(server, seen)
        dump_as_a_backup(seen)
        seen.add("worker log", worker.log.read_text())
    seen.add("redis monitor", spoken.read_bytes())
    seen.add("messages", b"\n".join(opened(spoken.read_bytes())))

    secrets = amazon.issued_secrets() | own_secrets()
    assert len(secrets) > 4
    assert "grant_refreshed" in seen.outputs["worker log"]
    assert "access-token:" in seen.outputs["redis"]
    assert all(str(job.pk) in seen.outputs["messages"] for job in jobs)
    assert "connections_spapigrant" in seen.outputs["pg_dump"]
    assert "celery" in seen.outputs["command lines"]
    assert leaks(seen.outputs, secrets) == []
