"""A year and more in the life of one organization's consents, day by day, with the product's own
sweep, jobs, pages and mails, and the fake Amazon that ends every consent after 365 days.

The clock is the test's: three looks a day, as a sweep every few seconds would have had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from connections import token_cache
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from connections.notice_models import Notice
from marketplaces import onboarding
from marketplaces import verification as marketplace_verification
from marketplaces.models import MarketplaceAccount
from ppc import checking
from ppc import services as ppc_services
from ppc.models import PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.organizations.models import AuditEvent, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

NORTHSTAR, LOGIN, NA_HOST = "A1NORTHSTAR001", "ads@northstar.example", "sellercentral.amazon.com"
# After the rule of 2026 by which Ads consents end too.
BEGIN = datetime(2026, 12, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)
# The digest's hour, a moment after the consents' own hour, and when an alarm has waited enough.
LOOKS = (timedelta(hours=8, minutes=5), timedelta(hours=12), timedelta(hours=12, minutes=15))
# Around the steps of the ladder and the end; on all other days one look is enough.
STEP_DAYS = (0, 305, 330, 335, 340, 351, 358, 364, 365, 386)
BUSY_DAYS = {day + more for day in STEP_DAYS for more in (0, 1, 2)}
OTHERS_RENEWED_EVERY = 90

Clock = time_machine.Traveller


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The emulator lives in this process, so its clock goes along."""
    with time_machine.travel(BEGIN, tick=False) as traveller:
        yield traveller


@pytest.fixture
def shop(clock: Clock) -> Organization:
    owner = factories.make_user("owner@example.com")
    return factories.make_organization("Northstar", owner=owner)


@pytest.fixture
def member(shop: Organization) -> User:
    """Who will have given both consents, among colleagues who have not."""
    factories.make_member(shop, user=factories.make_user("colleague@example.com"))
    factories.make_member(shop, Role.VIEWER, user=factories.make_user("viewer@example.com"))
    return factories.make_member(shop, user=factories.make_user("member@example.com"))


