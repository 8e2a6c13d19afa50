"""One digest a person, organization and day, a few alarms at once, and nothing twice."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from connections import attention, notice_mails, notices, notification_choices
from connections.models import Connection
from connections.notice_models import Notice, NoticeLine, NoticeMail, NotificationChoice
from sellerlegend.jobs import incidents, ledger
from sellerlegend.jobs.models import CallWindow, Incident, Job
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND, WORKER, Actor
from sellerlegend.organizations.models import Membership, Organization, Role, User
from tests import factories
from tests.posting import look, mails, post, work
from tests.threads import run_many

pytestmark = pytest.mark.django_db

# A Tuesday, and later than the digest hour of everybody in these tests.
TODAY = datetime(2026, 12, 1, 12, tzinfo=UTC)
TOMORROW = datetime(2026, 12, 2, 8, 1, tzinfo=UTC)

Clock = time_machine.Traveller


@pytest.fixture
def clock() -> Iterator[Clock]:
    with time_machine.travel(TODAY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def shop(clock: Clock) -> Organization:
    owner = factories.make_user("owner@example.com")
    return factories.make_organization("Northstar", owner=owner)


@pytest.fixture
def owner(shop: Organization) -> User:
    return factories.owner_of(shop)


def ending(shop: Organization, days: float = 29.5, name: str = "") -> Connection:
    """A row whose consent ends in so many days."""
    row = factories.make_connection(shop, name=name)
    grant = factories.grant_of(row)
    at = timezone.now() - timedelta(days=365 - days)
    type(grant)._base_manager.filter(pk=grant.pk).update(authorized_at=at)
    return row


def revoked(row: Connection) -> Connection:
    grant = factories.grant_of(row)
    type(grant)._base_manager.filter(pk=grant.pk).update(
        status="invalid", status_changed_at=timezone.now()
    )
    return row


def set_facts(row: Connection, **facts: Any) -> None:
    grant = factories.grant_of(row)
    type(grant)._base_manager.filter(pk=grant.pk).update(**facts)


def works(row: Connection) -> None:
    """Amazon took the same consent back."""
    set_facts(row, status="active", status_changed_at=timezone.now())


def choose(shop: Organization, user: User, **columns: Any) -> None:
    defaults: dict[str, Any] = {
        "wants": "",
        "digest_hour": 8,
        "quiet_from": 22,
        "quiet_until": 7,
        "paused_until": None,
    }
    notification_choices.choose(organization=shop, user=user, **(defaults | columns))


def recipients() -> list[str]:
    return sorted(address for message in mail.outbox for address in message.to)


def text() -> str:
    return str(mail.outbox[-1].body)


# Grouping -----------------------------------------------------------------------------------


def test_three_hundred_rows_are_one_mail(shop: Organization, clock: Clock) -> None:
    for number in range(300):
        ending(shop, name=f"Store {number:03}")
    assert post() == []

    clock.move_to(TOMORROW)

    assert post() == ["[SellerLegend] Northstar: 300 connections need you"]
    assert mail.outbox[0].to == ["owner@example.com"]
    assert text().count("The consent ends in") == 50
    assert "And 250 more on the page." in text()
    assert post() == []
    assert mails() == [("digest", "sent")]


def test_a_row_with_two_troubles_is_counted_once_as_in_the_banner(
    shop: Organization, clock: Clock
) -> None:
    """Also where its Amazon Ads consent feeds it beside another one."""
    row, other = (ending(shop, 13.5, name) for name in ("Both", "Fed"))
    set_facts(row, permission_missing_since=timezone.now(), last_success_at=timezone.now())
    ads = factories.make_ads_grant(shop)
    for fed in (row, other):
        factories.put_to_use(ads, connection=fed)
    type(ads)._base_manager.filter(pk=ads.pk).update(permission_missing_since=timezone.now())
    look()
    clock.move_to(TOMORROW)

    assert post() == ["[SellerLegend] Northstar: 2 connections need you"]
    assert text().count("* ") == 4
    assert attention.counted(shop.pk) == 2


def test_a_revocation_ends_the_word_of_a_missing_permission(
    shop: Organization, clock: Clock
) -> None:
    row = factories.make_connection(shop, name="Gone")
    set_facts(row, permission_missing_since=timezone.now(), last_success_at=timezone.now())
    look()
    revoked(row)
    look()
    clock.move_to(TOMORROW)

    (subject,) = post()

    assert subject.endswith(": Amazon no longer accepts your consent")
    assert "A permission is missing" not in text()


def test_one_row_is_named_with_reason_impact_and_link(shop: Organization, clock: Clock) -> None:
    row = ending(shop, name="Northstar US")
    post()
    clock.move_to(TOMORROW)

    subjects = post()

    name = f"Northstar US ({row.selling_partner_id}, NA)"
    assert subjects == [
        f"[SellerLegend] Northstar: {name}: The consent ends in 29 days, on Dec. 31, 2026"
    ]
    assert name in text()
    assert "From then on nothing new is read" in text()
    assert f"/o/northstar/connections/{row.pk}/authorize" in text()
    assert "/o/northstar/notifications" in text()


def test_the_html_says_the_same_and_trusts_no_name(shop: Organization, clock: Clock) -> None:
    ending(shop, name="<b>Evil</b>")
    post()
    clock.move_to(TOMORROW)
    post()

    message: Any = mail.outbox[0]
    html, kind = message.alternatives[0]

    assert kind == "text/html"
    assert "&lt;b&gt;Evil&lt;/b&gt;" in html
    assert "<b>Evil</b>" not in html
    assert "<b>Evil</b>" in text()
    assert "csrfmiddlewaretoken" not in html


def test_no_secret_is_in_a_mail(shop: Organization, clock: Clock) -> None:
    row = revoked(factories.make_connection(shop, refresh_token="Atzr|very-secret"))
    post()
    clock.shift(timedelta(minutes=11))
    post()

    message: Any = mail.outbox[0]
    for part in (message.subject, text(), message.alternatives[0][0]):
        assert "Atz" not in part
        assert factories.grant_of(row).refresh_token not in part


def test_news_of_the_afternoon_wait_for_the_next_morning(shop: Organization, clock: Clock) -> None:
    ending(shop)

    assert post() == []
    clock.move_to(TOMORROW - timedelta(minutes=2))
    assert post() == []
    clock.move_to(TOMORROW)
    assert len(post()) == 1


def test_a_digest_a_day(shop: Organization, clock: Clock) -> None:
    for day in range(3):
        clock.move_to(TODAY + timedelta(days=day))
        ending(shop)
        post()
        clock.move_to(TOMORROW + timedelta(days=day))
        assert len(post()) == 1
    assert [message.to for message in mail.outbox] == [["owner@example.com"]] * 3
    assert NoticeLine._base_manager.count() == 3


def test_each_organization_has_its_own_mail(shop: Organization, owner: User, clock: Clock) -> None:
    other = factories.make_organization("Harbor", owner=owner)
    ending(shop)
    ending(other, name="Secret of Harbor")
    post()
    clock.move_to(TOMORROW)

    assert sorted(subject.split(":")[0] for subject in post()) == [
        "[SellerLegend] Harbor",
        "[SellerLegend] Northstar",
    ]
    by_subject = {str(message.subject): str(message.body) for message in mail.outbox}
    northstar = next(body for subject, body in by_subject.items() if "Northstar" in subject)
    assert "Secret of Harbor" not in northstar


# Alarms -------------------------------------------------------------------------------------


def test_revocations_of_one_moment_go_together_and_at_once(
    shop: Organization, clock: Clock
) -> None:
    revoked(factories.make_connection(shop))
    assert post() == []
    clock.shift(timedelta(minutes=5))
    revoked(factories.make_connection(shop))
    assert post() == []

    clock.shift(timedelta(minutes=6))

    assert post() == ["[SellerLegend] Northstar: 2 connections have lost access to Amazon"]
    assert mails() == [("revoked", "sent")]


@pytest.mark.parametrize(
    ("imported", "cause"),
    [
        ({}, "in Seller Central."),
        (
            {"imported_at": TODAY, "is_consent_dated": False},
            "in Seller Central, or a year has passed since it was given.",
        ),
    ],
    ids=["of a known day", "of an unknown one"],
)
def test_a_loss_says_since_when_and_names_no_end_that_has_not_come(
    shop: Organization, clock: Clock, imported: dict[str, Any], cause: str
) -> None:
    row = revoked(ending(shop, 14))
    set_facts(row, **imported)
    post()
    clock.shift(timedelta(minutes=11))
    post()

    told = " ".join(text().split())
    assert (
        "Amazon no longer accepts your consent. Since Dec. 1, 2026, 12:00 PM nothing has been read "
        f"with it. Amazon refuses it: it was revoked {cause} No new data arrives; what is here is "
        "kept. Reconnect the account" in told
    )
    html, _kind = getattr(mail.outbox[-1], "alternatives")[0]  # noqa: B009
    assert "Since Dec. 1, 2026, 12:00 PM nothing has been read with it." in html


def test_the_subject_tells_a_loss_from_an_end_that_comes(shop: Organization, clock: Clock) -> None:
    ending(shop)
    look()
    clock.move_to(TOMORROW - timedelta(hours=1))
    revoked(factories.make_connection(shop))
    look()
    clock.move_to(TOMORROW)

    assert post() == ["[SellerLegend] Northstar: 1 connection has lost access to Amazon"]


def test_the_subject_of_lost_ads_consents_says_so(shop: Organization, clock: Clock) -> None:
    for _ in range(2):
        ads = factories.make_ads_grant(shop)
        factories.put_to_use(ads, connection=factories.make_connection(shop))
        lost = {"status": "invalid", "status_changed_at": timezone.now()}
        type(ads)._base_manager.filter(pk=ads.pk).update(**lost)
    look()
    clock.shift(timedelta(minutes=11))

    assert post() == ["[SellerLegend] Northstar: 2 connections have lost access to Amazon Ads"]


@pytest.mark.parametrize(
    ("surface", "region", "cause", "is_told"),
    [
        ("sellers", "NA", "refusing", True),
        ("lwa", "", "refusing", True),
        ("sellers", "NA", "failing", False),
        ("sellers", "EU", "refusing", False),
        ("ads", "NA", "refusing", False),
    ],
)
def test_a_loss_while_amazon_refuses_many_is_told_with_that_doubt(
    shop: Organization, clock: Clock, surface: str, region: str, cause: str, is_told: bool
) -> None:
    """What is believed after two hours in which refusals of many were held."""
    opened = timezone.now() - timedelta(hours=3)
    Incident.objects.create(surface=surface, region=region, cause=cause, opened_at=opened)
    revoked(factories.make_connection(shop))
    post()
    clock.shift(timedelta(minutes=11))

    assert len(post()) == 1
    doubt = "its own fault may be the cause. We go on asking: the consent may work again by itself."
    assert (doubt in " ".join(text().split())) == is_told


def test_a_loss_from_before_an_incident_is_told_without_that_doubt(
    shop: Organization, clock: Clock
) -> None:
    revoked(factories.make_connection(shop))
    post()
    clock.shift(timedelta(minutes=11))
    Incident.objects.create(surface="lwa", region="", cause="refusing", opened_at=timezone.now())

    assert len(post()) == 1
    assert "Amazon refuses the consents of many" not in " ".join(text().split())


def test_a_day_before_the_end_does_not_wait_either(shop: Organization, clock: Clock) -> None:
    ending(shop, 0.9)
    post()
    clock.shift(timedelta(minutes=11))

    assert len(post()) == 1
    assert "ends in 1 day, on Dec. 2, 2026." in text()


def test_the_day_of_the_end_is_the_readers_own(
    shop: Organization, owner: User, clock: Clock
) -> None:
    """A mail that is read days later is still true."""
    User.objects.filter(pk=owner.pk).update(language="de", time_zone="America/Los_Angeles")
    ending(shop)
    look()
    clock.move_to(TOMORROW + timedelta(hours=9))

    (subject,) = post()

    assert subject.endswith(": Die Zustimmung endet in 28 Tagen, am 30. Dezember 2026")
    assert "Die Zustimmung endet in 28 Tagen, am 30. Dezember 2026." in text()


def test_on_the_last_day_nobody_is_asked_to_reconnect_before_it(
    shop: Organization, clock: Clock
) -> None:
    ending(shop, 0.2)
    post()
    clock.shift(timedelta(minutes=11))

    assert len(post()) == 1
    assert "The consent ends today, Dec. 1, 2026." in text()
    assert "Reconnect today; it takes a minute and keeps everything." in text()
    assert "before that day" not in text()


def test_three_alarms_a_day_and_the_rest_with_the_digest(shop: Organization, clock: Clock) -> None:
    for _ in range(5):
        ending(shop, 0.9)
        post()
        clock.shift(timedelta(minutes=20))
        post()
    assert mails() == [("urgent", "sent")] * 3

    clock.move_to(TOMORROW)

    assert post() == ["[SellerLegend] Northstar: 2 connections need you"]
    assert mails()[-1] == ("digest", "sent")


def test_a_bad_hour_of_amazons_keeps_no_revocation_for_tomorrow(
    shop: Organization, clock: Clock
) -> None:
    for part in ("NA", "EU", "FE"):
        incident = Incident.objects.create(surface="sellers", region=part)
        notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_OPENED)
        clock.shift(timedelta(minutes=11))
        post()
    Incident.objects.update(closed_at=timezone.now(), good_since=timezone.now())
    for incident in Incident.objects.all():
        notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_CLOSED)
    clock.shift(timedelta(minutes=11))
    assert post() == []
    assert mails() == [("urgent", "sent")] * 3
    first = revoked(factories.make_connection(shop, name="First"))
    assert post() == []
    clock.shift(timedelta(minutes=9))
    revoked(factories.make_connection(shop, name="Second"))
    assert post() == []

    clock.shift(timedelta(minutes=1))

    assert post() == ["[SellerLegend] Northstar: 2 connections have lost access to Amazon"]
    assert text().count("Amazon's problem is over") == 3
    assert mails()[3:] == [("revoked", "sent")]
    assert post() == []
    # That it works again is no loss, and waits.
    works(first)
    post()
    clock.shift(timedelta(minutes=11))
    assert post() == []
    clock.move_to(TOMORROW)
    assert post() == [
        f"[SellerLegend] Northstar: First ({first.selling_partner_id}, NA): Works again"
    ]


def test_ten_mails_of_revocations_a_day_and_the_three_others(
    shop: Organization, clock: Clock
) -> None:
    clock.move_to(TODAY.replace(hour=9))
    for _ in range(15):
        revoked(factories.make_connection(shop))
        post()
        clock.shift(timedelta(minutes=11))
        post()
    assert mails() == [("revoked", "sent")] * 10 + [("urgent", "sent")] * 3

    clock.move_to(TOMORROW)

    assert post() == ["[SellerLegend] Northstar: 2 connections have lost access to Amazon"]
    assert mails()[13:] == [("digest", "sent")]


def test_recovery_is_announced(shop: Organization, clock: Clock) -> None:
    row = revoked(factories.make_connection(shop, name="Back"))
    post()
    clock.shift(timedelta(minutes=11))
    post()
    factories.consent(row, refresh_token="Atzr|newer")
    post()
    clock.shift(timedelta(minutes=11))

    assert post() == [f"[SellerLegend] Northstar: Back ({row.selling_partner_id}, NA): Works again"]


def test_of_what_was_overdue_and_never_stopped_the_renewal_is_told(
    shop: Organization, clock: Clock
) -> None:
    row = ending(shop, -0.1, name="Kept")
    set_facts(row, last_success_at=timezone.now())
    post()
    clock.shift(timedelta(minutes=11))
    assert len(post()) == 1
    factories.consent(row, refresh_token="Atzr|newer")
    post()
    clock.shift(timedelta(minutes=11))

    (subject,) = post()

    assert subject.endswith(f"Kept ({row.selling_partner_id}, NA): The consent was renewed")
    assert (
        "The consent was renewed. Amazon accepted the one before until then, so nothing was "
        "interrupted. The new one ends on Dec. 1, 2027." in " ".join(text().split())
    )
    assert "again" not in text()


def test_a_permission_that_flaps_before_the_digest_is_told_once(
    shop: Organization, clock: Clock
) -> None:
    row = factories.make_connection(shop)
    for since in (timezone.now(), None, timezone.now()):
        set_facts(row, permission_missing_since=since)
        post()
        clock.shift(timedelta(minutes=30))
    clock.move_to(TOMORROW)
    assert len(post()) == 1

    for since in (None, timezone.now()):
        set_facts(row, permission_missing_since=since)
        post()
    clock.move_to(TOMORROW + timedelta(days=1))

    assert post() == []


@pytest.mark.parametrize("status", ["invalid", "disconnected"])
def test_works_again_is_not_told_of_what_does_not(
    shop: Organization, clock: Clock, status: str
) -> None:
    clock.move_to(TODAY.replace(hour=23))
    row = factories.make_connection(shop)
    for change in (revoked, works):
        change(row)
        post()
        clock.shift(timedelta(minutes=20))
    gone = {"refresh_token": ""} if status == "disconnected" else {}
    set_facts(row, status=status, status_changed_at=timezone.now(), **gone)
    post()
    clock.move_to(TOMORROW)
    post()

    assert all("Works again" not in str(message.body) for message in mail.outbox)
    assert len(mail.outbox) == (1 if status == "invalid" else 0)


def test_nothing_is_told_of_a_removed_row(shop: Organization, clock: Clock) -> None:
    row = ending(shop)
    look()
    Connection.objects.for_organization(shop).filter(pk=row.pk).update(removed_at=timezone.now())
    clock.move_to(TOMORROW)

    assert post() == []
    assert Notice._base_manager.filter(settled_at=None).count() == 0


def test_what_was_mended_before_the_mail_is_not_told(shop: Organization, clock: Clock) -> None:
    row = ending(shop)
    post()
    factories.consent(row, refresh_token="Atzr|newer")
    clock.move_to(TOMORROW)

    assert post() == []


def test_what_was_mended_after_planning_drops_the_mail(shop: Organization, clock: Clock) -> None:
    row = ending(shop)
    post()
    clock.move_to(TOMORROW)
    look()
    factories.consent(row, refresh_token="Atzr|newer")
    notices.derive(timezone.now())
    work()

    assert mail.outbox == []
    assert mails() == [("digest", "dropped")]


def test_an_incident_is_one_mail_for_each_organization(shop: Organization, clock: Clock) -> None:
    for _ in range(3):
        factories.make_connection(shop)
    incident = Incident.objects.create(surface="sellers", region="NA")
    notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_OPENED)
    post()
    clock.shift(timedelta(minutes=11))

    assert post() == [
        "[SellerLegend] Northstar: Selling Partner API NA: Amazon has a problem at the moment"
    ]


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("failing", "Data may come late. Consents are not affected, and nothing is lost."),
        (
            "refusing",
            (
                "Amazon refuses the consents of many at the moment. None ends by that alone: we "
                "go on asking, and tell you if one stays refused."
            ),
        ),
    ],
)
def test_the_mail_of_an_incident_promises_what_its_cause_allows(
    shop: Organization, clock: Clock, cause: str, said: str
) -> None:
    factories.make_connection(shop)
    incident = Incident.objects.create(surface="lwa", cause=cause)
    notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_OPENED)
    post()
    clock.shift(timedelta(minutes=11))
    post()

    read = " ".join(text().split())
    assert said in read
    assert ("not affected" in read) == (cause == "failing")


def test_an_incident_shorter_than_ten_minutes_is_one_mail(shop: Organization, clock: Clock) -> None:
    incident = Incident.objects.create(surface="lwa")
    notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_OPENED)
    post()
    clock.shift(timedelta(minutes=5))
    Incident.objects.filter(pk=incident.pk).update(closed_at=timezone.now())
    incident.refresh_from_db()
    notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_CLOSED)
    post()
    clock.shift(timedelta(minutes=11))

    assert post() == ["[SellerLegend] Northstar: Login with Amazon: Amazon's problem is over"]


def test_who_knows_that_an_incident_is_over_hides_it_from_no_colleague(
    shop: Organization, owner: User, clock: Clock
) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    incident = begin_incident(shop)
    post()
    clock.shift(timedelta(minutes=11))
    assert len(post()) == 2
    Incident.objects.filter(pk=incident.pk).update(closed_at=timezone.now())
    incident.refresh_from_db()
    notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_CLOSED)
    (news,) = notices.open_notices(shop)
    mail.outbox.clear()

    assert know(news, Actor.person(owner)) == 1
    assert list(notices.open_notices(shop)) == []

    assert days_of_mails(clock, 3) == ["Amazon's problem is over"]
    assert recipients() == [admin.email]


def begin_incident(shop: Organization) -> Incident:
    incident = Incident.objects.create(surface="lwa")
    notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_OPENED)
    return incident


def test_of_an_incident_that_is_over_no_mail_says_that_it_happens(
    shop: Organization, clock: Clock
) -> None:
    """Planned, and not planned yet, when it ends; nobody was told of it."""
    for is_planned in (False, True):
        incident = begin_incident(shop)
        clock.shift(timedelta(minutes=11) if is_planned else timedelta(minutes=5))
        look()
        assert incidents.close(incident, actor=WORKER)
        clock.shift(incidents.WINDOW - timedelta(seconds=1))
        assert post() == []
        clock.shift(timedelta(seconds=1))
        assert post() == []

    assert mails() == [("urgent", "dropped")]
    assert Notice._base_manager.filter(settled_at=None).count() == 0
    clock.move_to(TOMORROW)
    assert post() == []


def test_an_incident_that_begins_again_is_told_to_whoever_was_not_told(
    shop: Organization, owner: User, clock: Clock
) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    choose(shop, admin, quiet_from=12, quiet_until=13)
    incident = begin_incident(shop)
    clock.shift(timedelta(minutes=45))
    post()
    assert recipients() == [owner.email]
    clock.move_to(TODAY + timedelta(minutes=58))
    assert incidents.close(incident, actor=WORKER)
    clock.shift(timedelta(minutes=4))
    assert post() == []

    assert incidents.reopen(incident)

    assert len(post()) == 1
    assert recipients() == sorted([owner.email, admin.email])
    assert "Amazon has a problem at the moment" in text()
    assert post() == []


def test_the_end_of_an_incident_is_summed_up(shop: Organization, owner: User, clock: Clock) -> None:
    """As the sweep tells it, with what was recorded; who is limited reads no numbers of all."""
    limited = factories.make_member(shop)
    choose(shop, limited, wants="all")
    rows = [factories.make_connection(shop) for _ in range(3)]
    factories.limit(limited, shop, rows[0])
    incident = Incident.objects.create(surface="sellers", region="NA")
    CallWindow.objects.create(
        surface="sellers",
        region="NA",
        organization_id=shop.pk,
        minute=timezone.now(),
        calls=9,
        failures=9,
    )
    for row in rows[:2]:
        set_facts(row, last_failure_at=timezone.now(), last_failure_code="amazon_unavailable")
    assert incidents.tell_organizations(incident, 10) == 1
    clock.shift(timedelta(hours=1))
    assert incidents.close(incident, actor=WORKER)
    clock.shift(incidents.WINDOW)
    assert incidents.tell_organizations(incident, 10) == 1
    look()
    clock.shift(timedelta(minutes=11))

    title = "Selling Partner API NA: Amazon's problem is over"
    assert post() == [f"[SellerLegend] Northstar: {title}"] * 2

    times = "Amazon's problem is over. From Dec. 1, 2026, 12:00 PM to Dec. 1, 2026, 1:00 PM."
    bodies = {message.to[0]: str(message.body) for message in mail.outbox}
    late = "What is still late is read by itself."
    assert f"{times} It met 2 connections of yours. {late}" in bodies[owner.email]
    assert f"{times} {late}" in bodies[limited.email]


def test_a_planned_alarm_is_held_by_an_incident(shop: Organization, clock: Clock) -> None:
    row = factories.make_connection(shop)
    grant = factories.grant_of(row)
    now = timezone.now()
    type(grant)._base_manager.filter(pk=grant.pk).update(
        permission_missing_since=now,
        last_failure_at=now,
        last_failure_code="amazon_unavailable",
        last_success_at=None,
    )
    post()
    incident = Incident.objects.create(surface="sellers", region="NA")
    clock.move_to(TOMORROW)
    assert post() == []

    Incident.objects.filter(pk=incident.pk).update(closed_at=timezone.now())

    assert len(post()) == 1


# Whom ---------------------------------------------------------------------------------------


def test_by_role_and_by_who_authorised(shop: Organization, owner: User, clock: Clock) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    factories.make_member(shop, Role.MEMBER)
    giver = factories.make_member(shop, Role.MEMBER)
    viewer = factories.make_member(shop, Role.VIEWER)
    left = factories.make_member(shop, Role.ADMIN)
    off = factories.make_member(shop, Role.ADMIN, user=factories.make_user(is_active=False))
    row = ending(shop)
    grant = factories.grant_of(row)
    type(grant)._base_manager.filter(pk=grant.pk).update(authorized_by=giver)
    choose(shop, viewer, wants="all")
    post()
    Membership.objects.for_organization(shop).filter(user=left).delete()
    clock.move_to(TOMORROW)

    post()

    assert off.email not in recipients()
    assert recipients() == sorted([owner.email, admin.email, giver.email])


def test_only_what_needs_me(shop: Organization, owner: User, clock: Clock) -> None:
    choose(shop, owner, wants="needs_me")
    row = revoked(factories.make_connection(shop))
    post()
    clock.shift(timedelta(minutes=11))
    assert len(post()) == 1
    factories.consent(row, refresh_token="Atzr|newer")
    post()
    clock.shift(timedelta(minutes=11))

    assert post() == []


def test_no_mail_is_no_mail(shop: Organization, owner: User, clock: Clock) -> None:
    choose(shop, owner, wants="none")
    revoked(factories.make_connection(shop))
    ending(shop)
    post()
    clock.move_to(TOMORROW)

    assert post() == []
    assert mails() == []
    assert Notice._base_manager.filter(settled_at=None).count() == 0


def test_who_leaves_between_planning_and_sending_gets_none(
    shop: Organization, owner: User, clock: Clock
) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    ending(shop)
    post()
    clock.move_to(TOMORROW)
    look()
    Membership.objects.for_organization(shop).filter(user=admin).delete()

    work()

    assert recipients() == [owner.email]
    assert sorted(status for _kind, status in mails()) == ["dropped", "sent"]


@pytest.fixture
def planned(shop: Organization, clock: Clock) -> Connection:
    """A digest that stands in the queue while its person changes their mind."""
    row = ending(shop, name="Northstar US")
    look()
    clock.move_to(TOMORROW)
    look()
    assert mails() == [("digest", "planned")]
    return row


@pytest.mark.parametrize(
    ("then", "later"),
    [
        pytest.param({"wants": "none"}, {"wants": "all"}, id="no mail"),
        pytest.param({"paused_until": TOMORROW + timedelta(days=9)}, {}, id="paused"),
    ],
)
def test_a_choice_made_after_the_planning_counts(
    shop: Organization,
    owner: User,
    clock: Clock,
    planned: Connection,
    then: dict[str, Any],
    later: dict[str, Any],
) -> None:
    choose(shop, owner, **then)
    work()
    assert (len(mail.outbox), mails()) == (0, [("digest", "dropped")])
    assert NoticeLine._base_manager.count() == 0

    choose(shop, owner, **later)
    clock.move_to(TOMORROW + timedelta(days=1))

    assert len(post()) == 1
    assert planned.name in text()
    assert mails() == [("digest", "dropped"), ("digest", "sent")]


def test_a_snooze_after_the_planning_counts(
    shop: Organization, owner: User, clock: Clock, planned: Connection
) -> None:
    notification_choices.snooze(notice=notice_of(planned), user=owner, days=1)
    work()
    assert mail.outbox == []

    clock.move_to(TOMORROW + timedelta(days=1))

    assert len(post()) == 1


def test_only_what_needs_me_said_after_the_planning(
    shop: Organization, owner: User, clock: Clock, planned: Connection
) -> None:
    incident = Incident.objects.create(surface="lwa")
    notices.tell_organizations(incident, [shop], Notice.Kind.INCIDENT_OPENED)
    clock.shift(timedelta(minutes=11))
    look()
    choose(shop, owner, wants="needs_me")
    work()

    assert len(mail.outbox) == 1
    assert "Amazon has a problem" not in text()
    assert mails() == [("digest", "sent"), ("urgent", "dropped")]


def test_a_role_lost_after_the_planning_counts(
    shop: Organization, clock: Clock, planned: Connection
) -> None:
    Membership.objects.for_organization(shop).update(role=Role.VIEWER)

    work()

    assert mail.outbox == []


def test_what_a_mail_left_out_is_told_by_the_next_one(
    shop: Organization, owner: User, clock: Clock
) -> None:
    """An incident opens between planning and sending: one line waits, the other goes."""
    ending(shop, name="Ending")
    row = factories.make_connection(shop, name="Lacking")
    now = timezone.now()
    set_facts(row, permission_missing_since=now)
    look()
    clock.move_to(TOMORROW)
    look()
    incident = Incident.objects.create(surface="sellers", region="NA")
    met = {"last_failure_at": TOMORROW, "last_failure_code": "amazon_unavailable"}
    set_facts(row, **met, last_success_at=None)

    work()
    assert len(mail.outbox) == 1
    assert "Ending" in text()
    assert "Lacking" not in text()

    Incident.objects.filter(pk=incident.pk).update(closed_at=timezone.now())
    clock.move_to(TOMORROW + timedelta(days=1))

    assert len(post()) == 1
    assert "Lacking" in text()
    assert "Ending" not in text()
    assert post() == []


def test_what_flapped_around_a_dropped_mail_is_told(shop: Organization, clock: Clock) -> None:
    row = factories.make_connection(shop, name="Lacking")
    set_facts(row, permission_missing_since=timezone.now())
    look()
    clock.move_to(TOMORROW)
    look()
    set_facts(row, permission_missing_since=None)
    notices.derive(timezone.now())
    work()
    assert mails() == [("digest", "dropped")]

    set_facts(row, permission_missing_since=timezone.now())
    look()
    clock.move_to(TOMORROW + timedelta(days=1))

    assert len(post()) == 1


def test_what_is_over_is_not_told_by_the_next_one(
    shop: Organization, owner: User, clock: Clock, planned: Connection
) -> None:
    choose(shop, owner, paused_until=TOMORROW + timedelta(hours=2))
    work()
    factories.consent(planned, refresh_token="Atzr|newer")
    clock.move_to(TOMORROW + timedelta(days=1))

    assert post() == []
    assert Notice._base_manager.filter(settled_at=None).count() == 0


@pytest.mark.parametrize(
    "point", ["connections.notice_sending._leave_to_the_next", "connections.notice_sending.advance"]
)
def test_a_death_while_a_mail_is_dropped_loses_no_line(
    shop: Organization,
    owner: User,
    clock: Clock,
    planned: Connection,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    def dies(*_arguments: Any, **_options: Any) -> Any:
        raise Killed

    choose(shop, owner, paused_until=TOMORROW + timedelta(hours=2))
    with monkeypatch.context() as patched:
        patched.setattr(point, dies)
        with pytest.raises(Killed):
            work()
    assert mails() == [("digest", "planned")]
    clock.shift(timedelta(minutes=1))
    ledger.recover_lost()
    post()
    assert mails() == [("digest", "dropped")]

    clock.move_to(TOMORROW + timedelta(days=1))

    assert len(post()) == 1
    assert post() == []


# When ---------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_the_digest_comes_at_the_hour_of_the_persons_own_clock(
    shop: Organization, owner: User, clock: Clock
) -> None:
    User.objects.filter(pk=owner.pk).update(time_zone="America/Los_Angeles")
    choose(shop, owner, digest_hour=9)
    ending(shop)
    clock.move_to(at("2026-12-01T09:00:00-08:00") - timedelta(seconds=1))
    assert post() == []
    clock.move_to(at("2026-12-01T09:00:00-08:00"))
    assert len(post()) == 1


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        pytest.param(
            "Europe/Berlin",
            "2027-03-28T08:59:00+02:00",
            "2027-03-28T09:00:00+02:00",
            id="Berlin springs forward",
        ),
        pytest.param(
            "America/Los_Angeles",
            "2027-11-07T08:59:00-08:00",
            "2027-11-07T09:00:00-08:00",
            id="Los Angeles falls back",
        ),
    ],
)
def test_the_digest_hour_on_days_on_which_clocks_change(
    shop: Organization, owner: User, clock: Clock, zone: str, before: str, after: str
) -> None:
    User.objects.filter(pk=owner.pk).update(time_zone=zone)
    choose(shop, owner, digest_hour=9)
    clock.move_to(at(before) - timedelta(hours=12))
    ending(shop)
    post()
    clock.move_to(at(before))
    assert post() == []
    clock.move_to(at(after))
    assert len(post()) == 1


def test_nothing_in_quiet_hours_across_midnight(
    shop: Organization, owner: User, clock: Clock
) -> None:
    User.objects.filter(pk=owner.pk).update(time_zone="Europe/Berlin")
    choose(shop, owner, quiet_from=22, quiet_until=7)
    clock.move_to(at("2026-12-01T21:55:00+01:00"))
    revoked(factories.make_connection(shop))
    post()
    for moment in ("2026-12-01T22:10:00+01:00", "2026-12-02T00:30:00+01:00"):
        clock.move_to(at(moment))
        assert post() == []
    clock.move_to(at("2026-12-02T06:59:00+01:00"))
    assert post() == []

    clock.move_to(at("2026-12-02T07:00:00+01:00"))

    assert len(post()) == 1


def test_a_mail_that_was_late_into_the_quiet_hours_waits(
    shop: Organization, owner: User, clock: Clock
) -> None:
    clock.move_to(datetime(2026, 12, 1, 21, 45, tzinfo=UTC))
    revoked(factories.make_connection(shop))
    look()
    clock.move_to(datetime(2026, 12, 1, 21, 59, tzinfo=UTC))
    look()
    assert mails() == [("revoked", "planned")]

    clock.move_to(datetime(2026, 12, 1, 22, 1, tzinfo=UTC))
    work()
    assert mail.outbox == []
    job = Job._base_manager.get(kind=notice_mails.MAIL)
    assert (job.status, job.waiting_reason, job.attempts) == ("waiting", "quiet_hours", 0)

    clock.move_to(datetime(2026, 12, 2, 7, 1, tzinfo=UTC))
    work()
    assert mails() == [("revoked", "sent")]


@given(
    start=st.integers(0, 23),
    end=st.integers(0, 23),
    hours=st.integers(0, 24 * 400),
    zone=st.sampled_from(["Europe/Berlin", "America/Los_Angeles", "Australia/Lord_Howe", "UTC"]),
)
def test_quiet_hours_are_those_of_the_clock_on_the_wall(
    start: int, end: int, hours: int, zone: str
) -> None:
    choice = NotificationChoice(quiet_from=start, quiet_until=end)
    local = (TODAY + timedelta(hours=hours)).astimezone(ZoneInfo(zone))
    quiet = {(start + step) % 24 for step in range((end - start) % 24)}

    assert choice.is_quiet(local) == (local.hour in quiet)


def test_dates_are_told_in_the_persons_zone(shop: Organization, owner: User, clock: Clock) -> None:
    User.objects.filter(pk=owner.pk).update(time_zone="Asia/Tokyo")
    grant = factories.make_ads_grant(shop)
    factories.put_to_use(grant)
    given_at = datetime(2026, 11, 30, 20, tzinfo=UTC)  # in Tokyo it is December
    type(grant)._base_manager.filter(pk=grant.pk).update(
        authorized_at=given_at, status="invalid", status_changed_at=timezone.now()
    )
    clock.move_to(datetime(2026, 12, 1, 12, tzinfo=UTC))
    post()
    clock.shift(timedelta(minutes=11))
    post()

    assert "Amazon Ads consent of Dec. 1, 2026, for" in text()


# Later, and "I know" -------------------------------------------------------------------------


def know(notice: Notice, actor: Actor) -> int:
    return notification_choices.acknowledge(
        organization=notice.organization, notices=[notice], actor=actor
    )


def notice_of(row: Connection) -> Notice:
    found: Notice = Notice._base_manager.filter(connection=row, resolved_at=None).get()
    return found


def test_a_snoozed_row_is_told_when_the_snooze_ends(
    shop: Organization, owner: User, clock: Clock
) -> None:
    row, other = ending(shop, 29.5), ending(shop, 29.5, name="Other")
    look()
    notification_choices.snooze(notice=notice_of(row), user=owner, days=1)
    clock.move_to(TOMORROW)
    post()
    assert row.name not in text()
    assert other.name in text()

    clock.move_to(TOMORROW + timedelta(days=1))

    assert len(post()) == 1
    assert row.name in text()


def test_snoozing_what_was_told_tells_it_again(
    shop: Organization, owner: User, clock: Clock
) -> None:
    row = ending(shop, 29.5)
    post()
    clock.move_to(TOMORROW)
    assert len(post()) == 1
    notification_choices.snooze(notice=notice_of(row), user=owner, days=7)
    for day in range(1, 7):
        clock.move_to(TOMORROW + timedelta(days=day))
        assert post() == []

    clock.move_to(TOMORROW + timedelta(days=8))

    assert len(post()) == 1


def test_a_snooze_while_mails_are_planned_wins(
    shop: Organization, owner: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner has read that the person was told; the snooze forgets it; then it settles."""
    row = ending(shop)
    post()
    clock.move_to(TOMORROW)
    assert len(post()) == 1
    Notice._base_manager.update(settled_at=None)
    read = notice_mails.readers

    def snoozed_right_after(*arguments: Any, **options: Any) -> Any:
        found = read(*arguments, **options)
        notification_choices.snooze(notice=notice_of(row), user=owner, days=1)
        return found

    with monkeypatch.context() as patched:
        patched.setattr("connections.notice_mails.readers", snoozed_right_after)
        look()
    assert Notice._base_manager.filter(settled_at=None).count() == 1

    clock.move_to(TOMORROW + timedelta(days=1, hours=1))

    assert len(post()) == 1


