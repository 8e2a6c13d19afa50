"""The proxy of docker-compose.yml, in front of a real gunicorn: who sends slowly keeps nobody
waiting (F10, T20)."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.own_nginx import OwnNginx, own_nginx
from tests.web import web
from tests.workers import database_url

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.needs_postgresql,
    pytest.mark.needs_nginx,
]

PATIENCE_SECONDS = 2.5
# The configured 8 s, and a moment for 300 sockets on a busy machine.
CLOSED_AFTER_SECONDS = 12.0
STEP_SECONDS = 0.2
# With the cookie but no header of the same value, Django looks for the token in the body.
OPENING = b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\nCookie: csrf=%b\r\nX-Slow: " % (
    b"a" * 32
)
BODY = b"yes\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\na"


@dataclass(frozen=True)
class Kind:
    """`first` goes out at once; then, with `is_dripping`, a byte with every step."""

    count: int
    first: bytes
    is_dripping: bool = False


KINDS = {
    "silent": Kind(60, b""),
    "header that stops": Kind(60, OPENING),
    "header that drips": Kind(60, OPENING, is_dripping=True),
    "body that stops": Kind(60, OPENING + BODY),
    "body that drips": Kind(60, OPENING + BODY, is_dripping=True),
}
# nginx counts the pauses within a body, not its time: such a one keeps its socket, and no thread.
KEEPS_ITS_SOCKET = "body that drips"


@dataclass
class Crowd:
    """Slow senders; a socket goes when the other side closes it."""

    lines: dict[socket.socket, str] = field(default_factory=dict)
    watch: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def arrive(self, port: int) -> None:
        for name, kind in KINDS.items():
            for _ in range(kind.count):
                line = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
                line.sendall(kind.first)
                self.lines[line] = name
                self.watch.register(line, selectors.EVENT_READ)

    def step(self) -> None:
        """Whoever was closed goes, with whatever the other side said before."""
        for key, _ in self.watch.select(timeout=0):
            line = key.fileobj
            assert isinstance(line, socket.socket)
            if not self.hears(line):
                self.watch.unregister(line)
                line.close()
                del self.lines[line]
        for line, name in self.lines.items():
            if KINDS[name].is_dripping:
                with suppress(OSError):
                    line.send(b"a")

    def hears(self, line: socket.socket) -> bool:
        try:
            return bool(line.recv(65_536))
        except ConnectionResetError:
            return False

    def left(self) -> dict[str, int]:
        names = list(self.lines.values())
        return {name: names.count(name) for name in KINDS if name in names}

    def leave(self) -> None:
        self.watch.close()
        for line in self.lines:
            line.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[OwnNginx]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    production = {"TRUSTED_PROXY_COUNT": "1", "DATABASE_URL": database_url(), "REDIS_URL": ""}
    with (
        web(tmp_path, **production) as url,
        own_nginx(folder, urlsplit(url).port or 0) as nginx,
    ):
        yield nginx


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    crowd.leave()


def test_three_hundred_slow_sockets_keep_nobody_waiting(proxy: OwnNginx, crowd: Crowd) -> None:
    assert sum(kind.count for kind in KINDS.values()) == 300
    crowd.arrive(proxy.port)
    began = time.monotonic()
    took = []

    while crowd.left().keys() != {KEEPS_ITS_SOCKET}:
        assert time.monotonic() - began < CLOSED_AFTER_SECONDS, crowd.left()
        crowd.step()
        asked = time.monotonic()
        # Fails when an answer does not begin in time.
        answer = requests.get(f"{proxy.url}/accounts/login/", timeout=PATIENCE_SECONDS)
        took.append(time.monotonic() - asked)
        assert answer.status_code == 200
        time.sleep(STEP_SECONDS)

    assert max(took) < PATIENCE_SECONDS
    assert len(took) > 10
    assert crowd.left() == {KEEPS_ITS_SOCKET: KINDS[KEEPS_ITS_SOCKET].count}
