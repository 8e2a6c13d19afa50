"""The page Account Settings → Notifications, and what goes with people and organizations."""

from __future__ import annotations

import re
import smtplib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import notice_mails, notices, notification_choices, renewals, retention
from connections.feed_models import CalendarFeed
from connections.models import Connection
from connections.notice_models import (
    Notice,
    NoticeLine,
    NoticeMail,
    NoticeSnooze,
    NotificationChoice,
)
from connections.words import exact_day
from ppc import disconnecting, erasure, removing
from ppc.disconnecting import Side
from sellerlegend.jobs.models import Incident
from sellerlegend.organizations.audit import COMMAND, WORKER, Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import factories
from tests.nothing_changed import all_rows
from tests.operators import run_command
from tests.signing_in import signed_in_freshly

pytestmark = pytest.mark.django_db

CHOICE = {"wants": "needs_me", "digest_hour": "9", "quiet_from": "20", "quiet_until": "6"}


@pytest.fixture
def connection(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Northstar US")


@pytest.fixture
def notice(connection: Connection) -> Notice:
    return factories.make_notice(connection)


def url(organization: Organization) -> str:
    return reverse("notifications", args=[organization.slug])


def body(client: Client, organization: Organization) -> str:
    return str(client.get(url(organization)).content.decode())


def snooze(client: Client, notice: Notice, days: str) -> Any:
    path = reverse("notice_snooze", args=[notice.organization.slug, notice.pk])
    return client.post(path, {"days": days})


def know(client: Client, organization: Organization, **fields: Any) -> Any:
    return client.post(reverse("notices_acknowledge", args=[organization.slug]), fields)


def known(organization: Organization) -> set[Any]:
    open_ones = Notice.objects.for_organization(organization)
    return set(open_ones.exclude(acknowledged_at=None).values_list("pk", flat=True))


# The page -----------------------------------------------------------------------------------


def test_the_page_tells_reason_impact_and_next_step(
    organization: Organization, connection: Connection, notice: Notice, browser: Client
) -> None:
    page = body(browser, organization)

    assert f"Northstar US ({connection.selling_partner_id}, NA)" in page
    ends = exact_day(notice.consent_at + timedelta(days=365))
    assert f"The consent ends in 365 days, on {ends}." in page
    assert "From then on nothing new is read" in page
    assert reverse("connection_authorize", args=[organization.slug, connection.pk]) in page
    # On a phone, where the table has no heads.
    assert 'data-label="Since"' in page


@pytest.mark.parametrize(
    ("reasons", "word"),
    [
        (["reconnect_required"], "New consent needed"),
        (["vault_locked", "reconnect_required"], "New consent needed"),
        (["grant_invalid"], "Consent revoked"),
        (["grant_invalid", "reconnect_required"], "Revoked, or new consent needed"),
    ],
)
def test_what_we_stopped_ourselves_is_not_called_revoked(
    organization: Organization, browser: Client, reasons: list[str], word: str
) -> None:
    for reason in reasons:
        row = factories.make_connection(organization)
        factories.make_notice(row, kind="revoked", days=None, step="revoked", reason=reason)

    page = body(browser, organization)

    others = {"New consent needed", "Consent revoked", "Revoked, or new consent needed"} - {word}
    assert word in page
    assert not any(other in page for other in others)


@pytest.mark.parametrize(
    ("reasons", "word"),
    [
        (["renewed"], "Renewed"),
        ([""], "Works again"),
        (["", "renewed"], "Works again, or renewed"),
    ],
)
def test_what_never_stopped_is_not_said_to_work_again(
    organization: Organization, browser: Client, reasons: list[str], word: str
) -> None:
    for reason in reasons:
        row = factories.make_connection(organization)
        factories.make_notice(row, kind="recovered", days=None, step="recovered", reason=reason)

    page = body(browser, organization)

    heading = page[page.index('<h3 id="title-recovered">') :]
    assert re.findall(r"<span>([^<]+?)\s*</span>", heading)[0] == word


def test_what_most_of_a_kind_share_is_said_once(
    organization: Organization, browser: Client
) -> None:
    """The first one ends today, and says so itself."""
    for days in (365, 340, 340):
        row = factories.make_connection(organization)
        notice = factories.make_notice(row, days=1 if days == 365 else 30, step=f"{days}")
        at = timezone.now() - timedelta(days=days)
        Notice._base_manager.filter(pk=notice.pk).update(consent_at=at)

    page = body(browser, organization)

    assert page.count("Reconnect today; it takes a minute and keeps everything.") == 1
    assert page.count("Reconnect before that day; it takes a minute and keeps everything.") == 1


def test_a_calm_page_says_so(organization: Organization, browser: Client) -> None:
    assert "Nothing is open." in body(browser, organization)


def test_the_worst_stands_first_and_pages_are_short(
    organization: Organization, connection: Connection, browser: Client
) -> None:
    now = timezone.now()
    for number in range(60):
        factories.make_notice(connection, step=f"step {number}")
    worst = {"kind": "revoked", "days": None, "step": "revoked", "reason": "grant_invalid"}
    factories.make_notice(connection, created_at=now - timedelta(days=1), **worst)

    page = body(browser, organization)

    assert page.count('name="notice"') == 50
    assert page.index('id="revoked"') < page.index('id="expiring"')
    assert "1–50 of 61" in page


def test_the_same_kind_stands_together_with_its_number_and_its_words_said_once(
    organization: Organization, connection: Connection, browser: Client
) -> None:
    for number in range(55):
        factories.make_notice(connection, step=f"step {number}")
    for number in range(3):
        missing = {"kind": "permission_missing", "days": None, "step": f"missing {number}"}
        factories.make_notice(connection, **missing)

    page = body(browser, organization)

    assert re.findall(r'class="jumps__jump" href="([^"]+)">([\w ]+) <strong>(\d+)<', page) == [
        ("?page=1#expiring", "Consent ends soon", "55"),
        ("?page=2#permission_missing", "Permission missing", "3"),
    ]
    assert re.findall(r'<section [^>]*id="(\w+)"', page) == ["expiring"]
    assert page.count("Amazon ends every consent after a year.") == 1
    assert "I know all 55" in page
    second = browser.get(url(organization), {"page": "2"}).content.decode()
    assert re.findall(r'<section [^>]*id="(\w+)"', second) == ["expiring", "permission_missing"]
    assert second.count('name="ticked"') == 8


def test_i_know_is_seen_by_colleagues(
    organization: Organization, notice: Notice, member: User, browser: Client
) -> None:
    User.objects.filter(pk=member.pk).update(name="Maya")
    assert know(browser, organization, notice=notice.pk).status_code == 303

    colleague = signed_in_freshly(factories.make_member(organization, Role.VIEWER))
    assert "Maya knows of it since" in body(colleague, organization)
    event = AuditEvent._base_manager.get(code="notice_acknowledged")
    assert (event.actor, event.connection_id) == (member, notice.connection_id)
    know(browser, organization, notice=notice.pk)
    assert AuditEvent._base_manager.filter(code="notice_acknowledged").count() == 1


def test_i_know_of_the_ticked_ones_leaves_the_others_alone(
    organization: Organization, connection: Connection, browser: Client
) -> None:
    made = [factories.make_notice(connection, step=f"step {number}") for number in range(4)]
    theirs = factories.make_notice(factories.make_connection(factories.make_organization("Other")))
    over = factories.make_notice(connection, step="over", resolved_at=timezone.now())

    ticked = [made[0].pk, made[2].pk, theirs.pk, over.pk, "x"]
    answer = know(browser, organization, ticked=ticked, page="2")

    assert (answer.status_code, answer.url) == (303, f"{url(organization)}?page=2")
    assert known(organization) == {made[0].pk, made[2].pk}
    assert known(theirs.organization) == set()
    events = AuditEvent._base_manager.filter(code="notice_acknowledged")
    assert set(events.values_list("subject_id", flat=True)) == {made[0].pk, made[2].pk}
    page = body(browser, organization)
    assert "Your colleagues see that you know of 2 notices." in page
    assert page.count('name="ticked"') == 2
    assert "2 not known yet" in page


def test_names_stand_out_until_somebody_knows(
    organization: Organization, connection: Connection, browser: Client
) -> None:
    made = [factories.make_notice(connection, step=f"step {number}") for number in range(3)]
    bold = f"<strong>{connection.name}"

    know(browser, organization, notice=made[0].pk)
    some = body(browser, organization)
    know(browser, organization, ticked=[each.pk for each in made[1:]])
    everything = body(browser, organization)

    assert (some.count(bold), everything.count(bold)) == (2, 0)
    assert "2 not known yet" in some
    assert "not known yet" not in everything


def test_i_know_of_a_kind_is_of_what_was_shown_and_of_no_other_kind(
    organization: Organization, connection: Connection, browser: Client
) -> None:
    shown = [factories.make_notice(connection, step=f"step {number}") for number in range(60)]
    revoked = {"kind": "revoked", "days": None, "step": "revoked", "reason": "grant_invalid"}
    factories.make_notice(connection, **revoked)
    page = body(browser, organization)
    newer = factories.make_notice(connection, step="newer")
    found = re.search(r'name="shown_at" value="([^"]+)"', page)
    assert found is not None

    know(browser, organization, kind="expiring", shown_at=found[1])

    assert known(organization) == {notice.pk for notice in shown}
    assert newer.pk not in known(organization)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ticked": ["x", ""]},
        {"kind": "expiring"},
        {"kind": "expiring", "shown_at": "yesterday"},
        {"kind": "expiring", "shown_at": "2026-01-01T00:00:00"},
        {"kind": "everything", "shown_at": "2999-01-01T00:00:00+00:00"},
    ],
)
def test_i_know_of_nothing_changes_nothing(
    organization: Organization, notice: Notice, browser: Client, fields: dict[str, Any]
) -> None:
    before = all_rows()

    assert know(browser, organization, **fields).status_code == 303

    assert all_rows() == before


