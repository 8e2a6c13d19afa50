"""The process environment, typed. The only module that reads environment variables.

Every wrong value is reported at once, by name, when the process starts. A `.env` file is
read only while `DJANGO_DEBUG` is on: production values come from the environment alone.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sellerlegend.amazon.secret import Secret, SecretBytes

PROJECT_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = PROJECT_DIR / "var"
KEY_BYTES = 32
DATABASES = ("postgresql://", "postgres://", "sqlite://")
METRICS_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,200}")
REDIS = ("redis://", "rediss://", "unix://")


# What is told of a variable that is missing or wrong: the id in docs/checks.md, and what to do.
RANDOM_TEXT = "python -c 'import secrets; print(secrets.token_urlsafe(50))'"
RANDOM_KEY = (
    "k1:$(python -c 'import base64, secrets; "
    "print(base64.b64encode(secrets.token_bytes(32)).decode())')"
)
ADVICE = {
    "TOKEN_ENCRYPTION_KEYS": ("SL.E002", f"A new one: {RANDOM_KEY}"),
    "DJANGO_SECRET_KEY": ("SL.E003", f"A new one: {RANDOM_TEXT}"),
    "AMAZON_EMULATOR_URL": ("SL.E010", "Remove AMAZON_EMULATOR_URL from the environment."),
    "PUBLIC_BASE_URL": ("SL.E014", "Set PUBLIC_BASE_URL to the https address."),
}
OTHERWISE = ("SL.E001", ".env.example says what it may be.")


class EnvironmentInvalid(SystemExit):
    """Names every variable that is missing or wrong. Values are never repeated."""


class Env(BaseSettings):
    """One field per variable; names match `.env.example`."""

    model_config = SettingsConfigDict(env_prefix="", extra="ignore", hide_input_in_errors=True)

    # First: the rules of later fields look at it.
    django_debug: bool = False
    django_secret_key: SecretStr = Field(min_length=50)
    django_allowed_hosts: str = "localhost,127.0.0.1"
    public_base_url: str = Field(
        default="http://localhost:8000", pattern=r"^https?://[^/\s]+$", validate_default=True
    )
    trusted_proxy_count: int = Field(default=0, ge=0, le=5)
    var_dir: Path = VAR_DIR
    secrets_dir: Path | None = None
    deletion_log: Path | None = None
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    metrics_token: SecretStr = SecretStr("")

    database_url: SecretStr | None = None
    # Workers and commands have work that takes longer than a person waits for a page.
    database_statement_seconds: int = Field(default=60, ge=1, le=3600)
    redis_url: SecretStr | None = None
    token_encryption_keys: SecretStr

    # Half of what passes until a dead worker's job goes on; SQLite starves below it.
    sweep_seconds: float = Field(default=5.0, ge=0.5, le=60.0)
    watchdog_seconds: float = Field(default=45.0, ge=2.0, le=600.0)

    spapi_application_id: str = ""
    spapi_client_id: str = ""
    spapi_client_secret: SecretStr = SecretStr("")
    spapi_client_secret_previous: SecretStr = SecretStr("")
    spapi_draft_application: bool = False
    spapi_listed_in_appstore: bool = False
    ads_client_id: str = ""
    ads_client_secret: SecretStr = SecretStr("")
    ads_client_secret_previous: SecretStr = SecretStr("")
    amazon_emulator_url: str = Field(default="", pattern=r"^(https?://[^/\s]+)?$")

    email_host: str = ""
    email_port: int = 587
    email_host_user: str = ""
    email_host_password: SecretStr = SecretStr("")
    email_use_tls: bool = True
    default_from_email: str = "SellerLegend <no-reply@localhost>"

    # One rule for each field, so that all mistakes are reported and not only the first one.

    @field_validator("public_base_url")
    @classmethod
    def refuse_plain_http(cls, value: str, info: ValidationInfo) -> str:
        if is_production(info) and not value.startswith("https://"):
            raise ValueError("must be https unless DJANGO_DEBUG is on")
        return value

    @field_validator("amazon_emulator_url")
    @classmethod
    def refuse_the_emulator(cls, value: str, info: ValidationInfo) -> str:
        if is_production(info) and value:
            raise ValueError("is refused unless DJANGO_DEBUG is on")
        return value

    @field_validator("var_dir", mode="before")
    @classmethod
    def keep_the_default(cls, value: Any) -> Any:
        """Empty, as in `.env.example`, would mean the current directory."""
        return value or VAR_DIR

    @field_validator("secrets_dir", mode="before")
    @classmethod
    def find_the_secrets(cls, value: Any) -> Any:
        if value and not Path(value).is_dir():
            raise ValueError("is not a directory")
        return value or None

    @field_validator("deletion_log", mode="before")
    @classmethod
    def keep_it_beside_the_rest(cls, value: Any) -> Any:
        return value or None

    @field_validator("database_url", "redis_url")
    @classmethod
    def know_the_server(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        known = DATABASES if info.field_name == "database_url" else REDIS
        if value and not value.get_secret_value().startswith(known):
            raise ValueError(f"must start with one of {', '.join(known)}")
        return value

    @field_validator("metrics_token")
    @classmethod
    def refuse_a_guessable_token(cls, value: SecretStr) -> SecretStr:
        if value and not METRICS_TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("must be empty, or 32 and more letters, digits, - and _")
        return value

    @field_validator("token_encryption_keys")
    @classmethod
    def understand_the_key_ring(cls, value: SecretStr) -> SecretStr:
        parse_key_ring(value.get_secret_value())
        return value


def is_production(info: ValidationInfo) -> bool:
    """False as well while DJANGO_DEBUG itself is wrong: one mistake, one line."""
    return info.data.get("django_debug") is False


def parse_key_ring(text: str) -> dict[str, bytes]:
    """`kid:base64key[,kid:base64key…]` as an ordered mapping; the first key encrypts.

    Raises ValueError without repeating any part of the text.
    """
    keys: dict[str, bytes] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        kid, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not (kid.isascii() and kid.isalnum()) or kid in keys or len(key) != KEY_BYTES:
            raise ValueError(
                "must be kid:base64 pairs of 32 random bytes, with alphanumeric, distinct kids"
            )
        keys[kid] = SecretBytes(key)
    if not keys:
        raise ValueError("holds no key")
    return keys


def known_secrets(*values: SecretStr) -> tuple[Secret, ...]:
    """Those that are set, in this order: newest first. A line break at a file's end is none of
    the secret."""
    texts = (value.get_secret_value().strip() for value in values)
    return tuple(Secret(text) for text in dict.fromkeys(texts) if text)


def read_env() -> Env:
    """Read and check the environment once. Raises EnvironmentInvalid listing every mistake."""
    debug = os.environ.get("DJANGO_DEBUG", "")
    env_file = PROJECT_DIR / ".env" if debug.strip().lower() in {"1", "true", "on", "yes"} else None
    directory = os.environ.get("SECRETS_DIR", "")
    # One that is not there is the field's mistake to tell; pydantic-settings would only warn.
    files = directory if directory and Path(directory).is_dir() else None
    try:
        return Env(_env_file=env_file, _secrets_dir=files)  # type: ignore[call-arg]  # pydantic-settings' own
    except ValidationError as error:
        raise EnvironmentInvalid(describe(error)) from None


def describe(error: ValidationError) -> str:
    """For each wrong variable its id, what is wrong and a hint; safe to print."""
    lines = ["The environment is not usable:"]
    for item in error.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in item["loc"]).upper()
        number, hint = ADVICE.get(name, OTHERWISE)
        lines.append(f"  {number} {name}: {item['msg'].removeprefix('Value error, ')}")
        lines.append(f"      {hint}")
    lines.append("The numbers are explained in docs/checks.md.")
    return "\n".join(lines)


def use_project_settings() -> None:
    """Let Django find the settings unless the caller (tests) chose others."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sellerlegend.settings")


def serve_people() -> None:
    """A web process gives up on a statement after five seconds, unless it was told otherwise.
    To be called before the settings are read."""
    os.environ.setdefault("DATABASE_STATEMENT_SECONDS", "5")


def environment() -> Mapping[str, str]:
    """The raw environment, for checks that look for variables nobody should have set."""
    return os.environ
