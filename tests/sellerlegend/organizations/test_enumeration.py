"""Nobody learns from us who has an account: text, status, mails, time (F17)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db

KNOWN, UNKNOWN = "known@example.com", "nobody@example.com"
CHANCE = re.compile(r'(name="csrfmiddlewaretoken" value|nonce)="[^"]*"')


@pytest.fixture(autouse=True)
def known() -> None:
    make_user(KNOWN)


def login(email: str) -> Any:
    return Client().post(reverse("account_login"), {"login": email, "password": "Wrong-pass-2026"})


def reset(email: str) -> Any:
    return Client().post(reverse("account_reset_password"), {"email": email})


def sign_up(email: str) -> Any:
    form = {"email": email, "password1": "Quite-another-77"}
    return Client().post(reverse("account_signup"), form)


DOORS: dict[str, Callable[[str], Any]] = {"login": login, "reset": reset, "signup": sign_up}


def words(answer: Any, email: str) -> str:
    return CHANCE.sub("", answer.content.decode()).replace(email, "…")


@pytest.mark.parametrize("door", DOORS)
def test_known_and_unknown_look_the_same(door: str) -> None:
    answers = [DOORS[door](email) for email in (KNOWN, UNKNOWN)]

    assert answers[0].status_code == answers[1].status_code
    assert answers[0].headers.get("Location") == answers[1].headers.get("Location")
    assert words(answers[0], KNOWN) == words(answers[1], UNKNOWN)
    assert set(answers[0].cookies) == set(answers[1].cookies)


def test_an_address_that_is_switched_off_looks_like_a_wrong_password() -> None:
    make_user("off@example.com", is_active=False)

    assert words(login("off@example.com"), "off@example.com") == words(login(UNKNOWN), UNKNOWN)


class SlowHasher(PBKDF2PasswordHasher):
    """Slow enough to stand out against everything else that a sign-in does."""

    iterations = 300_000


@pytest.mark.parametrize("door", ["login", "signup"])
def test_known_and_unknown_take_the_same_time(door: str, settings: Settings) -> None:
    """Whether a password is hashed is what could be told from outside."""
    settings.PASSWORD_HASHERS = [f"{__name__}.SlowHasher"]
    make_user("slow@example.com", password=PASSWORD)

    def seconds(email: str) -> float:
        started = time.process_time()
        DOORS[door](email)
        return time.process_time() - started

    known = min(seconds("slow@example.com") for _ in range(3))
    unknown = min(seconds(f"nobody{number}@example.com") for number in range(3))

    assert 0.6 < known / unknown < 1.7
