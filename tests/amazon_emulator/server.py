"""The HTTP/1.1 server: threads, keep-alive, and every way a connection can misbehave."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.amazon_emulator.app import EmulatorApp, Outcome
from tests.amazon_emulator.faults import Fault
from tests.amazon_emulator.wire import Call, Reply

MAX_BODY_BYTES = 1_000_000
IDLE_SECONDS = 60


class EmulatorServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        # Set by whoever knows the address, which port 0 decides only here.
        self.app: EmulatorApp
        self.is_stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._workers: set[threading.Thread] = set()
        self._guard = threading.Lock()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
            self._workers.add(threading.current_thread())
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._connections.discard(request)
                self._workers.discard(threading.current_thread())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are an everyday thing here, bugs are not."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Ends every connection, delayed and dripping ones too, and waits for the threads."""
        self.is_stopping.set()
        self.shutdown()
        with self._guard:
            connections, threads = list(self._connections), list(self._workers)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=2)
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: EmulatorServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        parts = urlsplit(self.path)
        call = Call(
            method=self.command,
            path=unquote(parts.path),
            query_string=parts.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
        )
        self._deliver(self.server.app.answer(call))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        if int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self._send(self._head(Reply(status)))

    # Delivery ---------------------------------------------------------------------------

    def _deliver(self, outcome: Outcome) -> None:
        fault, reply = outcome.fault, outcome.reply
        head = self._head(reply)
        body = b"" if self.command == "HEAD" else reply.body
        if fault is None:
            self._send(head + body)
            return
        if fault.delay and self.server.is_stopping.wait(fault.delay):
            fault.drop = True
        if fault.drop:
            self._hang_up()
            return
        self._deliver_badly(fault, head, body)

    def _deliver_badly(self, fault: Fault, head: bytes, body: bytes) -> None:
        if fault.cut_after is not None:
            body = body[: fault.cut_after]
        if not fault.drip:
            self._send(head + body)
        elif fault.drip_head:
            self._drip(head + body, fault.drip)
        else:
            self._send(head)
            self._drip(body, fault.drip)
        if fault.cut_after is not None:
            self._hang_up()

    def _drip(self, content: bytes, interval: float) -> None:
        for position in range(len(content)):
            if self.server.is_stopping.wait(interval):
                self.close_connection = True
                return
            self._send(content[position : position + 1])

    def _head(self, reply: Reply) -> bytes:
        try:
            phrase = HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {reply.status:d} {phrase}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        if not reply.has_header("Content-Length") and reply.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(reply.body)}")
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def _send(self, content: bytes) -> None:
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Addresses carry codes and states: nothing is logged here, the ledger has it all."""
