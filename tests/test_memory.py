"""E31: a process that works for long does not grow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.amazon_emulator import RunningEmulator
from tests.workers import open_office

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.needs_redis,
]

JOBS = 2_000
MEGABYTE = 1024 * 1024

# Drains as a worker does: batches, groups and single jobs, a third of which fail inside.
# Prints how many objects there are and what the process occupies, before and after.
DRAINS = """
import gc, json, os, sys, uuid
import django
django.setup()
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from tests import factories

seen = 0
def run(claim):
    global seen
    seen += 1
    try:
        if seen % 3 == 0:
            raise ValueError("x" * 10_000)
        error = ""
    except ValueError as failure:
        error = type(failure).__name__
    with claim.finishing(error=error):
        pass

def run_many(claims):
    global seen
    seen += len(claims)
    with ledger.finishing_many(claims):
        pass

for name, many in (("tests.single", None), ("tests.grouped", run_many)):
    ledger.register(ledger.Kind(name=name, run=run, changed=lambda job: None,
                                give_up=lambda job: None, run_many=many))
organizations = [factories.make_organization() for _ in range(5)]

def work(jobs):
    for organization in organizations:
        for name in ("tests.single", "tests.grouped"):
            connection = uuid.uuid4()
            rows = [(uuid.uuid4(), connection) for _ in range(jobs // 10)]
            ledger.enqueue_many(name, organization=organization, subjects=rows)
    while ledger.drain("interactive"):
        pass

def occupied():
    gc.collect()
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return [len(gc.get_objects()), pages * os.sysconf("SC_PAGE_SIZE")]

work(400)
before = occupied()
begun = seen
work(int(sys.argv[1]))
print(json.dumps([before, occupied(), seen - begun]))
"""


def test_two_thousand_jobs_leave_nothing_in_memory(amazon: RunningEmulator, tmp_path: Path) -> None:
    with open_office("redis", amazon.url, tmp_path) as office:
        # As in production: with DEBUG Django remembers its queries.
        office.environment |= {
            "DJANGO_SETTINGS_MODULE": "tests.soak.settings",
            "LOG_LEVEL": "WARNING",
        }
        program = office.run_python(DRAINS, str(JOBS))
        printed, _ = program.communicate(timeout=100)

    before, after, done = json.loads(printed.splitlines()[-1])
    objects, occupied = after[0] - before[0], after[1] - before[1]
    assert done == JOBS
    # One object kept of every fourth job would be a leak.
    assert objects < JOBS / 4
    assert occupied < 4 * MEGABYTE, f"{occupied / MEGABYTE:.1f} MB"
