"""A POST straight to the socket: what `requests` does around a call costs a process more CPU than
the call.

Keeps the promises of `http.post_form`: the deadline holds from the first address tried to the last
byte, TLS is verified against the same authorities, nothing is read from the environment, no
redirect is followed and no cookie kept. Each thread has a connection of its own to each host.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPException, HTTPMessage, IncompleteRead, LineTooLong
from urllib.parse import SplitResult, urlsplit

from requests import adapters
from urllib3.util.wait import wait_for_read

from sellerlegend.amazon.transport import IDLE_SECONDS, Response, connect, current

CHUNK_BYTES = 64 * 1024
# The bounds of the standard library.
LINE_BYTES = 64 * 1024
HEADERS = 100

CONTINUE = 100
WITHOUT_BODY = (204, 304)


class Answer(Response):
    """Its header lines are split at their colon: the standard library gives them to a parser of
    mail, which costs more than all else of an answer. A folded line is no header of ours."""

    def begin(self) -> None:
        status = CONTINUE
        while status == CONTINUE:
            # Private, and typeshed leaves it out.
            version, status, self.reason = self._read_status()  # type: ignore[attr-defined]
            self.headers = self.msg = self._read_headers()
        self.code = self.status = status
        self.version = 11 if version.startswith("HTTP/1.") and version != "HTTP/1.0" else 10
        self.will_close = (
            self.version != 11 or "close" in self.headers.get("Connection", "").lower()
        )
        self.chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = self._body_length()
        if self.length is None and not self.chunked:
            self.will_close = True

    def _read_headers(self) -> HTTPMessage:
        found = HTTPMessage()
        for _ in range(HEADERS + 1):
            line = self.fp.readline(LINE_BYTES + 1)
            if len(line) > LINE_BYTES:
                raise LineTooLong("header line")
            if line in (b"\r\n", b"\n"):
                return found
            if not line:
                raise IncompleteRead(b"")
            name, _, value = line.decode("latin-1").partition(":")
            found.set_raw(name, value.strip())
        raise HTTPException("more header lines than one reads")

    def _body_length(self) -> int | None:
        """Bytes to come; None when their end is told otherwise. Raises ValueError."""
        if self.status in WITHOUT_BODY:
            return 0
        said = self.headers.get("Content-Length")
        if self.chunked or said is None:
            return None
        length = int(said)
        if length < 0:
            raise ValueError("a negative length")
        return length


@dataclass
class _Line:
    """A connection that is kept between calls."""

    socket: socket.socket
    process_id: int = field(default_factory=os.getpid)
    used_at: float = field(default_factory=time.monotonic)

    def is_good(self) -> bool:
        """Not a parent's, not rested too long, and silent: what it says unasked is its end, or
        belongs to no answer."""
        is_ours = self.process_id == os.getpid()
        is_warm = time.monotonic() - self.used_at <= IDLE_SECONDS
        return is_ours and is_warm and not wait_for_read(self.socket, 0.0)

    def __del__(self) -> None:
        """With its thread."""
        self.socket.close()


class _Kept(threading.local):
    def __init__(self) -> None:
        self.lines: dict[str, _Line] = {}


_kept = _Kept()


def post(
    url: str, headers: Mapping[str, str], content: bytes, longest: int
) -> tuple[Answer, bytes]:
    """The answer and its body, of which more than `longest` bytes are not waited for. The headers
    are our own words, not checked for line breaks. Only inside a `deadline` block.

    Raises OSError, HTTPException or ValueError when no whole answer came.
    """
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    line = _line_to(origin, parts)
    try:
        line.socket.settimeout(current().remaining())
        line.socket.sendall(_head(parts, headers, len(content)) + content)
        response = Answer(line.socket, method="POST")
        response.begin()
        body = _body(response, longest)
    except BaseException:
        line.socket.close()
        raise
    if response.will_close or not response.isclosed():
        line.socket.close()
    else:
        line.used_at = time.monotonic()
        _kept.lines[origin] = line
    return response, body


def _line_to(origin: str, parts: SplitResult) -> _Line:
    """Taken out of those that are kept: only a whole answer brings it back."""
    line = _kept.lines.pop(origin, None)
    if line is not None:
        if line.is_good():
            return line
        line.socket.close()
    host = parts.hostname or ""
    if parts.scheme != "https":
        return _Line(connect(host, parts.port or 80))
    plain = connect(host, parts.port or 443)
    try:
        plain.settimeout(current().remaining())
        return _Line(_tls(adapters.DEFAULT_CA_BUNDLE_PATH).wrap_socket(plain, server_hostname=host))
    except BaseException:
        plain.close()
        raise


@lru_cache
def _tls(authorities: str) -> ssl.SSLContext:
    """Reading the authorities costs as much as ten calls."""
    context = ssl.create_default_context(cafile=authorities)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {length}\r\n\r\n").encode("ascii")


def _body(response: Answer, longest: int) -> bytes:
    body = bytearray()
    while len(body) <= longest:
        chunk = response.read(CHUNK_BYTES)
        if not chunk:
            break
        body += chunk
    if len(body) <= longest and response.length:
        raise IncompleteRead(b"")
    return bytes(body)
