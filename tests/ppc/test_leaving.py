"""A person deletes their own login; an organization's end leaves a receipt."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from connections.models import Connection, Grant
from ppc import erasure, farewell, leaving, restoring
from sellerlegend import deletions
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

URL = "/profile/delete"


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def person(organization: Organization) -> User:
    """A second owner, who connected the store."""
    user = factories.make_user("ada@example.com", name="Ada Benson")
    return factories.make_member(organization, Role.OWNER, user=user)


@pytest.fixture
def row(organization: Organization, person: User) -> Connection:
    connection = factories.make_connection(organization, name="Northstar")
    grant = factories.grant_of(connection)
    type(grant)._base_manager.filter(pk=grant.pk).update(authorized_by=person)
    return connection


def test_everything_of_the_person_goes_and_the_consent_stays(
    organization: Organization, person: User, row: Connection
) -> None:
    elsewhere = trips.sign_in(person)
    elsewhere.get(reverse("profile"))
    client = signed_in_freshly(person)
    owner = trips.sign_in(factories.owner_of(organization))
    before = owner.get(reverse("account_connections", args=[organization.slug])).text
    assert "Authorised by Ada Benson" in before

    answer = client.post(URL, {"email": "Ada@example.com"}, follow=True)

    assert "Your login was deleted." in answer.text
    assert not User.objects.filter(pk=person.pk).exists()
    for model in (EmailAddress, Authenticator, UserSession):
        assert not model.objects.filter(user_id=person.pk).exists()
    assert not Membership._base_manager.filter(user_id=person.pk).exists()
    assert elsewhere.get(reverse("profile")).status_code == 302
    assert factories.grant_of(row).status == Grant.Status.ACTIVE
    after = owner.get(reverse("account_connections", args=[organization.slug])).text
    assert "Authorised by a deleted login" in after
    assert "Benson" not in after
    left = AuditEvent._base_manager.get(code="member_left")
    assert (left.organization_id, left.actor_id) == (organization.pk, None)
    told = str(list(AuditEvent._base_manager.values())).lower()
    # Three letters like "ada" stand in many a random id.
    assert "benson" not in told
    assert "ada@" not in told


def test_its_sessions_are_gone_from_the_database(person: User) -> None:
    client = Client()
    client.post(reverse("account_login"), {"login": person.email, "password": factories.PASSWORD})
    keys = list(UserSession.objects.filter(user=person).values_list("session_key", flat=True))
    assert keys
    client.post(URL, {"email": person.email})
    assert not Session.objects.filter(session_key__in=keys).exists()


def test_the_only_owner_is_told_what_to_do_first(
    amazon: RunningEmulator, organization: Organization
) -> None:
    owner = factories.owner_of(organization)
    client = signed_in_freshly(owner)
    page = client.get(URL).text
    assert reverse("organization_delete", args=[organization.slug]) in page
    transfer = reverse("ownership_transfer", args=[organization.slug])
    assert f'<a href="{transfer}">Transfer ownership of {organization.name}</a>' in page
    assert "Make another member its owner, or delete it; then come back." in page
    assert "support" not in page.split("<main")[1].split("</main>")[0]
    assert client.get(transfer).status_code == 200
    with nothing_changes(amazon, events=()):
        answer = client.post(URL, {"email": owner.email})
    assert answer.status_code == 422
    assert "You are the only owner of an organization." in answer.text


def test_an_owner_who_cannot_sign_in_counts_as_none(
    amazon: RunningEmulator, organization: Organization, person: User
) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)
    with nothing_changes(amazon, events=()), pytest.raises(leaving.OnlyOwner) as refused:
        leaving.delete_login(factories.owner_of(organization))
    assert refused.value.organizations == [organization]


def test_staff_are_refused_with_words(amazon: RunningEmulator) -> None:
    staff = factories.make_user(is_staff=True)
    with nothing_changes(amazon, events=()), pytest.raises(leaving.StaffLogin):
        leaving.delete_login(staff)


@pytest.mark.parametrize("typed", ["", "somebody@example.com"])
def test_the_address_has_to_be_typed(amazon: RunningEmulator, person: User, typed: str) -> None:
    client = signed_in_freshly(person)
    with nothing_changes(amazon, events=()):
        assert client.post(URL, {"email": typed}).status_code == 422


def test_an_old_sign_in_is_asked_again(amazon: RunningEmulator, person: User) -> None:
    client = signed_in_long_ago(person)
    with nothing_changes(amazon, events=()):
        asked = client.post(URL, {"email": person.email})
    assert asked.headers["Location"].startswith(reverse("account_reauthenticate"))


@pytest.mark.django_db(transaction=True)
def test_a_restored_backup_does_not_bring_the_login_back(
    organization: Organization, person: User, settings: Settings
) -> None:
    log = Path(settings.DELETION_LOG)
    leaving.delete_login(person)
    assert [line["kind"] for line in deletions.read(log)][-1:] == ["login"]
    User.objects.create(id=person.pk, email=person.email, name=person.name)

    (found,) = [row for row in restoring.resurrected([log]) if row.kind == "login"]
    assert (found.id, found.is_certain) == (person.pk, True)
    restoring.end_again(found.kind, found.id)

    assert not User.objects.filter(pk=person.pk).exists()


def test_the_end_of_an_organization_is_shown_before_and_leaves_a_receipt(
    organization: Organization,
    person: User,
    row: Connection,
) -> None:
    client = signed_in_freshly(person)
    url = reverse("organization_delete", args=[organization.slug])
    page = client.get(url).text
    for words in ("Northstar", str(row.selling_partner_id), "Ada Benson", "Manage Your Apps"):
        assert words in page

    client.post(url, {"name": organization.name})
    assert mail.outbox == []
    work()

    (receipt,) = mail.outbox
    assert receipt.to == ["ada@example.com"]
    assert receipt.subject == "Northstar Trading was deleted"
    assert f"- Northstar, {row.selling_partner_id}, NA" in receipt.body
    assert "consents of Seller Central: 1; consents of Amazon Ads: 0" in receipt.body
    assert "people who lost access: 2." in receipt.body


# A mail server that is away -------------------------------------------------------------------

DELETED_AT = datetime(2026, 12, 1, 12, tzinfo=UTC)
SEND = "ppc.farewell.EmailMessage.send"

Clock = time_machine.Traveller


@pytest.fixture
def clock() -> Iterator[Clock]:
    with time_machine.travel(DELETED_AT, tick=False) as traveller:
        yield traveller


@pytest.fixture
def deleted(organization: Organization, person: User, row: Connection, clock: Clock) -> Job:
    """Its receipt is queued."""
    actor = Actor.person(person)
    erasure.delete_organization(organization=organization, actor=actor, with_receipt=True)
    clock.shift(timedelta(seconds=1))
    job: Job = Job._base_manager.get(kind=farewell.RECEIPT)
    return job


def work() -> None:
    for job in Job._base_manager.filter(kind=farewell.RECEIPT, status__in=Job.LIVE):
        ledger.run(job.pk)


def prune() -> None:
    """What the daily pruning does about deleted organizations."""
    erase = partial(erasure.erase_organization, actor=COMMAND)
    list(erasure.erase_each(erasure.deleted_organizations, erase))


def status() -> tuple[str, int]:
    job = Job._base_manager.get(kind=farewell.RECEIPT)
    return job.status, job.attempts


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), smtplib.SMTPServerDisconnected("gone")],
    ids=lambda error: type(error).__name__,
)
def test_the_receipt_outlasts_an_hour_without_a_mail_server(
    deleted: Job, row: Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def is_away(*_arguments: Any) -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(SEND, is_away)
        for _ in range(30):
            work()
            prune()
            clock.shift(timedelta(minutes=2))
    assert (mail.outbox, status()) == ([], ("waiting", 0))
    # What the receipt is made of waits for it.
    assert Connection.with_removed.for_organization(row.organization_id).exists()

    for _ in range(2):
        work()

    (receipt,) = mail.outbox
    assert f"- Northstar, {row.selling_partner_id}, NA" in receipt.body
    assert "on 2026-12-01 12:00:00 (UTC)" in receipt.body
    assert status() == ("done", 1)
    prune()
    assert not Connection.with_removed.for_organization(row.organization_id).exists()


def test_a_death_after_the_mail_servers_yes_sends_the_same_one_again(
    deleted: Job, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As a power cut: nothing catches it."""

    def dies(*_arguments: Any, **_options: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("sellerlegend.jobs.claims.Claim.finishing", dies)
        with pytest.raises(Killed):
            work()
    clock.shift(timedelta(minutes=1))
    ledger.recover_lost()
    for _ in range(2):
        work()

    assert len(mail.outbox) == 2
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 1
    assert len({message.body for message in mail.outbox}) == 1


def test_a_receipt_that_nobody_takes_keeps_nothing_from_being_erased(
    deleted: Job, row: Connection, clock: Clock
) -> None:
    clock.shift(timedelta(days=2, hours=23))
    prune()
    assert Connection.with_removed.for_organization(row.organization_id).exists()

    clock.shift(timedelta(hours=2))
    prune()

    assert not Connection.with_removed.for_organization(row.organization_id).exists()
    assert not Job._base_manager.filter(kind=farewell.RECEIPT).exists()


def test_nobody_gets_the_receipt_of_somebody_whose_login_is_gone(
    deleted: Job, person: User
) -> None:
    User.objects.filter(pk=person.pk).delete()

    work()

    assert (mail.outbox, status()) == ([], ("done", 1))


def test_a_name_makes_no_header_of_its_own(deleted: Job, organization: Organization) -> None:
    name = "Evil\r\nBcc: victim@example.com"
    Organization.objects.filter(pk=organization.pk).update(name=name)

    work()

    (receipt,) = mail.outbox
    assert "\n" not in receipt.subject
    assert receipt.recipients() == ["ada@example.com"]
