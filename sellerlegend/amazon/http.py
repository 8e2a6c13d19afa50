"""The one caller of Amazon, and what every answer goes through before it is believed."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from http.cookiejar import DefaultCookiePolicy

import requests
from urllib3.exceptions import HTTPError

from sellerlegend import tallies
from sellerlegend.amazon import direct
from sellerlegend.amazon.endpoints import Endpoints
from sellerlegend.amazon.errors import AmazonUnavailable
from sellerlegend.amazon.secret import Secret
from sellerlegend.amazon.transport import CONNECT_SECONDS, IDLE_SECONDS, DeadlineAdapter, deadline

logger = logging.getLogger(__name__)

CALL_SECONDS = 20.0
EXCHANGE_SECONDS = 10.0
# An answer that comes after 20 s, the slowest seen, still counts: asking again would be a second
# call for one expiry. Shorter than a waiter's patience and the lease of `connections.credentials`.
REFRESH_SECONDS = 23.0
BODY_BYTES = 10 * 1024 * 1024
RETRY_AFTER_SECONDS = 3600.0
INTEGER_DIGITS = 100
LATENCY_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)

# The form Amazon asks for: AppName/Version (Language=…; Platform=…), under 500 characters.
USER_AGENT = (
    f"SellerLegend/1.0 (Language=Python/{platform.python_version()}; Platform={platform.system()})"
)
HEADERS = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
FORM_HEADERS = HEADERS | {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}

# All but what RFC 3986 calls unreserved.
_TO_QUOTE = re.compile(rb"[^A-Za-z0-9._~-]")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_LONE_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")
_BIDI_CONTROL = re.compile("[\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Reply:
    """Amazon's answer, not yet judged. `truncated` bodies were longer than we read."""

    status: int
    body: bytes = field(repr=False)
    request_id: str = ""
    retry_after: float | None = None
    truncated: bool = False


class AddressNotAllowed(RuntimeError):
    """A mistake of ours, or somebody's attempt to make us call elsewhere. Names the operation and
    never the address, which may hold what it was after."""


def send(
    method: str,
    url: str,
    *,
    endpoints: Endpoints,
    operation: str,
    headers: Mapping[str, str | Secret] | None = None,
    params: Mapping[str, str] | None = None,
    seconds: float = CALL_SECONDS,
) -> Reply:
    """Call one of the APIs of `endpoints`; whatever status comes back is returned.

    Connects within 3 s per address and ends within `seconds` in all, however slowly bytes drip.
    Verifies TLS; follows no redirect; ignores proxies, netrc and cookies; reads at most 10 MB.
    Raises AmazonUnavailable when no whole answer came, AddressNotAllowed before anything is sent
    to any other host.
    """

    def call() -> Reply:
        return _request(method, url, _revealed(headers or {}), params or {}, seconds)

    return _answer_of(call, url, endpoints, operation)


def post_form(
    url: str,
    form: Mapping[str, str | Secret],
    *,
    endpoints: Endpoints,
    operation: str,
    seconds: float = CALL_SECONDS,
) -> Reply:
    """Ask the token endpoint. Promises and raises what `send` does, at a third of the CPU."""

    def call() -> Reply:
        with deadline(seconds):
            response, body = direct.post(url, FORM_HEADERS, _encoded(form), BODY_BYTES)
        return _reply(response.status, response.headers, body)

    return _answer_of(call, url, endpoints, operation)


def _answer_of(call: Callable[[], Reply], url: str, endpoints: Endpoints, operation: str) -> Reply:
    """One call, timed and counted."""
    if not endpoints.may_be_called(url):
        raise AddressNotAllowed(operation)
    began = time.monotonic()
    reply = _perform(call, operation)
    tallies.observe(
        "amazon_call_seconds", time.monotonic() - began, LATENCY_BOUNDS, operation=operation
    )
    tallies.count("amazon_answers", operation=operation, status=_status_class(reply))
    if reply is None:
        raise AmazonUnavailable("", operation)
    return reply


def _status_class(reply: Reply | None) -> str:
    if reply is None:
        return "none"
    return "429" if reply.status == HTTPStatus.TOO_MANY_REQUESTS else f"{reply.status // 100}xx"


