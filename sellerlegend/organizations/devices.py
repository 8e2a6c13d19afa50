"""Browsers that signed in before, so that a stranger's wrong guesses never lock a person out.

A signed cookie names accounts (as keyed digests) that this browser signed in to. Guesses from
such a browser are counted apart (OWASP, *Device cookies*); the cookie opens nothing by itself.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

SALT = "sellerlegend.devices"
MOST_ACCOUNTS = 5
DAYS = 180


def known_device(request: HttpRequest, email: str) -> str:
    """The device's random name when it signed in to this account before, else ""."""
    device, accounts = read(request)
    return device if digest(email) in accounts else ""


def remember_device(request: HttpRequest, response: HttpResponse, email: str) -> None:
    """After a sign-in. The accounts used last are kept."""
    device, accounts = read(request)
    kept = [digest(email), *(name for name in accounts if name != digest(email))][:MOST_ACCOUNTS]
    response.set_signed_cookie(
        settings.DEVICE_COOKIE_NAME,
        ".".join([device or secrets.token_urlsafe(16), *kept]),
        salt=SALT,
        max_age=DAYS * 86_400,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def read(request: HttpRequest) -> tuple[str, list[str]]:
    """("", []) for no cookie, a forged one or one that is too old."""
    value = request.get_signed_cookie(
        settings.DEVICE_COOKIE_NAME, default="", salt=SALT, max_age=DAYS * 86_400
    )
    device, *accounts = str(value).split(".")
    return device, accounts


def digest(email: str) -> str:
    return salted_hmac(SALT, email.strip().lower(), algorithm="sha256").hexdigest()[:32]
