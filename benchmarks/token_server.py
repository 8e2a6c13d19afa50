"""An LWA token endpoint that answers at once, in a process of its own (RFC 6749 §5.1)."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any


class Tokens(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    numbers = itertools.count(1)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        number = next(self.numbers)
        reply = {
            "access_token": f"Atza|bench-{number}-" + "a" * 300,
            "refresh_token": f"Atzr|bench-{number}-" + "r" * 300,
            "token_type": "bearer",
            "expires_in": 3600,
        }
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


def serve(told: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    told.send(server.server_port)
    server.serve_forever()


@contextmanager
def token_server() -> Iterator[str]:
    """Its base address, in the form that `Endpoints.emulator` takes."""
    ours, theirs = multiprocessing.Pipe()
    # Spawned, not forked: a fork would share our database connections.
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
