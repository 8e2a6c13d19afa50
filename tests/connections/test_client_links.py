"""The client connect link: made, sent, opened, used up, ended."""

from __future__ import annotations

import json
import re
import smtplib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from pytest_django import Settings

from connections import amazon_codes, client_link_words, client_links, retention, services, storing
from connections import exchange as exchange_module
from connections.client_link_models import ClientLink
from connections.client_links import Recipient
from connections.grouping_models import Client as StoresOwner
from connections.grouping_models import Reach
from connections.models import AuthorizationRequest, Connection, SpApiGrant
from ppc import disconnecting, erasure, removing
from ppc.disconnecting import Side
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND, WORKER, Actor
from sellerlegend.organizations.kept_forms import MOST_CHARACTERS, SESSION_KEY
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from sellerlegend.transitions import IllegalTransition, advance
from tests import client_trips, factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.client_trips import Asked
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = pytest.mark.django_db

SELLER, OTHER = "A1NORTHSTAR001", "A2BLUEHARBOR02"
Status = ClientLink.Status


@pytest.fixture
def row(organization: Organization) -> Connection:
    return factories.make_connection(organization, name="Northstar NA", seller=SELLER)


@pytest.fixture
def phone() -> Client:
    """The client's own browser, in which nobody is signed in. It insists on CSRF tokens."""
    return Client()


def events_of(asked: Asked) -> list[str]:
    events = AuditEvent._base_manager.filter(subject_id=asked.pk).order_by("pk")
    return list(events.values_list("code", flat=True))


def send_mails() -> list[EmailMultiAlternatives]:
    known = len(mail.outbox)
    for job in Job._base_manager.filter(kind=client_links.MAIL, status__in=Job.LIVE):
        Job._base_manager.filter(pk=job.pk).update(next_attempt_at=timezone.now())
        ledger.run(job.pk)
    return mail.outbox[known:]  # type: ignore[return-value]


# The whole way ------------------------------------------------------------------------------


def test_a_client_without_a_login_reconnects_exactly_his_row(
    row: Connection, organization: Organization, phone: Client, amazon: RunningEmulator
) -> None:
    other = factories.make_connection(organization, name="Another", seller=OTHER)
    others_grant = factories.grant_of(other)
    before = factories.grant_of(row)
    asked = client_trips.ask(row)

    page = client_trips.whole_trip(phone, asked, SELLER)

    after = factories.grant_of(row)
    assert page.status_code == 200
    assert "Thank you, that is done" in page.content.decode()
    assert asked.link.status == Status.CONSENTED
    assert client_trips.trip_of(asked).outcome == "reconnected"
    assert (after.pk, after.version) == (before.pk, before.version + 1)
    assert after.authorized_at > before.authorized_at
    assert (after.authorized_by, after.authorized_name) == (None, "Maria")
    assert after.is_by_client
    assert factories.grant_of(other).version == others_grant.version
    assert events_of(asked) == [
        "client_link_made",
        "client_link_opened",
        "client_link_left",
        "client_link_consented",
    ]


