"""Named situations in which Amazon's services answer badly, late or not at all.

`surface` is one of SURFACES; `seller` (a Seller ID or an Ads login) and `region` (NA, EU, FE)
narrow it down; `times` is how often it strikes, 0 until `normal` or a reset ends it.
"""

from __future__ import annotations

from typing import Any

from tests.amazon_emulator.bodies import ADS, LWA, MALFORMED, NGINX_504, XHTML_503, failure
from tests.amazon_emulator.faults import Faults
from tests.amazon_emulator.lwa import REFRESH_REFUSED
from tests.amazon_emulator.wire import json_reply, request_id

SURFACES = ("lwa", "sellers", "ads", "seller_central", "ads_consent", "appstore")


def throttled(
    faults: Faults,
    surface: str = "sellers",
    seller: str = "",
    region: str = "",
    times: int = 0,
    retry_after: int = 5,
) -> None:
    """429; with Retry-After (seconds) from Amazon Ads, never from the Selling Partner API."""
    headers = {"Retry-After": str(retry_after)} if surface == ADS else {}
    _add(faults, "throttled", surface, seller, region, times, 429, headers=headers)


def outage(
    faults: Faults, surface: str = "sellers", seller: str = "", region: str = "", times: int = 0
) -> None:
    """One service (in one region, or all) answers 503."""
    _add(faults, "outage", surface, seller, region, times, 503)


def server_error(
    faults: Faults, surface: str = "sellers", seller: str = "", region: str = "", times: int = 3
) -> None:
    """500 with the error body of the service."""
    _add(faults, "server_error", surface, seller, region, times, 500)


def html_error_page(
    faults: Faults,
    surface: str = "sellers",
    seller: str = "",
    region: str = "",
    times: int = 0,
    status: int = 503,
) -> None:
    """An HTML page where JSON belongs: nginx's for 504, an XHTML one otherwise, also with 200."""
    _require_surface(surface)
    faults.add(
        name="html_error_page",
        surface=surface,
        seller=seller,
        region=region,
        times=times or None,
        status=status,
        body=NGINX_504 if status == 504 else XHTML_503,
        headers={"Content-Type": "text/html"},
        error="HTML",
    )


def malformed(
    faults: Faults,
    surface: str = "sellers",
    seller: str = "",
    region: str = "",
    times: int = 0,
    kind: str = "truncated",
) -> None:
    """200 with a body that is not what the service promises. Kinds: truncated, wrong_types,
    nan, null, empty_body; hostile_text and duplicates (sellers, ads); no_access_token (lwa)."""
    if surface not in MALFORMED or kind not in MALFORMED[surface]:
        raise ValueError(f"there is no malformed answer {kind!r} for {surface!r}")
    faults.add(
        name=f"malformed {kind}",
        surface=surface,
        seller=seller,
        region=region,
        times=times or None,
        status=200,
        body=MALFORMED[surface][kind],
        error="MALFORMED",
    )


def slow(
    faults: Faults,
    surface: str = "sellers",
    seller: str = "",
    region: str = "",
    times: int = 0,
    delay: float = 30.0,
) -> None:
    """The honest answer, so many real seconds late."""
    _spoil(faults, "slow", surface, seller, region, times, delay=delay)


def dripping(
    faults: Faults,
    surface: str = "sellers",
    seller: str = "",
    region: str = "",
    times: int = 0,
    interval: float = 1.0,
) -> None:
    """The honest body, one byte per interval (real seconds)."""
    _spoil(faults, "dripping", surface, seller, region, times, drip=interval)


def cut(
    faults: Faults,
    surface: str = "sellers",
    seller: str = "",
    region: str = "",
    times: int = 0,
    after: int = 40,
) -> None:
    """The connection closes after so many bytes of the body."""
    _spoil(faults, "cut", surface, seller, region, times, cut_after=after)


def lost_answer(
    faults: Faults, surface: str = "lwa", seller: str = "", region: str = "", times: int = 1
) -> None:
    """Amazon does what was asked and the answer never arrives."""
    _spoil(faults, "lost_answer", surface, seller, region, times, drop=True)


def false_invalid_grant(faults: Faults, seller: str = "", times: int = 1) -> None:
    """Login with Amazon refuses a refresh token that is good."""
    body = json_reply(
        400,
        {
            "error_description": REFRESH_REFUSED,
            "error": "invalid_grant",
            "request_id": request_id(),
            "error_index": "emulated",
        },
    ).body
    faults.add(
        name="false_invalid_grant",
        surface=LWA,
        operation="refresh_token",
        seller=seller,
        times=times or None,
        status=400,
        body=body,
        headers={"x-amzn-ErrorType": "OA2InvalidRequestException:"},
        error="invalid_grant",
    )


def _add(
    faults: Faults,
    name: str,
    surface: str,
    seller: str,
    region: str,
    times: int,
    status: int,
    headers: dict[str, str] | None = None,
) -> None:
    _require_surface(surface)
    body, error = failure(surface, status)
    if surface not in MALFORMED:
        headers = {**(headers or {}), "Content-Type": "text/html"}
    faults.add(
        name=name,
        surface=surface,
        seller=seller,
        region=region,
        times=times or None,
        status=status,
        body=body,
        headers=headers or {},
        error=error,
    )


def _spoil(
    faults: Faults, name: str, surface: str, seller: str, region: str, times: int, **how: Any
) -> None:
    _require_surface(surface)
    faults.add(name=name, surface=surface, seller=seller, region=region, times=times or None, **how)


def _require_surface(surface: str) -> None:
    if surface not in SURFACES:
        raise ValueError(f"surface is one of {', '.join(SURFACES)}")


TROUBLES = (
    throttled,
    outage,
    server_error,
    html_error_page,
    malformed,
    slow,
    dripping,
    cut,
    lost_answer,
    false_invalid_grant,
)
