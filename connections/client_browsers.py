"""The cookie by which the browser with a client link is known again when it comes back.

One for each link, made when its holder sets out, of a random value signed for this link: what
somebody else chose is never taken over. It opens no page and is no sign-in.
"""

from __future__ import annotations

import secrets
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponseBase

# A trip takes ten minutes at most; what is read after it, a while.
SECONDS = 3600


def cookie_name(link_id: UUID) -> str:
    return f"{settings.CLIENT_COOKIE_NAME}-{link_id.hex[:16]}"


def is_known(request: HttpRequest) -> bool:
    """Whether this browser set out with any client link. Decides words, and no access."""
    return any(name.startswith(f"{settings.CLIENT_COOKIE_NAME}-") for name in request.COOKIES)


def _signer(link_id: UUID) -> TimestampSigner:
    return TimestampSigner(salt=f"connections.client_browser.{link_id.hex}")


def value_of(request: HttpRequest, link_id: UUID) -> str:
    """ "" without the cookie, or when it is forged, of another link, or too old."""
    try:
        return _signer(link_id).unsign(
            request.COOKIES.get(cookie_name(link_id), ""), max_age=SECONDS
        )
    except BadSignature:
        return ""


def known_or_new(request: HttpRequest, link_id: UUID) -> str:
    """Kept from one trip to the next, so that two tabs do not throw each other out."""
    return value_of(request, link_id) or secrets.token_urlsafe(32)


def remember(response: HttpResponseBase, link_id: UUID, value: str) -> None:
    response.set_cookie(
        cookie_name(link_id),
        _signer(link_id).sign(value),
        max_age=SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