def test_a_client_connects_a_new_store_and_the_row_asks_whether_it_is_right(
    waiting: Connection, member: User, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(waiting, maker=member)

    client_trips.whole_trip(phone, asked, SELLER)

    waiting.refresh_from_db()
    assert asked.link.purpose == ClientLink.Purpose.CONNECT
    assert waiting.selling_partner_id == SELLER
    assert waiting.account_confirmed_at is None
    assert asked.link.status == Status.CONSENTED
    page = trips.sign_in(member).get(
        reverse("account_connections", args=[waiting.organization.slug])
    )
    assert "Authorised by Maria on" in page.content.decode()


def test_a_seller_that_has_a_row_is_stopped_and_both_rows_stay(
    row: Connection, waiting: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(waiting)
    before = factories.grant_of(row).fingerprint

    page = client_trips.whole_trip(phone, asked, SELLER)

    assert page.status_code == 200
    assert "This store is connected already" in page.content.decode()
    assert "Northstar NA" not in page.content.decode()
    waiting.refresh_from_db()
    assert waiting.selling_partner_id is None
    assert (asked.link.connection_id, asked.link.status) == (waiting.pk, Status.FAILED)
    assert (factories.grant_of(row).version, factories.grant_of(row).fingerprint) == (1, before)
    assert [call for call in amazon.ledger.calls() if call.surface == "lwa"] == []


def test_a_row_that_got_the_seller_during_the_exchange_stops_it_too(
    row: Connection, waiting: Connection, amazon: RunningEmulator
) -> None:
    """What was asked before the code was spent is asked again under the lock."""
    with pytest.raises(storing.OfAnotherRow), transaction.atomic():
        storing.store_spapi_grant(
            connection=waiting,
            seller=SELLER,
            token=Secret("Atzr|of-the-client"),
            actor=Actor.client(client_trips.ask(waiting).pk, made_by=None),
        )

    assert factories.grant_of(row).version == 1
    assert Connection._base_manager.filter(pk=waiting.pk).exists()


def test_the_record_says_that_it_was_the_client_and_who_made_the_link(
    row: Connection, member: User, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row, maker=member)

    client_trips.whole_trip(phone, asked, SELLER)

    by_client = AuditEvent._base_manager.filter(actor_kind=AuditEvent.ActorKind.CLIENT)
    codes = set(by_client.values_list("code", flat=True))
    assert {"authorization_opened", "authorization_ended", "spapi_grant_active"} <= codes
    for event in by_client:
        assert event.actor is None
        assert event.details["client_link"] == str(asked.pk)
        assert event.details["link_made_by"] == str(member.pk)
    timeline = trips.sign_in(member).get(
        reverse("connection_timeline", args=[row.organization.slug, row.pk])
    )
    assert "The client gave the consent by link" in timeline.content.decode()
    assert "The client, by link" in timeline.content.decode()


def test_a_used_link_says_that_it_is_done_and_nothing_more(
    row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)
    client_trips.whole_trip(phone, asked, SELLER)

    page = phone.get(asked.path)

    assert page.status_code == 410
    assert "This is done" in page.content.decode()
    assert "Northstar NA" not in page.content.decode()
    assert "<form" not in page.content.decode()


def test_a_consent_of_our_own_people_ends_the_link(
    row: Connection, browser: Client, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)

    callback = trips.confirm(trips.leave(browser, row), SELLER)
    assert trips.come_back(browser, callback) == "reconnected"

    assert asked.link.status == Status.REVOKED
    assert phone.get(asked.path).status_code == 410
    assert factories.grant_of(row).authorized_name == ""
    assert not factories.grant_of(row).is_by_client


# What the page says -------------------------------------------------------------------------


def test_the_page_says_who_asks_for_what_and_no_more(
    row: Connection, organization: Organization, member: User, phone: Client
) -> None:
    member.name = "Anna Agency"
    member.save()
    factories.make_connection(organization, name="Secret other store", seller=OTHER)
    asked = client_trips.ask(row, maker=member, message="Please do it <b>today</b>.")

    body = phone.get(asked.path).content.decode()

    assert "Northstar Trading asks you to renew the consent of your Amazon store" in body
    assert "Anna Agency, Northstar Trading" in body
    assert "Northstar NA" in body
    assert "A1N…001" in body
    assert "Please do it &lt;b&gt;today&lt;/b&gt;." in body
    for hidden in (SELLER, OTHER, "Secret other store", member.email, "maria@client.example"):
        assert hidden not in body
    assert re.findall(r'href="(/[^"]*)"', body.replace("/static/", "static/")) == []


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "Nov. 3, 2026"), ("de", "3. November 2026")],
)
def test_a_link_works_until_its_last_day_is_over_wherever_its_reader_lives(
    language: str, expected: str, row: Connection, member: User, phone: Client
) -> None:
    """Nobody knows the zone of somebody without a login: a day and no time, told by everybody."""
    User.objects.filter(pk=member.pk).update(time_zone="Pacific/Kiritimati")
    recipient = Recipient("Maria", "maria@client.example", language)
    with time_machine.travel("2026-10-20T07:19:00Z", tick=False):
        asked = client_trips.ask(row, recipient=recipient)

        page = " ".join(phone.get(asked.path).content.decode().split())
        [message] = send_mails()
        desk = trips.sign_in(member)
        listed = desk.get(reverse("client_links", args=[row.organization.slug])).content.decode()

    assert f"<dd> {expected} </dd>" in page
    assert expected in str(message.body)
    assert "Works until Nov. 3, 2026<" in listed
    with time_machine.travel("2026-11-04T11:59:00Z", tick=False):
        assert phone.get(asked.path).status_code == 200
    with time_machine.travel("2026-11-04T12:00:00Z", tick=False):
        assert phone.get(asked.path).status_code == 410


def test_a_link_of_before_names_the_last_day_that_is_whole_everywhere() -> None:
    link = ClientLink(expires_at=datetime(2026, 12, 12, 7, 19, tzinfo=UTC))

    assert link.last_day == date(2026, 12, 10)


def test_what_amazon_says_leads_nobody_without_a_login_into_the_product(
    row: Connection, phone: Client
) -> None:
    page = " ".join(phone.get(client_trips.ask(row).path).content.decode().split())

    codes = re.findall(r"<dt>([A-Z0-9_]+)</dt> <dd> (.+?) </dd>", page)

    assert [code for code, _words in codes] == list(amazon_codes.CODES)
    told = dict(codes)
    assert told["SPDC8143"] == (
        "Only the primary user may give this consent. Forward this link to the primary user of "
        "the selling account."
    )
    assert told["MD1000"].endswith(
        "Tell Northstar Trading the code. There is nothing to change in Seller Central."
    )
    assert not re.search(r"our support|invite|the mail", page)


def test_the_client_may_read_it_in_another_language(row: Connection, phone: Client) -> None:
    asked = client_trips.ask(row, recipient=Recipient("Maria", "", "de"), message="Bitte heute.")

    german = phone.get(asked.path).text
    english = phone.get(f"{asked.path}?language=en").text

    assert '<html lang="de"' in german
    assert 'href="?language=en" hreflang="en" lang="en">English<' in german
    assert '<html lang="en"' in english
    assert 'lang="de">Deutsch<' in english
    assert '<blockquote lang="de">' in english
    assert '<html lang="de"' in Client().get(f"{asked.path}?language=xx").text


