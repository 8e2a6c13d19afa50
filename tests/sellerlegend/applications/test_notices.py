"""What staff are told of our client secrets, and that they are told once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings

from sellerlegend import crypto
from sellerlegend.amazon.lwa import LwaClient
from sellerlegend.amazon.secret import Secret
from sellerlegend.applications.checks import warn_of_ageing_secrets
from sellerlegend.applications.models import LIFE, ClientSecret, SecretNotice
from sellerlegend.applications.notices import CLAIM, tell_staff
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.organizations.models import User
from tests import factories
from tests.threads import run_many

NEW, OLD = Secret("amzn1.oa2-cs.v1.new"), Secret("amzn1.oa2-cs.v1.old")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one_application(settings: Settings) -> None:
    settings.SPAPI_CLIENT = LwaClient("amzn1.application-oa2-client.x", (NEW, OLD))
    settings.ADS_CLIENT = LwaClient("", ())
    look_after_secrets()


@pytest.fixture(autouse=True)
def staff() -> User:
    factories.make_user("customer@example.com")
    factories.make_user("left@example.com", is_staff=True, is_active=False)
    return factories.make_user("staff@example.com", is_staff=True)


def write(secret: Secret = NEW, **columns: Any) -> None:
    rows = ClientSecret.objects.filter(fingerprint=crypto.fingerprint(secret))
    assert rows.update(**columns) == 1


def ending_in(**left: float) -> datetime:
    return timezone.now() + timedelta(**left) - LIFE


def subjects() -> list[str]:
    return [str(message.subject) for message in mail.outbox]


def test_a_young_secret_is_no_news() -> None:
    write(issued_at=ending_in(days=31))

    assert (tell_staff(), mail.outbox) == (0, [])


def test_each_step_of_the_countdown_is_told_exactly_once() -> None:
    for days in range(40, -3, -1):
        write(issued_at=ending_in(days=days))
        tell_staff()
        tell_staff()

    assert [subject.partition(": ")[2] for subject in subjects()] == [
        "Our client secret ends in 30 days",
        "Our client secret ends in 14 days",
        "Our client secret ends in 7 days",
        "Our client secret ends in 3 days",
        "Our client secret ends in 1 day",
        "Our client secret is past its last day",
    ]
    assert SecretNotice.objects.exclude(sent_at=None).count() == 6


def test_after_a_long_silence_only_the_nearest_step_is_told() -> None:
    write(issued_at=ending_in(days=5))

    tell_staff()

    assert subjects() == ["Selling Partner API: Our client secret ends in 5 days"]


def test_a_mail_names_the_secret_and_never_shows_it(staff: User) -> None:
    write(issued_at=ending_in(days=2))

    tell_staff()

    [message] = mail.outbox
    assert message.to == [staff.email]
    assert crypto.fingerprint(NEW) in message.body
    assert NEW.reveal() not in message.message().as_string()


def test_the_secret_after_it_counts_for_itself(settings: Settings) -> None:
    write(issued_at=ending_in(days=2))
    tell_staff()
    settings.SPAPI_CLIENT = LwaClient(
        settings.SPAPI_CLIENT.client_id, (Secret("amzn1.oa2-cs.v1.newer"), NEW)
    )
    look_after_secrets()

    assert tell_staff() == 0
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(("days", "told"), [(4.9, 0), (5.1, 1), (6.9, 1), (7.1, 0)])
def test_the_old_secret_in_use_on_the_sixth_day(days: float, told: int) -> None:
    now = timezone.now()
    write(NEW, last_used_at=now - timedelta(days=days))
    write(OLD, superseded_at=now - timedelta(days=days), last_used_at=now)

    assert (tell_staff(), tell_staff()) == (told, 0)
    assert subjects() == ["Selling Partner API: The old client secret is still used"][:told]


def test_an_old_secret_that_rests_is_no_news() -> None:
    now = timezone.now()
    rotated = now - timedelta(days=6)
    write(NEW, last_used_at=now)
    write(OLD, superseded_at=rotated, last_used_at=rotated + timedelta(days=1))

    assert tell_staff() == 0


def test_the_countdown_is_that_of_the_secret_that_serves() -> None:
    """A typo in the environment has 180 days of its own, which help nobody."""
    write(OLD, issued_at=ending_in(days=2), last_used_at=timezone.now())
    write(NEW, refused_at=timezone.now())

    tell_staff()

    assert sorted(subjects()) == [
        "Selling Partner API: Amazon refuses our client secret",
        "Selling Partner API: Our client secret ends in 2 days",
    ]


def test_a_refusal_is_told_once_a_day() -> None:
    for _ in range(3):
        write(refused_at=timezone.now())
        tell_staff()
        write(refused_at=None)
        tell_staff()

    assert subjects() == ["Selling Partner API: Amazon refuses our client secret"]


def test_a_mail_that_could_not_be_sent_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    write(issued_at=ending_in(days=2))
    with monkeypatch.context() as broken:
        broken.setattr("sellerlegend.applications.notices.send_mail", fail)
        with pytest.raises(ConnectionRefusedError):
            tell_staff()
    at_once = tell_staff()

    SecretNotice.objects.update(claimed_until=timezone.now() - CLAIM)

    assert (at_once, tell_staff(), tell_staff()) == (0, 1, 0)
    SecretNotice.objects.update(claimed_until=timezone.now() - CLAIM)
    assert tell_staff() == 0


def fail(*_: object) -> None:
    raise ConnectionRefusedError("no mail server")


def test_without_staff_somebody_is_told_in_the_log(
    staff: User, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.filter(pk=staff.pk).update(is_staff=False)
    write(issued_at=ending_in(days=2))

    assert tell_staff() == 0
    assert "client_secret_notice_unsent" in caplog.text


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_send_one_mail() -> None:
    write(issued_at=ending_in(days=2))

    told = run_many(8, tell_staff)

    assert sorted(map(str, told)) == ["0"] * 7 + ["1"]
    assert len(mail.outbox) == 1


# The system check --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "words"),
    [(30, None), (29, "ends in 29 days"), (0, "is past its last day"), (-3, "is past its")],
)
def test_the_check_warns_below_30_days(days: int, words: str | None) -> None:
    write(issued_at=ending_in(days=days))

    found = warn_of_ageing_secrets(databases=["default"])

    assert [message.id for message in found] == (["SL.W031"] if words else [])
    assert all(words and words in message.msg for message in found)
