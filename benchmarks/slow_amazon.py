"""Login with Amazon and the Sellers API, each answering after 50 ms, in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from multiprocessing.connection import Connection

from benchmarks.token_server import Tokens
from sellerlegend.amazon.regions import MARKETPLACES

LATENCY_SECONDS = 0.05
CALLERS = 128
JAPAN = MARKETPLACES["A1VC38T7YXB528"]


class SlowAmazon(Tokens):
    body = json.dumps(
        {
            "payload": [
                {
                    "marketplace": {
                        "id": JAPAN.marketplace_id,
                        "name": JAPAN.name,
                        "countryCode": JAPAN.country_code,
                        "defaultCurrencyCode": JAPAN.currency,
                        "defaultLanguageCode": JAPAN.language,
                        "domainName": JAPAN.domain,
                    },
                    "storeName": "Northstar",
                    "participation": {"isParticipating": True, "hasSuspendedListings": False},
                }
            ]
        }
    ).encode()

    def do_POST(self) -> None:
        time.sleep(LATENCY_SECONDS)
        super().do_POST()

    def do_GET(self) -> None:
        time.sleep(LATENCY_SECONDS)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)


class ManyCallers(ThreadingHTTPServer):
    request_queue_size = CALLERS


def serve(told: Connection) -> None:
    server = ManyCallers(("127.0.0.1", 0), SlowAmazon)
    told.send(server.server_port)
    server.serve_forever()


@contextmanager
def slow_amazon() -> Iterator[str]:
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
