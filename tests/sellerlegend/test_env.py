"""The environment: every wrong value is reported at once, by name, and none is repeated."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from sellerlegend import env
from sellerlegend.env import Env, EnvironmentInvalid, known_secrets, parse_key_ring, read_env
from tests.environment import development_environment

KEY = base64.b64encode(b"k" * 32).decode()
PRODUCTION = {
    "DJANGO_DEBUG": "false",
    "DJANGO_SECRET_KEY": "s" * 50,
    "PUBLIC_BASE_URL": "https://accounts.example.com",
    "TOKEN_ENCRYPTION_KEYS": f"k1:{KEY}",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Env.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def read(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> Env:
    for name, value in (PRODUCTION | changes).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return read_env()


def complaints(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> dict[str, str]:
    """By variable, what a start with this environment says."""
    with pytest.raises(EnvironmentInvalid) as refused:
        read(monkeypatch, **changes)
    assert refused.value.__suppress_context__
    return dict(re.findall(r"^  SL\.E\d{3} ([A-Z_]+): (.+)$", str(refused.value), re.MULTILINE))


def test_production_needs_four_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch)

    assert found.django_debug is False
    assert found.public_base_url == "https://accounts.example.com"
    assert found.redis_url is None


def test_nothing_set_names_every_required_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = complaints(monkeypatch, **dict.fromkeys(PRODUCTION))

    assert found == {
        "DJANGO_SECRET_KEY": "Field required",
        "PUBLIC_BASE_URL": "must be https unless DJANGO_DEBUG is on",
        "TOKEN_ENCRYPTION_KEYS": "Field required",
    }


WRONG = {
    "DJANGO_DEBUG": "Flase",
    "DJANGO_SECRET_KEY": "too-short",
    "PUBLIC_BASE_URL": "accounts.example.com",
    "TRUSTED_PROXY_COUNT": "-1",
    "LOG_LEVEL": "LOUD",
    "DATABASE_URL": "mysql://me:hidden@db/prod",
    "REDIS_URL": "http://:hidden@cache",
    "TOKEN_ENCRYPTION_KEYS": "k1:hidden",
    "SPAPI_DRAFT_APPLICATION": "perhaps",
    "SPAPI_LISTED_IN_APPSTORE": "soon",
    "AMAZON_EMULATOR_URL": "127.0.0.1:9001",
    "EMAIL_PORT": "smtp",
    "EMAIL_USE_TLS": "sure",
}


def test_all_wrong_values_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert complaints(monkeypatch, **WRONG).keys() == WRONG.keys()


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_value_is_one_complaint_that_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = complaints(monkeypatch, **{name: WRONG[name]})

    assert list(found) == [name]
    assert WRONG[name] not in found[name]
    assert "hidden" not in found[name]


def test_forbidden_combinations_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    found = complaints(
        monkeypatch,
        PUBLIC_BASE_URL="http://accounts.example.com",
        AMAZON_EMULATOR_URL="http://127.0.0.1:9001",
        TOKEN_ENCRYPTION_KEYS="",
    )

    assert found == {
        "PUBLIC_BASE_URL": "must be https unless DJANGO_DEBUG is on",
        "AMAZON_EMULATOR_URL": "is refused unless DJANGO_DEBUG is on",
        "TOKEN_ENCRYPTION_KEYS": "holds no key",
    }


@pytest.mark.parametrize(
    ("changed", "number", "hint"),
    [
        ({"TOKEN_ENCRYPTION_KEYS": None}, "SL.E002", "secrets.token_bytes(32)"),
        ({"TOKEN_ENCRYPTION_KEYS": ""}, "SL.E002", "secrets.token_bytes(32)"),
        ({"TOKEN_ENCRYPTION_KEYS": "k1:hidden"}, "SL.E002", "secrets.token_bytes(32)"),
        ({"DJANGO_SECRET_KEY": None}, "SL.E003", "secrets.token_urlsafe(50)"),
        ({"DJANGO_SECRET_KEY": "hidden"}, "SL.E003", "secrets.token_urlsafe(50)"),
        ({"AMAZON_EMULATOR_URL": "http://127.0.0.1:9001"}, "SL.E010", "Remove AMAZON_EMULATOR"),
        ({"PUBLIC_BASE_URL": "http://accounts.example.com"}, "SL.E014", "to the https address"),
        ({"EMAIL_PORT": "hidden"}, "SL.E001", ".env.example"),
    ],
)
def test_every_mistake_has_its_number_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], number: str, hint: str
) -> None:
    with pytest.raises(EnvironmentInvalid) as refused:
        read(monkeypatch, **changed)

    first, wrong, advice, last = str(refused.value).splitlines()
    assert first == "The environment is not usable:"
    assert wrong.startswith(f"  {number} {next(iter(changed))}: ")
    assert hint in advice
    assert last == "The numbers are explained in docs/checks.md."
    assert "hidden" not in str(refused.value)


def test_the_emulator_and_plain_http_are_for_development(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch,
        DJANGO_DEBUG="true",
        PUBLIC_BASE_URL="http://localhost:8000",
        AMAZON_EMULATOR_URL="http://127.0.0.1:9001",
    )

    assert found.amazon_emulator_url == "http://127.0.0.1:9001"


@pytest.mark.parametrize(
    "url",
    ["https://example.com/", "https://example.com/path", "ftp://example.com", "https://a b"],
)
def test_the_public_address_is_an_origin(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert list(complaints(monkeypatch, PUBLIC_BASE_URL=url)) == ["PUBLIC_BASE_URL"]


def test_an_empty_var_dir_is_not_the_current_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env.example` holds the line `VAR_DIR=`."""
    assert read(monkeypatch, VAR_DIR="").var_dir == env.PROJECT_DIR / "var"
    assert read(monkeypatch, VAR_DIR="/srv/data").var_dir == Path("/srv/data")


