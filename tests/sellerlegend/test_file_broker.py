"""The embedded broker never delivers half a message, and survives one that it finds."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

MESSAGES = 300


def connect(folder: Path) -> Any:
    names = {"data_folder_in": "messages", "data_folder_out": "messages"}
    names |= {"processed_folder": "processed", "control_folder": "control"}
    for name in names.values():
        (folder / name).mkdir(exist_ok=True)
    options = {option: str(folder / name) for option, name in names.items()}
    return Connection("filesystem://", transport_options=options)


@pytest.fixture
def name() -> str:
    """New each time: kombu remembers bindings for the life of a process, whatever the folder."""
    return f"queue-{uuid.uuid4()}"


@pytest.fixture
def queue(tmp_path: Path, name: str) -> Iterator[Any]:
    with connect(tmp_path) as connection, connection.SimpleQueue(name) as queue:
        yield queue


def test_every_message_of_a_hasty_sender_arrives_whole(
    tmp_path: Path, name: str, queue: Any
) -> None:
    def send() -> None:
        with connect(tmp_path) as connection, connection.SimpleQueue(name) as sending:
            for number in range(MESSAGES):
                sending.put({"number": number})

    sender = threading.Thread(target=send)
    sender.start()
    arrived = []
    for _ in range(MESSAGES):
        message = queue.get(timeout=10)
        message.ack()
        arrived.append(message.payload["number"])
    sender.join()

    assert sorted(arrived) == list(range(MESSAGES))
    assert list((tmp_path / "messages").iterdir()) == []


def test_half_a_message_is_passed_over(tmp_path: Path, name: str, queue: Any) -> None:
    (tmp_path / "messages" / f"0_cut-short.{name}.msg").write_bytes(b"")
    queue.put({"number": 1})

    with pytest.raises(queue.Empty):
        queue.get_nowait()
    message = queue.get(timeout=5)
    message.ack()

    assert message.payload == {"number": 1}


def test_a_table_of_queues_is_whole_from_its_first_moment(tmp_path: Path, name: str) -> None:
    barrier = threading.Barrier(8)
    seen: list[list[tuple[str, str, str]]] = []

    def bind() -> None:
        with connect(tmp_path) as connection:
            channel = connection.default_channel
            barrier.wait()
            channel._queue_bind(name, name, "", name)
            seen.append([tuple(entry) for entry in channel.get_table(name)])

    threads = [threading.Thread(target=bind) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [[(name, "", name)]] * 8