class Life:
    """One row with both consents, and the days that pass over it."""

    def __init__(self, amazon: RunningEmulator, clock: Clock, shop: Organization, user: User):
        self.amazon, self.clock, self.shop, self.user = amazon, clock, shop, user
        self.day = 0
        # (day, subject, recipients) of every mail to people.
        self.told: list[tuple[int, str, tuple[str, ...]]] = []
        # Evenings on which a consent had not been proved for a day.
        self.unproved_days: list[int] = []
        self.ends_seen: set[datetime | None] = set()
        self.row = self.begin()

    def begin(self) -> Connection:
        row = factories.make_waiting_connection(self.shop, name="Northstar")
        browser = trips.sign_in(self.user)
        assert self.consent(row) == "connected"
        browser.post(reverse("connection_confirm", args=[self.shop.slug, row.pk]))
        self.run_jobs()
        accounts = [str(one.pk) for one in onboarding.startable(row)[:2]]
        onboard = reverse("marketplaces_onboard", args=[self.shop.slug, row.pk])
        browser.post(onboard, {"account": accounts})
        self.run_jobs()
        assert self.consent_to_ads(row) == "ads_connected"
        self.run_jobs()
        row.refresh_from_db()
        return row

    # The ways to a consent -------------------------------------------------------------------

    def consent(self, row: Connection) -> str:
        browser = trips.sign_in(self.user)
        return trips.come_back(browser, trips.confirm(trips.leave(browser, row), NORTHSTAR))

    def consent_at_amazon(self, _row: Connection) -> str:
        """*Manage Your Apps*, *Re-Authorize*, and our OAuth Login URI."""
        browser = trips.sign_in(self.user)
        link = trips.reauthorize(self.amazon, NA_HOST, NORTHSTAR)
        return trips.come_back(browser, trips.arrive_from(trips.say_yes(browser, link, self.shop)))

    def consent_to_ads(self, row: Connection) -> str:
        browser = trips.sign_in(self.user)
        linkable = [one.pk for one in ppc_services.linkable(row)]
        away = trips.leave_for_ads(browser, row, linkable, login="other")
        return trips.come_back(browser, trips.allow(away, LOGIN))

    # Time ------------------------------------------------------------------------------------

    def live_until(self, day: int) -> None:
        """To the evening of this day."""
        while self.day < day:
            self.day += 1
            self.live_a_day()

    def live_a_day(self) -> None:
        midnight = (BEGIN + self.day * DAY).replace(hour=0)
        if self.day % OTHERS_RENEWED_EVERY == 0:
            self.clock.move_to(midnight)
            self.renew_what_also_ends()
        looks = LOOKS if self.day in BUSY_DAYS else LOOKS[:1]
        for look in looks:
            self.clock.move_to(midnight + look)
            for grant in self.grants():
                token_cache.drop(token_cache.key_of(grant))
            self.sweep()
            self.run_jobs()
            self.read_mails()
        grants = self.grants()
        self.ends_seen |= {grant.reauthorize_by for grant in grants}
        if any(
            not grant.verified_at or grant.verified_at <= timezone.now() - DAY for grant in grants
        ):
            self.unproved_days.append(self.day)

    def sweep(self) -> None:
        """All of it where something may be told, else once a week; the proofs of consents always.
        It is the same to the consents, and a third of the test's time."""
        if self.day in BUSY_DAYS or self.day % 7 == 0:
            ledger.sweep()
            return
        for proofs in (marketplace_verification.sweep_due, checking.sweep_due):
            assert proofs() >= 0

    def skip_to(self, day: int) -> None:
        """Without anybody's work: nothing of these days is looked at."""
        self.day = day - 1
        self.clock.move_to(BEGIN + self.day * DAY)
        self.renew_what_also_ends()
        self.live_until(day)
        self.unproved_days.clear()

    def renew_what_also_ends(self) -> None:
        """Amazon's 180 days for a client secret, and our 365 for a person's password."""
        self.amazon.scenario("normal")
        self.user.set_password(f"Another-one-on-day-{self.day}")
        self.user.save()

    def run_jobs(self) -> None:
        for _ in range(5):
            due = [job for queue in ("interactive", "background") for job in ledger.due_jobs(queue)]
            if not due:
                return
            for job in due:
                ledger.run(job)

    def read_mails(self) -> None:
        """One mail is one person's; the same mail of several people is one entry."""
        found: dict[str, list[str]] = {}
        for message in mail.outbox:
            found.setdefault(str(message.subject), []).extend(message.to)
        mail.outbox.clear()
        self.told += [
            (self.day, subject.removeprefix("[SellerLegend] Northstar: "), tuple(sorted(people)))
            for subject, people in found.items()
        ]

    # What there is ---------------------------------------------------------------------------

    def grant(self) -> SpApiGrant:
        return factories.grant_of(self.row)

    def ads_grants(self) -> list[AdsGrant]:
        grants = AdsGrant.objects.for_organization(self.shop)
        return list(grants.exclude(status=Grant.Status.DISCONNECTED).order_by("authorized_at"))

    def grants(self) -> list[Any]:
        return [self.grant(), *self.ads_grants()]

    def page(self, name: str, *key: Any) -> str:
        """As its person sees it, without the markup."""
        browser = trips.sign_in(self.user)
        return _text(browser.get(reverse(name, args=[self.shop.slug, *key])).content.decode())

    def words(self) -> str:
        """What the row says on the page of connections."""
        browser = trips.sign_in(self.user)
        page = browser.get(reverse("account_connections", args=[self.shop.slug])).content.decode()
        body = page[page.index(f'id="connection-{self.row.pk}"') :]
        return _text(body[: body.index("</tbody>")])


def _text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def life(amazon: RunningEmulator, clock: Clock, shop: Organization, member: User) -> Life:
    return Life(amazon, clock, shop, member)


