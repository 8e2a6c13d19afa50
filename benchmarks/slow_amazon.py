"""Login with Amazon, answering each refresh after 50 ms, in a process of its own.

One loop and no parser of HTTP: a server with a thread for each caller would be asked for more than
it can give on the machine that the product is measured on, and then it would be measured.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from urllib.parse import parse_qs

from sellerlegend.amazon.regions import MARKETPLACES

LATENCY_SECONDS = 0.05
JAPAN = MARKETPLACES["A1VC38T7YXB528"]
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


class Caller(asyncio.Protocol):
    """One connection: a POST is a refresh, a GET asks how many were waiting at once at most."""

    waiting = 0
    most = 0
    asked = 0

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(END_OF_HEAD)
        if found and len(body) >= length_of(head):
            self.received = b""
            if head.startswith(b"GET"):
                self.answer({"asked": Caller.asked, "most": Caller.most})
            else:
                self.refresh(parse_qs(body.decode())["refresh_token"][0])

    def refresh(self, token: str) -> None:
        Caller.asked += 1
        Caller.waiting += 1
        Caller.most = max(Caller.most, Caller.waiting)
        loop = asyncio.get_running_loop()
        loop.call_later(LATENCY_SECONDS, self.give, Caller.asked, token)

    def give(self, number: int, token: str) -> None:
        Caller.waiting -= 1
        self.answer(
            {
                "access_token": f"Atza|bench-{number}-" + "a" * 300,
                # Amazon gives the same one back: it does not rotate.
                "refresh_token": token,
                "token_type": "bearer",
                "expires_in": 3600,
            }
        )

    def answer(self, fields: dict[str, object]) -> None:
        body = json.dumps(fields).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.transport.write(head.encode() + END_OF_HEAD + body)


def length_of(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(LENGTH):
            return int(line.removeprefix(LENGTH))
    return 0


def serve(told: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Caller, "127.0.0.1", 0, backlog=256)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@dataclass(frozen=True)
class SlowAmazon:
    """`address` in the form that `Endpoints.emulator` takes."""

    address: str

    def seen(self) -> dict[str, int]:
        """How many refreshes were `asked` for, and how many waited at once at `most`."""
        with urllib.request.urlopen(self.address) as reply:  # our own server
            found: dict[str, int] = json.loads(reply.read())
        return found


@contextmanager
def slow_amazon() -> Iterator[SlowAmazon]:
    ours, theirs = multiprocessing.Pipe()
    # Spawned, not forked: a fork would share our database connections.
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield SlowAmazon(f"http://127.0.0.1:{ours.recv()}")
    finally:
        process.terminate()
        process.join()
