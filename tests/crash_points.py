"""A process of the product that dies like a power cut at one named point, once.

`python -m tests.crash_points POINT ACTION ARGUMENT…`: a point is `before` or `after` a function,
by module and name. The function itself is the product's own and does what it always does; only
`os._exit(9)` comes first or last. The product holds no such points.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import django

EXIT_CODE = 9


def arm(point: str) -> None:
    """`point` is `before module:function` or `after module:function`."""
    when, _, place = point.partition(" ")
    module_name, _, name = place.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, name)

    @functools.wraps(function)
    def dying(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            function(*args, **kwargs)
        os._exit(EXIT_CODE)

    setattr(module, name, dying)


def run_job(job_id: str) -> None:
    from sellerlegend.jobs import ledger

    ledger.run(UUID(job_id))


def begin_reading(connection_id: str) -> None:
    """What the button *Refresh* does, without its page."""
    from connections.models import Connection
    from marketplaces import services

    services.begin_reading(connection=Connection._base_manager.get(pk=connection_id))


def open_callback(session: str, address: str) -> None:
    """A browser with this session comes back from Amazon."""
    from django.conf import settings
    from django.test import Client

    client = Client(SERVER_NAME="localhost")
    client.cookies[settings.SESSION_COOKIE_NAME] = session
    print(client.get(address).status_code)  # noqa: T201  # for whoever finds it alive


ACTIONS: dict[str, Callable[..., None]] = {
    "run_job": run_job,
    "begin_reading": begin_reading,
    "open_callback": open_callback,
}


def main() -> None:
    django.setup()
    _, point, action, *arguments = sys.argv
    arm(point)
    ACTIONS[action](*arguments)


if __name__ == "__main__":
    main()
