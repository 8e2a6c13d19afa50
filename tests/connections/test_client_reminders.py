"""Clients who are asked by themselves when a consent comes to its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import client_links, client_reminders, notices
from connections.client_link_models import ClientLink, ClientReminders
from connections.grouping_models import Client as StoresOwner
from connections.models import Connection
from connections.notice_models import Notice
from connections.notice_words import words_of
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job, Slot
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, Organization, Role
from tests import client_trips, factories, trips

pytestmark = pytest.mark.django_db

GIVEN = datetime(2026, 1, 10, 9, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def row(organization: Organization) -> Connection:
    """Its consent ends on the tenth of January 2027, and its client has an address."""
    with time_machine.travel(GIVEN, tick=False):
        row = factories.make_connection(organization, name="Northstar NA")
    clients = StoresOwner.objects.for_organization(organization)
    row.client = clients.create(
        name="Maria Ltd", contact_name="Maria", contact_email="maria@client.example"
    )
    row.save()
    return row


@pytest.fixture
def is_on(organization: Organization) -> None:
    owner = Actor.person(factories.owner_of(organization))
    client_reminders.switch(organization=organization, is_on=True, actor=owner)


def days_before_the_end(days: float) -> datetime:
    return GIVEN + YEAR - timedelta(days=days)


def a_day_passes(at: datetime) -> list[str]:
    """What the sweeps and the worker do at this moment: who got a mail."""
    known = len(mail.outbox)
    with time_machine.travel(at, tick=False):
        notices.derive(timezone.now())
        client_reminders.ask(timezone.now())
        for job in Job._base_manager.filter(kind=client_links.MAIL, status__in=Job.LIVE):
            ledger.run(job.pk)
    return [address for message in mail.outbox[known:] for address in message.to]


def told(organization: Organization, at: datetime) -> list[str]:
    with time_machine.travel(at, tick=False):
        rows = Notice.objects.for_organization(organization).filter(resolved_at=None)
        return [words.asked for words in words_of(organization, rows.select_related("connection"))]


def test_a_client_is_asked_at_most_three_times_for_one_consent(
    row: Connection, organization: Organization, is_on: None
) -> None:
    asked = {
        days: a_day_passes(days_before_the_end(days))
        for days in (61, 59, 29.9, 29, 13, 6.9, 6, 0.5, -0.1, -1, -8, -20)
    }

    assert [days for days, to in asked.items() if to] == [29.9, 6.9, -0.1]
    assert mail.outbox[0].to == ["maria@client.example"]
    assert mail.outbox[0].reply_to == [factories.owner_of(organization).email]
    statuses = ClientLink._base_manager.order_by("created_at").values_list("status", flat=True)
    assert list(statuses) == ["revoked", "revoked", "sent"]


def test_a_name_that_would_be_a_link_greets_nobody(
    row: Connection, organization: Organization, is_on: None
) -> None:
    clients = StoresOwner.objects.for_organization(organization)
    clients.update(contact_name="Go to evil[.]example")

    a_day_passes(days_before_the_end(29))

    [message] = mail.outbox
    assert str(message.body).startswith("Hello,\n")
    assert "evil" not in str(message.body)


def test_the_organization_hears_that_a_client_tried(
    row: Connection, organization: Organization, is_on: None
) -> None:
    first = days_before_the_end(29.9)
    a_day_passes(first)
    links = ClientLink.objects.for_organization(organization)

    links.update(status="failed", failure="wrong_account", failed_at=first)
    tried = told(organization, first + timedelta(days=8))
    links.update(failure="mail_refused")
    never_had_it = told(organization, first + timedelta(days=8))

    [words] = tried
    assert words == (
        "The client was asked by link on Dec. 11, 2026, tried on Dec. 11, 2026 and did not get "
        "through. The list of links to clients says why."
    )
    assert never_had_it == [
        "The client was asked once by link, on Dec. 11, 2026, and has not answered: call them."
    ]


def test_the_organization_hears_that_nobody_answers(
    row: Connection, organization: Organization, is_on: None
) -> None:
    first = days_before_the_end(29.9)
    a_day_passes(first)
    after_a_day = told(organization, first + timedelta(days=1))
    after_eight = told(organization, first + timedelta(days=8))
    second = days_before_the_end(6.9)
    a_day_passes(second)

    assert after_a_day == ["The client was asked by link on Dec. 11, 2026."]
    assert after_eight == [
        "The client was asked once by link, on Dec. 11, 2026, and has not answered: call them."
    ]
    [twice] = told(organization, second)
    assert twice.startswith("The client was asked 2 times by link, last on Jan. 3, 2027, and has")


def test_nobody_is_asked_until_it_is_switched_on(
    row: Connection, organization: Organization
) -> None:
    assert a_day_passes(days_before_the_end(29)) == []
    assert told(organization, days_before_the_end(29)) == [""]


def test_a_row_without_an_address_asks_nobody(row: Connection, is_on: None) -> None:
    StoresOwner._base_manager.update(contact_email="")

    assert a_day_passes(days_before_the_end(29)) == []


def test_whoever_was_asked_by_hand_is_left_alone_for_a_week(row: Connection, is_on: None) -> None:
    with time_machine.travel(days_before_the_end(33), tick=False):
        client_trips.ask(row)

    assert len(a_day_passes(days_before_the_end(29))) == 1  # the mail of the one made by hand
    assert a_day_passes(days_before_the_end(28)) == []
    assert len(a_day_passes(days_before_the_end(25))) == 1


def test_whoever_declined_is_not_asked_again(row: Connection, is_on: None) -> None:
    a_day_passes(days_before_the_end(29))
    link = ClientLink._base_manager.select_related("organization", "connection").get()
    with time_machine.travel(days_before_the_end(28), tick=False):
        client_links.decline(link=link)

    assert a_day_passes(days_before_the_end(6)) == []


def test_a_second_sweep_at_the_same_time_asks_nobody_twice(row: Connection, is_on: None) -> None:
    at = days_before_the_end(29)
    with time_machine.travel(at, tick=False):
        notices.derive(at)
        due = list(client_reminders.due(at).model._base_manager.all())
        assert client_reminders.ask(at) == 1
        assert client_reminders.ask(at) == 0

    assert len(due) == 1
    assert ClientLink._base_manager.count() == 1


def test_the_sweep_asks_every_ten_minutes_and_keeps_its_slots_for_an_hour(
    row: Connection, is_on: None
) -> None:
    at = days_before_the_end(29)
    asked = []
    for minutes in range(0, 150, 5):
        with time_machine.travel(at + timedelta(minutes=minutes), tick=False):
            notices.derive(timezone.now())
            asked.append(client_reminders.ask_in_turn())

    assert sum(asked) == 1
    assert Slot.objects.filter(name=client_reminders.SLOT).count() <= 8


def test_an_administrator_switches_it_on_and_off(organization: Organization) -> None:
    desk = trips.sign_in(factories.make_member(organization, Role.ADMIN))
    url = reverse("client_reminders_switch", args=[organization.slug])

    on = desk.post(url, {"on": "yes"}, follow=True).content.decode()
    desk.post(url, {"on": "yes"})
    was_on = ClientReminders._base_manager.count()
    off = desk.post(url, {"on": ""}, follow=True).content.decode()

    assert "Clients are asked automatically." in on
    assert "Stop asking automatically" in on
    assert was_on == 1
    assert "Clients are asked by you alone." in off
    assert not ClientReminders._base_manager.exists()
    codes = AuditEvent._base_manager.filter(code__startswith="client_reminders")
    assert [event.code for event in codes.order_by("pk")] == [
        "client_reminders_on",
        "client_reminders_off",
    ]


def test_a_member_sees_it_and_cannot_switch_it(organization: Organization) -> None:
    desk: Client = trips.sign_in(factories.make_member(organization))
    page = desk.get(reverse("notifications", args=[organization.slug])).content.decode()

    refused = desk.post(reverse("client_reminders_switch", args=[organization.slug]), {"on": "yes"})

    assert "Ask clients automatically" not in page
    assert refused.status_code == 403
    assert not client_reminders.are_on(organization)


def test_a_link_by_itself_ends_like_any_other(row: Connection, is_on: None) -> None:
    a_day_passes(days_before_the_end(29))
    link = ClientLink._base_manager.select_related("organization", "connection").get()

    assert link.made_by == factories.owner_of(row.organization)
    assert link.notice_id is not None
    assert client_links.revoke(link=link, actor=COMMAND)