def test_a_snooze_is_for_oneself(shop: Organization, owner: User, clock: Clock) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    row = ending(shop)
    look()
    notification_choices.snooze(notice=notice_of(row), user=owner, days=30)
    clock.move_to(TOMORROW)
    post()

    assert recipients() == [admin.email]


def test_what_gets_worse_breaks_a_snooze(shop: Organization, owner: User, clock: Clock) -> None:
    row = ending(shop, 13.9)
    look()
    notification_choices.snooze(notice=notice_of(row), user=owner, days=30)
    clock.move_to(TOMORROW)
    assert post() == []

    clock.move_to(TODAY + timedelta(days=7))
    post()
    clock.move_to(TOMORROW + timedelta(days=7))

    assert len(post()) == 1
    assert "ends in 6 days" in text()


@pytest.mark.parametrize("days", [2, -1, 31])
def test_other_lengths_are_no_snooze(shop: Organization, owner: User, days: int) -> None:
    row = ending(shop)
    look()
    with pytest.raises(notification_choices.NotASnooze):
        notification_choices.snooze(notice=notice_of(row), user=owner, days=days)


def test_who_is_away_hears_all_of_it_afterwards(
    shop: Organization, owner: User, clock: Clock
) -> None:
    choose(shop, owner, paused_until=TODAY + timedelta(days=5))
    revoked(factories.make_connection(shop))
    ending(shop)
    post()
    for day in range(4):
        clock.move_to(TOMORROW + timedelta(days=day))
        assert post() == []

    clock.move_to(TOMORROW + timedelta(days=5))

    assert post() == ["[SellerLegend] Northstar: 1 connection has lost access to Amazon"]


