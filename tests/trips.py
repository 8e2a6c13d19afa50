"""Trips to Amazon and back, the way a browser makes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

import requests
from django.conf import settings
from django.test import Client
from django.urls import reverse

from connections.models import AuthorizationRequest, Connection
from sellerlegend.organizations.models import AuditEvent, Organization, User
from tests.amazon_emulator import RunningEmulator


@dataclass(frozen=True)
class Callback:
    """The address at which Amazon returns the browser to us."""

    path: str
    params: dict[str, str]

    @classmethod
    def from_location(cls, location: str) -> Callback:
        parts = urlsplit(location)
        assert f"{parts.scheme}://{parts.netloc}" == settings.PUBLIC_BASE_URL
        return cls(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))

    def __str__(self) -> str:
        return f"{self.path}?{urlencode(self.params)}"

    def with_params(self, **changes: str | None) -> Callback:
        """The same address with parameters replaced, or taken out where None."""
        merged: dict[str, str | None] = {**self.params, **changes}
        return replace(self, params={k: v for k, v in merged.items() if v is not None})

    @property
    def trip(self) -> AuthorizationRequest:
        """The stored half of this trip, which knows the state only by its SHA-256."""
        digest = hashlib.sha256(self.params["state"].encode()).hexdigest()
        return AuthorizationRequest._base_manager.select_related("connection").get(
            state_hash=digest
        )


# The way out -------------------------------------------------------------------------------


def sign_in(user: User) -> Client:
    """A browser of its own in which this person is signed in."""
    client = Client()
    client.force_login(user)
    return client


def leave(client: Client, connection: Connection) -> str:
    """Presses *Reconnect* or *Resume*: the consent page's address at Seller Central."""
    url = reverse("connection_authorize", args=[connection.organization.slug, connection.pk])
    return _location(client.post(url))


def leave_for_ads(
    client: Client, connection: Connection, account_ids: list[UUID], **fields: str
) -> str:
    """Chooses marketplaces in the PPC pop-up: the consent page's address at Amazon Ads."""
    url = reverse("ppc_connect", args=[connection.organization.slug, connection.pk])
    chosen = [str(account_id) for account_id in account_ids]
    return _location(client.post(url, {"account": chosen, **fields}))


def _location(response: Any) -> str:
    assert response.status_code == 302
    return str(response.headers["Location"])


# At Amazon ---------------------------------------------------------------------------------


def confirm(consent_url: str, seller: str) -> Callback:
    """Presses Confirm at Seller Central, signed in as `seller`."""
    return _send(consent_url, {"seller": seller, "decision": "confirm"})


def allow(consent_url: str, login: str) -> Callback:
    """Presses Allow at Amazon Ads, signed in as `login`."""
    return _send(consent_url, {"login": login, "decision": "allow"})


def deny(consent_url: str, login: str) -> Callback:
    """Presses Cancel at Amazon Ads."""
    return _send(consent_url, {"login": login, "decision": "deny"})


def _send(consent_url: str, form: dict[str, str]) -> Callback:
    reply = requests.post(consent_url, data=form, allow_redirects=False, timeout=10)
    assert reply.status_code == 302, reply.text
    return Callback.from_location(reply.headers["Location"])


# Starting at Amazon ------------------------------------------------------------------------


def authorize_now(amazon: RunningEmulator, host: str, seller: str) -> Callback:
    """In the Appstore: Authorize Now, Confirm, Login. The link to our OAuth Login URI."""
    version = "&version=beta" if amazon.world.applications["spapi"].is_draft else ""
    application = f"application_id={settings.SPAPI_APPLICATION_ID}{version}"
    page = f"{amazon.url}/{host}/apps/authorize/consent?{application}"
    return _send(page, {"seller": seller, "decision": "confirm"})


def reauthorize(amazon: RunningEmulator, host: str, seller: str) -> Callback:
    """In Seller Central: Manage Your Apps, Re-Authorize. The link to our OAuth Login URI."""
    page = f"{amazon.url}/{host}/apps/manage"
    return _send(page, {"seller": seller, "decision": "reauthorize"})


def step_of(client: Client, link: Callback) -> str:
    """Opens Amazon's link: the address of the step that asks, without Amazon's parameters."""
    response = client.get(str(link))
    assert response.status_code == 200
    return reverse("appstore_start", args=[response.context["start"].ticket])


def say_yes(client: Client, link: Callback, organization: Organization, **fields: str) -> str:
    """Opens Amazon's link and presses *Yes, go on*: where the browser goes on at Amazon."""
    sent = {"organization": organization.slug, "name": "From Amazon", "marketplace": ""}
    return _location(client.post(step_of(client, link), sent | fields))


def arrive_from(amazon_page: str) -> Callback:
    """The browser follows the redirect to Amazon, which sends it to our redirect URI."""
    reply = requests.get(amazon_page, allow_redirects=False, timeout=10)
    assert reply.status_code == 302, reply.text
    return Callback.from_location(reply.headers["Location"])


# The way back ------------------------------------------------------------------------------


def come_back(client: Client, callback: Callback, **options: Any) -> str:
    """Opens the callback: the outcome of the trip, or why it was refused, as staff find it.

    Every ending redirects to a clean address that neither caches nor referrers keep.
    """
    response = client.get(str(callback), **options)
    location = response.headers["Location"]
    assert response.status_code == 303
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content == b""
    assert location.startswith(("/amazon/outcome/", "/o/"))
    for value in callback.params.values():
        assert not value or value not in location
    if location.startswith("/amazon/outcome/"):
        return _told(location.removeprefix("/amazon/outcome/"))
    return callback.trip.outcome


def _told(reference: str) -> str:
    trip = AuthorizationRequest._base_manager.filter(reference=reference).first()
    if trip is not None:
        return str(trip.outcome)
    event = AuditEvent._base_manager.get(code="authorization_refused", reference=reference)
    return f"refused: {event.details['cause']}"
