"""T12: hostile text in every place of a request, for every route of the resolver: never a 500.

What the routes are is asked of the resolver, so a new one is tried without being named here; a
parameter that nobody knows a row for fails `test_every_address_leads_to_its_view`.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from allauth.account.forms import EmailAwarePasswordResetTokenGenerator
from allauth.account.utils import user_pk_to_url_str
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connections import renewals
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Role
from tests import client_trips, factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_staff_routes import key_of
from tests.fuzzing import TIMES, examples, seconds
from tests.signing_in import proved_seconds_ago, signed_in_freshly
from tests.staff import make_shop, make_support
from tests.trees import Tree, ids_of, make_tree

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plain_rendering")]

HOSTILE = (
    b"\x00",
    b"a\x00b",
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"\xff\xfe",
    b"\xc0\xaf",  # an overlong slash
    "\N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH JOINER}\N{PILE OF POO}".encode(),
    "\N{LATIN SMALL LETTER DOTLESS I}\N{ARABIC-INDIC DIGIT FOUR}\N{SUPERSCRIPT TWO}".encode(),
    b"x" * 10_240,
    b"9" * 400,
    b"-1",
    b"1e400",
    b"NaN",
    b"' OR 1=1 --",
    b"../../etc/passwd",
    b"%00%0a%25%2e",
    b"{{7*7}}${7*7}<%= 7 %>",
    b"<script>alert(1)</script>",
    b"\r\nSet-Cookie: a=b",
    b"[]",
    b";a=b",
    b"//evil.example",
    b"http://[",
    b"",
)
NA_HOST, SELLER = "sellercentral.amazon.com", "A1NORTHSTAR001"
HEADERS = (
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_HX_CURRENT_URL",
    "HTTP_HX_TRIGGER",
    "HTTP_HX_TARGET",
    "HTTP_HX_REQUEST",
    "HTTP_REFERER",
    "HTTP_ORIGIN",
    "HTTP_HOST",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REQUEST_ID",
    "HTTP_X_CSRFTOKEN",
    "HTTP_RANGE",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_AUTHORIZATION",
    "HTTP_ACCEPT",
    "HTTP_USER_AGENT",
    "CONTENT_TYPE",
)
COOKIES = ("session", "csrf", "language", "messages", "sessionid", "\N{PILE OF POO}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# What no page's own form shows: parameters that only Amazon, a script or the admin sends.
NAMES = (
    *("state", "code", "spapi_oauth_code", "selling_partner_id", "mws_auth_token", "error"),
    *("since", "connected", "account", "new_consent", "next", "amazon_callback_uri"),
    *("amazon_state", "version", "marketplace"),
    *("q", "o", "p", "all", "e", "_to_field", "_popup", "_changelist_filters", "id__exact"),
    *("action", "_selected_action", "select_across", "index", "confirmed", "reason"),
    *("at__gte", "created_at__day", "organization", "pk__in", "status__exact"),
)


# Routes ------------------------------------------------------------------------------------


def routes(patterns: Any, before: str = "") -> Iterator[str]:
    """Templates of all addresses, parameters as `{name}`."""
    for entry in patterns:
        text = before + placeholders(str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, text)
        elif isinstance(entry, URLPattern):
            yield f"/{text}"


def placeholders(pattern: str) -> str:
    pattern = pattern.lstrip("^").rstrip("$").removesuffix(r"/?\Z")
    pattern = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"{\1}", pattern)
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", pattern)


# A probe that is to say 503 where no worker runs; `monitoring/test_probes.py` holds it.
ROUTES = sorted(set(routes(get_resolver().url_patterns)) - {"/readyz"})
OWN_ROUTES = [route for route in ROUTES if not route.startswith("/admin/")]


def parameters(route: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", route)


# Requests ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """A request as its bytes. `ids` that are missing are those of rows that exist."""

    person: str
    method: str
    route: str
    ids: dict[str, bytes] = field(default_factory=dict)
    query: tuple[tuple[str, bytes], ...] = ()
    body: bytes = b""
    content_type: str = "application/x-www-form-urlencoded"
    headers: dict[str, bytes] = field(default_factory=dict)
    cookies: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Stage:
    """People who are signed in, and rows that exist."""

    people: dict[str, Client]
    ids: dict[str, Any]
    # By route, where a parameter of the same name means another row.
    ids_of_route: dict[str, dict[str, Any]]

    def path(self, sent: Sent) -> str:
        known = self.ids | self.ids_of_route.get(sent.route, {})
        hostile = {name: quote(value, safe="") for name, value in sent.ids.items()}
        return sent.route.format_map(known | hostile)

    def send(self, sent: Sent) -> int:
        """The status. What it changed is undone, so that every request meets the same rows."""
        client = self.people[sent.person]
        cookies = copy.deepcopy(client.cookies)
        extra: dict[str, Any] = {n: value.decode("latin-1") for n, value in sent.headers.items()}
        if sent.cookies:
            jar = [f"{name}={morsel.value}" for name, morsel in cookies.items()]
            jar += [f"{name}={value.decode('latin-1')}" for name, value in sent.cookies]
            extra["HTTP_COOKIE"] = "; ".join(jar).encode().decode("latin-1")
            client.cookies.clear()
        try:
            with transaction.atomic():
                response: Any = client.generic(
                    sent.method,
                    self.path(sent),
                    sent.body,
                    sent.content_type,
                    query_string=encoded(sent.query),
                    **extra,
                )
                _body = b"".join(response) if response.streaming else response.content
                transaction.set_rollback(True)
        finally:
            client.cookies = cookies
        return int(response.status_code)


def encoded(pairs: tuple[tuple[str, bytes], ...]) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)


@pytest.fixture
def stage(amazon: RunningEmulator) -> Stage:
    tree = make_tree("Northstar")
    make_shop(SELLER, organization=tree.organization)
    people = {
        "anonymous": None,
        "owner": factories.owner_of(tree.organization),
        "viewer": factories.make_member(tree.organization, Role.VIEWER),
        "support": make_support(),
        "superuser": factories.make_user(is_staff=True, is_superuser=True),
    }
    browsers = {}
    for name, person in people.items():
        browsers[name] = Client(raise_request_exception=False)
        if person:
            signed_in_freshly(person, browsers[name])
    # The owner has a passkey, and some pages want that proved as well.
    owner = proved_seconds_ago(browsers["owner"], 0, "password", "mfa")
    ids = ids_of(tree) | {"app_label": "connections", "url": "no/such/page"}
    return Stage(browsers, ids, ids_of_own_routes(tree, owner, amazon) | ids_of_admin_routes())


def ids_of_own_routes(
    tree: Tree, browser: Client, amazon: RunningEmulator
) -> dict[str, dict[str, Any]]:
    owner, organization = factories.owner_of(tree.organization), tree.organization
    _invitation, invited = factories.make_invitation(organization)
    feed = renewals.make_feed(organization=organization, user=owner, actor=Actor.person(owner))
    client_trips.press_continue(browser, tree.link.path)
    step = browser.get(str(trips.authorize_now(amazon, NA_HOST, SELLER))).text
    reset = EmailAwarePasswordResetTokenGenerator().make_token(owner)
    device = UserSession.objects.create(user=owner, ip="127.0.0.1", session_key="of-another-device")
    return {
        "/accounts/password/reset/key/{uidb36}-{key}/": {
            "uidb36": user_pk_to_url_str(owner),
            "key": reset,
        },
        "/accounts/sessions/{pk}/end": {"pk": device.pk},
        "/amazon/spapi/start/{ticket}": {"ticket": re.findall(r"/spapi/start/([\w-]+)", step)[0]},
        "/c/{token}": {"token": tree.link.path.removeprefix("/c/")},
        "/c/ended/{reference}": {"reference": client_trips.trip_of(tree.link).reference},
        "/calendar/{token}.ics": {"token": feed.rpartition("/")[2].removesuffix(".ics")},
        "/invitation/{token}": {"token": invited},
    }


def ids_of_admin_routes() -> dict[str, dict[str, Any]]:
    """A row that exists, of the table whose page it is."""
    return {
        route: {name: key_of("_".join(route.split("/")[2:4]) + "_") for name in ("object_id", "id")}
        for route in ROUTES
        if route.startswith("/admin/") and {"object_id", "id"} & set(parameters(route))
    }


@contextmanager
def nothing_breaks(sent: Sent) -> Iterator[None]:
    """No exception was logged, whatever the answer looked like."""
    broken: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # Refused on purpose, by an exception that Django turns into a 400.
            if record.exc_info and record.name.startswith("django.security"):
                return
            if record.exc_info or record.levelno >= logging.ERROR:
                broken.append(f"{record.name}: {record.getMessage()[:300]} {record.exc_info}")

    listener = Listener()
    logging.getLogger().addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(listener)
    assert broken == [], sent


def check(stage: Stage, sent: Sent) -> None:
    with nothing_breaks(sent):
        status = stage.send(sent)
    assert 200 <= status < 500, (status, sent)


# The tests ---------------------------------------------------------------------------------


def test_the_table_is_the_resolvers() -> None:
    assert len(OWN_ROUTES) >= 135
    assert len(ROUTES) >= 340
    assert [route for route in ROUTES if re.search(r"[<>()^$?\\]", route)] == []


def test_every_address_leads_to_its_view(stage: Stage) -> None:
    """With the ids of rows that exist, and the owner meets them."""
    missing = []

    for route in ROUTES:
        assert route_of(stage.path(Sent("owner", "GET", route))) == route
        if route in OWN_ROUTES and parameters(route):
            status = stage.send(Sent("owner", "GET", route))
            if status == 405:
                status = stage.send(Sent("owner", "POST", route))
            if status not in (200, 204, 302, 303, 422):
                missing.append(f"{route} {status}")

    assert missing == []


def route_of(path: str) -> str:
    """The route that the resolver takes this address to."""
    return f"/{placeholders(resolve(path).route)}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_own_route_bears_hostile_text_everywhere(stage: Stage, method: str) -> None:
    """One value at once in path, query, fields, headers and cookies, and in the path alone."""
    names = field_names(stage)
    sent = 0

    for route, value in itertools.product(OWN_ROUTES, HOSTILE[:7] + HOSTILE[8:11]):
        pairs = tuple((name, value) for name in names)
        everywhere = Sent(
            "owner",
            method,
            route,
            query=pairs[:40] if method == "GET" else (),
            body=encoded(pairs).encode() if method == "POST" else b"",
            headers=dict.fromkeys(HEADERS[:5], value),
            cookies=(("csrf", value), ("messages", value), ("language", value)),
        )
        check(stage, everywhere)
        sent += 1
        if parameters(route):
            check(stage, Sent("owner", method, route, dict.fromkeys(parameters(route), value)))
            sent += 1
    assert sent >= 2_250


def field_names(stage: Stage) -> list[str]:
    """Names of the fields of every form that an owner can open."""
    found = set(NAMES)
    for route in OWN_ROUTES:
        page = stage.people["owner"].get(stage.path(Sent("owner", "GET", route)))
        found |= set(re.findall(r'name="([\w-]+)"', page.content.decode()))
    assert {"name", "marketplace", "time_zone", "account", "state"} <= found
    return sorted(found - {"csrfmiddlewaretoken"})


any_text = st.text(st.characters(exclude_categories=()), max_size=60)
values = st.one_of(
    st.sampled_from(HOSTILE),
    any_text.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=40),
)
pairs = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=5).map(tuple)
any_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
bodies = st.one_of(
    st.tuples(
        pairs.map(lambda some: encoded(some).encode()),
        st.just("application/x-www-form-urlencoded"),
    ),
    st.tuples(any_json.map(lambda value: json.dumps(value).encode()), st.just("application/json")),
    st.tuples(st.binary(max_size=200), st.sampled_from(["multipart/form-data", "?"])),
    st.tuples(
        values.map(lambda value: b"--x\r\nContent-Disposition: form-data; name=" + value),
        st.just("multipart/form-data; boundary=x"),
    ),
)


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    route = draw(st.sampled_from(OWN_ROUTES) | st.sampled_from(ROUTES))
    names = parameters(route)
    body, content_type = draw(bodies)
    return Sent(
        person=draw(st.sampled_from(["owner", "superuser", "anonymous", "viewer", "support"])),
        method=draw(st.sampled_from(METHODS)),
        route=route,
        ids=draw(st.dictionaries(st.sampled_from(names), values)) if names else {},
        query=draw(pairs),
        body=body,
        content_type=content_type,
        headers=draw(st.dictionaries(st.sampled_from(HEADERS[:-1]), values, max_size=3)),
        cookies=tuple(draw(st.lists(st.tuples(st.sampled_from(COOKIES), values), max_size=2))),
    )


@pytest.mark.timeout(seconds(600))
def test_no_request_is_an_error_of_ours(stage: Stage) -> None:
    """The same cases in every run of the suite; new ones at every `make fuzz`."""

    @settings(
        max_examples=examples(500),
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def attempt(sent: Sent) -> None:
        check(stage, sent)

    attempt()