def test_a_notice_of_others_is_not_found(organization: Organization, browser: Client) -> None:
    theirs = factories.make_notice(factories.make_connection(factories.make_organization("Other")))
    before = all_rows()

    for key in (theirs.pk, "x"):
        assert know(browser, organization, notice=key).status_code == 404

    assert all_rows() == before


def test_later_is_for_oneself_and_can_be_taken_back(
    organization: Organization, notice: Notice, member: User, browser: Client
) -> None:
    snooze(browser, notice, "7")

    assert "Not in your mails until" in body(browser, organization)
    colleague = signed_in_freshly(factories.make_member(organization))
    assert "Not in your mails until" not in body(colleague, organization)
    snooze(browser, notice, "0")
    assert not NoticeSnooze._base_manager.exists()


@pytest.mark.parametrize("days", ["", "2", "-1", "x", "9999999999", "٧"])
def test_other_lengths_change_nothing(notice: Notice, browser: Client, days: str) -> None:
    before = all_rows()

    assert snooze(browser, notice, days).status_code == 303

    assert all_rows() == before


def test_news_that_asks_for_nothing_goes_with_a_click(
    connection: Connection, browser: Client
) -> None:
    news = factories.make_notice(connection, kind="recovered", days=None, step="recovered")

    know(browser, connection.organization, notice=news.pk)

    assert not notices.open_notices(connection.organization).exists()


