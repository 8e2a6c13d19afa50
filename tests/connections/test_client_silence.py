"""Clients who do not answer: whoever asked is told once, administrators of the second time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from connections import client_link_words, client_links, client_silence, notice_mails, notices
from connections.client_link_models import ClientLink
from connections.models import Connection, Grant, SpApiGrant
from connections.notice_models import Notice, NoticeMail, NotificationChoice
from connections.notice_words import words_of
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job, Slot
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import client_trips, factories, trips
from tests.client_trips import Asked
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db

GIVEN = datetime(2026, 1, 10, 9, tzinfo=UTC)
YEAR = timedelta(days=365)
MIDSUMMER = datetime(2026, 7, 1, 9, tzinfo=UTC)


@pytest.fixture
def row(organization: Organization) -> Connection:
    """Its consent ends on the tenth of January 2027."""
    with time_machine.travel(GIVEN, tick=False):
        return factories.make_connection(organization, name="Northstar NA")


@pytest.fixture
def maker(organization: Organization) -> User:
    return factories.make_member(organization, user=factories.make_user("asker@example.com"))


@pytest.fixture
def admin(organization: Organization) -> User:
    boss = factories.make_user("admin@example.com")
    return factories.make_member(organization, Role.ADMIN, user=boss)


def ask(row: Connection, maker: User, at: datetime, days: int = 14) -> Asked:
    with time_machine.travel(at, tick=False):
        asked = client_trips.ask(row, maker=maker, days=days)
        ClientLink._base_manager.filter(pk=asked.pk).update(status="sent", sent_at=at)
        return asked


def look(at: datetime) -> int:
    with time_machine.travel(at, tick=False):
        return client_silence.look(timezone.now())


def told() -> list[tuple[str, bool]]:
    """Steps of the notices of silence, and whether they are open."""
    rows = Notice._base_manager.filter(kind="client_silent").order_by("created_at")
    return [(notice.step, notice.resolved_at is None) for notice in rows]


def digest(organization: Organization, at: datetime) -> dict[str, str]:
    """Who gets a mail at the next digest, and what it says."""
    known = len(mail.outbox)
    with time_machine.travel(at.replace(hour=9, minute=0) + timedelta(days=1), tick=False):
        notice_mails.plan_for(organization, timezone.now())
        for job in Job._base_manager.filter(kind=notice_mails.MAIL, status__in=Job.LIVE):
            ledger.run(job.pk)
    return {message.to[0]: str(message.body) for message in mail.outbox[known:]}


# When --------------------------------------------------------------------------------------


def test_after_seven_days_and_not_before(row: Connection, maker: User) -> None:
    ask(row, maker, MIDSUMMER)

    looked = [look(MIDSUMMER + timedelta(days=days)) for days in (1, 6.9, 7, 7.1, 8)]

    assert looked == [0, 0, 1, 0, 0]
    assert told() == [("silent", True)]


@pytest.mark.parametrize("days_left", [7, 3, -2])
def test_after_three_days_where_the_consent_ends_within_seven(
    row: Connection, maker: User, days_left: int
) -> None:
    at = GIVEN + YEAR - timedelta(days=days_left)
    ask(row, maker, at)

    looked = [look(at + timedelta(days=days)) for days in (2.9, 3)]

    assert looked == [0, 1]


def test_where_the_end_is_not_known_seven_days_pass(row: Connection, maker: User) -> None:
    SpApiGrant._base_manager.update(is_consent_dated=False, imported_at=GIVEN)
    at = GIVEN + YEAR - timedelta(days=3)
    ask(row, maker, at)

    assert [look(at + timedelta(days=days)) for days in (3, 7)] == [0, 1]


def test_a_short_link_is_told_when_it_expires(row: Connection, maker: User) -> None:
    ask(row, maker, MIDSUMMER, days=2)
    expired = MIDSUMMER + timedelta(days=3.2)
    with time_machine.travel(expired, tick=False):
        client_links.end_overdue()

    assert look(expired) == 1


def test_opening_it_is_no_answer(row: Connection, maker: User) -> None:
    """A mail scanner opens links too."""
    asked = ask(row, maker, MIDSUMMER)
    with time_machine.travel(MIDSUMMER + timedelta(days=1), tick=False):
        client_links.note_opened(asked.link)

    assert look(MIDSUMMER + timedelta(days=7)) == 1


def test_a_store_that_is_to_be_connected_is_told_too(
    organization: Organization, maker: User
) -> None:
    waiting = factories.make_waiting_connection(organization)
    ask(waiting, maker, MIDSUMMER)

    assert look(MIDSUMMER + timedelta(days=7)) == 1


def test_who_answered_is_not_told_of(organization: Organization, maker: User) -> None:
    with time_machine.travel(GIVEN, tick=False):
        rows = [factories.make_connection(organization) for _ in range(6)]
    links = [ask(row, maker, MIDSUMMER) for row in rows]
    with time_machine.travel(MIDSUMMER + timedelta(days=1), tick=False):
        factories.consent(rows[0], refresh_token="Atzr|made-up-once-more")
        client_links.revoke(link=links[1].link, actor=COMMAND)
        factories.consent(rows[2], refresh_token="Atzr|made-up-again")
    Connection._base_manager.filter(pk=rows[3].pk).update(removed_at=MIDSUMMER)
    grants = SpApiGrant._base_manager.filter(connection=rows[4])
    grants.update(status=Grant.Status.DISCONNECTED, refresh_token="")
    ClientLink._base_manager.filter(pk=links[5].pk).update(
        status="failed", failure="mail_refused", failed_at=MIDSUMMER
    )

    assert look(MIDSUMMER + timedelta(days=8)) == 0
    assert told() == []


def test_who_does_not_know_who_asks_is_told_of_at_once(
    row: Connection, organization: Organization, maker: User
) -> None:
    """Perhaps the mail went astray, perhaps somebody else writes in our name."""
    asked = ask(row, maker, MIDSUMMER)
    at = MIDSUMMER + timedelta(hours=1)
    with time_machine.travel(at, tick=False):
        client_links.decline(link=asked.link)

    assert look(at) == 1
    assert look(at + timedelta(days=8)) == 0

    mails = digest(organization, at)
    assert list(mails) == ["asker@example.com"]
    assert (
        "Maria was asked by link on July 1, 2026 and does not know who asks"
        in mails["asker@example.com"]
    )


def test_in_quarantine_nobody_is_told(row: Connection, maker: User) -> None:
    ask(row, maker, MIDSUMMER)
    with time_machine.travel(MIDSUMMER + timedelta(days=8), tick=False):
        quarantine.begin(actor=COMMAND, reason="test")

        assert client_silence.look_in_turn() == 0
    assert told() == []


def test_two_sweeps_tell_once_and_slots_go(row: Connection, maker: User) -> None:
    ask(row, maker, MIDSUMMER)
    at = MIDSUMMER + timedelta(days=8)

    counts = []
    for seconds in range(0, 7200, 30):
        with time_machine.travel(at + timedelta(seconds=seconds), tick=False):
            counts.append(client_silence.look_in_turn())

    assert sum(counts) == 1
    assert Notice._base_manager.filter(kind="client_silent").count() == 1
    assert AuditEvent._base_manager.filter(code="notice_made").count() == 1
    assert Slot.objects.filter(name=client_silence.SLOT).count() <= 62


def test_a_sweep_that_saw_it_before_the_client_answered_tells_nothing(
    row: Connection, maker: User
) -> None:
    asked = ask(row, maker, MIDSUMMER)
    stale = asked.link
    client_links.revoke(link=asked.link, actor=COMMAND)

    assert client_silence._tell(stale, MIDSUMMER + timedelta(days=8)) == 0
    assert told() == []


# Whom --------------------------------------------------------------------------------------


def test_the_first_time_whoever_asked_reads_it_in_the_digest(
    row: Connection, organization: Organization, maker: User, admin: User
) -> None:
    ask(row, maker, MIDSUMMER)
    at = MIDSUMMER + timedelta(days=7)
    look(at)

    mails = digest(organization, at)
    again = digest(organization, at + timedelta(days=1))

    assert set(mails) == {"asker@example.com"}
    assert "Maria was asked by link on July 1, 2026 and has not answered" in mails[maker.email]
    assert "Northstar NA" in mails[maker.email]
    assert "maria@client.example" not in mails[maker.email]
    assert again == {}


def test_a_client_who_tried_is_not_called_silent(
    row: Connection, organization: Organization, maker: User
) -> None:
    ask(row, maker, MIDSUMMER)
    links = ClientLink.objects.for_organization(organization)
    tried = {"failure": "wrong_account", "failed_at": MIDSUMMER + timedelta(days=2)}
    links.update(status="failed", **tried)
    at = MIDSUMMER + timedelta(days=7)
    look(at)

    [text] = digest(organization, at).values()

    assert (
        "Maria was asked by link on July 1, 2026, tried on July 3, 2026 and did not get through"
    ) in text
    assert "has not answered" not in text


def test_the_second_time_administrators_read_it_too(
    row: Connection, organization: Organization, maker: User, admin: User
) -> None:
    ask(row, maker, MIDSUMMER)
    look(MIDSUMMER + timedelta(days=7))
    digest(organization, MIDSUMMER + timedelta(days=7))
    second = MIDSUMMER + timedelta(days=10)
    ask(row, maker, second)
    look(second + timedelta(days=7))

    mails = digest(organization, second + timedelta(days=7))

    assert set(mails) == {maker.email, admin.email, factories.owner_of(organization).email}
    assert "Maria was asked again by link on July 11, 2026" in mails[admin.email]
    assert told() == [("silent", False), ("silent again", True)]
    assert set(NoticeMail._base_manager.values_list("kind", flat=True)) == {"digest"}


def test_a_renewed_consent_begins_anew(row: Connection, maker: User) -> None:
    ask(row, maker, MIDSUMMER)
    look(MIDSUMMER + timedelta(days=7))
    with time_machine.travel(MIDSUMMER + timedelta(days=8), tick=False):
        factories.consent(row, refresh_token="Atzr|made-up-again")
    ask(row, maker, MIDSUMMER + timedelta(days=9))
    look(MIDSUMMER + timedelta(days=16))

    assert told() == [("silent", False), ("silent", True)]


@pytest.mark.parametrize("fate", ["left", "became a viewer", "sees other rows"])
def test_of_who_cannot_hear_it_administrators_hear_at_once(
    fate: str, row: Connection, organization: Organization, maker: User, admin: User
) -> None:
    ask(row, maker, MIDSUMMER)
    member = Membership.objects.for_organization(organization).filter(user=maker)
    if fate == "left":
        member.delete()
    elif fate == "became a viewer":
        member.update(role=Role.VIEWER)
    else:
        factories.limit(maker, organization)
    look(MIDSUMMER + timedelta(days=7))

    mails = digest(organization, MIDSUMMER + timedelta(days=7))

    assert set(mails) == {admin.email, factories.owner_of(organization).email}
    assert "was asked by link on July 1, 2026" in mails[admin.email]


def test_no_mail_means_no_mail(row: Connection, organization: Organization, maker: User) -> None:
    NotificationChoice.objects.for_organization(organization).create(user=maker, wants="none")
    ask(row, maker, MIDSUMMER)
    look(MIDSUMMER + timedelta(days=7))

    assert digest(organization, MIDSUMMER + timedelta(days=7)) == {}


def test_another_organization_hears_nothing(
    row: Connection, organization: Organization, maker: User
) -> None:
    """Also not through a person who belongs to both."""
    foreign = factories.make_organization("Foreign")
    factories.make_member(foreign, user=maker)
    ask(row, maker, MIDSUMMER)
    look(MIDSUMMER + timedelta(days=7))

    assert digest(foreign, MIDSUMMER + timedelta(days=7)) == {}
    assert not Notice.objects.for_organization(foreign).exists()


def test_what_was_answered_before_the_digest_is_not_told(
    row: Connection, organization: Organization, maker: User
) -> None:
    ask(row, maker, MIDSUMMER)
    at = MIDSUMMER + timedelta(days=7)
    look(at)
    with time_machine.travel(at + timedelta(hours=1), tick=False):
        factories.consent(row, refresh_token="Atzr|made-up-again")
    look(at + timedelta(hours=2))

    assert digest(organization, at) == {}
    assert told() == [("silent", False)]


# In the app --------------------------------------------------------------------------------


def test_it_stands_at_the_link_in_the_row_and_among_the_notices(
    row: Connection, organization: Organization, maker: User
) -> None:
    asked = ask(row, maker, MIDSUMMER)
    at = MIDSUMMER + timedelta(days=7)
    before = client_link_words.asked_line(asked.link)
    look(at)

    with time_machine.travel(at, tick=False):
        desk = trips.sign_in(maker)
        slug = organization.slug
        pages = {
            name: desk.get(reverse(name, args=[slug])).content.decode()
            for name in ("client_links", "account_connections", "notifications")
        }
        details = desk.get(reverse("connection_details", args=[slug, row.pk])).content.decode()

    assert "No answer" not in before
    assert "No answer, told on July 8, 2026. Call them, or ask again." in pages["client_links"]
    assert "No answer: call them, or ask again." in pages["account_connections"]
    assert "No answer: call them, or ask again." in details
    assert "Maria was asked by link on July 1, 2026" in pages["notifications"]
    again = reverse("client_link_again", args=[slug, asked.pk])
    assert f'href="{again}"' in pages["notifications"]


def test_the_notice_leads_to_asking_again_which_one_button_does(
    row: Connection, organization: Organization, maker: User
) -> None:
    asked = ask(row, maker, MIDSUMMER)
    at = MIDSUMMER + timedelta(days=7)
    look(at)

    with time_machine.travel(at, tick=False):
        desk = signed_in_freshly(maker)
        (told_once,) = words_of(organization, notices.open_notices(organization))
        page = desk.get(told_once.url).content.decode()
        unchanged = [link.pk for link in ClientLink._base_manager.all()]
        answer = desk.post(told_once.url)

    assert told_once.button == "Ask again"
    assert "Ask the client of Northstar NA (NA) again" in page
    assert "Maria" in page
    assert "No answer, told on July 8, 2026. Call them, or ask again." in page
    assert f'action="{told_once.url}"' in page
    assert unchanged == [asked.pk]
    assert answer.status_code == 303
    fresh = ClientLink._base_manager.exclude(pk=asked.pk).get()
    assert (fresh.connection_id, fresh.recipient_email) == (row.pk, asked.link.recipient_email)


def test_who_consents_late_is_not_called_silent(row: Connection, maker: User) -> None:
    asked = ask(row, maker, MIDSUMMER)
    look(MIDSUMMER + timedelta(days=7))
    assert client_link_words.is_silent(asked.link)

    client_links.decline(link=asked.link)

    assert not client_link_words.is_silent(asked.link)


def test_a_reader_of_other_rows_reads_nothing_of_it(
    row: Connection, organization: Organization, maker: User
) -> None:
    other = factories.make_member(organization)
    member = factories.limit(other, organization)
    ask(row, maker, MIDSUMMER)
    look(MIDSUMMER + timedelta(days=7))

    assert list(notices.open_notices(organization, member)) == []


def test_words_need_no_query_for_each_notice(organization: Organization, maker: User) -> None:
    with time_machine.travel(GIVEN, tick=False):
        rows = [factories.make_connection(organization) for _ in range(3)]
    for row in rows:
        ask(row, maker, MIDSUMMER)
    look(MIDSUMMER + timedelta(days=7))

    told_of = words_of(organization, notices.open_notices(organization))

    assert [words.title.startswith("Maria was asked") for words in told_of] == [True] * 3
