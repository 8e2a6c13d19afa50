"""The renewal calendar, and the private link to it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from connections import queue_rows, renewals
from connections.feed_models import CalendarFeed
from connections.ical import Event, calendar, escaped, folded
from connections.models import Connection, Grant, SpApiGrant
from connections.queue_rows import Pick
from ppc import disconnecting
from ppc.disconnecting import Side
from sellerlegend import crypto
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.nothing_changed import all_rows, nothing_changes
from tests.signing_in import proved_seconds_ago, signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.fixture
def viewer(organization: Organization) -> User:
    return factories.make_member(organization, Role.VIEWER)


@pytest.fixture
def browser_of_viewer(viewer: User) -> Client:
    return signed_in_freshly(viewer)


def ending_in(organization: Organization, days: float, name: str = "") -> Connection:
    row = factories.make_connection(organization, name=name)
    grant = factories.grant_of(row)
    at = timezone.now() - timedelta(days=365 - days)
    columns = {"authorized_at": at, "status_changed_at": at}
    type(grant)._base_manager.filter(pk=grant.pk).update(**columns)
    return row


def page(client: Client, organization: Organization) -> Any:
    return client.get(reverse("renewal_calendar", args=[organization.slug]))


def make_link(client: Client, organization: Organization) -> str:
    """The path of the link that the page shows once."""
    answer = client.post(reverse("calendar_feed_make", args=[organization.slug]))
    assert answer.status_code == 200
    found = re.search(r'value="http[^"]*(/calendar/[\w-]{43}\.ics)"', answer.content.decode())
    assert found is not None
    return found[1]


def unfolded(text: str) -> list[str]:
    assert text.endswith("\r\n")
    return text.replace("\r\n ", "").split("\r\n")[:-1]


# The page -----------------------------------------------------------------------------------


def test_the_months_tell_what_ends_when(
    organization: Organization, browser_of_viewer: Client
) -> None:
    with time_machine.travel(NOW, tick=False):
        soon = ending_in(organization, 20, name="Soon")
        ending_in(organization, 340, name="Late")
        ending_in(organization, -5, name="Over")
        body = page(browser_of_viewer, organization).content.decode()

    assert body.index("Renewal overdue, or consent lost: reconnect now") < body.index(
        "December 2026"
    )
    assert "Jan 2027 <span>0</span>" in body
    assert body.index("December 2026") < body.index("Dec. 21, 2026") < body.index("November 2027")
    assert body.index("November 2027") < body.index(">Late</a>")
    assert reverse("connection_details", args=[organization.slug, soon.pk]) in body
    assert str(soon.selling_partner_id) in body
    # On a phone, where the tables have no heads.
    for label in ("Over since", "Renew by", "Consent"):
        assert f'data-label="{label}"' in body


def test_each_month_has_a_jump_with_its_count_which_unfolds_it(
    organization: Organization, browser_of_viewer: Client
) -> None:
    with time_machine.travel(NOW, tick=False):
        for days in (-5, 20, 20, 50, 80, 340):
            ending_in(organization, days)
        first = page(browser_of_viewer, organization)
        february = browser_of_viewer.get(f"{first.request['PATH_INFO']}?month=2027-02")
        every = browser_of_viewer.get(f"{first.request['PATH_INFO']}?month=all")

    body = first.content.decode()
    assert re.findall(r'class="jumps__jump" href="([^"]+)">([\w ]+) <strong>(\d+)<', body) == [
        ("#overdue", "Overdue or lost", "1"),
        ("?month=2026-12#month-2026-12", "Dec 2026", "2"),
        ("?month=2027-01#month-2027-01", "Jan 2027", "1"),
        ("?month=2027-02#month-2027-02", "Feb 2027", "1"),
        ("?month=2027-11#month-2027-11", "Nov 2027", "1"),
    ]
    assert open_months(body) == ["2026-12", "2027-01"]
    assert open_months(february.content.decode()) == ["2027-02"]
    assert open_months(every.content.decode()) == ["2026-12", "2027-01", "2027-02", "2027-11"]


def test_what_is_over_stands_by_the_day_since_when(
    organization: Organization, browser_of_viewer: Client
) -> None:
    """Also what Amazon ended long before its year was over: the newest first."""
    with time_machine.travel(NOW, tick=False):
        ending_in(organization, -5, name="Five days")
        lost = ending_in(organization, 300, name="Yesterday")
        ending_in(organization, -40, name="Forty days")
        SpApiGrant.objects.for_organization(organization).filter(connection=lost).update(
            status=Grant.Status.INVALID, status_changed_at=NOW - timedelta(days=1)
        )
        body = page(browser_of_viewer, organization).content.decode()

    places = [body.index(f">{name}</a>") for name in ("Yesterday", "Five days", "Forty days")]
    assert places == sorted(places)


def jumps(body: str) -> dict[str, int]:
    found = re.findall(r'class="jumps__jump" href="[^"]+">([^<]+?) <strong>(\d+)<', body)
    return {label: int(count) for label, count in found}


def links_to_list(section: str) -> list[tuple[str, str]]:
    return re.findall(r'<a href="([^"]+\?(?:expiry|health)=[^"]+)">([^<]+)<', unescape(section))


def listed(browser: Client, url: str) -> list[str]:
    body = unescape(browser.get(url).content.decode())
    return sorted(re.findall(r'connection-account__name">([^<]+)<', body))


def test_a_month_holds_what_the_list_shows_for_it_on_either_side(
    organization: Organization, viewer: User
) -> None:
    """In the running month also what is over; PPC by the rows that its one consent feeds."""
    with time_machine.travel(NOW.replace(year=2027, month=8, day=20), tick=False):
        browser = signed_in_freshly(viewer)
        ending_in(organization, 5, name="Ahead")
        ending_in(organization, -5, name="Over")
        lost = ending_in(organization, 6, name="Lost")
        old = ending_in(organization, -50, name="Before")
        late = ending_in(organization, -3, name="Late")
        SpApiGrant.objects.for_organization(organization).filter(
            connection__in=[lost, late]
        ).update(status=Grant.Status.INVALID, status_changed_at=timezone.now())
        ads = factories.make_ads_grant(organization)
        type(ads)._base_manager.filter(pk=ads.pk).update(
            authorized_at=timezone.now() - timedelta(days=361)
        )
        for row in (lost, old):
            factories.put_to_use(ads, row)
        body = page(browser, organization).content.decode()
        august = body.split('id="month-2027-08"')[1].split("</details>")[0]
        overdue = body.split('id="overdue"')[1].split("</section>")[0]
        (spapi, ppc), (over, gone) = links_to_list(august), links_to_list(overdue)

        assert jumps(body) == {"Overdue or lost": 4, "Aug 2027": 4}
        assert "3 overdue, 1 lost" in overdue
        assert "4 renewals, 2 of them overdue" in " ".join(august.split())
        assert [spapi[1], ppc[1], over[1], gone[1]] == [
            "Selling Partner of 3 connections",
            "PPC of 2 connections",
            "Selling Partner of 3 connections",
            "Selling Partner of 1 connection",
        ]
        assert august.count('<span class="visually-hidden">, August 2027</span></a>') == 2
        assert listed(browser, spapi[0]) == ["Ahead", "Late", "Over"]
        assert listed(browser, ppc[0]) == ["Before", "Lost"]
        assert listed(browser, over[0]) == ["Before", "Late", "Over"]
        assert listed(browser, gone[0]) == ["Lost"]
        assert august.count("Renewal overdue") == 2
        reader = Membership.objects.for_organization(organization).get(user=viewer)
        picked = queue_rows.picked(reader, Pick("month", month=date(2027, 8, 1)))
        assert sorted(row.name for row in picked) == ["Ahead", "Late", "Over"]


def open_months(body: str) -> list[str]:
    return re.findall(r'<details [^>]*id="month-([\d-]+)"\s+open>', body)


def test_every_living_consent_of_a_year_has_a_month(organization: Organization) -> None:
    for day in ("2026-12-01", "2026-12-31", "2027-02-28", "2028-02-29"):
        with time_machine.travel(datetime.fromisoformat(f"{day}T12:00:00+00:00"), tick=False):
            CalendarFeed._base_manager.all().delete()
            fresh = [ending_in(organization, days) for days in (0.5, 180, 364.99)]
            found = renewals.renewals_of(organization)
            shown = [r for month in renewals.months_ahead(found) for r in month.renewals]
            assert {factories.grant_of(row).pk for row in fresh} <= {r.key for r in shown}


def test_disconnected_rows_and_old_ads_consents_have_no_day(organization: Organization) -> None:
    row = ending_in(organization, 20)
    sides = frozenset({Side.SPAPI})
    disconnecting.disconnect(connection=row, sides=sides, actor=COMMAND)
    grant = factories.make_ads_grant(organization)
    old = datetime(2026, 1, 15, tzinfo=UTC)
    type(grant)._base_manager.filter(pk=grant.pk).update(authorized_at=old)

    assert renewals.renewals_of(organization) == []


def test_the_calendar_is_the_organizations_own(
    organization: Organization, browser_of_viewer: Client
) -> None:
    ending_in(factories.make_organization("Harbor"), 20, name="Secret of Harbor")

    assert "Secret of Harbor" not in page(browser_of_viewer, organization).content.decode()


# The link -----------------------------------------------------------------------------------


def test_the_link_is_shown_once_and_stored_as_a_digest(
    organization: Organization, browser_of_viewer: Client
) -> None:
    path = make_link(browser_of_viewer, organization)
    token = path.removeprefix("/calendar/").removesuffix(".ics")

    assert token not in page(browser_of_viewer, organization).content.decode()
    assert token not in str(all_rows())
    assert token not in str(browser_of_viewer.cookies)
    assert token not in str(dict(browser_of_viewer.session))
    assert CalendarFeed._base_manager.get().token_hash == crypto.digest(token)
    assert AuditEvent._base_manager.filter(code="calendar_feed_made").get().details == {}


def test_an_old_sign_in_is_asked_again_before_it_is_made(
    amazon: RunningEmulator, organization: Organization, viewer: User
) -> None:
    address = reverse("calendar_feed_make", args=[organization.slug])
    client = signed_in_long_ago(viewer)

    with nothing_changes(amazon, events=()):
        answer = client.post(address)

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))


def test_a_calendar_program_gets_it_without_signing_in(
    organization: Organization, browser_of_viewer: Client, viewer: User
) -> None:
    row = ending_in(organization, 20, name="Näme; with, \\ all")
    path = make_link(browser_of_viewer, organization)
    before = all_rows()

    answer = Client().get(path)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    lines = unfolded(answer.content.decode())
    assert lines[0] == "BEGIN:VCALENDAR"
    assert "SUMMARY:Renew the Amazon consent of Näme\\; with\\, \\\\ all" in lines
    assert f"UID:renewal-{factories.grant_of(row).pk}@localhost" in lines
    assert "TRIGGER:-P14D" in lines
    assert any(str(row.selling_partner_id) in line for line in lines)
    assert "Atz" not in answer.content.decode()
    assert all_rows() == before


@pytest.mark.parametrize("asked", ["en", "de", ""])
def test_it_is_in_the_persons_language_whatever_is_asked(
    organization: Organization, viewer: User, asked: str
) -> None:
    User.objects.filter(pk=viewer.pk).update(language="de")
    factories.put_to_use(
        factories.make_ads_grant(organization), ending_in(organization, 20, name="Nord")
    )
    path = make_link(signed_in_freshly(viewer), organization)

    answer = Client().get(path, headers={"Accept-Language": asked})

    lines = unfolded(answer.content.decode())
    assert answer.headers["Content-Language"] == "de"
    assert lines.count("SUMMARY:Amazon-Zustimmung von Nord erneuern") == 2
    assert not any("consent" in line for line in lines)


def test_an_ads_consent_that_feeds_no_row_has_no_event_and_no_day(
    organization: Organization, browser_of_viewer: Client
) -> None:
    grant = factories.make_ads_grant(organization)
    factories.make_profile(grant, seller="ASELLEROFNOROW")
    path = make_link(browser_of_viewer, organization)

    assert "BEGIN:VEVENT" not in unfolded(Client().get(path).content.decode())
    assert renewals.renewals_of(organization) == []
    assert "No row yet" not in page(browser_of_viewer, organization).text

    factories.put_to_use(grant)

    assert [renewal.key for renewal in renewals.renewals_of(organization) if renewal.is_ads] == [
        grant.pk
    ]


def test_an_unchanged_calendar_is_not_sent_again(
    organization: Organization, browser_of_viewer: Client
) -> None:
    ending_in(organization, 20)
    path = make_link(browser_of_viewer, organization)
    etag = Client().get(path).headers["ETag"]

    again = Client().get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")

    ending_in(organization, 30)
    assert Client().get(path, headers={"If-None-Match": etag}).status_code == 200


def test_a_consent_that_was_lost_is_reconnected_now_and_not_in_a_year(
    organization: Organization, browser_of_viewer: Client
) -> None:
    with time_machine.travel(NOW, tick=False):
        row = ending_in(organization, 200, name="Lost")
        type(factories.grant_of(row))._base_manager.update(
            status="invalid", status_changed_at=NOW - timedelta(days=3)
        )
        path = make_link(proved_seconds_ago(browser_of_viewer, 0, "password"), organization)
        body = page(browser_of_viewer, organization).content.decode()
        lines = unfolded(Client().get(path).content.decode())

    assert "Renewal overdue, or consent lost: reconnect now" in body
    assert "Nov. 28, 2026, before its year was over" in body
    assert "Renew by" not in body
    assert "June 19, 2027" not in body
    assert "DTSTART;VALUE=DATE:20261128" in lines
    assert "SUMMARY:Reconnect now: the Amazon consent of Lost is lost" in lines
    assert "DTSTAMP:20261128T120000Z" in lines
    assert "BEGIN:VALARM" not in lines
    assert not any("Reconnect before" in line for line in lines)


def test_a_renewal_that_is_overdue_is_not_announced_as_one_to_come(
    organization: Organization, browser_of_viewer: Client
) -> None:
    ending_in(organization, -3, name="Late")
    text = Client().get(make_link(browser_of_viewer, organization)).content.decode()

    lines = unfolded(text)
    assert "SUMMARY:Renewal overdue: the Amazon consent of Late" in lines
    assert any("Its year is over since this day" in line for line in lines)
    assert not any("Reconnect before" in line for line in lines)
    assert "BEGIN:VALARM" not in lines


@pytest.mark.parametrize("code", ["reconnect_required", "vault_locked"])
def test_a_consent_that_we_stopped_is_not_called_lost(
    organization: Organization, browser_of_viewer: Client, code: str
) -> None:
    row = ending_in(organization, 200, name="Stopped")
    type(factories.grant_of(row))._base_manager.update(
        status="invalid", status_changed_at=timezone.now(), last_error_code=code
    )

    lines = unfolded(Client().get(make_link(browser_of_viewer, organization)).content.decode())

    assert "SUMMARY:Reconnect now: Stopped needs a new Amazon consent" in lines
    assert any("It is not used any more since this day" in line for line in lines)


def test_a_lost_consent_that_works_again_is_newer_than_its_loss(
    organization: Organization,
) -> None:
    """Calendar programs keep what has the later stamp; also when the day of the renewal comes."""
    user = factories.owner_of(organization)
    row = ending_in(organization, 200)
    grants = type(factories.grant_of(row))._base_manager
    renewals.make_feed(organization=organization, user=user, actor=Actor.person(user))
    feed = CalendarFeed._base_manager.get()
    stamps = []
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for status in ("active", "invalid", "active"):
            clock.shift(timedelta(days=3))
            grants.update(status=status, status_changed_at=timezone.now())
            lines = unfolded(renewals.feed_text(feed))
            stamps += [line for line in lines if line.startswith("DTSTAMP")]
        clock.shift(timedelta(days=200))
        lines = unfolded(renewals.feed_text(feed))
        stamps += [line for line in lines if line.startswith("DTSTAMP")]

    assert len(set(stamps)) == 4
    assert stamps == sorted(stamps)


def test_a_renewal_moves_its_day_and_keeps_its_name(organization: Organization) -> None:
    user = factories.owner_of(organization)
    row = ending_in(organization, 20)
    actor = Actor.person(user)
    renewals.make_feed(organization=organization, user=user, actor=actor)
    feed = CalendarFeed._base_manager.get()
    before = unfolded(renewals.feed_text(feed))

    factories.consent(row, refresh_token="Atzr|newer")
    after = unfolded(renewals.feed_text(feed))

    def of(lines: list[str], name: str) -> list[str]:
        return [line for line in lines if line.startswith(name)]

    assert of(before, "UID") == of(after, "UID")
    assert of(before, "DTSTART") != of(after, "DTSTART")
    assert of(before, "DTSTAMP") < of(after, "DTSTAMP")


def test_a_new_link_ends_the_old_one(organization: Organization, browser_of_viewer: Client) -> None:
    old = make_link(browser_of_viewer, organization)
    new = make_link(browser_of_viewer, organization)

    assert Client().get(old).status_code == 404
    assert Client().get(new).status_code == 200
    end = reverse("calendar_feed_end", args=[organization.slug])
    assert "End the calendar link?" in browser_of_viewer.get(end).text
    assert Client().get(new).status_code == 200
    browser_of_viewer.post(end)
    assert Client().get(new).status_code == 404
    assert not CalendarFeed._base_manager.exists()


@pytest.mark.parametrize("ending", ["left", "inactive", "deleted"])
def test_the_link_ends_with_the_membership(
    organization: Organization, browser_of_viewer: Client, viewer: User, ending: str
) -> None:
    path = make_link(browser_of_viewer, organization)
    if ending == "left":
        Membership.objects.for_organization(organization).filter(user=viewer).delete()
    elif ending == "inactive":
        User.objects.filter(pk=viewer.pk).update(is_active=False)
    else:
        Organization.objects.filter(pk=organization.pk).update(
            deleted_at=timezone.now(), data_key="", data_key_destroyed_at=timezone.now()
        )

    assert Client().get(path).status_code == 404


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 42 + "é", "A" * 200, "%00" + "A" * 42])
def test_every_other_address_is_the_same_404(token: str) -> None:
    answer = Client().get(f"/calendar/{token}.ics")

    assert answer.status_code == 404
    assert b"BEGIN:VCALENDAR" not in answer.content


def test_it_is_only_read(organization: Organization, browser_of_viewer: Client) -> None:
    path = make_link(browser_of_viewer, organization)

    assert Client().head(path).status_code == 200
    for method in ("POST", "PUT", "DELETE"):
        assert Client().generic(method, path).status_code == 405


def test_guessing_is_slowed_down() -> None:
    with time_machine.travel(NOW, tick=False):
        statuses = [Client().get(f"/calendar/{'A' * 43}.ics").status_code for _ in range(61)]

    assert statuses == [404] * 60 + [429]


# RFC 5545 -----------------------------------------------------------------------------------

hostile = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\r\n\\;,:\x0b\x0c\x1c\x85\u2028\u2029\t"),
    max_size=200,
)


def unescaped(text: str) -> str:
    """As a calendar program reads it (RFC 5545 §3.3.11)."""
    pairs = {"\\\\": "\\", "\\;": ";", "\\,": ",", "\\n": "\n"}
    return re.sub(r"\\[\\;,n]", lambda found: pairs[found[0]], text)


@given(hostile)
def test_no_name_makes_a_line_of_its_own(name: str) -> None:
    event = Event("uid", date(2027, 1, 1), name, name, "https://x.example/", NOW, 14)

    text = calendar(name, "-//X//Y//EN", [event])

    for line in text.split("\r\n"):
        assert len(line.encode()) <= 75
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
    names = [re.split("[:;]", line)[0] for line in unfolded(text)]
    assert names.count("BEGIN") == names.count("END") == 3
    assert names.count("SUMMARY") == 1
    assert set(names) <= {
        "BEGIN", "END", "VERSION", "PRODID", "CALSCALE", "X-WR-CALNAME", "REFRESH-INTERVAL", "UID",
        "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "DESCRIPTION", "URL", "TRANSP", "ACTION",
        "TRIGGER",
    }  # fmt: skip


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=100))
def test_a_name_is_read_back_as_it_was(name: str) -> None:
    assert unescaped(escaped(name)) == name


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=300))
def test_what_was_folded_is_unfolded_to_the_same(line: str) -> None:
    parts = list(folded(line))

    assert all(len(part.encode()) <= 75 for part in parts)
    assert parts[0] + "".join(part.removeprefix(" ") for part in parts[1:]) == line