def test_people_choose_for_themselves(
    organization: Organization, member: User, browser: Client
) -> None:
    tomorrow = (timezone.localdate() + timedelta(days=1)).isoformat()
    fields = CHOICE | {"paused_until": tomorrow}

    assert browser.post(url(organization), fields).status_code == 303

    choice = NotificationChoice._base_manager.get()
    assert (choice.user, choice.wants, choice.digest_hour) == (member, "needs_me", 9)
    assert (choice.quiet_from, choice.quiet_until) == (20, 6)
    assert choice.paused_until is not None
    assert choice.paused_until.date().isoformat() == tomorrow
    other = factories.make_organization(owner=member)
    assert notification_choices.choice_of(other, member).wants == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"digest_hour": "23"}, "Choose an hour outside of your quiet hours."),
        ({"paused_until": "2020-01-01"}, "Choose a day after today and within a year."),
        ({"paused_until": "9999-01-01"}, "Choose a day after today and within a year."),
        ({"wants": "everything"}, "Select a valid choice."),
        ({"quiet_from": "24"}, "Select a valid choice."),
    ],
)
def test_mistakes_are_told_and_nothing_is_saved(
    organization: Organization, browser: Client, fields: dict[str, str], words: str
) -> None:
    answer = browser.post(url(organization), CHOICE | fields)

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not NotificationChoice._base_manager.exists()


