"""What comes in and goes out: one HTTP call, one HTTP reply, and who is calling."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

Args = Mapping[str, Any]
FORM = "application/x-www-form-urlencoded"


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass
class Call:
    """A request as received. `headers` has lower-case names; repeated fields keep the first."""

    method: str
    path: str
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def query(self) -> dict[str, str]:
        return _first_of_each(self.query_string)

    @cached_property
    def form(self) -> dict[str, str]:
        return _first_of_each(self.body.decode("utf-8", "replace")) if self.is_form else {}

    @property
    def is_form(self) -> bool:
        return self.content_type == FORM

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; ValueError if it is anything else."""
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError("a JSON object is expected")
        return value


def _first_of_each(encoded: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        fields.setdefault(name, value)
    return fields


@dataclass
class Reply:
    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    # The `error` or `code` of the body, repeated here for the ledger.
    error: str = ""

    def has_header(self, name: str) -> bool:
        return any(known.lower() == name.lower() for known, _ in self.headers)


@dataclass(frozen=True)
class Identity:
    """Who calls what, found out before the call is answered, so that a fault can match it.

    `seller` is the Seller ID, or for Amazon Ads the login. `token_sha256` is the hash of the
    refresh token, access token or authorization code that the call carried.
    """

    surface: str
    operation: str
    region: str = ""
    client_id: str = ""
    seller: str = ""
    token_sha256: str = ""


class Surface(Protocol):
    """One of Amazon's services. `identify` changes nothing; `answer` may change the world."""

    def identify(self, call: Call, args: Args) -> Identity: ...

    def answer(self, call: Call, args: Args) -> Reply: ...


def json_reply(status: int, value: object, *headers: tuple[str, str], error: str = "") -> Reply:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Reply(status, body, [("Content-Type", "application/json"), *headers], error)


def redirect_reply(url: str) -> Reply:
    return Reply(302, b"", [("Location", url), ("Cache-Control", "no-store")])


def request_id() -> str:
    return str(uuid.uuid4())


def with_params(url: str, params: Mapping[str, str]) -> str:
    return url + ("&" if urlsplit(url).query else "?") + urlencode(params)
