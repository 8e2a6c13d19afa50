"""`python -m sellerlegend.jobs.lifeboat`: due work of every queue, once, without a message.

A worker starts it while the broker hears no bells (`tending.py`).
"""

from __future__ import annotations

import django

from sellerlegend.celery import QUEUES

SECONDS = 5.0


def main() -> None:
    django.setup()

    from sellerlegend.jobs import draining  # noqa: PLC0415  # the models had to come first

    for queue in QUEUES:
        draining.drain(queue, seconds=SECONDS)


if __name__ == "__main__":
    main()
