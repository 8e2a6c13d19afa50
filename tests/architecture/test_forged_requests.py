"""Requests that another site makes a signed-in browser send: every route that changes something,
against every forgery, as a page and under htmx (F1, F2).

The forged request has the victim's cookies and whatever else the attacker may know. It is refused
and changes nothing; the same request of the product's own page is not refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import get_resolver, reverse

from tests import bells
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import (
    ORGANIZATION_ROUTES,
    PERSONAL_ROUTES,
    PUBLIC_ROUTES,
    Route,
    leaves,
)
from tests.architecture.test_route_matrix import CHANCE, Ids, Person, undone
from tests.architecture.test_staff_routes import addresses
from tests.factories import PASSWORD, make_user, owner_of
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly
from tests.staff import Shop, make_shop
from tests.trees import Tree, ids_of, make_tree

pytestmark = pytest.mark.django_db

REFUSED = 403
HERE = "https://testserver"
ELSEWHERE = "https://evil.example"
# What a page would send with a form of any of these routes; forms take what they know.
FIELDS = {
    "name": "Taken over",
    "store_name": "Taken over",
    "email": "taken@evil.example",
    "action_add": "",
    "time_zone": "UTC",
    "confirm": "yes",
}
CHANGING = tuple(
    route for route in (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES) if "POST" in route.methods
)
# The doors for people who are not signed in, and their addresses' parts.
DOORS: dict[str, dict[str, str]] = {
    "account_login": {},
    "account_logout": {},
    "account_signup": {},
    "account_email_verification_sent": {},
    "account_reset_password": {},
    "account_confirm_login_code": {},
    "account_reset_password_from_key": {"uidb36": "1", "key": "set-password"},
    "mfa_authenticate": {},
    "mfa_login_webauthn": {},
    "client_link": {"token": "A" * 43},
    "client_link_ended": {"reference": "BCDFGH23"},
}


@dataclass(frozen=True)
class Forgery:
    """`token` names whose token is sent, `origin` and `referer` what the browser tells of where
    the request comes from. None: not told."""

    token: str | None
    origin: str | None = HERE
    referer: str | None = None
    method: str = "POST"
    in_header: bool = field(default=False)


FORGERIES = {
    "no token": Forgery(None),
    "no token, from a page of ours": Forgery(None, referer=f"{HERE}/profile"),
    "an empty token": Forgery("empty"),
    "a token of another session": Forgery("foreign"),
    "a token of another session, as a header": Forgery("foreign", in_header=True),
    "the right token from elsewhere": Forgery("own", ELSEWHERE),
    "the right token from elsewhere, as a header": Forgery("own", ELSEWHERE, in_header=True),
    "the right token from a sandbox": Forgery("own", "null"),
    "the right token from our host over http": Forgery("own", "http://testserver"),
    "the right token from a neighbour": Forgery("own", "https://testserver.evil.example"),
    "the right token from another port": Forgery("own", f"{HERE}:8443"),
    "the right token, referred from elsewhere": Forgery("own", None, f"{ELSEWHERE}/page"),
    "the right token, referred from http": Forgery("own", None, "http://testserver/profile"),
    "the right token, from nowhere": Forgery("own", None),
    "PUT without a token": Forgery(None, method="PUT"),
    "PATCH without a token": Forgery(None, method="PATCH"),
    "DELETE without a token": Forgery(None, method="DELETE"),
}
GENUINE = {
    "in the form": Forgery("own"),
    "in the header": Forgery("own", in_header=True),
    "referred": Forgery("own", None, f"{HERE}/profile"),
}


@dataclass(frozen=True)
class Victim:
    """A browser with a session and a CSRF cookie, and what a stranger has of the same kind."""

    client: Client
    own_token: str
    foreign_token: str

    def send(
        self,
        path: str,
        forgery: Forgery,
        *,
        is_htmx: bool,
        fields: Mapping[str, str] = FIELDS,
    ) -> Any:
        fields, headers = dict(fields), {"HX-Request": "true"} if is_htmx else {}
        known = {"own": self.own_token, "foreign": self.foreign_token, "empty": ""}
        if forgery.token is not None and forgery.in_header:
            headers["X-CSRFToken"] = known[forgery.token]
        elif forgery.token is not None:
            fields["csrfmiddlewaretoken"] = known[forgery.token]
        told = {"Origin": forgery.origin, "Referer": forgery.referer}
        headers |= {name: value for name, value in told.items() if value is not None}
        return self.client.generic(
            forgery.method,
            path,
            urlencode(fields),
            content_type="application/x-www-form-urlencoded",
            secure=True,
            headers=headers,
        )


def strict_client() -> Client:
    return Client(enforce_csrf_checks=True)


def token_of(client: Client) -> str:
    return client.cookies[settings.CSRF_COOKIE_NAME].value


def victim_with(client: Client) -> Victim:
    """Both browsers have looked at a page of ours with a form in it."""
    stranger = strict_client()
    for browser in (client, stranger):
        browser.get(reverse("account_reset_password"), secure=True)
        if settings.CSRF_COOKIE_NAME not in browser.cookies:
            browser.get(reverse("profile"), secure=True)
    assert token_of(client) != token_of(stranger)
    return Victim(client, token_of(client), token_of(stranger))


@contextmanager
def nobody_is_harmed(amazon: RunningEmulator, *, looked: bool = False) -> Iterator[None]:
    """No row of ours changed, none of sign-in either, and no work was begun. `looked`: pages keep
    secrets to be in the session of who looks at them."""
    bells.heard()
    before = sign_in_rows(with_contents=not looked)
    with nothing_changes(amazon, events=()):
        yield
    assert sign_in_rows(with_contents=not looked) == before
    assert bells.heard() == []


def sign_in_rows(*, with_contents: bool) -> list[Any]:
    """Addresses, second steps and sessions are rows of allauth's and Django's."""
    contents = ("session_data",) if with_contents else ()
    return [
        list(model._base_manager.order_by("pk").values_list(*columns))
        for model, columns in (
            (EmailAddress, ("pk", "email", "verified", "primary")),
            (Authenticator, ("pk", "type", "data")),
            (UserSession, ("pk", "session_key")),
            (Session, ("session_key", *contents)),
        )
    ]


@pytest.fixture
def tree() -> Tree:
    return make_tree("Northstar")


@pytest.fixture
def victim(tree: Tree) -> Victim:
    return victim_with(signed_in_freshly(owner_of(tree.organization), strict_client()))


def path_of(route: Route, tree: Tree) -> str:
    return Ids("own", ids_of(tree)).path(route)


BOTH_WAYS = (False, True)


def assert_refused(answer: Any, cell: str) -> None:
    assert answer.status_code == REFUSED, f"{cell}: {answer.status_code}"
    body = CHANCE.sub("", answer.content.decode())
    assert "Nothing was changed." in body, cell
    told = [word for word in ("CSRF", "Referer", "Origin", ELSEWHERE) if word in body]
    assert told == [], cell


def test_the_table_is_whole() -> None:
    """Every route of the table that takes a POST is attacked; no view is excused from tokens."""
    assert len(CHANGING) >= 30
    assert {route.name for route in CHANGING} & PUBLIC_ROUTES == set()
    assert set(DOORS) < PUBLIC_ROUTES
    exempt = [
        pattern.name
        for _, pattern in leaves(get_resolver().url_patterns)
        if getattr(pattern.callback, "csrf_exempt", False)
    ]
    assert exempt == []


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_request_is_refused(
    name: str, tree: Tree, victim: Victim, amazon: RunningEmulator
) -> None:
    with nobody_is_harmed(amazon):
        for route, is_htmx in itertools.product(CHANGING, BOTH_WAYS):
            answer = victim.send(path_of(route, tree), FORGERIES[name], is_htmx=is_htmx)
            assert_refused(answer, f"{route.name} htmx={is_htmx}")


@contextmanager
def undone_with_what_it_needs(route: Route, victim: Victim) -> Iterator[None]:
    """The made-up passkey of the victim is for the routes that name it; others would read it."""
    with undone(Person(victim.client)):
        if "pk" not in route.takes:
            Authenticator.objects.all().delete()
        yield


@pytest.mark.parametrize("name", GENUINE)
def test_a_request_of_our_own_page_is_not(
    name: str, tree: Tree, victim: Victim, amazon: RunningEmulator
) -> None:
    for route, is_htmx in itertools.product(CHANGING, BOTH_WAYS):
        with undone_with_what_it_needs(route, victim):
            answer = victim.send(path_of(route, tree), GENUINE[name], is_htmx=is_htmx)

        assert answer.status_code in {200, 204, 302, 303, 404, 422}, route.name


@pytest.mark.parametrize("is_htmx", BOTH_WAYS, ids=["page", "htmx"])
def test_looking_is_not_doing(
    is_htmx: bool, tree: Tree, victim: Victim, amazon: RunningEmulator
) -> None:
    """A picture or a link can make a browser send GET and HEAD, with any query and the cookies."""
    query = FIELDS | {"csrfmiddlewaretoken": victim.own_token, "_method": "POST"}
    headers = {"X-HTTP-Method-Override": "POST"} | ({"HX-Request": "true"} if is_htmx else {})

    for route, method in itertools.product(CHANGING, ("get", "head")):
        path, ask = path_of(route, tree), getattr(victim.client, method)
        # 404: there is no app to switch off.
        expected = {200, 204, 302, 303, 404} if "GET" in route.methods else {405}
        with undone_with_what_it_needs(route, victim), nobody_is_harmed(amazon, looked=True):
            answer = ask(path, query, secure=True, headers=headers)
            assert answer.status_code in expected, f"{route.name} {method}: {answer.status_code}"


@pytest.mark.parametrize("is_signed_in", [False, True], ids=["stranger", "signed in"])
def test_nobody_is_signed_in_or_out_by_another_site(
    is_signed_in: bool, tree: Tree, amazon: RunningEmulator
) -> None:
    """Also not into the attacker's own account: the victim would connect a store there."""
    attacker = make_user("attacker@example.com")
    client = strict_client()
    if is_signed_in:
        signed_in_freshly(owner_of(tree.organization), client)
    victim = victim_with(client)
    credentials = {"login": attacker.email, "password": PASSWORD, "next": "/"}

    with nobody_is_harmed(amazon):
        for name, what, is_htmx in itertools.product(DOORS, FORGERIES, BOTH_WAYS):
            path = reverse(name, kwargs=DOORS[name])
            answer = victim.send(path, FORGERIES[what], is_htmx=is_htmx, fields=credentials)
            assert_refused(answer, f"{name} {what}")
    assert (client.get(reverse("profile"), secure=True).status_code == 200) is is_signed_in


