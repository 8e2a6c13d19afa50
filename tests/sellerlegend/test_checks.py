"""Each misconfiguration is told by its id, a good one by nothing, and the table has them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, run_checks
from django.core.management import call_command
from pytest_django import Settings

from sellerlegend.monitoring import readiness
from sellerlegend.organizations.models import Organization
from tests import factories

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("sellerlegend", "connections", "marketplaces", "ppc")
ID = re.compile(r"SL\.[EW]\d{3}")
GOOD_KEY = bytes.fromhex("8f1d7c02b65e93aa41f0c8d72e9b5463d10faa7e3c88b1f4065d2be97740c319")
OTHER_KEY = bytes.fromhex("3a90c5e1f7264bd80e9173ac5fd2680bb4c81f76e05a932dc7be41f80d6a2597")
HOST = "accounts.example.com"

PRODUCTION = {
    "DEBUG": False,
    "SECRET_KEY": "8Jz0kQbW3vX5nY7mR1tL9pA2sD4fG6hJ8kZ0xC3vB5nM7qW9eR1tY3uI5oP7",
    "TOKEN_ENCRYPTION_KEYS": {"k1": GOOD_KEY, "k0": OTHER_KEY},
    "PUBLIC_BASE_URL": f"https://{HOST}",
    "IS_HTTPS": True,
    "ALLOWED_HOSTS": [HOST],
    "SPAPI_REDIRECT_URI": f"https://{HOST}/amazon/spapi/callback",
    "ADS_REDIRECT_URI": f"https://{HOST}/amazon/ads/callback",
    "SPAPI_LOGIN_URI": f"https://{HOST}/amazon/spapi/login",
    "AMAZON_EMULATOR_URL": "",
    "TRUSTED_PROXY_COUNT": 1,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
    "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
    "DEFAULT_FROM_EMAIL": f"SellerLegend <no-reply@{HOST}>",
    "REDIS_URL": "redis://127.0.0.1:6379/15",
    "METRICS_TOKEN": "Zr9Qh2vKx7Tn4Lb8Wd1Mc6Yp3Gs5Jf0A",
}


@pytest.fixture
def production(settings: Settings) -> Settings:
    for name, value in PRODUCTION.items():
        setattr(settings, name, value)
    return settings


def told(**options: Any) -> list[str]:
    found = run_checks(include_deployment_checks=True, **options)
    return [message.id for message in found if message.id and message.id.startswith("SL.")]


def without_a_server_database(found: list[str]) -> list[str]:
    """The tests may run on SQLite, which is one of the warnings."""
    return [name for name in found if name != "SL.W040"]


def test_a_good_configuration_is_told_nothing(production: Settings) -> None:
    assert without_a_server_database(told()) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"AMAZON_EMULATOR_URL": "http://127.0.0.1:9001"}, "SL.E010"),
        ({"SECRET_KEY": "tests-only-" + "x" * 50}, "SL.E011"),
        ({"SECRET_KEY": "django-insecure-8Jz0kQbW3vX5nY7mR1tL9pA2sD4fG6hJ8kZ0xC3v"}, "SL.E011"),
        ({"SECRET_KEY": "build-only-8Jz0kQbW3vX5nY7mR1tL9pA2sD4fG6hJ8kZ0xC3vB5nM7"}, "SL.E011"),
        ({"SECRET_KEY": "please-change-me-8Jz0kQbW3vX5nY7mR1tL9pA2sD4fG6hJ8kZ0xC"}, "SL.E011"),
        ({"SECRET_KEY": "your-secret-key-here-8Jz0kQbW3vX5nY7mR1tL9pA2sD4fG6hJ8"}, "SL.E011"),
        ({"SECRET_KEY": "my_secret_key_8Jz0kQbW3vX5nY7mR1tL9pA2sD4fG6hJ8kZ0xC3vB"}, "SL.E011"),
        ({"SECRET_KEY": "secretsecretsecretsecretsecretsecretsecretsecretsecret"}, "SL.E011"),
        ({"SECRET_KEY": "wordsWithoutDice1" * 3 + "wor"}, "SL.E011"),
        ({"SECRET_KEY": "abcabcabaabcbacbabcabcabaabcbacbccabcbabcabcbacbabcbacba"}, "SL.E011"),
        ({"TOKEN_ENCRYPTION_KEYS": {"k1": b"this-is-a-32-byte-key-for-tests!"}}, "SL.E012"),
        ({"METRICS_TOKEN": ""}, "SL.W047"),
        ({"TOKEN_ENCRYPTION_KEYS": {"k1": bytes(32)}}, "SL.E012"),
        ({"TOKEN_ENCRYPTION_KEYS": {"k1": b"abcd" * 8}}, "SL.E012"),
        ({"TOKEN_ENCRYPTION_KEYS": {"k1": bytes(range(32))}}, "SL.E012"),
        ({"TOKEN_ENCRYPTION_KEYS": {"k1": GOOD_KEY, "k0": bytes(32)}}, "SL.E012"),
        ({"TOKEN_ENCRYPTION_KEYS": {"k1": GOOD_KEY, "k0": GOOD_KEY}}, "SL.E013"),
        ({"SPAPI_REDIRECT_URI": f"http://{HOST}/amazon/spapi/callback"}, "SL.E014"),
        ({"ADS_REDIRECT_URI": f"http://{HOST}/amazon/ads/callback"}, "SL.E014"),
        ({"TRUSTED_PROXY_COUNT": 0, "IS_HTTPS": False}, "SL.E015"),
        ({"TRUSTED_PROXY_COUNT": 0, "SECURE_PROXY_SSL_HEADER": None}, "SL.W016"),
        ({"ALLOWED_HOSTS": [HOST, "*"]}, "SL.E017"),
        ({"ALLOWED_HOSTS": ["other.example.com"]}, "SL.E018"),
        ({"DEBUG": True}, "SL.E019"),
        ({"DEBUG": True, "PUBLIC_BASE_URL": "http://10.1.2.3:8000"}, "SL.E019"),
        ({"SPAPI_APPLICATION_ID": ""}, "SL.W030"),
        ({"REDIS_URL": ""}, "SL.W041"),
        ({"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend"}, "SL.W042"),
        ({"DEFAULT_FROM_EMAIL": "SellerLegend <no-reply@localhost>"}, "SL.W043"),
    ],
)
def test_each_mistake_is_told(changed: dict[str, Any], expected: str, production: Settings) -> None:
    for name, value in changed.items():
        setattr(production, name, value)

    assert without_a_server_database(told()) == [expected]


@pytest.mark.parametrize("name", ["LWA_APP_ID", "SP_API_REFRESH_TOKEN"])
def test_a_variable_that_libraries_prefer_is_told(
    name: str, production: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")

    assert without_a_server_database(told()) == ["SL.E020"]


def test_sqlite_is_told_without_asking_it(production: Settings) -> None:
    production.DATABASES["default"]["ENGINE"], before = (
        "django.db.backends.sqlite3",
        production.DATABASES["default"]["ENGINE"],
    )
    try:
        assert told() == ["SL.W040"]
    finally:
        production.DATABASES["default"]["ENGINE"] = before


@pytest.mark.parametrize(
    "address", ["http://localhost:8000", "http://127.0.0.1:8000", "http://shop.localhost:8000"]
)
def test_a_developer_may_use_weak_keys_on_his_own_machine(
    address: str, production: Settings
) -> None:
    production.DEBUG = True
    production.PUBLIC_BASE_URL = address
    production.SECRET_KEY = "tests-only-" + "x" * 50
    production.TOKEN_ENCRYPTION_KEYS = {"tests": bytes(32)}
    production.ALLOWED_HOSTS = ["*"]

    assert [name for name in told() if name.startswith("SL.E")] == []


# Asking the servers -------------------------------------------------------------------------


@pytest.mark.needs_redis
@pytest.mark.django_db
def test_servers_that_are_well_are_told_nothing(production: Settings, settings: Settings) -> None:
    production.REDIS_URL = settings.REDIS_URL

    assert without_a_server_database(told(databases=["default"])) == []


@pytest.mark.django_db
def test_a_queue_that_is_away_is_told(production: Settings) -> None:
    production.REDIS_URL = "redis://127.0.0.1:1/0"

    assert "SL.E044" not in told()
    assert without_a_server_database(told(databases=["default"])) == ["SL.E044"]


@pytest.mark.django_db
def test_a_wrong_clock_is_told(production: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "database_skew", lambda: -6.0)

    assert "SL.W045" in told(databases=["default"])


@pytest.mark.django_db
def test_a_release_asks_no_server(production: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the queue nor a key that is lost for good stands between a mend and its users."""
    organization = factories.make_organization("Northstar")
    locked = organization.data_key.replace(".k1.", ".lost.")
    Organization.objects.filter(pk=organization.pk).update(data_key=locked)
    production.REDIS_URL = "redis://127.0.0.1:1/0"
    wrong = told(databases=["default"])

    call_command("migrate", "--check", skip_checks=False)

    assert {"SL.E044", "SL.E050"} <= set(wrong)
    assert "SL." not in capsys.readouterr().err


# The table ----------------------------------------------------------------------------------


def test_the_table_has_every_id_and_no_other() -> None:
    rows = re.findall(r"^\| (SL\.[EW]\d{3}) \|", (CHECKOUT / "docs/checks.md").read_text(), re.M)
    used = {
        name
        for room in ROOMS
        for path in (CHECKOUT / room).rglob("*.py")
        for name in ID.findall(path.read_text())
    }

    assert sorted(rows) == sorted(used)
    assert len(rows) == len(set(rows))


def test_every_check_has_a_hint(production: Settings) -> None:
    production.SECRET_KEY = "tests-only-" + "x" * 50
    production.ALLOWED_HOSTS = ["*"]
    production.REDIS_URL = ""

    found = [m for m in run_checks(include_deployment_checks=True) if (m.id or "")[:3] == "SL."]

    assert found
    assert all(message.hint for message in found)
    assert all((message.level >= ERROR) is ("SL.E" in str(message.id)) for message in found)