def test_the_language_that_the_client_chose_stays_on_the_way_back(
    row: Connection, amazon: RunningEmulator, phone: Client
) -> None:
    asked = client_trips.ask(row, recipient=Recipient("Maria", "", "de"))
    path = f"{asked.path}?language=en"
    chosen = phone.get(path)
    cookie = chosen.cookies[settings.LANGUAGE_COOKIE_NAME]

    ended = client_trips.come_back(
        phone, trips.confirm(client_trips.press_continue(phone, path), SELLER)
    )

    assert '<html lang="en"' in ended.text
    assert asked.link.status == ClientLink.Status.CONSENTED
    assert (cookie.value, cookie["httponly"], cookie["samesite"]) == ("en", True, "Lax")
    assert '<html lang="en"' in phone.get(asked.path).text
    assert settings.LANGUAGE_COOKIE_NAME not in phone.get(f"{asked.path}?language=xx").cookies


def test_opened_is_written_down_once_and_not_for_a_prefetch(row: Connection, phone: Client) -> None:
    asked = client_trips.ask(row)

    phone.head(asked.path)
    for name in ("Sec-Purpose", "Purpose", "X-Moz"):
        phone.get(asked.path, headers={name: "prefetch"})
    phone.get(asked.path, headers={"Sec-Purpose": "prefetch;prerender"})
    before = asked.link.opened_at

    phone.get(asked.path)
    first = asked.link.opened_at
    phone.get(asked.path)
    Client().get(asked.path)

    assert before is None
    assert first is not None
    assert asked.link.opened_at == first
    assert events_of(asked).count("client_link_opened") == 1


def test_declining_ends_the_link_and_tells_the_organization(
    row: Connection, member: User, phone: Client
) -> None:
    asked = client_trips.ask(row)

    page = phone.post(asked.path, {"decision": "decline"})

    assert "Declined, and nothing was changed" in page.content.decode()
    assert asked.link.status == Status.DECLINED
    assert phone.get(asked.path).status_code == 410
    listed = trips.sign_in(member).get(reverse("client_links", args=[row.organization.slug]))
    assert "does not know this request" in listed.content.decode()


# Ways in which it does not work -------------------------------------------------------------


def test_the_wrong_store_stops_before_the_exchange_and_the_link_stays(
    row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)
    known = amazon.ledger.last_number

    page = client_trips.whole_trip(phone, asked, OTHER)

    body = page.content.decode()
    assert [call.surface for call in amazon.ledger.calls(since=known)].count("lwa") == 0
    assert "You signed in with another seller account" in body
    assert "A1N…001" in body
    assert SELLER not in body
    assert "sign out" in body
    assert (asked.link.status, asked.link.failure) == (Status.FAILED, "wrong_account")
    assert factories.grant_of(row).version == 1

    again = phone.post(page.request["PATH_INFO"])
    client_trips.come_back(phone, trips.confirm(again.headers["Location"], SELLER))
    assert asked.link.status == Status.CONSENTED


def test_a_trip_that_took_too_long_says_so_and_can_be_made_again(
    row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)
    callback = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)

    with time_machine.travel(timezone.now() + timedelta(minutes=11), tick=False):
        page = client_trips.come_back(phone, callback)

        assert "That took too long" in page.content.decode()
        assert "Try again" in page.content.decode()
        assert asked.link.failure == "expired"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"error": "access_denied", "spapi_oauth_code": None}, "You declined"),
        ({"error": "server_error", "spapi_oauth_code": None}, "without an approval"),
        ({"spapi_oauth_code": None}, "without an approval"),
        ({"spapi_oauth_code": "made-up"}, "Amazon did not accept the approval"),
    ],
)
def test_what_amazon_says_is_told_in_plain_words_with_a_way_on(
    changes: dict[str, str | None],
    words: str,
    row: Connection,
    phone: Client,
    amazon: RunningEmulator,
) -> None:
    asked = client_trips.ask(row)
    callback = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)

    page = client_trips.come_back(phone, callback.with_params(**changes))

    body = page.content.decode()
    assert words in body
    assert "Try again" in body
    assert (asked.link.status, asked.link.is_live) == (Status.FAILED, True)
    assert factories.grant_of(row).version == 1
    again = phone.post(page.request["PATH_INFO"])
    assert again.status_code == 302


def test_a_garbled_return_asks_no_client_to_sign_in(
    row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)
    callback = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)

    page = client_trips.come_back(phone, callback.with_params(state="x" * 43))

    assert page.status_code == 400
    assert "Open the link that you were sent once more" in page.content.decode()


def test_without_our_own_credentials_nobody_is_sent_to_amazon(
    row: Connection, phone: Client, settings: Settings
) -> None:
    asked = client_trips.ask(row)
    settings.SPAPI_APPLICATION_ID = ""

    page = phone.post(asked.path)

    assert page.status_code == 503
    assert "The link stays" in page.content.decode()
    assert asked.link.status == Status.MADE


