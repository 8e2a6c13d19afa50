"""What the one settings file makes of an environment, seen from a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.environment import development_environment
from tests.services import find_services

CHECKOUT = Path(__file__).resolve().parents[2]
SHOW = """
import json, sys
from sellerlegend import settings
names = sys.argv[1:]
print(json.dumps({name: getattr(settings, name) for name in names}, default=str))
"""


def process(
    tmp_path: Path, *command: str, **variables: str | None
) -> subprocess.CompletedProcess[str]:
    """None takes a variable away."""
    environment: dict[str, str | None] = {
        "PATH": os.environ["PATH"],
        **development_environment(
            DJANGO_SECRET_KEY="settings-test-" + "x" * 50,
            TOKEN_ENCRYPTION_KEYS="test:" + "A" * 43 + "=",
            VAR_DIR=str(tmp_path / "var"),
        ),
        **variables,
    }
    return subprocess.run(
        [sys.executable, *command],
        cwd=CHECKOUT,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shown(tmp_path: Path, *names: str, **variables: str) -> dict[str, Any]:
    finished = process(tmp_path, "-c", SHOW, *names, **variables)
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


PRODUCTION = {
    "DJANGO_DEBUG": "false",
    "PUBLIC_BASE_URL": "https://accounts.example.com",
    "DATABASE_URL": "postgresql://me:hidden@db/prod",
    "REDIS_URL": "redis://cache:6379/0",
}


def test_every_cookie_is_tied_to_the_host(tmp_path: Path) -> None:
    """`__Host-` demands Secure, Path=/ and no Domain; browsers refuse the cookie otherwise."""
    names = ("SESSION", "CSRF", "LANGUAGE", "MESSAGES", "DEVICE")

    found = shown(
        tmp_path,
        *(f"{name}_COOKIE_NAME" for name in names),
        *("SESSION_COOKIE_HTTPONLY", "CSRF_COOKIE_HTTPONLY"),
        *("SESSION_COOKIE_SAMESITE", "CSRF_COOKIE_SAMESITE"),
        **PRODUCTION,
    )

    assert all(found.pop(f"{name}_COOKIE_NAME").startswith("__Host-") for name in names)
    assert set(found.values()) == {True, "Lax"}


def test_production_is_strict(tmp_path: Path) -> None:
    found = shown(
        tmp_path,
        *("DEBUG", "SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE"),
        *("CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "AMAZON_ENDPOINTS"),
        *("SPAPI_REDIRECT_URI", "ADS_REDIRECT_URI", "CSRF_TRUSTED_ORIGINS"),
        **PRODUCTION,
    )

    assert found == {
        "DEBUG": False,
        "SESSION_COOKIE_NAME": "__Host-session",
        "CSRF_COOKIE_NAME": "__Host-csrf",
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "AMAZON_ENDPOINTS": "Endpoints(emulator_url='')",
        "SPAPI_REDIRECT_URI": "https://accounts.example.com/amazon/spapi/callback",
        "ADS_REDIRECT_URI": "https://accounts.example.com/amazon/ads/callback",
        "CSRF_TRUSTED_ORIGINS": ["https://accounts.example.com"],
    }


def test_production_speaks_to_its_servers(tmp_path: Path) -> None:
    found = shown(tmp_path, "DATABASES", "CACHES", **PRODUCTION)

    assert found["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    cache = found["CACHES"]["default"]
    assert cache["BACKEND"] == "sellerlegend.shared_cache.SharedCache"
    # JSON, never pickle: whoever writes to Redis cannot make us run anything.
    assert cache["OPTIONS"]["serializer"] == "sellerlegend.shared_cache.JsonSerializer"


def test_the_embedded_defaults_need_no_server(tmp_path: Path) -> None:
    found = shown(
        tmp_path, "DATABASES", "CACHES", "VAR_DIR", "SESSION_COOKIE_NAME", "SECURE_SSL_REDIRECT"
    )

    database = found["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == str(tmp_path / "var" / "database.sqlite3")
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert found["CACHES"]["default"]["BACKEND"] == "django.core.cache.backends.db.DatabaseCache"
    assert (found["SESSION_COOKIE_NAME"], found["SECURE_SSL_REDIRECT"]) == ("session", False)


def test_the_policy_lets_forms_go_to_amazon_and_nothing_inline(tmp_path: Path) -> None:
    directives = shown(tmp_path, "CONTENT_SECURITY_POLICY", **PRODUCTION)[
        "CONTENT_SECURITY_POLICY"
    ]["DIRECTIVES"]

    assert "https://sellercentral.amazon.com" in directives["form-action"]
    assert "https://www.amazon.com" in directives["form-action"]
    assert "unsafe" not in json.dumps(directives)
    assert not any("http:" in source for source in directives["form-action"])


def test_the_emulator_takes_the_place_of_every_address(tmp_path: Path) -> None:
    found = shown(
        tmp_path,
        "AMAZON_ENDPOINTS",
        "CONTENT_SECURITY_POLICY",
        AMAZON_EMULATOR_URL="http://127.0.0.1:9001",
    )

    assert found["AMAZON_ENDPOINTS"] == "Endpoints(emulator_url='http://127.0.0.1:9001')"
    directives = found["CONTENT_SECURITY_POLICY"]["DIRECTIVES"]
    assert directives["form-action"] == ["'self'", "http://127.0.0.1:9001"]


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        (
            PRODUCTION | {"AMAZON_EMULATOR_URL": "http://127.0.0.1:9001"},
            "AMAZON_EMULATOR_URL: is refused unless DJANGO_DEBUG is on",
        ),
        (PRODUCTION | {"TOKEN_ENCRYPTION_KEYS": ""}, "TOKEN_ENCRYPTION_KEYS: holds no key"),
        ({"DJANGO_DEBUG": "Flase"}, "DJANGO_DEBUG: Input should be a valid boolean"),
    ],
)
def test_a_process_with_a_wrong_environment_says_so_and_ends(
    tmp_path: Path, variables: dict[str, str], complaint: str
) -> None:
    finished = process(tmp_path, "manage.py", "check", **variables)

    assert finished.returncode == 1
    assert complaint in finished.stderr
    assert "Traceback" not in finished.stderr
    assert "hidden" not in finished.stderr


CELERY = ("-m", "celery", "--app", "sellerlegend")
STARTS = {
    "web": ("-m", "gunicorn", "--check-config", "sellerlegend.wsgi:application"),
    "worker": (*CELERY, "worker", "--pool", "solo"),
    "beat": (*CELERY, "beat", "--schedule", "{folder}/schedule"),
}
PREFERRED = ("LWA_APP_ID", "LWA_CLIENT_SECRET", "SP_API_REFRESH_TOKEN")


@pytest.mark.parametrize("kind", STARTS)
def test_no_process_starts_with_what_every_command_refuses(tmp_path: Path, kind: str) -> None:
    command = [word.format(folder=tmp_path) for word in STARTS[kind]]

    finished = process(tmp_path, *command, **dict.fromkeys(PREFERRED, "hidden"))

    assert finished.returncode != 0
    for name in PREFERRED:
        assert f"SL.E020: {name} is set in the environment." in finished.stderr
    assert "would silently prefer it" in finished.stderr
    assert "hidden" not in finished.stderr + finished.stdout


def test_a_web_process_starts_with_a_sound_configuration(tmp_path: Path) -> None:
    finished = process(tmp_path, *STARTS["web"])

    assert finished.returncode == 0, finished.stderr


LIMITS = """
{prepare}
import django
django.setup()
from django.db import connection
found = {{}}
with connection.cursor() as cursor:
    for name in {names!r}:
        cursor.execute("SHOW " + name)
        found[name] = cursor.fetchone()[0]
import json
print(json.dumps(found))
"""
NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit")
WEB = "import sellerlegend.wsgi"
WORKER = "from sellerlegend.env import use_project_settings; use_project_settings()"


@pytest.mark.needs_postgresql
@pytest.mark.parametrize(
    ("prepare", "told", "statement", "lock"),
    [
        (WEB, None, "5s", "2s"),
        (WORKER, None, "1min", "5s"),
        (WEB, "8", "8s", "4s"),
    ],
    ids=["web", "worker", "told"],
)
def test_no_statement_takes_for_ever(
    tmp_path: Path, prepare: str, told: str | None, statement: str, lock: str
) -> None:
    url = find_services().postgresql.address

    finished = process(
        tmp_path,
        *("-c", LIMITS.format(prepare=prepare, names=NAMES)),
        DATABASE_URL=url,
        DATABASE_STATEMENT_SECONDS=told,
    )

    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == {
        "statement_timeout": statement,
        "lock_timeout": lock,
        "idle_in_transaction_session_timeout": "30s",
        "jit": "off",
    }
