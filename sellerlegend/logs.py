"""Structured logs: one line an event, static name plus fields; redaction as a net."""

from __future__ import annotations

import json
import logging
import logging.config
import re
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sellerlegend import log_facts

SECRET_NAMES = (
    "spapi_oauth_code",
    "code",
    "state",
    "amazon_state",
    "refresh_token",
    "access_token",
    "client_secret",
    "code_verifier",
    "mws_auth_token",
)
# Whoever has such an address needs nothing else. In another address's query it is encoded.
SLASH = r"(?:/|%2[Ff])"
SECRET_ADDRESSES = (
    rf"{SLASH}(?:c|calendar|invitation){SLASH}[\w-]{{43}}",
    rf"{SLASH}password{SLASH}reset{SLASH}key{SLASH}[0-9A-Za-z]+-[\w-]+",
)
# Amazon's token, code and secret shapes, our own vault text, addresses that are secrets, and what
# follows a telling name in a query string, a JSON body or a printed dictionary.
SECRET_SHAPES = re.compile(
    r"Atz[a-z](?:\||%7C)[\w\-./+=|%]+|amzn1\.oa2-cs\.[\w.\-]+|amzn\.mws\.[\w\-]+"
    r"|v1\.[A-Za-z0-9]+\.[\w-]{16}\.[\w-]{22,}"
    rf"|{'|'.join(SECRET_ADDRESSES)}"
    rf"|(?:\b|(?<=%3[Ff])|(?<=%26))(?i:{'|'.join(SECRET_NAMES)})"
    r"(?:=|%3[Dd]|[\"']\s*:\s*)[\"']?[^&\s\"',}]+"
)
STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
FACTS = (str, int, float, UUID, datetime, date)


def redact(text: str) -> str:
    return SECRET_SHAPES.sub("[redacted]", text)


def fact_text(value: str | float | UUID | date) -> str:
    """Numbers, ids and dates hide nothing, and there are several on every line."""
    return redact(value)[:500] if isinstance(value, str) else str(value)


class JsonFormatter(logging.Formatter):
    """JSON keeps a hostile line break inside its value; long values are cut."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "event": redact(record.getMessage())[:2000],
        }
        for name, value in (log_facts.current() | vars(record)).items():
            # Facts only: a request, a task's arguments or an object's repr say too much.
            if name not in STANDARD_FIELDS and isinstance(value, FACTS):
                line[name] = "[redacted]" if name in SECRET_NAMES else fact_text(value)
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))[-6000:]
        return json.dumps(line)


def configure(config: dict[str, Any]) -> None:
    level = config["level"]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                # These print headers or bodies, tokens included, below WARNING.
                "httpx": {"level": "WARNING"},
                "httpcore": {"level": "WARNING"},
                "urllib3": {"level": "WARNING"},
                "sp_api": {"level": "WARNING"},
                "kombu": {"level": "WARNING"},
                "django.db.backends": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                # Django's own handlers print what the formatter would have redacted.
                "django": {"handlers": []},
                "django.server": {"handlers": [], "propagate": True},
                # A request line that is none is printed as it came: a callback's holds a code.
                "gunicorn.error": {"handlers": [], "propagate": True},
                # Celery gives it a handler of its own, unless it has one.
                "multiprocessing": {"handlers": ["stderr"], "propagate": False},
                # Whoever likes writes a Host name; the line of the request says 400.
                "django.security.DisallowedHost": {"level": "CRITICAL"},
            },
        }
    )
