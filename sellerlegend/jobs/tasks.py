"""The tasks, for ever: names and signatures never change (old messages may still arrive)."""

from __future__ import annotations

from uuid import UUID

from celery.signals import worker_ready, worker_shutting_down

from sellerlegend.celery import DRAIN, RUN_JOB, SWEEP, app
from sellerlegend.jobs import ledger, tending

worker_ready.connect(tending.start_tending, weak=False)
worker_shutting_down.connect(tending.stop_tending, weak=False)


@app.task(name=RUN_JOB)
def run_job(job_id: str) -> None:
    ledger.run_next(UUID(job_id))


@app.task(name=DRAIN)
def drain(queue: str) -> None:
    ledger.drain(queue)


@app.task(name=SWEEP)
def sweep() -> None:
    ledger.sweep_in_turn()
