"""Where a page says that our staff have been told, they have a mail: once a cause and day."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings

from connections import credentials, departures, reasons, verdicts
from connections.models import Connection, SpApiGrant
from connections.verdicts import GrantUnreadable, VaultKeyMissing
from marketplaces import services
from sellerlegend.amazon.errors import AccessDenied, AmazonError, ClientMisconfigured, Denial
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import staff_notices
from sellerlegend.organizations.models import StaffNotice, User
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_runbook import sections

pytestmark = pytest.mark.django_db

Commits = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture(autouse=True)
def staff() -> User:
    factories.make_user("customer@example.com")
    factories.make_user("left@example.com", is_staff=True, is_active=False)
    return factories.make_user("staff@example.com", is_staff=True)


@pytest.fixture
def committed(django_capture_on_commit_callbacks: Any) -> Commits:
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def row() -> Connection:
    return factories.make_connection(factories.make_organization())


def claim_of(row: Connection) -> Any:
    """Work that can be put down any number of times."""
    services.begin_reading(connection=row)
    return SimpleNamespace(job=Job._base_manager.get(), wait=lambda **_options: None)


def told() -> list[tuple[str, list[str]]]:
    return [(str(message.subject), message.to) for message in mail.outbox]


def words_of(cause: str) -> str:
    return str(staff_notices.CAUSES[cause][0])


# No page promises these, and staff want to know of them all the same.
UNASKED = {"amazon_incident", "amazon_incident_left_open", "amazon_incident_over", "role_missing"}


def test_every_promise_of_a_page_has_a_mail() -> None:
    promised = {
        # One mail speaks of consents of either kind.
        code.removeprefix("ads_")
        for code, reason in [*reasons.REASONS.items(), *reasons.OUTCOMES.items()]
        if any(words in str(reason.next_step) for words in ("staff have been", "support has been"))
    }

    assert promised == staff_notices.CAUSES.keys() - UNASKED


def test_every_mail_names_a_section_that_is_there() -> None:
    named = {section for _words, section in staff_notices.CAUSES.values()}

    assert named <= set(sections("runbook.md"))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ClientMisconfigured(operation="lwa.refresh"), "client_misconfigured"),
        (VaultKeyMissing(operation="credentials"), "vault_key_missing"),
        (GrantUnreadable(operation="credentials"), "vault_locked"),
        (AccessDenied(operation="sellers", detail=Denial.WRONG_REGION), "wrong_region"),
    ],
)
def test_work_that_meets_it_tells_staff_once_a_day(
    row: Connection, committed: Commits, error: AmazonError, cause: str
) -> None:
    claim = claim_of(row)
    for _ in range(2):
        with committed():
            verdicts.wait_or_reason(claim, error)
        staff_notices.send_due()

    assert told() == [(words_of(cause), ["staff@example.com"])]
    assert staff_notices.CAUSES[cause][1] in mail.outbox[0].body
    StaffNotice.objects.update(day=timezone.now().date() - timedelta(days=1))
    with committed():
        staff_notices.tell(cause)
    assert staff_notices.send_due() == 1


def test_a_text_that_does_not_open_is_told(
    row: Connection, committed: Commits, amazon: RunningEmulator
) -> None:
    SpApiGrant._base_manager.update(refresh_token="v1.damaged.damaged.damaged")

    with committed(), pytest.raises(GrantUnreadable):
        credentials.access_token(factories.grant_of(row))

    assert staff_notices.send_due() == 1
    assert told() == [(words_of("vault_locked"), ["staff@example.com"])]


def test_a_closed_vault_is_told_before_anybody_is_sent_to_amazon(
    row: Connection, committed: Commits, settings: Settings
) -> None:
    settings.TOKEN_ENCRYPTION_KEYS = {"another": bytes(range(32))}

    with committed(), pytest.raises(departures.VaultClosed):
        departures.require_open_vault(row.organization)

    assert staff_notices.send_due() == 1
    assert told() == [(words_of("vault_key_missing"), ["staff@example.com"])]


def test_an_outage_is_not_told(row: Connection, committed: Commits) -> None:
    claim = claim_of(row)

    with committed():
        verdicts.wait_or_reason(claim, verdicts.Quarantined(operation="credentials"))

    assert staff_notices.send_due() == 0
    assert not StaffNotice.objects.exists()


def test_a_mail_that_could_not_go_is_tried_again(
    committed: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_mail: Any) -> int:
        raise smtplib.SMTPException

    with committed():
        staff_notices.tell("vault_locked")
    with monkeypatch.context() as patched:
        patched.setattr(staff_notices, "send_mail", refuse)
        with pytest.raises(smtplib.SMTPException):
            staff_notices.send_due()
    assert staff_notices.send_due() == 0  # claimed, for a while

    StaffNotice.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))

    assert staff_notices.send_due() == 1
    assert staff_notices.send_due() == 0


def test_without_staff_it_is_an_error_in_the_log(
    committed: Commits, staff: User, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.filter(pk=staff.pk).update(is_staff=False)
    with committed():
        staff_notices.tell("vault_locked")

    assert staff_notices.send_due() == 0

    assert [record.message for record in caplog.records] == ["staff_notice_unsent"]
    assert StaffNotice.objects.get().sent_at is None


def test_old_notices_are_forgotten() -> None:
    for days in (29, 32):
        day = timezone.now().date() - timedelta(days=days)
        StaffNotice.objects.create(cause="vault_locked", day=day, sent_at=timezone.now())

    staff_notices.send_due()

    assert StaffNotice.objects.count() == 1


def test_a_sweep_sends_it(committed: Commits) -> None:
    with committed():
        staff_notices.tell("wrong_region")

    ledger.sweep()

    assert told() == [(words_of("wrong_region"), ["staff@example.com"])]