def test_what_somebody_knows_leaves_the_mail_until_it_gets_worse(
    shop: Organization, owner: User, clock: Clock
) -> None:
    row = ending(shop, 59.5)
    look()
    actor = Actor.person(owner)
    assert know(notice_of(row), actor) == 1
    told = []
    for day in range(66):
        for moment in (TOMORROW, TODAY + timedelta(days=1), TODAY + timedelta(days=1, hours=1)):
            clock.move_to(moment + timedelta(days=day))
            told += [subject.rpartition(": ")[2] for subject in post()]

    assert told == [
        "The consent ends in 6 days, on Jan. 30, 2027",
        "The consent ends in 1 day, on Jan. 30, 2027",
        "The year of the consent is over",
    ]


def test_a_revocation_goes_out_whatever_was_known(
    shop: Organization, owner: User, clock: Clock
) -> None:
    row = ending(shop, 29.5)
    look()
    know(notice_of(row), Actor.person(owner))
    notification_choices.snooze(notice=notice_of(row), user=owner, days=30)
    clock.shift(timedelta(minutes=1))
    revoked(row)
    post()
    clock.shift(timedelta(minutes=11))

    assert len(post()) == 1


def test_who_knows_of_the_end_still_hears_of_a_missing_permission(
    shop: Organization, owner: User, clock: Clock
) -> None:
    row = ending(shop)
    look()
    know(notice_of(row), Actor.person(owner))
    clock.shift(timedelta(hours=1))
    set_facts(row, permission_missing_since=timezone.now(), last_success_at=timezone.now())
    post()

    clock.move_to(TOMORROW)

    assert len(post()) == 1


