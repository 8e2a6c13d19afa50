"""The two ways a call of ours takes: through `requests`, and straight to the socket. What is
promised of a call holds on both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.http import Reply, post_form, send

Way = Callable[..., Reply]


def _form(url: str, *, endpoints: Endpoints, operation: str, seconds: float = 5.0) -> Reply:
    return post_form(url, {"a": "b"}, endpoints=endpoints, operation=operation, seconds=seconds)


WAYS: dict[str, Way] = {"send": partial(send, "GET"), "post_form": _form}


def ask(way: Way, url: str, *, seconds: float = 5.0) -> Reply:
    """`url` below the origin of a server of the test."""
    origin = "/".join(url.split("/")[:3])
    return way(url, endpoints=Endpoints.emulator(origin), operation="op", seconds=seconds)
