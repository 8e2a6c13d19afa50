"""The yardstick: an ordinary Celery task for each row, which claims it with psycopg2.

Early acknowledgement, no results, JSON, the fastest that docs/performance.md found.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg2
from celery import Celery
from celery.signals import worker_process_init

QUEUE = "plain"
app = Celery("plain", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    task_default_queue=QUEUE,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
_held: dict[str, Any] = {}


@worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery
def connect(**_signal: Any) -> None:
    _held["connection"] = psycopg2.connect(os.environ["DATABASE_URL"])


@app.task(name="plain.finish")  # type: ignore[untyped-decorator]  # Celery
def finish(row_id: str) -> None:
    connection = _held["connection"]
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM plain_row WHERE id = %s AND status = 'queued' FOR UPDATE SKIP LOCKED",
            [row_id],
        )
        if cursor.fetchone():
            cursor.execute(
                "UPDATE plain_row SET status = 'done', finished_at = now() WHERE id = %s", [row_id]
            )