@pytest.mark.parametrize("step", ["before", "in between"])
def test_quarantine_says_so_and_keeps_the_link(
    row: Connection, phone: Client, amazon: RunningEmulator, step: str
) -> None:
    asked = client_trips.ask(row)
    if step == "before":
        quarantine.begin(actor=COMMAND, reason="ordered")
        page = phone.get(asked.path)
        assert page.status_code == 503
    else:
        callback = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)
        quarantine.begin(actor=COMMAND, reason="ordered")
        page = client_trips.come_back(phone, callback)
        assert asked.link.failure == "quarantined"
    assert "We take no approval at the moment" in page.content.decode()
    assert asked.link.is_live
    assert factories.grant_of(row).version == 1


def end_link(row: Connection, asked: Asked) -> None:
    client_links.revoke(link=asked.link, actor=COMMAND)


def remove_row(row: Connection, _asked: Asked) -> None:
    disconnect(row, _asked)
    removing.remove(connection=row, actor=COMMAND)


def disconnect(row: Connection, _asked: Asked) -> None:
    disconnecting.disconnect(connection=row, sides=frozenset({Side.SPAPI}), actor=COMMAND)


def delete_organization(row: Connection, _asked: Asked) -> None:
    erasure.delete_organization(organization=row.organization, actor=COMMAND)


ENDS = {
    "revoked": end_link,
    "removed": remove_row,
    "disconnected": disconnect,
    "organization": delete_organization,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_ended_opens_nothing(end: Any, row: Connection, phone: Client) -> None:
    asked = client_trips.ask(row)
    end(row, asked)

    for answer in (phone.get(asked.path), phone.post(asked.path)):
        assert answer.status_code == 410
        assert "Northstar NA" not in answer.content.decode()
    assert not AuthorizationRequest._base_manager.filter(client_link=asked.pk).exists()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_ends_while_the_client_is_at_amazon_takes_no_consent(
    end: Any, row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)
    callback = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)
    end(row, asked)
    known, version = amazon.ledger.last_number, factories.grant_of(row).version

    client_trips.come_back(phone, callback)

    assert [call.surface for call in amazon.ledger.calls(since=known)].count("lwa") == 0
    assert asked.link.status != Status.CONSENTED
    assert factories.grant_of(row).version == version


def test_a_link_that_is_revoked_during_the_exchange_stores_nothing(
    row: Connection, phone: Client, amazon: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client_trips.ask(row)
    callback = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)
    exchange = exchange_module._ask

    def revoked_meanwhile(*args: Any) -> Any:
        reply = exchange(*args)
        client_links.revoke(link=asked.link, actor=COMMAND)
        return reply

    monkeypatch.setattr(exchange_module, "_ask", revoked_meanwhile)
    page = client_trips.come_back(phone, callback)

    assert "The link was ended in the meantime" in page.content.decode()
    assert client_trips.trip_of(asked).outcome == "link_over"
    assert asked.link.status == Status.REVOKED
    assert factories.grant_of(row).version == 1


@pytest.mark.parametrize("is_swept", [False, True])
def test_a_link_that_expires_at_amazon_says_so(
    row: Connection, phone: Client, amazon: RunningEmulator, *, is_swept: bool
) -> None:
    asked = client_trips.ask(row)
    callback = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)
    ClientLink._base_manager.filter(pk=asked.pk).update(expires_at=timezone.now())
    if is_swept:
        client_links.end_overdue()

    page = client_trips.come_back(phone, callback).content.decode()

    assert client_trips.trip_of(asked).outcome == "link_over"
    assert "This link has expired" in page
    assert "Ask Northstar Trading for a new link." in page
    assert "SL-118" in page
    assert "taken back" not in page


def test_of_two_browsers_with_one_link_the_first_consent_counts(
    row: Connection, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)
    phone, desk = Client(), Client()
    on_phone = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)
    on_desk = trips.confirm(client_trips.press_continue(desk, asked.path), SELLER)

    first = client_trips.come_back(desk, on_desk)
    second = client_trips.come_back(phone, on_phone)

    assert "Thank you, that is done" in first.content.decode()
    told = second.content.decode()
    assert (second.status_code, "This is done" in told) == (200, True)
    assert "There is nothing left for you to do." in told
    assert not re.search(r"SL-\d|Ask |meantime|Nothing was changed", told)
    assert factories.grant_of(row).version == 2


def test_two_tabs_of_one_browser_do_not_throw_each_other_out(
    row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row)
    first = trips.confirm(client_trips.press_continue(phone, asked.path), SELLER)
    client_trips.press_continue(phone, asked.path)

    page = client_trips.come_back(phone, first)

    assert "Thank you, that is done" in page.content.decode()


def test_one_browser_serves_the_links_of_two_stores(
    row: Connection, organization: Organization, phone: Client, amazon: RunningEmulator
) -> None:
    other = factories.make_connection(organization, seller=OTHER)
    one, two = client_trips.ask(row), client_trips.ask(other)
    of_one = trips.confirm(client_trips.press_continue(phone, one.path), SELLER)
    of_two = trips.confirm(client_trips.press_continue(phone, two.path), OTHER)

    client_trips.come_back(phone, of_one)
    client_trips.come_back(phone, of_two)

    assert (one.link.status, two.link.status) == (Status.CONSENTED, Status.CONSENTED)


