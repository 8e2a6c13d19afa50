"""A consent that the seller revoked, or whose year is over: its token goes, its row stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections import credentials, refusals, superseding
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from ppc import erasure, pruning
from sellerlegend.amazon.errors import GrantInvalid
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.operators import run_command

pytestmark = pytest.mark.django_db


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


@pytest.fixture
def row() -> Connection:
    return factories.make_connection(factories.make_organization())


def ended(grant: Any, *, days: float, cause: str = "invalid_grant", **columns: Any) -> Any:
    values = {"status": Grant.Status.INVALID, "status_changed_at": ago(days)}
    type(grant)._base_manager.filter(pk=grant.pk).update(last_error_code=cause, **values | columns)
    grant.refresh_from_db()
    return grant


def pruned() -> dict[str, int]:
    run = run_command("prune", "--yes", "--json")
    assert run.code == 0
    counts = {line["id"]: int(line["reason"].split()[0]) for line in run.objects}
    return {name: count for name, count in counts.items() if count}


def test_the_token_goes_after_four_weeks_and_the_row_stays(row: Connection) -> None:
    grant = ended(factories.grant_of(row), days=28.1)
    ads = ended(factories.make_ads_grant(row.organization), days=200)
    young = factories.make_connection(row.organization, name="Young")
    ended(factories.grant_of(young), days=27.9)
    assert erasure.overdue() == 1

    assert pruned() == {"refused_consents": 1, "refused_ads_consents": 1}

    for before in (grant, ads):
        after = type(before)._base_manager.get(pk=before.pk)
        assert (after.status, after.refresh_token) == (Grant.Status.INVALID, "")
        assert (after.version, after.last_error_code) == (before.version + 1, "invalid_grant")
    assert factories.grant_of(young).refresh_token
    assert set(Connection._base_manager.values_list("name", flat=True)) == {row.name, "Young"}
    codes = list(AuditEvent._base_manager.values_list("code", flat=True))
    assert codes.count("spapi_grant_token_erased") == codes.count("ads_grant_token_erased") == 1
    receipts = AuditEvent._base_manager.filter(code="erased")
    assert [event.details["removed"] for event in receipts] == [{"refresh_tokens": 1}] * 2
    assert pruned() == {}
    assert erasure.overdue() == 0


def test_the_sweeps_do_it_by_themselves(row: Connection) -> None:
    ended(factories.grant_of(row), days=29)

    assert pruning.prune_in_turn() == 1

    assert factories.grant_of(row).refresh_token == ""


@pytest.mark.parametrize(
    ("cause", "columns"),
    [
        (refusals.VAULT_LOCKED, {}),
        (refusals.RECONNECT_REQUIRED, {}),
        (refusals.ACCESS_TOKEN_REJECTED, {}),
        ("invalid_grant", {"client_id": "amzn1.application-oa2-client.another"}),
        ("invalid_grant", {"status": Grant.Status.DOUBTED}),
        ("invalid_grant", {"status": Grant.Status.ACTIVE}),
    ],
)
def test_what_is_our_own_fault_or_not_sure_keeps_its_token(
    row: Connection, cause: str, columns: dict[str, Any]
) -> None:
    ended(factories.grant_of(row), days=200, cause=cause, **columns)

    assert pruned() == {}

    assert factories.grant_of(row).refresh_token


def test_no_token_outlasts_the_consents_year(row: Connection) -> None:
    grant = ended(factories.grant_of(row), days=100, cause=refusals.VAULT_LOCKED)
    SpApiGrant._base_manager.filter(pk=grant.pk).update(authorized_at=ago(365 + 28 + 1))

    assert pruned() == {"refused_consents": 1}


def test_without_a_token_nothing_is_asked_and_a_new_consent_mends_it(
    row: Connection, amazon: RunningEmulator
) -> None:
    grant = ended(factories.grant_of(row), days=29)
    pruned()
    grant.refresh_from_db()
    calls = amazon.ledger.last_number

    for force in (False, True):
        with pytest.raises(GrantInvalid):
            credentials.access_token(grant, force=force)
    assert run_command("resync_tokens", "--status", "invalid", "--json").objects[0]["reason"] == (
        "marketplaces.resync: grant_invalid"
    )

    assert amazon.ledger.calls(since=calls) == []
    assert factories.grant_of(row).last_error_code == "invalid_grant"
    factories.consent(row, refresh_token="Atzr|made-up-for-the-new-consent")
    assert factories.grant_of(row).status == Grant.Status.ACTIVE
    assert factories.grant_of(row).refresh_token


def test_who_reconnects_meanwhile_keeps_the_new_token(row: Connection) -> None:
    grant = ended(factories.grant_of(row), days=29)
    factories.consent(row, refresh_token="Atzr|made-up-for-the-new-consent")

    superseding.forget_token(grant, actor=COMMAND)  # as it was read before

    assert factories.grant_of(row).refresh_token
    assert not AuditEvent._base_manager.filter(code="spapi_grant_token_erased").exists()


def test_in_quarantine_nothing_goes(row: Connection) -> None:
    ended(factories.grant_of(row), days=29)
    quarantine.begin(actor=COMMAND, reason="restored")

    assert pruning.prune_in_turn() == 0

    assert factories.grant_of(row).refresh_token
    assert AdsGrant._base_manager.count() == 0
    quarantine.forget()
