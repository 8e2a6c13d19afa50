"""A stored client secret needs a key of the ring like everything else: every look counts it."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.db import transaction
from pytest_django import Settings

from sellerlegend.amazon.secret import Secret
from sellerlegend.applications import clients
from sellerlegend.applications.models import ClientSecret, LwaApplication
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.monitoring import gauges, readiness
from sellerlegend.organizations import custody
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.operators import run_command

SPAPI = LwaApplication.SPAPI
OLD, NEW = {"tests": b"\0" * 32}, {"k2": b"2" * 32}
SECRET = Secret("amzn1.oa2-cs.v1.stored")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def stored() -> ClientSecret:
    custody.remember_keys()
    with transaction.atomic():
        return clients.store(SPAPI, SECRET, issued_at=None, expires_at=None)


def row() -> ClientSecret:
    return ClientSecret.objects.exclude(sealed_secret="").get()


def locked() -> list[str]:
    return [found.msg for found in run_checks(databases=["default"]) if found.id == "SL.E050"]


def test_the_numbers_count_it(settings: Settings) -> None:
    factories.make_organization()
    settings.TOKEN_ENCRYPTION_KEYS = {**NEW, **OLD}

    assert list(gauges.data_keys()) == [(("k2",), 0), (("tests",), 2)]
    assert (list(gauges.unreadable_client_secrets()), readiness.keys()) == ([((), 0)], "ok")


def test_without_its_key_everybody_is_told(settings: Settings) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = NEW

    assert list(gauges.data_keys()) == [(("k2",), 0), (("tests",), 1)]
    assert list(gauges.unreadable_client_secrets()) == [((), 1)]
    assert list(gauges.locked_organizations()) == [((), 0)]
    assert readiness.keys() == "missing"
    assert locked() == ["1 client secrets are locked: the key tests is not loaded."]


def test_the_command_wraps_it_anew_and_then_the_key_may_go(settings: Settings) -> None:
    factories.make_organization()
    settings.TOKEN_ENCRYPTION_KEYS = {**NEW, **OLD}
    refused = run_command("rotate_encryption_keys", "--retire", "tests")

    run = run_command("rotate_encryption_keys")
    allowed = run_command("rotate_encryption_keys", "--retire", "tests")

    assert refused.code == 1
    assert "1 organizations and 1 client secrets still use tests." in refused.err
    assert (run.code, allowed.code) == (0, 0)
    assert "1 client secrets: wrapped by k2." in run.err
    event = AuditEvent._base_manager.get(code="client_secrets_rewrapped")
    assert event.details == {"count": 1}
    settings.TOKEN_ENCRYPTION_KEYS = NEW
    assert clients.opened(row()) == SECRET


@pytest.mark.parametrize("argument", ["--dry-run", "--organization"])
def test_a_run_for_less_leaves_it_alone(settings: Settings, argument: str) -> None:
    organization = factories.make_organization()
    settings.TOKEN_ENCRYPTION_KEYS = {**NEW, **OLD}
    before = row().data_key

    values = [organization.slug] if argument == "--organization" else []
    run = run_command("rotate_encryption_keys", argument, *values)

    assert (run.code, row().data_key) == (0, before)


def test_after_a_key_was_seen_it_is_sealed_anew_too(stored: ClientSecret) -> None:
    run = run_command("rotate_encryption_keys", "--new-data-keys")

    assert run.code == 0
    assert row().data_key != stored.data_key
    assert row().sealed_secret != stored.sealed_secret
    assert clients.opened(row()) == SECRET


def test_one_that_does_not_open_is_not_called_done(settings: Settings) -> None:
    ClientSecret.objects.update(data_key="v1.tests.AAAA.BBBB")

    run = run_command("rotate_encryption_keys")

    assert run.code == 3
    assert "1 client secrets do not open." in run.err
    assert row().data_key == "v1.tests.AAAA.BBBB"


def test_no_sweep_wraps_it_under_a_wrong_key(
    stored: ClientSecret, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {**NEW, **OLD}
    custody.remember_keys()
    settings.TOKEN_ENCRYPTION_KEYS = {"k2": b"9" * 32, **OLD}

    look_after_secrets()

    assert row().data_key == stored.data_key
    assert "client_secrets_not_rewrapped" in caplog.text