# The life of a row's link -------------------------------------------------------------------


def test_a_new_link_ends_the_one_before(row: Connection, phone: Client) -> None:
    first = client_trips.ask(row)
    second = client_trips.ask(row)

    assert first.path != second.path
    assert (first.link.status, second.link.status) == (Status.REVOKED, Status.MADE)
    assert phone.get(first.path).status_code == 410
    assert phone.get(second.path).status_code == 200


def test_the_database_keeps_one_live_link_for_each_row_and_purpose(row: Connection) -> None:
    asked = client_trips.ask(row).link

    with pytest.raises(IntegrityError), transaction.atomic():
        ClientLink._base_manager.create(
            organization=row.organization,
            connection=row,
            purpose=asked.purpose,
            language="en",
            token_hash="other",
            expires_at=asked.expires_at,
        )


def test_only_steps_of_the_table_are_possible(row: Connection) -> None:
    asked = client_trips.ask(row)
    client_links.revoke(link=asked.link, actor=COMMAND)

    for status in Status.values:
        with pytest.raises(IllegalTransition):
            advance(asked.link, to=status, actor=WORKER)


def test_the_sweep_writes_down_what_expired(row: Connection, phone: Client) -> None:
    asked = client_trips.ask(row, days=1)

    with time_machine.travel(timezone.now() + timedelta(days=3), tick=False):
        assert phone.get(asked.path).status_code == 410
        assert client_links.end_overdue() == 1
        assert client_links.end_overdue() == 0

    assert asked.link.status == Status.EXPIRED
    assert events_of(asked)[-1] == "client_link_expired"


def test_a_row_that_waits_for_a_client_is_not_swept_away(waiting: Connection) -> None:
    asked = client_trips.ask(waiting, days=14)

    with time_machine.travel(timezone.now() + timedelta(days=13), tick=False):
        assert services.remove_abandoned_rows() == 0

    with time_machine.travel(timezone.now() + timedelta(days=16), tick=False):
        client_links.end_overdue()
        assert services.remove_abandoned_rows() == 1
    assert not ClientLink._base_manager.filter(pk=asked.pk).exists()


def test_a_link_outlives_its_maker_and_can_be_ended_for_him(
    row: Connection, member: User, phone: Client, amazon: RunningEmulator
) -> None:
    asked = client_trips.ask(row, maker=member)
    Membership.objects.for_organization(row.organization).filter(user=member).delete()

    assert phone.get(asked.path).status_code == 200
    ended = client_links.revoke_all_of(organization=row.organization, maker=member, actor=COMMAND)

    assert ended == 1
    assert phone.get(asked.path).status_code == 410


def test_ended_links_and_their_names_are_pruned(row: Connection) -> None:
    asked = client_trips.ask(row)
    client_links.revoke(link=asked.link, actor=COMMAND)
    rule = next(rule for rule in retention.rules() if rule.name == "client_links")

    assert rule.count() == 0
    with time_machine.travel(timezone.now() + timedelta(days=91), tick=False):
        assert sum(rule.steps()) == 1
    assert not ClientLink._base_manager.filter(pk=asked.pk).exists()


# The mail -----------------------------------------------------------------------------------


def test_the_mail_names_the_organization_and_holds_the_link(row: Connection, member: User) -> None:
    asked = client_trips.ask(row, maker=member, message="Please <today>.")

    [message] = send_mails()

    assert message.to == ["maria@client.example"]
    assert message.subject == (
        "Northstar Trading asks you to renew the Amazon consent of Northstar NA"
    )
    assert message.reply_to == [member.email]
    text, html = str(message.body), str(message.alternatives[0][0])
    assert f"http://localhost:8000{asked.path}" in text or asked.path in text
    assert asked.path in html
    assert "Hello Maria," in text
    assert "A1N…001" in text
    assert SELLER not in text + html
    assert "Please <today>." in text
    assert "Please &lt;today&gt;." in html
    assert asked.link.status == Status.SENT
    assert send_mails() == []


def test_the_token_lies_nowhere(row: Connection, member: User, phone: Client) -> None:
    asked = client_trips.ask(row, maker=member)
    token = asked.path.removeprefix("/c/")
    send_mails()
    phone.get(asked.path)
    phone.post(asked.path)

    for model in (ClientLink, Job, AuditEvent, AuthorizationRequest):
        for values in model._base_manager.values():
            assert token not in str(values)


def test_a_mail_server_that_is_away_loses_nothing(
    row: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client_trips.ask(row)
    send = EmailMultiAlternatives.send

    def away(_message: Any, **_options: Any) -> int:
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailMultiAlternatives, "send", away)
    assert send_mails() == []
    assert asked.link.status == Status.MADE
    job = Job._base_manager.get(kind=client_links.MAIL)
    assert (job.status, job.waiting_reason) == (Job.Status.WAITING, "mail_server_away")

    monkeypatch.setattr(EmailMultiAlternatives, "send", send)
    assert len(send_mails()) == 1
    assert asked.link.status == Status.SENT