def test_a_viewer_sees_and_decides_nothing(
    organization: Organization, connection: Connection, notice: Notice
) -> None:
    viewer = signed_in_freshly(factories.make_member(organization, Role.VIEWER))

    page = body(viewer, organization)

    assert "Northstar US" in page
    assert "Mails go to members who can act on them." in page
    assert "I know</button>" not in page
    assert viewer.post(url(organization), CHOICE).status_code == 403
    assert know(viewer, organization, notice=notice.pk).status_code == 403


def test_the_page_says_from_when_to_when_an_incident_was(
    organization: Organization, browser: Client
) -> None:
    began = datetime(2026, 11, 24, 16, 2, tzinfo=UTC)
    for region, minutes in (("NA", 45), ("FE", 90)):
        incident = Incident.objects.create(
            surface="sellers",
            region=region,
            opened_at=began,
            closed_at=began + timedelta(minutes=minutes),
        )
        notices.tell_organizations(incident, [organization], Notice.Kind.INCIDENT_CLOSED)

    page = body(browser, organization)

    assert "From Nov. 24, 2026, 4:02 PM to Nov. 24, 2026, 4:47 PM." in page
    assert "From Nov. 24, 2026, 4:02 PM to Nov. 24, 2026, 5:32 PM." in page


def test_the_page_takes_few_queries_however_many_rows(
    organization: Organization, browser: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        factories.make_notice(factories.make_connection(organization))

    with django_assert_max_num_queries(16):
        body(browser, organization)


def test_a_test_mail_goes_to_oneself_and_a_few_times_only(
    organization: Organization, member: User, browser: Client
) -> None:
    path = reverse("notifications_test_mail", args=[organization.slug])
    page = browser.post(path, follow=True).content.decode()
    statuses = [browser.post(path).status_code for _ in range(3)]

    assert "The mail server accepted it." in page
    assert statuses == [303, 303, 429]
    assert [message.to for message in mail.outbox] == [[member.email]] * 3


# What goes with whom ------------------------------------------------------------------------


def fill(connection: Connection, user: User) -> None:
    """A row of each new table."""
    organization = connection.organization
    notice = factories.make_notice(connection, created_at=timezone.now() - timedelta(minutes=11))
    urgent = {"kind": "revoked", "days": None, "step": "revoked", "reason": "grant_invalid"}
    factories.make_notice(connection, created_at=timezone.now() - timedelta(minutes=11), **urgent)
    notification_choices.choose(
        organization=organization,
        user=user,
        wants="all",
        digest_hour=8,
        quiet_from=0,
        quiet_until=0,
        paused_until=None,
    )
    notice_mails.plan_for(organization, timezone.now())
    notification_choices.snooze(notice=notice, user=user, days=7)
    lines = NoticeLine.objects.for_organization(organization)
    if not lines.exists():
        sent = NoticeMail.objects.for_organization(organization).get()
        lines.create(mail=sent, notice=notice, user=user)
    renewals.make_feed(organization=organization, user=user, actor=Actor.person(user))
    assert all(model._base_manager.exists() for model in TABLES)


TABLES = (Notice, NoticeLine, NoticeMail, NoticeSnooze, NotificationChoice, CalendarFeed)


def left() -> list[str]:
    return [model.__name__ for model in TABLES if model._base_manager.exists()]


def test_an_erased_organization_leaves_nothing_of_it(
    organization: Organization, connection: Connection
) -> None:
    owner = factories.owner_of(organization)
    fill(connection, owner)
    erasure.delete_organization(organization=organization, actor=Actor.person(owner))

    erasure.erase_organization(organization, actor=WORKER)

    assert left() == []


def test_a_removed_row_has_no_open_notices_and_an_erased_one_none_at_all(
    organization: Organization, connection: Connection
) -> None:
    fill(connection, factories.owner_of(organization))
    sides = frozenset({Side.SPAPI})
    disconnecting.disconnect(connection=connection, sides=sides, actor=COMMAND)

    removing.remove(connection=connection, actor=COMMAND)

    assert list(notices.open_notices(organization)) == []

    disconnecting.drop_row(organization.pk, connection.pk)

    assert not {"Notice", "NoticeLine"} & set(left())


def prune() -> None:
    for rule in retention.rules():
        list(rule.steps())


def test_choices_and_links_go_with_the_membership(
    organization: Organization, connection: Connection
) -> None:
    admin = factories.make_member(organization, Role.ADMIN)
    fill(connection, admin)
    prune()
    assert {"NotificationChoice", "CalendarFeed"} <= set(left())
    Membership.objects.for_organization(organization).filter(user=admin).delete()

    prune()

    assert not {"NotificationChoice", "CalendarFeed"} & set(left())


def test_old_notices_and_mails_go(organization: Organization, connection: Connection) -> None:
    fill(connection, factories.owner_of(organization))
    prune()
    assert left() == [model.__name__ for model in TABLES]
    long_ago = timezone.now() - timedelta(days=401)
    Notice._base_manager.update(created_at=long_ago)
    NoticeMail._base_manager.update(created_at=long_ago)
    NoticeSnooze._base_manager.update(until=timezone.now())

    prune()
    assert left() == ["NoticeMail", "NotificationChoice", "CalendarFeed"]

    NoticeMail._base_manager.update(created_at=timezone.now() - timedelta(days=431))
    prune()
    assert left() == ["NotificationChoice", "CalendarFeed"]


# Staff and operators ------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_arguments: Any, **_options: Any) -> int:
        raise error

    monkeypatch.setattr("sellerlegend.organizations.mail_trial.EmailMessage.send", fail)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (smtplib.SMTPAuthenticationError(535, b"hunter2"), "authentication", "user or password"),
        (smtplib.SMTPRecipientsRefused({}), "recipient_refused", "refuses this address"),
        (smtplib.SMTPSenderRefused(550, b"no", "x"), "sender_refused", "sender address"),
        (smtplib.SMTPNotSupportedError(), "not_supported", "no encryption"),
        (smtplib.SMTPDataError(451, b"later"), "smtp_451", "error 451"),
        (smtplib.SMTPServerDisconnected(), "unreachable", "does not answer"),
        (ConnectionRefusedError(), "unreachable", "does not answer"),
    ],
)
def test_staff_read_in_words_what_the_server_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, words: str
) -> None:
    staff = factories.make_user("staff@example.com", is_staff=True)
    client = signed_in_freshly(staff)
    failing(monkeypatch, error)

    answer = client.post(
        reverse("staff_test_mail"), {"address": "someone@example.com"}, follow=True
    )

    page = answer.content.decode()
    assert words in page
    assert "hunter2" not in page
    event = AuditEvent._base_manager.get(code="test_mail_sent")
    assert (event.actor, event.actor_kind, event.details) == (staff, "staff", {"outcome": code})


