"""The database goes away around an exchange: the code was spent, so its consent must be kept, or
be named as lost (A22)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from connections import flows, reasons
from connections.models import AdsGrant, Connection, SpApiGrant
from sellerlegend import crypto, outage
from sellerlegend.amazon import lwa
from sellerlegend.amazon.errors import AmazonUnavailable
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import breakers
from sellerlegend.logs import JsonFormatter
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.broken_connections import break_the_connection
from tests.trips import Callback

pytestmark = [pytest.mark.needs_postgresql, pytest.mark.django_db(transaction=True)]

NORTHSTAR, MARKETING = "A1NORTHSTAR001", "ads@northstar.example"
STORED = {"spapi": "spapi_grant_stored", "ads": "ads_grant_stored"}


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def browser(organization: Organization) -> Client:
    browser = trips.sign_in(factories.owner_of(organization))
    browser.raise_request_exception = False
    return browser


@pytest.fixture(params=["spapi", "ads"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def callback(
    amazon: RunningEmulator, browser: Client, organization: Organization, kind: str
) -> Callback:
    """Ready to be opened; the row is new at Seller Central, and asks for PPC at Amazon Ads."""
    if kind == "spapi":
        row = factories.make_waiting_connection(organization)
        return trips.confirm(trips.leave(browser, row), NORTHSTAR)
    token = amazon.world.authorize(NORTHSTAR, "NA")
    row = factories.make_connection(organization, seller=NORTHSTAR, refresh_token=token)
    account = factories.make_account(row)
    return trips.allow(trips.leave_for_ads(browser, row, [account.pk]), MARKETING)


def notice_a_broken_connection() -> None:
    """As a commit whose answer never comes."""
    break_the_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def around(
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    *,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
    times: int = 1,
) -> None:
    original = getattr(module, name)
    left = list(range(times))

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        strikes = bool(left and left.pop() >= 0)
        if strikes:
            before()
        result = original(*args, **kwargs)
        if strikes:
            after()
        return result

    monkeypatch.setattr(module, name, wrapped)


def in_the_exchange(monkeypatch: pytest.MonkeyPatch, _kind: str) -> None:
    around(monkeypatch, lwa, "exchange_code", after=break_the_connection)


def while_it_is_stored(monkeypatch: pytest.MonkeyPatch, _kind: str) -> None:
    around(monkeypatch, flows, "_record_success", before=break_the_connection)


def after_its_commit(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    around(monkeypatch, flows, f"_store_{kind}", after=notice_a_broken_connection)


def grants() -> list[SpApiGrant | AdsGrant]:
    return [*SpApiGrant._base_manager.all(), *AdsGrant._base_manager.all()]


def events(code: str) -> int:
    return AuditEvent._base_manager.filter(code=code).count()


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.message == event]


@pytest.mark.parametrize("breaks", [in_the_exchange, while_it_is_stored, after_its_commit])
def test_a_lost_connection_does_not_lose_a_consent(
    amazon: RunningEmulator,
    browser: Client,
    callback: Callback,
    kind: str,
    breaks: Callable[[pytest.MonkeyPatch, str], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = len(grants())
    breaks(monkeypatch, kind)

    outcome = trips.come_back(browser, callback)

    assert outcome == {"spapi": "connected", "ads": "ads_connected"}[kind]
    assert len(grants()) == before + 1
    assert (events(STORED[kind]), events("authorization_ended")) == (1, 1)
    assert logged(caplog, "grant_orphaned") == []
    assert trips.come_back(browser, callback) == outcome
    assert amazon.ledger.count(surface="lwa") == 1


def test_a_row_that_gave_way_before_the_answer_was_lost_is_not_told_as_gone(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = amazon.world.authorize(NORTHSTAR, "NA")
    known = factories.make_connection(organization, seller=NORTHSTAR, refresh_token=token)
    waiting = factories.make_waiting_connection(organization)
    callback = trips.confirm(trips.leave(browser, waiting), NORTHSTAR)
    after_its_commit(monkeypatch, "spapi")

    assert trips.come_back(browser, callback) == "merged"

    assert [row.pk for row in Connection._base_manager.all()] == [known.pk]
    assert events("connection_merged") == 1


def test_a_consent_that_cannot_be_stored_is_named_and_the_trip_is_over(
    amazon: RunningEmulator,
    browser: Client,
    callback: Callback,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = len(grants())
    monkeypatch.setattr(outage, "PATIENCE_SECONDS", 0.2)
    around(monkeypatch, flows, "_record_success", before=break_the_connection, times=99)

    answer = browser.get(str(callback))

    assert answer.status_code == 503
    assert len(grants()) == before
    [orphan] = logged(caplog, "grant_orphaned")
    secrets = amazon.issued_secrets()
    assert orphan["fingerprint"] in [crypto.fingerprint(Secret(secret)) for secret in secrets]
    assert orphan["reference"] == callback.trip.reference
    lines = "\n".join(JsonFormatter().format(record) for record in caplog.records)
    assert not any(secret in lines for secret in secrets)
    assert trips.come_back(browser, callback) == "interrupted"
    assert callback.trip.code_verifier == ""
    assert amazon.ledger.count(surface="lwa") == 1


def test_a_failed_exchange_during_a_restart_is_told_by_its_own_name(
    browser: Client, callback: Callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> lwa.TokenReply:
        break_the_connection()
        raise AmazonUnavailable(operation="lwa.exchange_code")

    before = len(grants())
    monkeypatch.setattr(lwa, "exchange_code", fail)

    assert trips.come_back(browser, callback) == "amazon_unavailable"
    assert len(grants()) == before


def test_breakers_that_cannot_be_told_do_not_cost_a_consent(
    browser: Client, callback: Callback, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_name: str) -> None:
        raise OperationalError

    monkeypatch.setattr(breakers, "_answered", fail)

    assert trips.come_back(browser, callback) in reasons.SUCCESSES
    assert events(STORED[kind]) == 1
