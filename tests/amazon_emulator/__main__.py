"""`python -m tests.amazon_emulator`: the fake Amazon for people and browser tests."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path

from tests.amazon_emulator.applications import (
    ADS_CLIENT_ID,
    ADS_CLIENT_SECRET,
    SPAPI_APPLICATION_ID,
    SPAPI_CLIENT_ID,
    SPAPI_CLIENT_SECRET,
    Kind,
)
from tests.amazon_emulator.running import running_emulator
from tests.amazon_emulator.world import World

# The same names the product reads, so that one environment serves both.
CREDENTIALS = {
    "SPAPI_APPLICATION_ID": SPAPI_APPLICATION_ID,
    "SPAPI_CLIENT_ID": SPAPI_CLIENT_ID,
    "SPAPI_CLIENT_SECRET": SPAPI_CLIENT_SECRET,
    "ADS_CLIENT_ID": ADS_CLIENT_ID,
    "ADS_CLIENT_SECRET": ADS_CLIENT_SECRET,
}


def main() -> None:
    options = _parser().parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    with running_emulator(
        product_url=options.product_url,
        world_file=options.world,
        queue_file=options.queue or (options.world and options.world.with_suffix(".queue.jsonl")),
        host=options.host,
        port=options.port,
        public_url=options.public_url,
        remember_secrets=False,
    ) as emulator:
        _register_credentials(emulator.world)
        print(f"Fake Amazon on {emulator.url}, control page {emulator.url}/_control/", flush=True)
        stop.wait()
    print("Fake Amazon stopped", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.amazon_emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument(
        "--public-url", help="address that browsers use, if it is not the one listened on"
    )
    parser.add_argument(
        "--product-url",
        default="http://localhost:8000",
        help="where the product runs; its callback and login addresses are registered",
    )
    parser.add_argument("--world", type=Path, help="file that keeps the world between starts")
    parser.add_argument(
        "--queue", type=Path, help="file for the messages of secret rotation (JSON lines)"
    )
    return parser


def _register_credentials(world: World) -> None:
    """The environment may name other credentials than the demo's."""
    given = {name: os.environ.get(name) or value for name, value in CREDENTIALS.items()}
    with world.lock:
        world.applications["spapi"].application_id = given["SPAPI_APPLICATION_ID"]
        kinds: tuple[tuple[Kind, str], ...] = (("spapi", "SPAPI"), ("ads", "ADS"))
        for kind, prefix in kinds:
            application = world.applications[kind]
            application.client_id = given[f"{prefix}_CLIENT_ID"]
            secret = given[f"{prefix}_CLIENT_SECRET"]
            is_demo = secret == CREDENTIALS[f"{prefix}_CLIENT_SECRET"]
            # A demo secret that a scenario or a rotation replaced stays replaced.
            if not is_demo and application.find_secret(secret, world.clock) is None:
                application.register_secret(secret, world.clock)
        world.changed()
        world.save_if_changed()


if __name__ == "__main__":
    main()