def test_who_knows_of_the_end_still_hears_that_it_works_again(
    shop: Organization, owner: User, clock: Clock
) -> None:
    row = ending(shop)
    look()
    know(notice_of(row), Actor.person(owner))
    told = []
    for change in (revoked, works):
        clock.shift(timedelta(minutes=1))
        change(row)
        post()
        clock.shift(timedelta(minutes=11))
        told += post()

    assert len(told) == 2
    assert told[-1].endswith(": Works again")


def days_of_mails(clock: Clock, days: int) -> list[str]:
    """What is told until then: looked at twice a day, and once the alarms have waited."""
    told = []
    for _day in range(days):
        for later in (timedelta(hours=23), timedelta(minutes=11), timedelta(minutes=49)):
            clock.shift(later)
            told += [subject.rpartition(": ")[2] for subject in post()]
    return told


@pytest.mark.parametrize("is_new", [True, False], ids=["a new consent", "taken back"])
def test_who_snoozed_a_loss_hears_that_it_works_again(
    shop: Organization, owner: User, clock: Clock, is_new: bool
) -> None:
    row = revoked(factories.make_connection(shop))
    post()
    clock.shift(timedelta(minutes=11))
    assert len(post()) == 1
    notification_choices.snooze(notice=notice_of(row), user=owner, days=30)
    clock.shift(timedelta(hours=1))
    if is_new:
        factories.consent(row, refresh_token="Atzr|newer")
    else:
        works(row)

    assert days_of_mails(clock, 3) == ["Works again"]


