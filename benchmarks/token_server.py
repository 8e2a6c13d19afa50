"""An LWA token endpoint that answers at once or after a while, in a process of its own (RFC 6749
§5.1). A GET says how many were asked for."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs


class Tokens(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # With headers and body in two writes the second would wait for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    numbers = itertools.count(1)
    seconds = 0.0
    asked = 0

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        number = next(self.numbers)
        Tokens.asked = number
        time.sleep(self.seconds)
        reply = {
            "access_token": f"Atza|bench-{number}-" + "a" * 300,
            # Amazon gives the same one back: it does not rotate.
            "refresh_token": form.get("refresh_token", [f"Atzr|bench-{number}-" + "r" * 300])[0],
            "token_type": "bearer",
            "expires_in": 3600,
        }
        self.answer(json.dumps(reply).encode())

    def do_GET(self) -> None:
        self.answer(json.dumps(Tokens.asked).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@dataclass(frozen=True)
class TokenServer:
    """`address` in the form that `Endpoints.emulator` takes."""

    address: str

    def calls(self) -> int:
        with urllib.request.urlopen(self.address) as reply:  # our own server
            return int(reply.read())


class Server(ThreadingHTTPServer):
    request_queue_size = 100


def serve(told: Connection, seconds: float) -> None:
    Tokens.seconds = seconds
    server = Server(("127.0.0.1", 0), Tokens)
    told.send(server.server_port)
    server.serve_forever()


@contextmanager
def token_server(seconds: float = 0.0) -> Iterator[TokenServer]:
    """Answers `seconds` after it was asked."""
    ours, theirs = multiprocessing.Pipe()
    # Spawned, not forked: a fork would share our database connections.
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(theirs, seconds))
    process.start()
    try:
        yield TokenServer(f"http://127.0.0.1:{ours.recv()}")
    finally:
        process.terminate()
        process.join()
