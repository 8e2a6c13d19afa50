"""A production configuration for measuring, on a database and a Redis database of its own."""

from __future__ import annotations

import base64
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg2
import redis

from tests.environment import development_environment

SERVER_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
REDIS_URL = "redis://127.0.0.1:6379/13"
HOST = "bench.example.com"


def server_url() -> str:
    return os.environ.get("DATABASE_URL") or SERVER_URL


def redis_url() -> str:
    """Its database is emptied before and after: never the one of `REDIS_URL` itself."""
    given = os.environ.get("REDIS_URL") or REDIS_URL
    return urlunsplit(urlsplit(given)._replace(path="/13"))


@contextmanager
def own_database() -> Iterator[str]:
    """The URL of a fresh database, dropped afterwards."""
    name = f"sellerlegend_bench_{os.getpid()}"
    server = psycopg2.connect(server_url())
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(server_url())._replace(path=f"/{name}"))
    finally:
        with server.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.close()


@contextmanager
def own_cache() -> Iterator[str]:
    client = redis.Redis.from_url(redis_url())
    client.flushdb()
    try:
        yield redis_url()
    finally:
        client.flushdb()
        client.close()


@contextmanager
def product() -> Iterator[str]:
    """Django set up as in production: no debug, https, hashed static files, JSON logs (thrown
    away after they were formatted). Yields the database's URL."""
    var = tempfile.mkdtemp(prefix="sellerlegend-bench-")
    try:
        with own_database() as database, own_cache() as cache:
            os.environ.update(environment(database, cache, var))
            os.environ["DJANGO_SETTINGS_MODULE"] = "sellerlegend.settings"
            Path(var, "static").mkdir()
            django.setup()
            silence_logs()
            yield database
            close_connections()
    finally:
        shutil.rmtree(var, ignore_errors=True)


def environment(database: str, cache: str, var: str) -> dict[str, str]:
    return development_environment(
        DJANGO_DEBUG="false",
        DJANGO_SECRET_KEY=secrets.token_urlsafe(50),
        DJANGO_ALLOWED_HOSTS=HOST,
        PUBLIC_BASE_URL=f"https://{HOST}",
        TOKEN_ENCRYPTION_KEYS=f"bench:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        DATABASE_URL=database,
        REDIS_URL=cache,
        VAR_DIR=var,
    )


def silence_logs() -> None:
    """Formatting a line is the product's work, a terminal's speed is not."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(open(os.devnull, "w"))  # noqa: SIM115, PTH123  # for the whole run


def close_connections() -> None:
    from django.db import connections  # noqa: PLC0415  # settings exist only now

    connections.close_all()
