"""A Redis of the test's own, which it may stop, freeze and flush."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.workers import wait_until


@dataclass
class OwnRedis:
    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.answers, "a Redis of our own")

    def answers(self) -> bool:
        with contextlib.closing(redis.Redis(port=self.port, socket_timeout=1)) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def cache(self) -> dict[str, Any]:
        """`CACHES["default"]` as in production, here."""
        return {
            "BACKEND": "sellerlegend.shared_cache.SharedCache",
            "LOCATION": self.url,
            "KEY_PREFIX": "own",
            "OPTIONS": {
                "serializer": "sellerlegend.shared_cache.JsonSerializer",
                "socket_timeout": 1,
                "socket_connect_timeout": 1,
            },
        }

    def flush(self) -> None:
        with contextlib.closing(redis.Redis(port=self.port)) as client:
            client.flushall()


@contextlib.contextmanager
def own_redis(folder: Path) -> Iterator[OwnRedis]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = OwnRedis(port=probe.getsockname()[1], folder=folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