def test_a_snooze_is_over_with_its_consent(shop: Organization, owner: User, clock: Clock) -> None:
    row = ending(shop, 13.9)
    look()
    notification_choices.snooze(notice=notice_of(row), user=owner, days=30)
    clock.shift(timedelta(hours=1))
    factories.consent(row, refresh_token="Atzr|newer")
    clock.shift(timedelta(hours=1))
    set_facts(row, permission_missing_since=timezone.now(), last_success_at=timezone.now())
    look()
    notice = notice_of(row)
    assert notice.kind == "permission_missing"
    assert notification_choices.snoozed_until(shop, owner, [notice]) == {}

    assert days_of_mails(clock, 2) == ["A permission is missing"]


def test_snoozing_does_not_repeat_that_it_works_again(
    shop: Organization, owner: User, clock: Clock
) -> None:
    row = revoked(factories.make_connection(shop))
    post()
    works(row)
    assert days_of_mails(clock, 1) == ["Works again"]
    set_facts(row, permission_missing_since=timezone.now(), last_success_at=timezone.now())
    look()
    missing = Notice._base_manager.get(kind="permission_missing")

    notification_choices.snooze(notice=missing, user=owner, days=7)

    assert days_of_mails(clock, 3) == []


@pytest.mark.parametrize(
    ("days", "kind"), [(None, "revoked"), (-0.1, "expired"), (0.9, "expiring")]
)
def test_who_knows_of_a_loss_hides_it_from_no_colleague(
    shop: Organization, owner: User, clock: Clock, days: float | None, kind: str
) -> None:
    member = factories.make_member(shop, Role.MEMBER)
    choose(shop, member, wants="all")
    row = revoked(factories.make_connection(shop)) if days is None else ending(shop, days)
    look()
    assert notice_of(row).kind == kind
    know(notice_of(row), Actor.person(member))

    clock.shift(timedelta(minutes=11))
    post()
    assert recipients() == [owner.email]
    assert notice_of(row).settled_at is not None

    notification_choices.snooze(notice=notice_of(row), user=owner, days=1)
    clock.move_to(TOMORROW)
    post()
    assert recipients() == [owner.email]