@pytest.mark.parametrize("name", sorted(PUBLIC_ROUTES - set(DOORS)))
def test_no_other_public_route_takes_a_form(name: str, amazon: RunningEmulator) -> None:
    kwargs = {
        "authorization_outcome": {"reference": "BCDFGH23"},
        "calendar_feed": {"token": "A" * 43},
        "invitation_link": {"token": "A" * 43},
    }.get(name, {})

    with nobody_is_harmed(amazon):
        without = strict_client().post(reverse(name, kwargs=kwargs), FIELDS, secure=True)
        permitted = Client().post(reverse(name, kwargs=kwargs), FIELDS, secure=True)

    assert without.status_code in {REFUSED, 404, 405}
    assert permitted.status_code in {404, 405}


@pytest.fixture
def shop() -> Shop:
    return make_shop("A1NORTHSTAR001")


def test_the_staff_site_too(shop: Shop, amazon: RunningEmulator) -> None:
    staff = make_user("root@example.com", is_staff=True, is_superuser=True)
    victim = victim_with(signed_in_freshly(staff, strict_client()))
    ways = list(addresses(shop))
    assert len(ways) > 60

    with nobody_is_harmed(amazon):
        for name in ("no token", "a token of another session", "the right token from elsewhere"):
            for route, path in ways:
                answer = victim.send(path, FORGERIES[name], is_htmx=False)
                assert_refused(answer, f"{route} {name}")
