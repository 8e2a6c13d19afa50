"""Every route × every kind of person × method × page or htmx × own, foreign and made-up ids (T3),
but for what `requests_to` and `test_a_page_of_an_organization` leave out, and why.

`refusal` says which cells are refused, and how. Each refused cell is sent and changes nothing;
each permitted one is sent and undone. What is foreign answers as what does not exist: the same
status, body and headers.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from sellerlegend.organizations.models import (
    Allowance,
    Membership,
    Role,
    User,
)
from tests import bells
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import (
    ALL_METHODS,
    FORM,
    ORGANIZATION_ROUTES,
    PERSONAL_ROUTES,
    Route,
)
from tests.factories import (
    limit,
    make_connection,
    make_member,
    make_organization,
    make_user,
    owner_of,
)
from tests.nothing_changed import nothing_changes
from tests.signing_in import proved_seconds_ago, signed_in_freshly
from tests.staff import make_support
from tests.trees import Tree, ids_of, made_up, make_tree

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plain_rendering")]

# Who may write where fewer may write than read.
WRITING_ROLE = {"organization_settings": Role.ADMIN, "notifications": Role.MEMBER}
# How a permitted request may end: a page, nothing new, a redirect, a form with mistakes.
# What no route takes is sent as a page alone: `test_every_url` sends it as htmx does, too.
REQUESTS = (
    *itertools.product(FORM, (False, True)),
    *((method, False) for method in ALL_METHODS if method not in FORM),
)
DONE = frozenset({200, 204, 302, 303, 422})
# What differs between two answers to one request: the masked CSRF token and the CSP nonce.
CHANCE = re.compile(r'((?:name="csrfmiddlewaretoken" value|nonce)=|nonce-)"?[\w=+/-]+"?')


# Who ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """`role` None: not a member. `is_anonymous`: no session counts."""

    client: Client
    role: Role | None = None
    is_anonymous: bool = False


def member(role: Role) -> Callable[[Tree], Person]:
    def arrive(tree: Tree) -> Person:
        user = owner_of(tree.organization)
        if role != Role.OWNER:
            user = make_member(tree.organization, role)
        # The owner has a passkey, and some pages want that proved as well.
        return Person(proved_seconds_ago(signed_in_freshly(user), 0, "password", "mfa"), role)

    return arrive


def somebody(make: Callable[[], User]) -> Callable[[Tree], Person]:
    return lambda _tree: Person(signed_in_freshly(make()))


def removed(tree: Tree) -> Person:
    """An administrator until a moment ago, still with the session of then."""
    user = make_member(tree.organization, Role.ADMIN)
    client = signed_in_freshly(user)
    Membership.objects.for_organization(tree.organization).filter(user=user).delete()
    return Person(client)


def deactivated(tree: Tree) -> Person:
    user = make_member(tree.organization, Role.OWNER)
    client = signed_in_freshly(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    return Person(client, is_anonymous=True)


PEOPLE: dict[str, Callable[[Tree], Person]] = {
    "anonymous": lambda _tree: Person(Client(), is_anonymous=True),
    "outsider": somebody(lambda: owner_of(make_organization("Somebody else"))),
    "viewer": member(Role.VIEWER),
    "member": member(Role.MEMBER),
    "admin": member(Role.ADMIN),
    "owner": member(Role.OWNER),
    "support": somebody(make_support),
    "superuser": somebody(lambda: make_user(is_staff=True, is_superuser=True)),
    "removed": removed,
    "deactivated": deactivated,
}


# Where -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ids:
    """One way to fill the address: `kind` says whose, `values` the ids."""

    kind: str
    values: dict[str, Any]

    def path(self, route: Route) -> str:
        names = ("slug", *route.takes) if route.role else route.takes
        return reverse(route.name, kwargs={name: self.values[name] for name in names})


def ways_to_fill(tree: Tree, foreign: Tree) -> dict[str, Ids]:
    own, theirs, none = ids_of(tree), ids_of(foreign), made_up()
    slug, row = {"slug": own["slug"]}, {"connection_id": own["connection_id"]}
    return {
        "own": Ids("own", own),
        "foreign organization": Ids("organization", theirs),
        "random organization": Ids("organization", none),
        "foreign row": Ids("row", theirs | slug),
        "random row": Ids("row", none | slug),
        "foreign part": Ids("part", theirs | slug | row),
        "random part": Ids("part", none | slug | row),
    }


PAIRS = ("organization", "row", "part")


# What must happen --------------------------------------------------------------------------


def refusal(route: Route, person: Person, method: str, is_htmx: bool, kind: str) -> int | None:
    """The status of a refused cell; None for a permitted one."""
    if person.is_anonymous:
        return 401 if is_htmx else 302
    if method not in route.methods:
        return 405
    if person.role is None or kind == "organization":
        return 404
    needed = WRITING_ROLE.get(route.name, route.role) if method == "POST" else route.role
    if needed and not person.role.covers(needed):
        return 403
    return 404 if kind == "row" and route.takes else None


@dataclass(frozen=True)
class Answer:
    """What a person could tell two answers apart by."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...]