def test_an_address_that_is_refused_for_good_is_told(
    row: Connection, member: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client_trips.ask(row)

    def refused(_message: Any, **_options: Any) -> int:
        raise smtplib.SMTPRecipientsRefused({"maria@client.example": (550, b"no such user")})

    monkeypatch.setattr(EmailMultiAlternatives, "send", refused)
    for _ in range(5):
        send_mails()

    assert (asked.link.status, asked.link.failure) == (Status.FAILED, "mail_refused")
    listed = trips.sign_in(member).get(reverse("client_links", args=[row.organization.slug]))
    assert "The mail server refused the address." in listed.content.decode()


def test_a_link_that_ended_before_it_was_sent_is_not_mailed(row: Connection) -> None:
    asked = client_trips.ask(row)
    client_links.revoke(link=asked.link, actor=COMMAND)

    assert send_mails() == []


def test_after_a_change_of_the_secret_key_the_mail_brings_a_link_that_works(
    row: Connection, phone: Client, settings: Settings
) -> None:
    asked = client_trips.ask(row)
    settings.SECRET_KEY = "another-secret-key-of-this-installation-0123456789"

    [message] = send_mails()

    path = re.search(r"/c/[\w-]{43}", str(message.body))
    assert path is not None
    assert path[0] != asked.path
    assert phone.get(path[0]).status_code == 200
    assert phone.get(asked.path).status_code == 410


def test_a_reply_goes_to_the_maker_only_while_he_belongs_there(
    row: Connection, member: User
) -> None:
    client_trips.ask(row, maker=member)
    Membership.objects.for_organization(row.organization).filter(user=member).delete()

    [message] = send_mails()

    assert message.reply_to == []


# The maker's side ---------------------------------------------------------------------------


def new_url(row: Connection) -> str:
    return reverse("client_link_new", args=[row.organization.slug, row.pk])


FORM = {
    "recipient_name": "Maria",
    "recipient_email": "maria@client.example",
    "language": "en",
    "message": "",
    "days": "14",
}


def test_no_name_becomes_a_link_in_the_mail(row: Connection, member: User) -> None:
    """A mail of ours leads to our page alone, whatever the organization or the store is called."""
    Organization.objects.filter(pk=row.organization_id).update(name="https://evil.example/login")
    rows = Connection.objects.for_organization(row.organization_id)
    rows.filter(pk=row.pk).update(name="shop.example")
    member.name = "Ann at www.evil.example"
    member.save()
    row.refresh_from_db()
    client_trips.ask(row, maker=member)

    [message] = send_mails()

    text, html = str(message.body), str(message.alternatives[0][0])
    for part in (message.subject, text, html):
        assert "evil.example" not in part
        assert "https://evil" not in part
        assert "shop.example" not in part
        assert "shop.\u2060example" in part
    assert "www.\u2060evil.\u2060example" in text
    assert re.findall(r"https?://[^\s/\"]+", text + html) == ["http://localhost:8000"] * 2


def test_a_member_asks_by_mail(row: Connection, member: User) -> None:
    desk = signed_in_freshly(member)

    answer = desk.post(new_url(row), FORM, follow=True)

    link = ClientLink._base_manager.get()
    assert answer.status_code == 200
    assert "We are sending the link for Northstar NA to maria@client.example." in (
        answer.content.decode()
    )
    assert (link.made_by, link.recipient_name, link.status) == (member, "Maria", Status.MADE)
    assert link.last_day == timezone.localdate(link.created_at) + timedelta(days=14)
    assert re.search(r"/c/[\w-]{43}", answer.content.decode()) is None
    assert len(send_mails()) == 1


def test_without_an_address_the_link_is_shown_this_once(
    row: Connection, member: User, phone: Client
) -> None:
    desk = signed_in_freshly(member)

    answer = desk.post(new_url(row), FORM | {"recipient_email": ""})

    path = re.search(r"/c/[\w-]{43}", answer.content.decode())
    assert path is not None
    assert phone.get(path[0]).status_code == 200
    assert not Job._base_manager.filter(kind=client_links.MAIL).exists()
    for page in (reverse("client_links", args=[row.organization.slug]), new_url(row)):
        assert path[0] not in desk.get(page).content.decode()


def test_a_sign_in_of_long_ago_proves_itself_first(row: Connection, member: User) -> None:
    desk = trips.sign_in(member)

    assert desk.get(new_url(row)).status_code == 200
    answer = desk.post(new_url(row), FORM)

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert not ClientLink._base_manager.exists()


def test_what_was_typed_is_there_again_after_the_proof_once(row: Connection, member: User) -> None:
    desk = signed_in_long_ago(member)
    typed = FORM | {"message": "The usual one, please.", "days": "9"}

    asked = desk.post(new_url(row), typed, headers={"HX-Request": "true"})

    proof = asked.headers["HX-Redirect"]
    assert asked.status_code == 401
    assert "Nothing was sent yet." in desk.get(proof).text
    back = desk.post(proof, {"password": factories.PASSWORD})
    assert back.headers["Location"] == new_url(row)
    page = desk.get(new_url(row))
    assert page.status_code == 200
    assert page.context["form"].data.dict() == typed
    assert "The usual one, please." in page.text
    assert not ClientLink._base_manager.exists()
    assert "The usual one, please." not in desk.get(new_url(row)).text


def test_what_was_typed_for_one_row_is_in_no_other_form(row: Connection, member: User) -> None:
    desk = signed_in_long_ago(member)
    other = factories.make_connection(row.organization, name="Other")

    desk.post(new_url(row), FORM | {"message": "For Northstar alone."})

    assert "For Northstar alone." not in desk.get(new_url(other)).text
    assert "For Northstar alone." in desk.get(new_url(row)).text


def test_what_is_too_long_to_wait_is_not_kept(row: Connection, member: User) -> None:
    desk = signed_in_long_ago(member)

    answer = desk.post(new_url(row), FORM | {"message": "x" * MOST_CHARACTERS})

    assert "Nothing was changed yet." in desk.get(answer.headers["Location"]).text
    assert SESSION_KEY not in desk.session


HTMX = {"HX-Request": "true"}


def test_in_the_pop_up_a_mistake_stays_there(row: Connection, member: User) -> None:
    desk = signed_in_freshly(member)

    wrong = desk.post(new_url(row), FORM | {"days": "99"}, headers=HTMX)

    assert wrong.status_code == 422
    assert wrong.text.lstrip().startswith('<article class="dialog-frame">')
    assert 'value="maria@client.example"' in wrong.text
    assert not ClientLink._base_manager.exists()


def test_in_the_pop_up_a_mail_brings_the_row_and_closes_it(row: Connection, member: User) -> None:
    desk = signed_in_freshly(member)

    sent = desk.post(new_url(row), FORM, headers=HTMX)

    assert sent.status_code == 200
    assert json.loads(sent.headers["HX-Trigger"])["close-dialog"] is True
    assert f'id="connection-{row.pk}"' in sent.text
    assert "We are sending the link for Northstar NA to maria@client.example." in sent.text
    assert len(send_mails()) == 1


def test_in_the_pop_up_a_link_to_copy_is_shown_there(
    row: Connection, member: User, phone: Client
) -> None:
    desk = signed_in_freshly(member)

    made = desk.post(new_url(row), FORM | {"recipient_email": ""}, headers=HTMX)

    path = re.search(r"/c/[\w-]{43}", made.text)
    assert made.text.lstrip().startswith('<article class="dialog-frame">')
    assert path is not None
    assert phone.get(path[0]).status_code == 200


def test_the_form_knows_the_client_of_the_row(row: Connection, member: User) -> None:
    clients = StoresOwner.objects.for_organization(row.organization)
    row.client = clients.create(name="Maria Ltd", contact_email="m@client.example")
    row.save()

    body = trips.sign_in(member).get(new_url(row)).content.decode()

    assert 'value="m@client.example"' in body


def test_a_new_row_is_made_for_the_client_without_leaving_for_amazon(
    organization: Organization, member: User
) -> None:
    desk = signed_in_freshly(member)

    answer = desk.post(
        reverse("connection_new", args=[organization.slug]),
        {"name": "Fresh", "marketplace": factories.US, "ask_client": "yes"},
    )

    row = Connection.objects.for_organization(organization).get()
    assert answer.headers["Location"] == new_url(row)
    assert not AuthorizationRequest._base_manager.exists()


def test_several_links_of_one_row_are_told_apart(
    row: Connection, organization: Organization, member: User
) -> None:
    """By whom is asked, and when: the buttons of their lines are named alike else."""
    for name in ("Maria", "Zoe"):
        asked = client_trips.ask(row, maker=member, recipient=Recipient(name, "", "en"))
    url = reverse("client_links", args=[organization.slug])

    page = " ".join(signed_in_freshly(member).get(url).text.split())

    again = re.findall(r'Ask again <span class="visually-hidden">(.+?)</span>', page)
    assert len(set(again)) == 2
    assert again[0] == client_link_words.line_of(asked.link).which


def test_the_asked_line_is_a_sentence_in_german(row: Connection) -> None:
    named = client_trips.ask(row, recipient=Recipient("Maria", "", "de"))
    with translation.override("de"):
        told = client_link_words.asked_line(named.link)
    unnamed = client_trips.ask(row, recipient=Recipient("", "", "de"))
    with translation.override("de"):
        told_unnamed = client_link_words.asked_line(unnamed.link)

    waits = "wurde am .+ erstellt und ist noch zu übergeben"
    assert re.fullmatch(rf"Ein Link für Maria {waits}\.", told)
    assert re.fullmatch(rf"Ein Link für den Kunden {waits}\.", told_unnamed)


def test_the_list_tells_the_steps_and_is_narrowed_by_state(
    row: Connection, organization: Organization, member: User, phone: Client
) -> None:
    asked = client_trips.ask(row)
    send_mails()
    phone.get(asked.path)
    ended = client_trips.ask(
        factories.make_connection(organization), recipient=Recipient("Zoe", "", "en")
    )
    client_links.revoke(link=ended.link, actor=COMMAND)
    desk = trips.sign_in(member)
    url = reverse("client_links", args=[organization.slug])

    everything = desk.get(url).content.decode()
    opened = desk.get(url, {"state": "opened"}).content.decode()
    over = desk.get(url, {"state": "revoked"}).content.decode()

    assert '<option value="revoked" selected>Ended</option>' in over
    assert "Zoe" in over
    assert "Revoked" not in over
    assert "Maria" in everything
    assert "Zoe" in everything
    assert "by the recipient or by a mail scanner" in everything
    assert "Maria" in opened
    assert "Zoe" not in opened
    details = reverse("connection_details", args=[organization.slug, row.pk])
    assert re.search(r"Asked Maria on [^:]+: Opened\.", desk.get(details).content.decode())


def test_the_steps_stand_in_the_order_of_time_with_what_failed_and_why(
    row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    """Also when the client has set out again since."""
    with time_machine.travel("2026-10-20T07:20:00Z", tick=False) as clock:
        asked = client_trips.ask(row)
        phone.get(asked.path)
        callback = trips.confirm(client_trips.press_continue(phone, asked.path), OTHER)
        clock.shift(60)
        client_trips.come_back(phone, callback)
        failed = client_link_words.line_of(asked.link)
        clock.shift(60)
        phone.post(asked.path)
        left = client_link_words.line_of(asked.link)

    assert asked.link.status == Status.LEFT
    why = "Did not work on Oct. 20, 2026, 7:21 AM: Another seller account was signed in"
    assert left.steps == (
        "Opened on Oct. 20, 2026, 7:20 AM, by the recipient or by a mail scanner",
        why,
        "Left for Amazon on Oct. 20, 2026, 7:22 AM",
        "Works until Nov. 3, 2026",
    )
    assert why in failed.steps
    assert failed.next_step == (
        "For the client: Sign out of Seller Central, or switch to the right store in its account "
        "switcher, and start again."
    )


def test_the_row_says_how_far_its_client_is(
    row: Connection, organization: Organization, phone: Client
) -> None:
    desk = trips.sign_in(factories.make_member(organization, Role.VIEWER))
    url = reverse("account_connections", args=[organization.slug])

    def told() -> list[tuple[str, str]]:
        body = desk.get(url).content.decode()
        return re.findall(r"<li>Asked (\w+) on [^:]+: ([^<]+)\.</li>", body)

    before = told()
    asked = client_trips.ask(row)
    made = told()
    send_mails()
    sent = told()
    phone.get(asked.path)
    opened = told()
    phone.post(asked.path)
    left = told()
    phone.post(asked.path, {"decision": "decline"})

    assert [before, made, sent, opened, left, told()] == [
        [],
        [("Maria", "Being sent")],
        [("Maria", "Sent")],
        [("Maria", "Opened")],
        [("Maria", "Left for Amazon")],
        [],
    ]


def test_asking_again_makes_a_new_link_for_the_same_person(
    row: Connection, member: User, phone: Client
) -> None:
    asked = client_trips.ask(row, message="Please.", days=7)
    desk = signed_in_freshly(member)

    desk.post(reverse("client_link_again", args=[row.organization.slug, asked.pk]))

    fresh = ClientLink._base_manager.get(status=Status.MADE)
    assert (fresh.recipient_email, fresh.message) == ("maria@client.example", "Please.")
    assert fresh.expires_at == asked.link.expires_at
    assert asked.link.status == Status.REVOKED
    assert phone.get(asked.path).status_code == 410


def test_ending_a_link_needs_no_fresh_sign_in(row: Connection, member: User, phone: Client) -> None:
    asked = client_trips.ask(row)
    desk = trips.sign_in(member)
    address = reverse("client_link_revoke", args=[row.organization.slug, asked.pk])

    question = desk.get(address)

    assert f"End the link for {row.name}?" in question.text
    assert asked.link.is_live
    answer = desk.post(address, follow=True)

    assert "The link does not work any more." in answer.content.decode()
    assert phone.get(asked.path).status_code == 410


def test_a_member_with_a_limited_reach_sees_the_links_of_his_rows(
    row: Connection, organization: Organization, member: User
) -> None:
    hidden = client_trips.ask(
        factories.make_connection(organization), recipient=Recipient("Zoe", "", "en")
    )
    client_trips.ask(row)
    membership = Membership.objects.for_organization(organization).get(user=member)
    membership.is_limited = True
    membership.save()
    Reach.objects.for_organization(organization).create(membership=membership, connection=row)
    desk = signed_in_freshly(member)

    body = desk.get(reverse("client_links", args=[organization.slug])).content.decode()
    answers = [
        desk.post(reverse(name, args=[organization.slug, hidden.pk])).status_code
        for name in ("client_link_revoke", "client_link_again")
    ]

    assert "Maria" in body
    assert "Zoe" not in body
    assert answers == [404, 404]
    assert hidden.link.is_live


def test_grants_of_people_and_of_clients_are_told_apart(
    row: Connection, phone: Client, amazon: RunningEmulator
) -> None:
    client_trips.whole_trip(phone, client_trips.ask(row), SELLER)
    with transaction.atomic():
        storing.store_spapi_grant(
            connection=row,
            seller=SELLER,
            token=Secret("Atzr|next"),
            actor=Actor.person(factories.owner_of(row.organization)),
            is_proved=True,
        )

    grant = SpApiGrant._base_manager.get()
    assert grant.authorized_name == ""
    assert grant.authorized_by == factories.owner_of(row.organization)