def test_empty_servers_are_the_embedded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, DATABASE_URL="", REDIS_URL="")

    assert not found.database_url
    assert not found.redis_url


def test_printing_the_environment_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "DJANGO_SECRET_KEY": "hidden-1" * 10,
        "DATABASE_URL": "postgresql://me:hidden-2@db/prod",
        "REDIS_URL": "redis://:hidden-3@cache",
        "SPAPI_CLIENT_SECRET": "hidden-4",
        "ADS_CLIENT_SECRET": "hidden-5",
        "EMAIL_HOST_PASSWORD": "hidden-6",
    }

    found = read(monkeypatch, **secrets)

    assert "hidden" not in f"{found!r} {found} {found.model_dump()}"
    assert KEY not in repr(found)


# Secrets -----------------------------------------------------------------------------------


def test_the_newest_secret_comes_first_and_blanks_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, SPAPI_CLIENT_SECRET="new", SPAPI_CLIENT_SECRET_PREVIOUS="old")

    both = known_secrets(found.spapi_client_secret, found.spapi_client_secret_previous)
    none = known_secrets(found.ads_client_secret, found.ads_client_secret_previous)
    same = known_secrets(SecretStr("one\n"), SecretStr("one"))

    assert [secret.reveal() for secret in both] == ["new", "old"]
    assert none == ()
    assert [secret.reveal() for secret in same] == ["one"]


def test_secrets_may_be_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "spapi_client_secret").write_text("from-a-file\n")
    (tmp_path / "spapi_client_id").write_text("from-a-file")

    found = read(monkeypatch, SECRETS_DIR=str(tmp_path), SPAPI_CLIENT_ID="from-outside")

    assert found.spapi_client_secret.get_secret_value().strip() == "from-a-file"
    assert found.spapi_client_id == "from-outside"


def test_a_directory_of_secrets_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentInvalid, match="SECRETS_DIR: is not a directory"):
        read(monkeypatch, SECRETS_DIR=str(tmp_path / "nowhere"))


# `.env` ------------------------------------------------------------------------------------


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("SPAPI_CLIENT_ID=from-the-file\n")
    monkeypatch.setattr(env, "PROJECT_DIR", tmp_path)


@pytest.mark.usefixtures("env_file")
@pytest.mark.parametrize(
    ("debug", "client_id"),
    [("true", "from-the-file"), ("1", "from-the-file"), ("false", ""), (None, "")],
)
def test_the_env_file_is_read_only_while_debugging(
    monkeypatch: pytest.MonkeyPatch, debug: str | None, client_id: str
) -> None:
    found = read(monkeypatch, DJANGO_DEBUG=debug)

    assert found.spapi_client_id == client_id


@pytest.mark.usefixtures("env_file")
def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, DJANGO_DEBUG="true", SPAPI_CLIENT_ID="from-outside")

    assert found.spapi_client_id == "from-outside"


@pytest.mark.usefixtures("env_file")
def test_the_environment_of_the_tests_shuts_the_file_out(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = development_environment(
        DJANGO_SECRET_KEY="s" * 50, TOKEN_ENCRYPTION_KEYS=f"k1:{KEY}", SPAPI_CLIENT_ID=""
    )

    found = read(monkeypatch, **variables)

    assert found.spapi_client_id == ""


# The key ring ------------------------------------------------------------------------------


def test_the_first_key_of_the_ring_comes_first() -> None:
    other = base64.b64encode(b"o" * 32).decode()

    ring = parse_key_ring(f" k2:{other}, k1:{KEY} ,")

    assert list(ring.items()) == [("k2", b"o" * 32), ("k1", b"k" * 32)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "k1",
        "k1:",
        KEY,
        f":{KEY}",
        f"k.1:{KEY}",
        f"k 1:{KEY}",
        f"ключ:{KEY}",
        f"k1:{KEY},k1:{KEY}",
        f"k1:{KEY[:-4]}",
        f"k1:{KEY}AAAA",
        f"k1:{base64.b64encode(b'k' * 16).decode()}",
        f"k1:{KEY.replace('a', '*')}",
        f"k1:{KEY};k2:{KEY}",
    ],
)
def test_a_key_ring_that_cannot_be_used_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"holds no key|must be kid:base64") as refused:
        parse_key_ring(text)

    assert KEY[:8] not in str(refused.value)


def test_one_module_reads_the_environment() -> None:
    assert env.environment() is os.environ
