"""The doorbell. Rows of the ledger say what is to be done; a message only says "look".

Messages carry one job id or one queue name, as JSON, and may be lost or doubled freely.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Celery, signals
from django.conf import settings
from django.db import transaction
from kombu import pools
from kombu.transport import TRANSPORT_ALIASES

from sellerlegend import tallies
from sellerlegend.env import use_project_settings
from sellerlegend.startup import require_sound_configuration

use_project_settings()

logger = logging.getLogger(__name__)

RUN_JOB = "sellerlegend.jobs.run_job"
DRAIN = "sellerlegend.jobs.drain"
SWEEP = "sellerlegend.jobs.sweep"
QUEUES = ("interactive", "background")
# With the cache's second this stays below what a click may take.
PUBLISH_SECONDS = 1.0
# One click may ring many bells: it waits for a broker that is down once, not for each of them.
DEAF_SECONDS = 10.0
TASK_SOFT_SECONDS = 90
TASK_SECONDS = 120
# Sweeps that piled up while no worker ran are thrown away. Longer than clocks may differ.
SWEEP_EXPIRES_SECONDS = 600

TRANSPORT_ALIASES["filesystem"] = "sellerlegend.file_broker:Transport"

app = Celery("sellerlegend")


def configure(celery: Celery) -> None:
    """Celery in its simplest mode (see docs/decisions.md): early ack, prefetch 1, no results."""
    celery.conf.update(
        broker_url=settings.REDIS_URL or "filesystem://",
        broker_transport_options=broker_options(),
        broker_connection_retry_on_startup=True,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        # Without an event loop, as with the broker of files, Celery's processes share one queue
        # and a lock on it: an idle one that is killed takes the lock with it for good.
        worker_pool="prefork" if settings.REDIS_URL else "threads",
        worker_max_tasks_per_child=500,
        worker_enable_remote_control=bool(settings.REDIS_URL),
        worker_hijack_root_logger=False,
        task_soft_time_limit=TASK_SOFT_SECONDS,
        task_time_limit=TASK_SECONDS,
        task_default_queue=QUEUES[0],
        task_publish_retry=False,
        beat_schedule={
            "sweep": {
                "task": SWEEP,
                "schedule": settings.SWEEP_SECONDS,
                "options": {"expires": SWEEP_EXPIRES_SECONDS},
            }
        },
        timezone="UTC",
    )


def broker_options() -> dict[str, Any]:
    """No `socket_timeout` here: on the consuming side it leaks prefetch slots."""
    if settings.REDIS_URL:
        return {"socket_connect_timeout": PUBLISH_SECONDS}
    folder = settings.CELERY_BROKER_DIR
    for name in ("messages", "processed", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "processed_folder": str(folder / "processed"),
        "control_folder": str(folder / "control"),
        "store_processed": False,
        "polling_interval": 0.2,
    }


app.on_configure.connect(lambda **_: configure(app), weak=False)
# Celery runs Django's checks for a worker and throws their answers away.
for starts in (signals.worker_init, signals.beat_init):
    starts.connect(lambda **_: require_sound_configuration(), weak=False)
app.autodiscover_tasks(["sellerlegend.jobs"])


def ring(task: str, argument: str, queue: str) -> None:
    """Send one message after the commit. A bell nobody hears is a metric, not an error:
    the sweep finds the row."""
    transaction.on_commit(lambda: _publish(task, argument, queue), robust=True)


# By address of the broker, until when (monotonic) nobody tries to ring there.
_deaf_until: dict[str, float] = {}


def _publish(task: str, argument: str, queue: str) -> None:
    broker = app.conf.broker_url
    if is_broker_deaf():
        return
    try:
        # Kept open: a new connection costs as much as the rest of a consent's bookkeeping.
        pool = pools.producers[producer_connection()]
        with pool.acquire(block=True, timeout=PUBLISH_SECONDS) as producer:
            app.send_task(task, args=[argument], queue=queue, producer=producer, retry=False)
    except Exception as error:  # noqa: BLE001  # any broker fault: the ledger already holds the job
        _deaf_until[broker] = time.monotonic() + DEAF_SECONDS
        tallies.count("bells_not_heard", queue=queue)
        logger.warning("bell_not_heard", extra={"queue": queue, "cause": type(error).__name__})


def is_broker_deaf() -> bool:
    """Whether a bell of this process was not heard a moment ago."""
    return time.monotonic() < _deaf_until.get(app.conf.broker_url, 0.0)


def is_broker_reachable() -> bool:
    """Ask it, within `PUBLISH_SECONDS`. A broker of files is always there."""
    try:
        with producer_connection() as broker:
            redis = getattr(broker.default_channel, "client", None)
            return redis is None or bool(redis.ping())
    except Exception:  # noqa: BLE001  # whatever is wrong with it
        return False


def producer_connection() -> Any:
    """Short time-outs on the publishing side only."""
    options = dict(broker_options())
    if settings.REDIS_URL:
        options |= {
            "socket_timeout": PUBLISH_SECONDS,
            "retry_on_timeout": False,
            "max_retries": 0,  # else kombu sleeps two seconds before it gives up
        }
    return app.connection_for_write(
        transport_options=options, connect_timeout=PUBLISH_SECONDS, heartbeat=0
    )
