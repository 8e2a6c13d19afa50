"""No guard of sign-in, codes, callbacks or costly actions opens because Redis is away or empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import allauth
import pytest
import time_machine
from allauth.core.internal import ratelimit
from allauth.mfa.totp.internal import auth as totp
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from sellerlegend.env import PROJECT_DIR
from sellerlegend.organizations import limits
from sellerlegend.organizations.limits import Limit
from sellerlegend.organizations.models import User
from tests.amazon_emulator import RunningEmulator
from tests.factories import (
    PASSWORD,
    make_account,
    make_connection,
    make_organization,
    make_user,
    owner_of,
)
from tests.own_redis import OwnRedis, own_redis

pytestmark = [pytest.mark.django_db, pytest.mark.needs_redis]

HERE = "127.0.0.1"
TROUBLES = ("kill", "flush")


@pytest.fixture
def server(tmp_path: Path, settings: Settings) -> Iterator[OwnRedis]:
    """The cache of this test."""
    with own_redis(tmp_path) as running:
        settings.CACHES = {"default": running.cache()}
        yield running


@pytest.fixture
def person(db: None) -> User:
    return make_user("person@example.com")


def spend(limit: Limit, whose: str) -> None:
    """All but one token."""
    for _ in range(limit.burst - 1):
        assert limits.take((limit, whose)) == 0.0


def sign_in(client: Client, password: str = PASSWORD) -> int:
    fields = {"login": "person@example.com", "password": password}
    return client.post(reverse("account_login"), fields).status_code


# Each door, once all but one of its tokens are spent ------------------------------------------


def guess_a_password(_amazon: RunningEmulator, person: User) -> Callable[[], int]:
    spend(limits.SIGN_IN_TO_ACCOUNT, person.email)
    return lambda: sign_in(Client(), "wrong")


def sign_up(_amazon: RunningEmulator, _person: User) -> Callable[[], int]:
    spend(limits.SIGN_UP, HERE)
    return lambda: Client().post(reverse("account_signup"), {"email": ""}).status_code


def ask_for_a_reset(_amazon: RunningEmulator, _person: User) -> Callable[[], int]:
    spend(limits.PASSWORD_RESET, HERE)
    return lambda: Client().post(reverse("account_reset_password"), {"email": ""}).status_code


def guess_a_code(_amazon: RunningEmulator, person: User) -> Callable[[], int]:
    totp.TOTP.activate(person, totp.generate_totp_secret())
    spend(limits.SECOND_STEP, person.pk.hex)

    def guess() -> int:
        client = Client()
        assert sign_in(client) == 302
        return client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code

    return guess


def prove_again(_amazon: RunningEmulator, person: User) -> Callable[[], int]:
    spend(limits.OWN_ACCOUNT, person.pk.hex)
    client = Client()
    client.force_login(person)
    url = reverse("account_reauthenticate")
    return lambda: client.post(url, {"password": "wrong"}).status_code


def come_back_forged(_amazon: RunningEmulator, _person: User) -> Callable[[], int]:
    spend(limits.REFUSED_CALLBACK, HERE)
    url = reverse("spapi_callback")
    return lambda: Client().get(url, {"state": "forged"}).status_code


def start_now(amazon: RunningEmulator, _person: User) -> Callable[[], int]:
    token = amazon.world.authorize("A1NORTHSTAR001", "NA")
    account = make_account(
        make_connection(make_organization(), seller="A1NORTHSTAR001", refresh_token=token)
    )
    organization = account.connection.organization
    spend(limits.COSTLY_ACTION, organization.pk.hex)
    client = Client()
    client.force_login(owner_of(organization))
    url = reverse("marketplaces_onboard", args=[organization.slug, account.connection_id])
    return lambda: client.post(url, {"account": str(account.pk)}).status_code


DOORS = (
    guess_a_password,
    sign_up,
    ask_for_a_reset,
    guess_a_code,
    prove_again,
    come_back_forged,
    start_now,
)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("door", DOORS)
def test_a_limit_holds_without_redis(
    server: OwnRedis,
    amazon: RunningEmulator,
    person: User,
    door: Callable[[RunningEmulator, User], Callable[[], int]],
    trouble: str,
) -> None:
    knock = door(amazon, person)
    getattr(server, trouble)()
    assert knock() != 429
    if trouble == "flush":
        server.flush()

    assert knock() == 429


# Codes ---------------------------------------------------------------------------------------


def code_now(secret: str) -> str:
    counter = next(totp.yield_hotp_counters_from_time())
    return str(totp.format_hotp_value(totp.hotp_value(secret, counter)))


def enters(code: str) -> bool:
    """Whether somebody with the password comes in with this code."""
    client = Client()
    assert sign_in(client) == 302
    client.post(reverse("mfa_authenticate"), {"code": code})
    return client.get(reverse("profile")).status_code == 200


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_code_of_an_authenticator_opens_once(
    server: OwnRedis, person: User, trouble: str
) -> None:
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(person, secret)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        code = code_now(secret)
        assert enters(code)
        getattr(server, trouble)()

        assert not enters(code)
        assert not enters(f"{code[:3]} {code[3:]}")

        clock.shift(30)
        assert enters(code_now(secret))


def test_a_code_of_somebody_else_is_another_code(server: OwnRedis, person: User) -> None:
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(person, secret)
    with time_machine.travel(timezone.now(), tick=False):
        other = make_user()
        assert limits.take((limits.USED_CODE, f"{other.pk.hex} {code_now(secret)}")) == 0.0

        assert enters(code_now(secret))


# Nobody else counts in the cache --------------------------------------------------------------


def users_of_the_cache(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if "django.core.cache" in path.read_text()
    }


def test_what_the_product_keeps_in_the_cache_guards_nothing() -> None:
    """Access tokens, rows of HTML and a count of rows, all of which can be made again."""
    rooms = ("sellerlegend", "connections", "marketplaces", "ppc")
    found = {f"{room}/{name}" for room in rooms for name in users_of_the_cache(PROJECT_DIR / room)}

    assert found == {
        "connections/attention.py",
        "connections/row_html.py",
        "connections/token_cache.py",
        "sellerlegend/settings.py",
        "sellerlegend/shared_cache.py",
    }


def test_what_allauth_keeps_in_the_cache_is_kept_in_the_database_too() -> None:
    """Its limits are off, ours stand in their place; used codes are remembered twice."""
    folder = Path(allauth.__file__).parent
    rooms = ("account", "core", "mfa", "usersessions")
    found = {f"{room}/{name}" for room in rooms for name in users_of_the_cache(folder / room)}

    assert found == {"core/internal/ratelimit.py", "mfa/totp/internal/auth.py"}
    for app, action in (("allauth.account", "login_failed"), ("allauth.mfa", "webauthn_login")):
        assert ratelimit.get_rates(app=app, action=action) == []
