"""`python -m benchmarks.callers`: some callers at once, each asking again when it is answered.

A process of its own, so that no caller waits for the interpreter of who measures. Reads one JSON
object from its input (`port`, `path`, `headers`, `callers`, `seconds`) and writes the seconds that
each answer took. Any other status than 200 and 204 ends it with an error.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def answers(order: dict[str, Any]) -> list[float]:
    """One caller's, over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", order["port"], timeout=30)
    took: list[float] = []
    end = time.monotonic() + order["seconds"]
    while time.monotonic() < end:
        began = time.monotonic()
        connection.request("GET", order["path"], headers=order["headers"])
        answer = connection.getresponse()
        answer.read()
        took.append(time.monotonic() - began)
        if answer.status not in (200, 204):
            raise RuntimeError(f"answered {answer.status}")
    connection.close()
    return took


def main() -> None:
    order = json.load(sys.stdin)
    with ThreadPoolExecutor(order["callers"]) as pool:
        each = pool.map(answers, [order] * order["callers"])
        json.dump([seconds for took in each for seconds in took], sys.stdout)


if __name__ == "__main__":
    main()
