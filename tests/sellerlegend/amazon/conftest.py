"""An Amazon that answers what a test says, byte by byte; and no Django in these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sellerlegend.amazon.endpoints import Endpoints
from tests.sellerlegend.amazon.scripted_server import ScriptedServer
from tests.sellerlegend.amazon.ways import WAYS, Way


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    """The clients keep nothing in a cache: the project's fixture would only ask for Django."""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def endpoints(server: ScriptedServer) -> Endpoints:
    return Endpoints.emulator(server.url)


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found
