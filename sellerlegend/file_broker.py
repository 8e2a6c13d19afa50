"""The embedded broker: kombu's transport of files, without its half-written messages.

Kombu opens a message under its final name and writes it afterwards. A worker that looks in
between reads an empty file, and its whole consumer dies of it. Here a message gets its name when
it is complete, and one that cannot be read is a bell that nobody heard: the sweep finds the row.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from json import JSONDecodeError
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):  # type: ignore[misc]  # kombu is not annotated
    def _put(self, queue: str, payload: Any, **_options: Any) -> None:
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}"
        folder = Path(self.data_folder_out)
        unfinished = folder / f"{name}.{queue}.unfinished"
        unfinished.write_text(dumps(payload))
        unfinished.rename(folder / f"{name}.{queue}.msg")

    def _get(self, queue: str) -> Any:
        try:
            return super()._get(queue)
        except JSONDecodeError:
            raise Empty from None

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Two processes may create one table at once, and a third one read it meanwhile."""
        table = self._exchange_file(exchange)
        if not table.exists():
            unfinished = table.with_suffix(f".{uuid.uuid4()}")
            unfinished.write_text("[]")
            with contextlib.suppress(FileExistsError):
                os.link(unfinished, table)
            unfinished.unlink()
        super()._queue_bind(exchange, routing_key, pattern, queue)


class Transport(filesystem.Transport):  # type: ignore[misc]  # kombu is not annotated
    Channel = Channel
