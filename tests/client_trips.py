"""What a client without a login does with a link, in a browser of his own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.test import Client
from django.urls import reverse

from connections import client_links
from connections.client_link_models import ClientLink
from connections.client_links import Recipient
from connections.models import AuthorizationRequest, Connection
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import User
from tests import trips
from tests.factories import owner_of
from tests.trips import Callback

MARIA = Recipient(name="Maria", email="maria@client.example")


@dataclass(frozen=True)
class Asked:
    """A link as its holder has it: the path, and the row for the test to look at."""

    path: str
    pk: Any

    @property
    def link(self) -> ClientLink:
        links = ClientLink._base_manager.select_related("organization", "connection", "made_by")
        return links.get(pk=self.pk)


def ask(
    connection: Connection,
    *,
    maker: User | None = None,
    recipient: Recipient = MARIA,
    **options: Any,
) -> Asked:
    link, token = client_links.make(
        connection=connection,
        recipient=recipient,
        actor=Actor.person(maker or owner_of(connection.organization)),
        **options,
    )
    return Asked(reverse("client_link", args=[token.reveal()]), link.pk)


def press_continue(browser: Client, path: str) -> str:
    """The consent page's address at Seller Central."""
    answer = browser.post(path)
    assert answer.status_code == 302, answer.content
    return str(answer.headers["Location"])


def come_back(browser: Client, callback: Callback) -> Any:
    """The page on which the callback's redirect ends."""
    answer = browser.get(str(callback))
    location = answer.headers["Location"]
    assert answer.status_code == 303
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert location.startswith("/c/ended/")
    for value in callback.params.values():
        assert not value or value not in location
    return browser.get(location)


def whole_trip(browser: Client, asked: Asked, seller: str) -> Any:
    """Reads the page, presses Continue and Confirm, and comes back."""
    assert browser.get(asked.path).status_code == 200
    return come_back(browser, trips.confirm(press_continue(browser, asked.path), seller))


def trip_of(asked: Asked) -> AuthorizationRequest:
    found: AuthorizationRequest = AuthorizationRequest._base_manager.filter(
        client_link=asked.pk
    ).latest("created_at")
    return found