def ask(person: Person, path: str, method: str, is_htmx: bool, ids: Ids) -> Answer:
    headers = {"HX-Request": "true"} if is_htmx else {}
    response: Any = person.client.generic(method, path, headers=headers)
    body = b"".join(response) if response.streaming else response.content

    names = [str(value) for name, value in ids.values.items() if name not in ("pk", "tag_id")]
    own_words = [word for value in (path, *names) for word in dict.fromkeys((value, quote(value)))]

    def comparable(text: str) -> str:
        for word in own_words:
            text = text.replace(word, "")
        return CHANCE.sub("", text)

    shown = {
        name: comparable(value)
        for name, value in response.headers.items()
        # The length is that of bodies that are compared themselves.
        if name not in ("Content-Length", "X-Request-ID")
    }
    return Answer(response.status_code, comparable(body.decode()), tuple(sorted(shown.items())))


def requests_to(ids: Ids) -> list[tuple[str, bool]]:
    """A method that no route takes is refused before any row or part is looked up: it is sent to
    the own organization, a foreign one and none."""
    is_below = ids.kind in ("row", "part")
    return [sent for sent in REQUESTS if not is_below or sent[0] in FORM]


def fits(ids: Ids, route: Route) -> bool:
    """A foreign row needs a row in the address, a foreign part of an own row one below it."""
    return len(route.takes) >= {"row": 1, "part": 2}.get(ids.kind, 0)


@pytest.fixture
def tree() -> Tree:
    return make_tree("Northstar")


@pytest.fixture
def foreign() -> Tree:
    return make_tree("Harbor")


def test_the_matrix_has_every_cell(tree: Tree, foreign: Tree) -> None:
    ways = ways_to_fill(tree, foreign)
    forms = set(itertools.product(("GET", "HEAD", "POST"), (False, True)))

    assert len(PEOPLE) == 10
    assert len(ways) == 7
    for route in ORGANIZATION_ROUTES:
        fitting = {way for way, ids in ways.items() if fits(ids, route)}
        assert len(fitting) == 3 + 2 * min(len(route.takes), 2)
    for way, ids in ways.items():
        assert forms <= set(requests_to(ids)), way
        is_whole = ids.kind in ("own", "organization")
        assert {method for method, _ in requests_to(ids)} == set(ALL_METHODS if is_whole else FORM)


@pytest.mark.timeout(300)  # every route in one test, on a busy machine too
@pytest.mark.parametrize("name", PEOPLE)
def test_a_page_of_an_organization(
    name: str, tree: Tree, foreign: Tree, amazon: RunningEmulator
) -> None:
    person = PEOPLE[name](tree)
    ways = ways_to_fill(tree, foreign)
    bells.heard()

    for route in ORGANIZATION_ROUTES:
        fitting = {way: ids for way, ids in ways.items() if fits(ids, route)}
        if person.role is None:
            # Refused at the organization: of rows below the own one, one kind is enough.
            fitting.pop("foreign part", None)
            fitting.pop("random part", None)
        with nothing_changes(amazon, events=()):
            answers = answers_to(route, person, fitting)
        assert_as_expected(route, person, fitting, answers)
    assert bells.heard() == []


