"""Second steps are sealed in the database and follow the key ring."""

from __future__ import annotations

from importlib import import_module

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.apps import apps
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from sellerlegend import crypto
from sellerlegend.organizations import custody, limits, second_secrets
from sellerlegend.organizations.models import User
from sellerlegend.organizations.second_step import CLOSED
from tests import factories
from tests.demo.second_step import code_for
from tests.operators import run_command
from tests.page_titles import title

pytestmark = pytest.mark.django_db

MORE_THAN_ALLOWED = limits.SECOND_STEP.burst + 1
OLD, NEW = b"\0" * 32, bytes(range(32))


@pytest.fixture
def person() -> User:
    return factories.make_user()


@pytest.fixture
def secret(person: User) -> str:
    made: str = generate_totp_secret()
    TOTP.activate(person, made)
    return made


@pytest.fixture
def seed(person: User, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(RecoveryCodes, "generate_seed", lambda: "5eed" * 20)
    RecoveryCodes.activate(person)
    return "5eed" * 20


def signed_in_with(person: User, code: str) -> Client:
    client = Client()
    client.post(reverse("account_login"), {"login": person.email, "password": factories.PASSWORD})
    client.post(reverse("mfa_authenticate"), {"code": code})
    return client


def is_signed_in(client: Client) -> bool:
    return client.get(reverse("profile")).status_code == 200


def stored() -> list[str]:
    return [str(data) for data in Authenticator.objects.values_list("data", flat=True)]


def test_neither_secret_nor_seed_stands_in_the_clear(person: User, secret: str, seed: str) -> None:
    assert len(stored()) == 2
    assert not any(secret in text or seed in text for text in stored())

    assert is_signed_in(signed_in_with(person, code_for(secret)))
    recovery = Authenticator.objects.get(type=Authenticator.Type.RECOVERY_CODES)
    assert is_signed_in(signed_in_with(person, recovery.wrap().generate_codes()[0]))


def test_a_text_that_was_never_sealed_opens_nothing(person: User, secret: str) -> None:
    Authenticator.objects.update(data={"secret": secret})

    client = signed_in_with(person, code_for(secret))

    assert not is_signed_in(client)


def test_a_missing_key_is_told_and_costs_no_try(
    person: User, secret: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    client.post(reverse("account_login"), {"login": person.email, "password": factories.PASSWORD})
    settings.TOKEN_ENCRYPTION_KEYS = {"another": NEW}

    for _ in range(MORE_THAN_ALLOWED):
        page = client.post(reverse("mfa_authenticate"), {"code": code_for(secret)})
        assert page.status_code == 200
        assert str(CLOSED) in page.content.decode()
        assert title(page.text) == "Error: Second step of the sign-in · SellerLegend"

    assert not is_signed_in(client)
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.message for record in told] == ["second_step_unreadable"] * MORE_THAN_ALLOWED
    settings.TOKEN_ENCRYPTION_KEYS = {"tests": OLD}
    client.post(reverse("mfa_authenticate"), {"code": code_for(secret)})
    assert is_signed_in(client)


def test_a_rotation_seals_them_under_the_new_key(
    person: User, secret: str, seed: str, settings: Settings
) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW, "tests": OLD}
    assert custody.rows_by_key()["tests"] == 2
    assert run_command("rotate_encryption_keys", "--retire", "tests").code == 1

    dry = run_command("rotate_encryption_keys", "--dry-run")
    assert dry.code == 0
    assert custody.rows_by_key()["tests"] == 2
    run = run_command("rotate_encryption_keys")

    assert "Second steps of people: 2 sealed anew, 0 do not open." in run.err
    assert custody.rows_by_key() == {"new": 2}
    settings.TOKEN_ENCRYPTION_KEYS = {"new": NEW}
    assert is_signed_in(signed_in_with(person, code_for(secret)))
    assert second_secrets.seal_anew() == (0, 0)


def test_new_data_keys_are_for_second_steps_too(secret: str) -> None:
    before = stored()

    run = run_command("rotate_encryption_keys", "--new-data-keys")

    assert "Second steps of people: 1 sealed anew" in run.err
    assert stored() != before
    assert second_secrets.opened(Authenticator.objects.get().data["secret"]) == secret


def test_what_does_not_open_is_counted_and_left(secret: str) -> None:
    Authenticator.objects.update(data={"secret": "never sealed"})

    assert second_secrets.seal_anew(is_new_data_key=True) == (0, 1)
    assert Authenticator.objects.get().data == {"secret": "never sealed"}


def test_the_migration_seals_and_signs_everybody_out(person: User, secret: str, seed: str) -> None:
    migration = import_module("sellerlegend.organizations.migrations.0009_sealed_second_steps")
    migration.lay_open(apps, None)
    assert Authenticator.objects.get(type="totp").data == {"secret": secret}
    sealed_app = signed_in_with(person, "000000")
    assert Session.objects.exists()

    migration.seal(apps, None)
    migration.end_sessions(apps, None)

    assert not is_signed_in(sealed_app)
    assert not any(secret in text or seed in text for text in stored())
    assert is_signed_in(signed_in_with(person, code_for(secret)))


def test_one_secret_opens_only_as_a_whole(secret: str) -> None:
    text = Authenticator.objects.get().data["secret"]
    foreign = second_secrets.seal("another")

    with pytest.raises(crypto.Undecryptable):
        second_secrets.opened(f"{foreign.partition(' ')[0]} {text.partition(' ')[2]}")