@pytest.mark.parametrize("is_new", [True, False], ids=["a new consent", "taken back"])
def test_who_knows_that_it_works_again_hides_it_from_no_colleague(
    shop: Organization, owner: User, clock: Clock, is_new: bool
) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    row = revoked(factories.make_connection(shop))
    post()
    clock.shift(timedelta(minutes=11))
    assert len(post()) == 2
    clock.shift(timedelta(hours=1))
    if is_new:
        factories.consent(row, refresh_token="Atzr|newer")
    else:
        works(row)
    look()
    (news,) = notices.open_notices(shop)
    mail.outbox.clear()

    assert know(news, Actor.person(owner)) == 1
    assert list(notices.open_notices(shop)) == []

    assert days_of_mails(clock, 3) == ["Works again"]
    assert recipients() == [admin.email]
    news.refresh_from_db()
    assert news.settled_at is not None


def test_what_is_lost_again_is_not_told_to_work_though_somebody_read_so(
    shop: Organization, owner: User, clock: Clock
) -> None:
    factories.make_member(shop, Role.ADMIN)
    row = revoked(factories.make_connection(shop))
    post()
    clock.shift(timedelta(minutes=11))
    assert len(post()) == 2
    works(row)
    look()
    (news,) = notices.open_notices(shop)
    know(news, Actor.person(owner))
    clock.shift(timedelta(minutes=2))
    revoked(row)

    told = days_of_mails(clock, 3)

    assert told == ["Amazon no longer accepts your consent"] * 2