OF_A_ROW = {"connection_id", "notice_id", "batch"}


def test_a_row_outside_of_the_reach_is_not_there(
    tree: Tree, foreign: Tree, amazon: RunningEmulator
) -> None:
    """A limited member gets the same answer for a row of the own organization that is outside of
    the reach as for one that nobody has, whatever the route, and changes nothing."""
    user = make_member(tree.organization, Role.MEMBER)
    limit(user, tree.organization, make_connection(tree.organization, name="In reach"))
    person = Person(signed_in_freshly(user), Role.MEMBER)
    ways = ways_to_fill(tree, foreign)
    routes = [route for route in ORGANIZATION_ROUTES if OF_A_ROW & set(route.takes)]
    assert len(routes) > 20
    bells.heard()

    for route, (method, is_htmx) in itertools.product(routes, REQUESTS):
        with nothing_changes(amazon, events=()):
            outside, nowhere = (
                ask(person, ways[way].path(route), method, is_htmx, ways[way])
                for way in ("own", "random row")
            )
        cell = f"{route.name} {method} htmx={is_htmx}: {outside.status}"
        assert outside == nowhere, cell
        expected = refusal(route, person, method, is_htmx, "row")
        assert outside.status == expected, cell
    assert bells.heard() == []


Answers = dict[tuple[str, str, bool], Answer]


def answers_to(route: Route, person: Person, ways: dict[str, Ids]) -> Answers:
    answers = {}
    for way, ids in ways.items():
        path = ids.path(route)
        for method, is_htmx in requests_to(ids):
            Allowance.objects.all().delete()  # how often one may is told elsewhere
            is_refused = refusal(route, person, method, is_htmx, ids.kind) is not None
            with nullcontext() if is_refused else undone(person):
                answers[way, method, is_htmx] = ask(person, path, method, is_htmx, ids)
    return answers


@contextmanager
def undone(person: Person) -> Iterator[None]:
    """What is permitted must not disturb the next request: neither rows nor cookies stay."""
    cookies = copy.deepcopy(person.client.cookies)
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    person.client.cookies = cookies


def assert_as_expected(
    route: Route, person: Person, ways: dict[str, Ids], answers: Answers
) -> None:
    for (way, method, is_htmx), answer in answers.items():
        cell = f"{route.name} {method} {way} htmx={is_htmx}: {answer.status}"
        expected = refusal(route, person, method, is_htmx, ways[way].kind)
        fine = {expected} if expected else DONE | ({404} if ways[way].kind == "part" else set())
        assert answer.status in fine, cell
        if expected == 302:
            assert dict(answer.headers)["Location"].startswith(reverse("account_login")), cell
        elif expected == 401:
            assert dict(answer.headers)["HX-Redirect"].startswith(reverse("account_login")), cell
            assert method == "HEAD" or "data-signed-out" in answer.body, cell
    for kind, (method, is_htmx) in itertools.product(PAIRS, REQUESTS):
        pair = [answers.get((f"{way} {kind}", method, is_htmx)) for way in ("foreign", "random")]
        assert pair[0] == pair[1], f"{route.name} {method} {kind} htmx={is_htmx}"


@pytest.mark.parametrize("name", [name for name in PEOPLE if name != "owner"])
def test_a_page_of_a_person(name: str, tree: Tree, foreign: Tree, amazon: RunningEmulator) -> None:
    """Other people's trips and passkeys are not there; nobody's method is an error."""
    person = PEOPLE[name](tree)
    ways = {
        "foreign": Ids("personal", ids_of(foreign)),
        "random": Ids("personal", made_up()),
    }

    for route in PERSONAL_ROUTES:
        for method, is_htmx in REQUESTS:
            answers = []
            for ids in ways.values() if route.takes else [ways["random"]]:
                with undone(person):
                    answers.append(ask(person, ids.path(route), method, is_htmx, ids))
            cell = f"{route.name} {method} htmx={is_htmx}: {answers}"
            assert len(set(answers)) == 1, cell
            assert answers[0].status < 500, cell
            if person.is_anonymous:
                assert answers[0].status == (401 if is_htmx else 302), cell
