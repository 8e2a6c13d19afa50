"""The same work as a plain Celery task over Redis, set up as its documentation advises for work
that must not be lost: late acknowledgement, rejection when the process is lost, prefetch one, a
visibility timeout of a minute instead of an hour, retries when the database is away. It imports
nothing of the product.
"""

from __future__ import annotations

import contextlib
import os
import time

import psycopg2
from celery import Celery

TASK = "tests.soak.plain_tasks.onboard"
# As long as the two calls to Amazon take in the product's own job.
AMAZON_SECONDS = 0.8
VISIBILITY_SECONDS = 60
TABLES = """
CREATE TABLE history (
    number bigserial PRIMARY KEY, what text, subject text, organization text,
    at double precision DEFAULT extract(epoch FROM clock_timestamp()),
    worker text DEFAULT current_setting('application_name'),
    backend text DEFAULT pg_backend_pid()::text || ' of ' || pg_postmaster_start_time()::text,
    transaction bigint DEFAULT txid_current()
)
"""
NOTE = "INSERT INTO history (what, subject, organization) VALUES (%s, %s, %s)"

app = Celery("plain", broker=os.environ.get("PLAIN_BROKER", "memory://"))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS},
    broker_connection_retry_on_startup=True,
)


@app.task(
    name=TASK,
    autoretry_for=(psycopg2.OperationalError, psycopg2.InterfaceError),
    retry_backoff=True,
    max_retries=10,
)
def onboard(subject: str, organization: str) -> None:
    """Note the start, take as long as Amazon does, write the effect in one transaction."""
    with contextlib.closing(psycopg2.connect(os.environ["PLAIN_DATABASE"])) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(NOTE, ["claimed", subject, organization])
        time.sleep(AMAZON_SECONDS)
        with connection, connection.cursor() as cursor:
            cursor.execute(NOTE, ["finished", subject, organization])
            cursor.execute(NOTE, ["effect", subject, organization])