def test_who_snoozed_a_loss_that_a_colleague_knows_of_is_not_reminded(
    shop: Organization, owner: User, clock: Clock
) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    row = revoked(factories.make_connection(shop))
    post()
    clock.shift(timedelta(minutes=11))
    assert len(post()) == 2
    notification_choices.snooze(notice=notice_of(row), user=owner, days=1)
    know(notice_of(row), Actor.person(admin))

    assert days_of_mails(clock, 3) == []


def test_the_first_who_knows_stands(shop: Organization, owner: User, clock: Clock) -> None:
    row = ending(shop)
    look()
    notice = notice_of(row)
    assert know(notice, Actor.person(owner)) == 1
    second = factories.make_member(shop, Role.ADMIN)

    assert know(notice, Actor.person(second)) == 0

    assert notice_of(row).acknowledged_by == owner


# Mail servers -------------------------------------------------------------------------------


class Server:
    """Refuses some addresses, or all mails for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refused: str = "") -> None:
        self.refused, self.error = refused, None
        send = EmailMultiAlternatives.send

        def answer(message: Any, *arguments: Any, **options: Any) -> int:
            if self.error is not None:
                raise self.error
            if self.refused in message.to:
                raise smtplib.SMTPRecipientsRefused({self.refused: (550, b"no such user")})
            return int(send(message, *arguments, **options))

        monkeypatch.setattr("connections.notice_sending.EmailMultiAlternatives.send", answer)

    error: Exception | None


def test_one_address_that_fails_blocks_no_other_and_is_given_up(
    shop: Organization, owner: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = factories.make_member(shop, Role.ADMIN)
    Server(monkeypatch, refused=owner.email)
    ending(shop)
    post()
    clock.move_to(TOMORROW)
    post()
    assert recipients() == [admin.email]
    waits = []

    for _ in range(10):
        job = Job._base_manager.exclude(status="done").get(kind=notice_mails.MAIL)
        if job.status == "dead":
            break
        waits.append(round((job.next_attempt_at - timezone.now()).total_seconds()))
        clock.move_to(job.next_attempt_at)
        work()

    assert waits == [300, 1800, 7200, 21600]
    assert sorted(status for _kind, status in mails()) == ["failed", "sent"]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        smtplib.SMTPServerDisconnected("gone"),
        smtplib.SMTPDataError(451, b"try later"),
        smtplib.SMTPAuthenticationError(535, b"no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_server_that_is_away_uses_up_no_attempt(
    shop: Organization, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    server = Server(monkeypatch)
    server.error = error
    ending(shop)
    post()
    clock.move_to(TOMORROW)
    post()
    for _ in range(20):
        clock.shift(timedelta(minutes=3))
        work()
    job = Job._base_manager.get(kind=notice_mails.MAIL)
    assert (job.status, job.waiting_reason, job.attempts) == ("waiting", "mail_server_away", 0)

    server.error = None
    clock.shift(timedelta(minutes=3))
    work()

    assert mails() == [("digest", "sent")]
    assert len(mail.outbox) == 1


def test_what_a_server_did_not_hear_for_days_is_told_when_it_is_back(
    shop: Organization, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(monkeypatch)
    server.error = ConnectionRefusedError()
    ending(shop, 59.5)
    post()
    for hour in range(24 * 3):
        clock.move_to(TOMORROW + timedelta(hours=hour))
        work()
        look()
    assert mails()[0] == ("digest", "failed")

    server.error = None
    told = []
    for day in range(4, 7):
        clock.move_to(TOMORROW + timedelta(days=day))
        told += post()

    assert len(told) == 1
    assert told[0].endswith("The consent ends in 55 days, on Jan. 30, 2027")


def test_nothing_is_mailed_in_quarantine(shop: Organization, clock: Clock) -> None:
    ending(shop)
    post()
    clock.move_to(TOMORROW)
    quarantine.begin(actor=COMMAND, reason="a restored backup")

    assert post() == []
    assert mails() == []


# Exactly once -------------------------------------------------------------------------------


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_sweeps_and_workers_beside_each_other_send_one() -> None:
    shop = factories.make_organization("Northstar")
    for user in [factories.owner_of(shop), factories.make_member(shop, Role.ADMIN)]:
        choose(shop, user, quiet_from=0, quiet_until=0)
    for _ in range(5):
        revoked(factories.make_connection(shop))
    notices.derive(timezone.now())
    Notice._base_manager.update(created_at=timezone.now() - timedelta(minutes=11))

    planned = run_many(4, lambda: notice_mails.plan_for(shop, timezone.now()))
    jobs = list(Job._base_manager.filter(kind=notice_mails.MAIL).values_list("pk", flat=True))
    ran = run_many(4, lambda: [ledger.run(key) for key in jobs])

    assert [result for result in [*planned, *ran] if isinstance(result, Exception)] == []
    assert mails() == [("revoked", "sent")] * 2
    assert NoticeLine._base_manager.count() == 10
    assert len(mail.outbox) == 2


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_what_is_dropped_beside_sweeps_and_workers_stays_to_be_told() -> None:
    shop = factories.make_organization("Northstar")
    owner = factories.owner_of(shop)
    choose(shop, owner, quiet_from=0, quiet_until=0)
    revoked(factories.make_connection(shop))
    notices.derive(timezone.now())
    Notice._base_manager.update(created_at=timezone.now() - timedelta(minutes=11))
    assert notice_mails.plan_for(shop, timezone.now()) == 1
    key = Job._base_manager.get(kind=notice_mails.MAIL).pk
    paused_until = timezone.now() + timedelta(days=1)
    choose(shop, owner, quiet_from=0, quiet_until=0, paused_until=paused_until)

    def both() -> None:
        notice_mails.plan_for(shop, timezone.now())
        ledger.run(key)
        notice_mails.plan_for(shop, timezone.now())

    results = run_many(4, both)

    assert [result for result in results if isinstance(result, Exception)] == []
    assert (len(mail.outbox), mails()) == (0, [("revoked", "dropped")])
    assert Notice._base_manager.filter(settled_at=None).count() == 1
    choose(shop, owner, quiet_from=0, quiet_until=0)
    planned = run_many(4, lambda: notice_mails.plan_for(shop, timezone.now()))
    assert sum(result for result in planned if isinstance(result, int)) == 1
    assert mails() == [("revoked", "dropped"), ("revoked", "planned")]


class Killed(BaseException):
    """As a power cut: nothing catches it."""


@pytest.mark.parametrize(
    ("point", "sent"),
    [
        ("connections.notice_mails._plan_mail", 1),
        ("connections.notice_mails.NoticeMail.objects.for_organization", 1),
        ("connections.notice_mails.ledger.enqueue", 1),
        ("connections.notice_sending.still_to_tell", 1),
        ("connections.notice_sending.compose", 1),
        # After the mail server's yes: once more, and it can be seen that it is the same.
        ("connections.notice_sending._finish", 2),
        ("connections.notice_sending.advance", 2),
    ],
)
def test_a_death_at_any_point_loses_no_mail(
    shop: Organization, clock: Clock, monkeypatch: pytest.MonkeyPatch, point: str, sent: int
) -> None:
    ending(shop)
    post()
    clock.move_to(TOMORROW)

    def dies(*_arguments: Any, **_options: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(point, dies)
        with pytest.raises(Killed):
            post()
    clock.shift(timedelta(minutes=1))
    ledger.recover_lost()
    post()

    assert len(mail.outbox) == sent
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 1
    assert len({(message.subject, message.body) for message in mail.outbox}) == 1
    assert mails() == [("digest", "sent")]
    assert post() == []


def test_a_death_after_the_mark_sends_nothing_more(
    shop: Organization, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending(shop)
    post()
    clock.move_to(TOMORROW)
    post()
    job = Job._base_manager.get(kind=notice_mails.MAIL)
    # As if the job's own end had been lost: the mail's row knows.
    Job._base_manager.filter(pk=job.pk).update(status="queued", next_attempt_at=timezone.now())

    work()

    assert len(mail.outbox) == 1
    assert Job._base_manager.get(pk=job.pk).status == "done"


def test_one_organization_that_cannot_be_planned_keeps_no_other_waiting(
    shop: Organization, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = factories.make_organization("Harbor")
    ending(shop)
    ending(other)
    post()
    clock.move_to(TOMORROW)
    plan_for = notice_mails.plan_for

    def breaks_for_one(organization: Organization, now: datetime) -> int:
        if organization == shop:
            raise ValueError("broken")
        return plan_for(organization, now)

    monkeypatch.setattr("connections.notice_mails.plan_for", breaks_for_one)

    assert [subject.split(":")[0] for subject in post()] == ["[SellerLegend] Harbor"]


def test_a_spent_time_budget_starves_no_organization(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People who are away keep their notices waiting: each run reaches one organization here."""
    monkeypatch.setattr("connections.notice_mails.SECONDS_A_RUN", 0.0)
    for _ in range(4):
        organization = factories.make_organization()
        ending(organization)
        NotificationChoice.objects.for_organization(organization).create(
            user=factories.owner_of(organization), paused_until=timezone.now() + timedelta(days=90)
        )
    notices.derive(timezone.now())
    reached = []
    for _ in range(4):
        clock.shift(timedelta(seconds=1))
        notice_mails.plan_mails()
        waiting = Notice._base_manager.filter(look_at__gt=timezone.now(), settled_at=None)
        reached.append(waiting.values("organization").distinct().count())

    assert reached == [1, 2, 3, 4]


def test_the_header_holds_one_line(shop: Organization, clock: Clock) -> None:
    Organization.objects.filter(pk=shop.pk).update(name="Evil\r\nBcc: victim@example.com")
    ending(shop)
    post()
    clock.move_to(TOMORROW)

    assert "\n" not in post()[0]
    assert recipients() == ["owner@example.com"]
    assert mail.outbox[0].bcc == []


def test_a_mail_says_what_it_is(shop: Organization, clock: Clock) -> None:
    ending(shop)
    post()
    clock.move_to(TOMORROW)
    post()

    headers = mail.outbox[0].extra_headers
    row = NoticeMail._base_manager.get()
    assert headers["Message-ID"].startswith(f"<notice.{row.pk.hex}@")
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["List-Unsubscribe"].endswith("/o/northstar/notifications>")
