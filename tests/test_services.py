"""What the tests say about the servers they found."""

from __future__ import annotations

import pytest

from tests import services


def test_an_absent_postgresql_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TEST_SERVICES")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/none")

    found = services.find_services().postgresql

    assert found == services.Service("", "SQLite (no PostgreSQL at 127.0.0.1:1)")


def test_an_empty_address_asks_for_the_embedded_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_SERVICES")
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("REDIS_URL", "")

    found = services.find_services()

    assert found.postgresql.words == "SQLite (DATABASE_URL names no PostgreSQL)"
    assert found.redis.words == "embedded cache and broker (REDIS_URL is empty)"


@pytest.mark.parametrize(("switch", "required"), [("", False), ("0", False), ("1", True)])
def test_the_switch_makes_missing_services_fail(
    monkeypatch: pytest.MonkeyPatch, switch: str, required: bool
) -> None:
    monkeypatch.setenv("REQUIRE_SERVICES", switch)

    assert services.are_services_required() is required
