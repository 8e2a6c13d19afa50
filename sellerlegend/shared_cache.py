"""The shared cache: a convenience that may be gone at any moment and costs a request little.

A Redis that is down or frozen makes each look-up wait for its time-out. After the first fault
nobody in this process asks for a while: every reading is a miss and every writing is dropped.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEAF_SECONDS = 5.0


class JsonSerializer:
    """JSON only, so a writer to Redis cannot make us run anything.

    Plain text goes as it is behind a byte that no JSON starts with: a page's rows are 300 kB of
    HTML, and unescaping them would cost more than fetching them.
    """

    TEXT = b"\0"

    def dumps(self, value: Any) -> bytes:
        if isinstance(value, str):
            return self.TEXT + value.encode()
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        return data[1:].decode() if data.startswith(self.TEXT) else json.loads(data)


class _Ear:
    deaf_until: float = 0.0


_ear = _Ear()


def is_deaf() -> bool:
    """Whether the last fault is so recent that Redis is not asked: a miss means nothing then."""
    return time.monotonic() < _ear.deaf_until


def listen_again() -> None:
    """Ask at once, without waiting for the end of the pause."""
    _ear.deaf_until = 0.0


def heard(ask: Callable[[], T], otherwise: T) -> T:
    """What Redis answers; `otherwise` while it is deaf and when it becomes so."""
    if is_deaf():
        return otherwise
    try:
        return ask()
    except (RedisError, OSError) as error:
        _ear.deaf_until = time.monotonic() + DEAF_SECONDS
        logger.warning("cache_unavailable", extra={"cause": type(error).__name__})
        return otherwise


class PatientClient(RedisCacheClient):
    """Never raises for a fault of Redis. Counting then answers as if for the first time."""

    _one: Any = None

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        """One for all keys: there is one server, and making a client costs as much as asking."""
        if self._one is None:
            self._one = super().get_client(key, write=write)
        return self._one

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        return heard(partial(super().add, key, value, timeout), otherwise=True)

    def get(self, key: Any, default: Any) -> Any:
        return heard(partial(self._readable, super().get, key, default), otherwise=default)

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        heard(partial(super().set, key, value, timeout), otherwise=None)

    def touch(self, key: Any, timeout: Any) -> bool:
        return heard(partial(super().touch, key, timeout), otherwise=False)

    def delete(self, key: Any) -> bool:
        return heard(partial(super().delete, key), otherwise=False)

    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        nothing: dict[Any, Any] = {}
        return heard(
            partial(self._readable, super().get_many, list(keys), nothing), otherwise=nothing
        )

    def has_key(self, key: Any) -> bool:
        return heard(partial(super().has_key, key), otherwise=False)

    def incr(self, key: Any, delta: Any) -> int:
        return int(heard(partial(super().incr, key, delta), otherwise=delta))

    def set_many(self, data: Any, timeout: Any) -> None:
        heard(partial(super().set_many, data, timeout), otherwise=None)

    def delete_many(self, keys: Iterable[Any]) -> None:
        heard(partial(super().delete_many, list(keys)), otherwise=None)

    def clear(self) -> bool:
        return heard(super().clear, otherwise=False)

    @staticmethod
    def _readable(read: Callable[..., T], keys: Any, otherwise: T) -> T:
        """What somebody else wrote there is a miss."""
        try:
            return read(keys, otherwise) if isinstance(keys, str) else read(keys)
        except ValueError:
            logger.warning("cache_unreadable")
            return otherwise


class SharedCache(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = PatientClient

    def validate_key(self, key: str) -> None:
        """Redis takes any key. Django looks at every letter, as memcached would refuse some, and
        that costs as much as the look-up."""
