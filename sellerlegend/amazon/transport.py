"""A total deadline for a call; `requests`, as sockets, only limits each single wait.

A server that sends a byte a second never trips a read timeout, neither in the headers nor in the
body. Here every wait of a call, from the first address tried to the last byte of the body, gets
no more than what is left of the same clock. Name resolution alone is bounded by the resolver.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECT_SECONDS = 3.0
# Shorter than any idle timeout on the way: a connection dropped in silence costs a whole call.
IDLE_SECONDS = 30.0


class Deadline:
    """`seconds` from now, and no longer than one `within` which it lies."""

    def __init__(self, seconds: float, within: Deadline | None = None) -> None:
        ends_at = time.monotonic() + seconds
        self._ends_at: float = ends_at if within is None else min(ends_at, within._ends_at)

    def remaining(self, at_most: float | None = None) -> float:
        """Seconds left. Raises TimeoutError when there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline passed")
        return left if at_most is None else min(left, at_most)


_deadline: ContextVar[Deadline | None] = ContextVar("_deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Calls made inside the block, by whichever way of this package, share `seconds`. A block
    inside another gets no more than what is left of that."""
    token = _deadline.set(Deadline(seconds, within=_deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


def current() -> Deadline:
    """Raises LookupError outside a `deadline` block: a call fails instead of waiting for ever."""
    clock = _deadline.get()
    if clock is None:
        raise LookupError("no deadline")
    return clock


class _DeadlineReader(io.RawIOBase):
    """The receiving side of a socket, which waits no longer than the deadline allows."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, clock: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(self._clock.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Response(http.client.HTTPResponse):
    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(raw, sock, current()))


def connect(host: str, port: int) -> socket.socket:
    """Try each address of the host for three seconds, all of them within the deadline."""
    clock = current()
    failure = OSError("the host has no address")
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in addresses:
        try:
            return create_connection(
                (str(address[0]), int(address[1])),
                timeout=clock.remaining(at_most=CONNECT_SECONDS),
                socket_options=HTTPConnection.default_socket_options,
            )
        except OSError as error:
            failure = error
    raise failure


class _HTTPConnection(HTTPConnection):
    response_class = Response
    # The standard library's switch prints headers and bodies, so tokens: ours stays off.
    debuglevel = 0

    def _new_conn(self) -> socket.socket:
        return connect(self._dns_host, self.port)


class _HTTPSConnection(HTTPSConnection):
    response_class = Response
    debuglevel = 0

    def _new_conn(self) -> socket.socket:
        return connect(self._dns_host, self.port)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class DeadlineAdapter(HTTPAdapter):
    """Works only inside a `deadline` block: without one a call fails instead of waiting."""

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
