"""The shared cache holds JSON: whoever can write to it cannot make us run anything."""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.cache import cache
from pytest_django import Settings

from sellerlegend import shared_cache
from sellerlegend.amazon.secret import Secret
from sellerlegend.shared_cache import JsonSerializer
from tests.own_redis import OwnRedis, own_redis


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("the cache ran what it read",))


def test_what_is_not_json_is_neither_written_nor_read() -> None:
    serializer = JsonSerializer()

    with pytest.raises(TypeError):
        serializer.dumps(Secret("x"))
    with pytest.raises(TypeError):
        serializer.dumps(Trap())
    with pytest.raises(ValueError, match=r"codec can't decode|Expecting value"):
        serializer.loads(pickle.dumps(Trap()))


@pytest.mark.needs_redis
@pytest.mark.parametrize(
    "value", ["text", 7, 1.5, True, None, ["a", 1], {"a": {"b": []}}, "ünï 🍵"]
)
def test_plain_values_come_back(value: object) -> None:
    cache.set("key", value, 60)

    assert cache.get("key", "nothing") == value


@pytest.mark.needs_redis
def test_counting_and_adding_work() -> None:
    assert cache.add("counter", 1) is True
    assert cache.add("counter", 5) is False
    assert cache.incr("counter") == 2
    assert cache.get_many(["counter", "other"]) == {"counter": 2}


# A Redis that is down or frozen --------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, settings: Settings) -> Iterator[OwnRedis]:
    """The cache and the broker of this test."""
    with own_redis(tmp_path) as running:
        settings.CACHES = {"default": running.cache()}
        yield running


EVERYTHING: list[tuple[str, list[object], object]] = [
    ("get", ["a", "nothing"], "nothing"),
    ("get_many", [["a", "b"]], {}),
    ("set", ["a", 1], None),
    ("set_many", [{"a": 1}], []),
    ("add", ["a", 1], True),
    ("incr", ["a"], 1),
    ("touch", ["a"], False),
    ("has_key", ["a"], False),
    ("delete", ["a"], False),
    ("delete_many", [["a"]], None),
    ("clear", [], False),
]


@pytest.mark.needs_redis
@pytest.mark.parametrize("trouble", ["kill", "freeze"])
def test_a_cache_that_is_gone_is_waited_for_once(
    server: OwnRedis, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache.set("a", 1)
    getattr(server, trouble)()
    started = time.monotonic()

    answers = [getattr(cache, name)(*arguments) for name, arguments, _ in EVERYTHING]

    assert answers == [nothing for *_, nothing in EVERYTHING]
    assert time.monotonic() - started < 2
    assert caplog.messages.count("cache_unavailable") == 1


@pytest.mark.needs_redis
def test_a_cache_that_came_back_is_asked_again(
    server: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("a", 1)
    server.freeze()
    assert cache.get("a") is None
    server.thaw()
    assert cache.get("a") is None

    shared_cache.listen_again()

    assert cache.get("a") == 1


@pytest.mark.needs_redis
def test_what_somebody_else_wrote_is_a_miss(server: OwnRedis) -> None:
    with contextlib.closing(redis.Redis(port=server.port)) as client:
        client.set("own:1:a", b"\x80\x04K\x01.")

    assert cache.get("a", "nothing") == "nothing"
    assert cache.get_many(["a"]) == {}
    assert not shared_cache.is_deaf()
