"""The bells that were rung: messages in the memory broker of this process."""

from __future__ import annotations

from sellerlegend.celery import QUEUES, app


def heard() -> list[tuple[str, str, str]]:
    """(queue, task, argument) of every message since the last time, and forget them."""
    found = []
    with app.connection_for_read() as connection:
        for queue in QUEUES:
            channel = connection.channel()
            channel.queue_declare(queue=queue)
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                arguments, _, _ = message.decode()
                found.append((queue, message.headers["task"], arguments[0]))
            channel.close()
    return found
