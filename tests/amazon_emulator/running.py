"""Starting and stopping: one emulator in a thread, for tests and for the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.amazon_emulator import demo
from tests.amazon_emulator.app import EmulatorApp
from tests.amazon_emulator.clock import Clock
from tests.amazon_emulator.faults import Faults
from tests.amazon_emulator.ledger import Ledger
from tests.amazon_emulator.server import EmulatorServer
from tests.amazon_emulator.world import World


@dataclass
class RunningEmulator:
    """`url` is the value of AMAZON_EMULATOR_URL."""

    url: str
    app: EmulatorApp

    @property
    def world(self) -> World:
        return self.app.world

    @property
    def ledger(self) -> Ledger:
        return self.app.ledger

    @property
    def faults(self) -> Faults:
        return self.app.faults

    @property
    def clock(self) -> Clock:
        return self.app.world.clock

    def scenario(self, name: str, **options: Any) -> None:
        """Starts a named scenario; KeyError for an unknown name, TypeError for wrong options."""
        self.app.scenarios.start(name, **options)

    def reset(self) -> None:
        self.app.reset()

    def advance_clock(self, seconds: float) -> None:
        self.world.advance_clock(seconds)

    def issued_secrets(self) -> frozenset[str]:
        """Every token, code and secret issued so far, to be searched for in other places."""
        with self.world.lock:
            return frozenset(self.world.issued)


@contextmanager
def running_emulator(
    *,
    product_url: str = "http://localhost:8000",
    world_file: Path | None = None,
    queue_file: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    public_url: str | None = None,
    remember_secrets: bool = True,
) -> Iterator[RunningEmulator]:
    """Serves until the block ends. With `world_file` the world of an earlier start goes on;
    otherwise, and at the first start, it is the demo world. `public_url` is the address that
    browsers use when it is not `host` and `port`."""
    world = World(product_url=product_url, file=world_file, queue_file=queue_file)
    world.remembers_secrets = remember_secrets
    server = EmulatorServer((host, port))
    url = public_url or f"http://{host}:{server.server_address[1]}"
    server.app = EmulatorApp(world, url.rstrip("/"))
    if world_file is not None and world_file.exists():
        world.load(json.loads(world_file.read_text(encoding="utf-8")))
    else:
        demo.fill(world)
    world.save_if_changed()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="amazon-emulator"
    )
    thread.start()
    try:
        yield RunningEmulator(url=url, app=server.app)
    finally:
        server.stop()
        thread.join()
        with world.lock:
            world.save_if_changed()