def _perform(call: Callable[[], Reply], operation: str) -> Reply | None:
    """None instead of an exception: those of a call hold headers and bodies, tokens included, and
    so do the frames a traceback would keep."""
    try:
        return call()
    except (OSError, HTTPError, HTTPException, ValueError) as error:
        logger.warning(
            "amazon_unreachable", extra={"operation": operation, "cause": type(error).__name__}
        )
        return None


def _encoded(form: Mapping[str, str | Secret]) -> bytes:
    """As `urlencode`, which takes a token byte by byte once it finds one that it must quote."""
    fields = _revealed(form).items()
    return b"&".join(b"%b=%b" % (_quoted(name), _quoted(value)) for name, value in fields)


def _quoted(text: str) -> bytes:
    return _TO_QUOTE.sub(lambda found: b"%%%02X" % found[0][0], text.encode())


def _revealed(fields: Mapping[str, str | Secret]) -> dict[str, str]:
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in fields.items()
    }


def _request(
    method: str, url: str, headers: dict[str, str], params: Mapping[str, str], seconds: float
) -> Reply:
    with (
        deadline(seconds),
        _session().request(
            method,
            url,
            params=params,
            headers=headers,
            timeout=(CONNECT_SECONDS, seconds),
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        body = bytearray()
        while len(body) <= BODY_BYTES:
            # Compressed bodies were not asked for and are not opened: they can hide any size.
            chunk = response.raw.read(64 * 1024, decode_content=False)
            if not chunk:
                break
            body += chunk
        return _reply(response.status_code, response.headers, bytes(body))


def _reply(status: int, headers: Mapping[str, str] | HTTPMessage, body: bytes) -> Reply:
    skew = _seconds_until(headers.get("Date", ""))
    if math.isfinite(skew):
        tallies.remember("amazon_clock_skew_seconds", skew)
    return Reply(
        status=status,
        body=body[:BODY_BYTES],
        request_id=clean_request_id(headers.get("x-amzn-RequestId") or headers.get("x-amz-rid")),
        retry_after=_retry_after(headers.get("Retry-After")),
        truncated=len(body) > BODY_BYTES,
    )


class _Local(threading.local):
    session: requests.Session | None = None
    process_id: int = 0
    used_at: float = 0.0


_local = _Local()


def _session() -> requests.Session:
    """The thread's own session, replaced after a fork and after a pause."""
    now = time.monotonic()
    is_stale = _local.process_id != os.getpid() or now - _local.used_at > IDLE_SECONDS
    if _local.session is None or is_stale:
        _local.session = _new_session()
        _local.process_id = os.getpid()
    _local.used_at = now
    return _local.session


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update(HEADERS)
    session.mount("https://", DeadlineAdapter())
    session.mount("http://", DeadlineAdapter())
    return session


def _retry_after(value: str | None) -> float | None:
    """Seconds, or a date as RFC 9110 allows; at most an hour, None when unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value)
    if not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS)


def _seconds_until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()


def clean_request_id(value: object) -> str:
    """The id when it has the shape of one, else an empty string: it goes into logs and pages."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else ""


def parse_json(body: bytes) -> object:
    """The JSON value; None when it is not strict UTF-8 JSON (NaN and infinities are refused too).

    Of equal keys the last one counts. Never raises: a decoder's exception holds the whole body.
    """
    try:
        return json.loads(body.decode(), parse_constant=_refuse, parse_int=_whole)
    except (ValueError, RecursionError):
        return None


def _refuse(literal: str) -> object:
    raise ValueError(f"{literal} is not JSON")


def _whole(literal: str) -> float:
    """Absurd lengths, which `int` refuses, spoil their own item and not the whole answer."""
    return int(literal) if len(literal) <= INTEGER_DIGITS else math.inf


def clean_text(value: str, max_length: int) -> str:
    """One line of text that a database, a page and a terminal can carry.

    NUL and lone surrogates become U+FFFD, bidirectional overrides go, control characters and runs
    of white space become one space; NFC; cut to `max_length` characters.
    """
    # Cut before normalizing as well: that is quadratic for hostile runs of combining marks.
    text = value[: 4 * max_length]
    text = _LONE_SURROGATE_OR_NUL.sub("\ufffd", text)
    text = _CONTROL.sub(" ", _BIDI_CONTROL.sub("", text))
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    return text[:max_length].rstrip()