def test_only_staff_know_the_page(browser: Client) -> None:
    for method in ("GET", "POST"):
        assert browser.generic(method, reverse("staff_test_mail")).status_code == 404


def test_staff_test_a_few_times_only() -> None:
    client = signed_in_freshly(factories.make_user(is_staff=True))
    fields = {"address": "someone@example.com"}
    statuses = [client.post(reverse("staff_test_mail"), fields).status_code for _ in range(4)]

    assert statuses == [302, 302, 302, 429]
    assert client.post(reverse("staff_test_mail"), {"address": "nobody"}).status_code == 422
    assert len(mail.outbox) == 3


def test_the_command_sends_one() -> None:
    run = run_command("send_test_mail", "someone@example.com")

    assert run.code == 0
    assert "The mail server accepted it." in run.err
    assert [message.to for message in mail.outbox] == [["someone@example.com"]]


def test_the_command_says_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ConnectionRefusedError())

    run = run_command("send_test_mail", "someone@example.com", "--json")

    assert run.code == 3
    assert run.objects[0]["reason"] == "unreachable"


def test_the_command_wants_an_address_and_a_dry_run_sends_nothing() -> None:
    assert run_command("send_test_mail", "nobody").code == 2
    assert run_command("send_test_mail", "someone@example.com", "--dry-run").code == 0
    assert mail.outbox == []
