"""Which servers the tests found on this machine, and what to do about the missing ones."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import psycopg2
import redis

DEFAULT_DATABASE_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
# Not database 0, where a developer's own data lives.
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/15"
# The first is Debian's chromium without a window around each page, which costs as much as the page.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_FOUND = "TEST_SERVICES"


@dataclass(frozen=True)
class Service:
    """A server or program; `address` is empty when it is missing, `words` say what was found."""

    address: str
    words: str


@dataclass(frozen=True)
class Services:
    postgresql: Service
    redis: Service
    chromium: Service
    nginx: Service

    def __str__(self) -> str:
        every = (self.postgresql, self.redis, self.chromium, self.nginx)
        found = "; ".join(service.words for service in every)
        return f"services: {found}" + (" (all required)" if are_services_required() else "")


def are_services_required() -> bool:
    """Whether a missing service fails the test that needs it, as in `.ci/run`."""
    return os.environ.get("REQUIRE_SERVICES", "") not in {"", "0"}


def find_services() -> Services:
    """Look once; the processes of one test run inherit the answer by the environment."""
    if _FOUND not in os.environ:
        found = Services(_find_postgresql(), _find_redis(), _find_chromium(), _find_nginx())
        os.environ[_FOUND] = json.dumps(asdict(found))
    known = json.loads(os.environ[_FOUND])
    return Services(**{name: Service(**fields) for name, fields in known.items()})


def _find_postgresql() -> Service:
    url = os.environ.get("DATABASE_URL", DEFAULT_DATABASE_URL)
    if not url.startswith("postgres"):
        return Service("", "SQLite (DATABASE_URL names no PostgreSQL)")
    try:
        connection = psycopg2.connect(url, connect_timeout=2)
    except psycopg2.OperationalError:
        return Service("", f"SQLite (no PostgreSQL at {_place(url)})")
    version = connection.server_version // 10_000
    connection.close()
    return Service(url, f"PostgreSQL {version} at {_place(url)}")


def _find_redis() -> Service:
    url = os.environ.get("REDIS_URL", DEFAULT_REDIS_URL)
    if not url:
        return Service("", "embedded cache and broker (REDIS_URL is empty)")
    client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
    try:
        version = client.info("server")["redis_version"]
    except redis.RedisError:
        return Service("", f"embedded cache and broker (no Redis at {_place(url)})")
    finally:
        client.close()
    return Service(url, f"Redis {version} at {_place(url)}")


def _find_chromium() -> Service:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        return Service("", f"no browser ({', '.join(BROWSERS)} are not on the path)")
    return Service(path, f"browser {path}")


def _find_nginx() -> Service:
    """Debian keeps it where only root's path looks."""
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if path is None:
        return Service("", "no nginx (it is neither on the path nor in /usr/sbin)")
    return Service(path, f"nginx {path}")


def _place(url: str) -> str:
    """Host and port only: a URL may hold a password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'local socket'}:{parts.port or 'default port'}"
