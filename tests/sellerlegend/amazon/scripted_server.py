"""A server on loopback that sends exactly the bytes it is told to, as slowly as it is told to."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Answer = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: str


def reply(status: int, body: bytes | str | object, **headers: str) -> Answer:
    """A whole answer; anything but bytes and text becomes JSON. `Retry_After` is Retry-After."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status} Said so", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def raw(octets: bytes) -> Answer:
    return lambda connection: connection.sendall(octets)


def cut(octets: bytes) -> Answer:
    """Send this much and hang up."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_RDWR)

    return answer


def drip(first: bytes, drop: bytes, *, every: float = 0.05) -> Answer:
    """Never stop and never finish."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(drop)
            time.sleep(every)

    return answer


class ScriptedServer:
    """Gives `answer` to every request and remembers what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answer = reply(200, {})
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing alone does not wake the thread that waits on a socket.
        for waiting in (self._listener, *self._open):
            with suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
            waiting.close()
        for thread in self._threads:
            thread.join(5)

    def hang_up(self) -> None:
        """End what is open; new connections are let in as before."""
        for waiting in self._open:
            with suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection, connection.makefile("rb") as reader:
                while line := reader.readline().decode().strip():
                    headers = dict(_headers(reader.readline))
                    body = reader.read(int(headers.get("content-length", "0"))).decode()
                    self.requests.append(Request(line, headers, body))
                    self.answer(connection)
        except (OSError, ValueError):
            connection.close()


def _headers(readline: Callable[[], bytes]) -> list[tuple[str, str]]:
    found = []
    while line := readline().decode().strip():
        name, _, value = line.partition(":")
        found.append((name.lower(), value.strip()))
    return found