def test_thirteen_months_with_every_notice_and_a_renewal_after_the_end(life: Life) -> None:
    """Both consents end on one day: each step is one mail to each of the right people. Of the three
    hundred days on which nothing happens, a hundred are lived."""
    row_id, name, ends = life.row.pk, life.row.name, BEGIN + 365 * DAY
    kept = settings_of(life.row)
    life.live_until(100)
    assert_healthy(life, "Connected since Dec. 1, 2026", times=2)
    life.skip_to(290)
    life.live_until(304)
    assert life.told == []
    life.live_until(308)
    # Beside Selling Partner, whose day stands with the account, and beside PPC.
    assert life.words().count("Expiring") == 2
    assert_healthy(life, "Consent ends in 57 days, on Dec. 1, 2027", times=1)
    assert_healthy(life, "Expiring ends in 57 days, on Dec. 1, 2027", times=1)
    life.live_until(364)
    assert life.words().count("Expiring") == 2
    assert_healthy(life, "Consent ends in 1 day, on Dec. 1, 2027", times=1)
    assert_healthy(life, "Expiring ends in 1 day, on Dec. 1, 2027", times=1)
    life.live_until(385)
    assert life.words().count("Renewal overdue") == 2
    assert life.words().count("Renewal was due on Dec. 1, 2027") == 1
    assert life.words().count("Renewal overdue since Dec. 1, 2027") == 1
    # Asked quietly for four days, and no more: only a new consent helps now.
    assert life.unproved_days == [*range(366, 386)]
    life.unproved_days.clear()
    assert life.ends_seen == {ends}
    people = ("member@example.com", "owner@example.com")
    assert life.told == [
        (day, "1 connection needs you", people) for day in (306, 336, 352, 359, 364, 365)
    ]
    assert open_steps() == ["expired", "expired"]

    assert life.consent_at_amazon(life.row) == "reconnected"
    assert life.consent_to_ads(life.row) == "ads_connected"
    life.live_until(395)

    assert_healthy(life, "Connected since Dec. 21, 2027", times=2)
    assert life.told[6:] == [(386, "2 pieces of news", people)]
    assert open_steps() == []
    [row] = Connection.with_removed.for_organization(life.shop)
    assert (row.pk, row.name, settings_of(row)) == (row_id, name, kept)
    for grant in life.grants():
        assert grant.gap_started_at == ends
        assert grant.gap_ended_at == grant.authorized_at
    assert "No access from Dec. 1, 2027" in life.page("connection_details", row.pk)
    told = life.page("connection_timeline", row.pk)
    assert re.search(r"No access from Dec\. 1, 2027[^<]{10,60}: 19 days", told)
    codes = AuditEvent.objects.for_organization(life.shop).values_list("code", flat=True)
    assert list(codes).count("access_gap") == 2


@pytest.mark.parametrize("door", ["consent", "consent_at_amazon"])
def test_a_renewal_before_the_end_ends_the_ladder(life: Life, door: str) -> None:
    """From the row, or by *Re-Authorize* in Seller Central: the same row, and nobody is warned of
    what has been renewed."""
    kept, before, history = settings_of(life.row), life.grant(), events_of(life)
    life.skip_to(330)
    life.live_until(340)
    told = list(life.told)
    assert [subject for _day, subject, _people in told] == [
        "1 connection needs you",
        "1 connection needs you",
    ]

    assert getattr(life, door)(life.row) == "reconnected"
    assert life.consent_to_ads(life.row) == "ads_connected"
    life.live_until(368)

    assert life.told == told
    assert open_steps() == []
    assert_healthy(life, "Connected since Nov. 6, 2027", times=2)
    [row] = Connection.with_removed.for_organization(life.shop)
    grant = life.grant()
    assert (row.pk, settings_of(row)) == (life.row.pk, kept)
    assert (grant.pk, grant.version) == (before.pk, before.version + 1)
    assert grant.reauthorize_by == grant.authorized_at + 365 * DAY
    assert (grant.gap_started_at, grant.gap_ended_at) == (None, None)
    assert history <= events_of(life)


# What is asked in both ----------------------------------------------------------------------


def assert_healthy(life: Life, words: str, *, times: int) -> None:
    assert life.words().count(words) == times
    assert life.unproved_days == []


def settings_of(row: Connection) -> list[Any]:
    """What people chose: marketplaces, what was started, what was linked."""
    accounts = MarketplaceAccount.objects.for_organization(row.organization_id)
    links = PpcLink.objects.for_organization(row.organization_id)
    return [
        row.account_confirmed_at,
        sorted(accounts.values_list("pk", "marketplace_id", "onboarding", "onboarded_at")),
        sorted(links.values_list("account__marketplace_id", "status", "profile__profile_id")),
    ]


def events_of(life: Life) -> set[int]:
    return set(AuditEvent.objects.for_organization(life.shop).values_list("pk", flat=True))


def open_steps() -> list[str]:
    """What still asks for somebody."""
    rows = Notice._base_manager.filter(resolved_at=None).exclude(kind="recovered")
    return sorted(rows.values_list("step", flat=True))
