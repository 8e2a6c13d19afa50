"""Whoever hammers at a door waits; whoever owns it comes in (F4, F5, F12)."""

from __future__ import annotations

import time
from typing import Any

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from connections.models import AuthorizationRequest, Connection
from marketplaces.models import MarketplaceAccount
from sellerlegend.jobs.models import Job
from sellerlegend.organizations import limits
from sellerlegend.organizations.models import Allowance, AuditEvent, Organization, User
from tests import trips
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import PUBLIC_ROUTES
from tests.factories import (
    PASSWORD,
    make_account,
    make_connection,
    make_member,
    make_organization,
    make_user,
    owner_of,
)
from tests.threads import run_many

pytestmark = pytest.mark.django_db

EMAIL = "victim@example.com"
STRANGER: dict[str, Any] = {"REMOTE_ADDR": "198.51.100.66"}


@pytest.fixture
def victim(db: None) -> User:
    return make_user(EMAIL)


def guess(client: Client, email: str = EMAIL, password: str = "wrong", **extra: Any) -> int:
    login = {"login": email, "password": password}
    return client.post(reverse("account_login"), login, **extra).status_code


def comes_in(client: Client, **extra: Any) -> bool:
    return guess(client, password=PASSWORD, **extra) == 302


# Signing in --------------------------------------------------------------------------------


def test_rotating_a_forged_address_does_not_help(victim: User) -> None:
    # The clock stands: on a slow machine the bucket would fill up meanwhile.
    with time_machine.travel(time.time(), tick=False):
        answers = [
            guess(
                Client(),
                f"person{number}@example.com",
                headers={"X-Forwarded-For": f"1.2.3.{number}"},
            )
            for number in range(100)
        ]

    assert answers.count(200) == limits.SIGN_IN_FROM_ADDRESS.burst
    assert set(answers) == {200, 429}


def test_many_addresses_for_one_account(victim: User, settings: Settings) -> None:
    settings.TRUSTED_PROXY_COUNT = 1
    answers = [
        guess(Client(), headers={"X-Forwarded-For": f"9.9.9.9, 198.51.100.{number}"})
        for number in range(60)
    ]

    assert answers.count(200) <= limits.SIGN_IN_TO_ACCOUNT.burst + 1
    assert set(answers) == {200, 429}


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_fifty_guesses_at_once() -> None:
    make_user(EMAIL)
    started = time.monotonic()

    answers = run_many(50, lambda: guess(Client()))

    refilled = (time.monotonic() - started) // limits.SIGN_IN_TO_ACCOUNT.seconds
    assert answers.count(200) <= limits.SIGN_IN_TO_ACCOUNT.burst + refilled
    assert answers.count(429) == 50 - answers.count(200)


def test_the_right_password_does_not_help_while_the_door_is_shut(victim: User) -> None:
    for _ in range(limits.SIGN_IN_TO_ACCOUNT.burst):
        guess(Client(), **STRANGER)

    answer = Client().post(
        reverse("account_login"), {"login": EMAIL, "password": PASSWORD}, **STRANGER
    )

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert "Try again in" in answer.content.decode()


def test_its_person_comes_in_from_a_browser_that_was_here_before(victim: User) -> None:
    browser = Client()
    assert comes_in(browser)
    browser.post(reverse("account_logout"))
    for _ in range(limits.SIGN_IN_TO_ACCOUNT.burst + 1):
        guess(Client(), **STRANGER)

    assert not comes_in(Client())
    assert comes_in(browser)


def test_the_device_helps_with_its_own_accounts_only(victim: User) -> None:
    stranger = Client()
    other = make_user("stranger@example.com")
    assert guess(stranger, other.email, PASSWORD) == 302
    stranger.post(reverse("account_logout"))
    for _ in range(limits.SIGN_IN_TO_ACCOUNT.burst):
        guess(stranger)

    assert guess(stranger) == 429


def test_a_forged_device_is_no_device(victim: User, settings: Settings) -> None:
    browser = Client()
    comes_in(browser)
    cookie = browser.cookies[settings.DEVICE_COOKIE_NAME]
    forger = Client()
    for _ in range(limits.SIGN_IN_TO_ACCOUNT.burst):
        guess(forger)
    forger.cookies[settings.DEVICE_COOKIE_NAME] = "x" + cookie.value

    assert guess(forger) == 429
    assert EMAIL not in cookie.value
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_a_known_device_may_not_guess_for_ever(victim: User) -> None:
    browser = Client()
    comes_in(browser)
    browser.post(reverse("account_logout"))

    answers = [guess(browser) for _ in range(limits.SIGN_IN_FROM_KNOWN_DEVICE.burst + 1)]

    assert answers[-1] == 429


def test_anybody_comes_in_after_a_minute(victim: User) -> None:
    with time_machine.travel(time.time(), tick=False) as clock:
        for _ in range(40):
            guess(Client(), **STRANGER)
        assert not comes_in(Client())
        clock.shift(limits.SIGN_IN_TO_ACCOUNT.seconds)

        assert comes_in(Client())


def test_a_reset_by_mail_opens_the_door_under_attack(victim: User) -> None:
    browser = Client()
    browser.post(reverse("account_reset_password"), {"email": EMAIL})
    link = next(word for word in mail.outbox[-1].body.split() if "/reset/key/" in word)
    for _ in range(limits.SIGN_IN_TO_ACCOUNT.burst + 1):
        guess(Client(), **STRANGER)
    form = browser.get(link, follow=True).redirect_chain[-1][0]
    new = {"password1": "Quite-Another-77", "password2": "Quite-Another-77"}

    assert browser.post(form, new).status_code == 302

    assert browser.get(reverse("profile")).status_code == 200
    assert guess(browser, password="Quite-Another-77") == 302


def test_signing_in_often_is_no_attack(victim: User) -> None:
    assert all(comes_in(Client()) for _ in range(30))


def test_an_account_that_does_not_exist_waits_alike(victim: User) -> None:
    known = [guess(Client(), **STRANGER) for _ in range(8)]
    unknown = [guess(Client(), "nobody@example.com", REMOTE_ADDR="198.51.100.67") for _ in range(8)]

    assert known == unknown


# The second step ---------------------------------------------------------------------------


def test_codes_of_the_second_step_are_counted_for_the_person(victim: User) -> None:
    totp.TOTP.activate(victim, totp.generate_totp_secret())
    codes = RecoveryCodes.activate(victim)

    def wrong(number: int) -> int:
        client = Client()
        assert comes_in(client, REMOTE_ADDR=f"198.51.100.{number}")
        answer = client.post(
            reverse("mfa_authenticate"), {"code": "000000"}, REMOTE_ADDR=f"198.51.100.{number}"
        )
        return int(answer.status_code)

    assert [wrong(number) for number in range(7)] == [200] * 6 + [429]

    with time_machine.travel(time.time() + 61):
        client = Client()
        comes_in(client)
        answer = client.post(reverse("mfa_authenticate"), {"code": codes.get_unused_codes()[0]})
        assert answer.status_code == 302


# Mails and other pages ---------------------------------------------------------------------


def test_a_mailbox_is_not_flooded_and_the_page_says_the_same(victim: User) -> None:
    answers = [
        Client().post(
            reverse("account_reset_password"), {"email": EMAIL}, REMOTE_ADDR=f"198.51.100.{number}"
        )
        for number in range(30)
    ]

    assert {answer.status_code for answer in answers} == {302}
    assert len(mail.outbox) <= limits.MAIL_TO_ADDRESS.burst + 1


@pytest.mark.parametrize(
    ("route", "fields", "limit"),
    [
        ("account_signup", {"email": "", "password1": ""}, limits.SIGN_UP),
        ("account_reset_password", {"email": ""}, limits.PASSWORD_RESET),
    ],
)
def test_pages_for_everybody_are_limited_by_address(
    route: str, fields: dict[str, str], limit: limits.Limit
) -> None:
    answers = [Client().post(reverse(route), fields).status_code for _ in range(limit.burst + 3)]

    assert 429 not in answers[: limit.burst]
    assert answers[-1] == 429
    assert Client().post(reverse(route), fields, **STRANGER).status_code != 429
    assert Client().get(reverse(route)).status_code == 200


def look_as_a_script(name: str) -> int:
    takes = {
        "account_reset_password_from_key": {"uidb36": "1", "key": "x-y"},
        "calendar_feed": {"token": "of-nobody"},
        "client_link": {"token": "of-nobody"},
        "client_link_ended": {"reference": "OFNOBODY"},
        "invitation_link": {"token": "of-nobody"},
    }
    headers = {"X-Requested-With": "XMLHttpRequest", "Accept": "application/json"}
    return Client().get(reverse(name, kwargs=takes.get(name)), headers=headers).status_code


def test_strangers_do_not_fill_the_table_of_sessions(db: None) -> None:
    """A challenge for a passkey is kept in a session: it is the one look that makes a row."""
    storing = set()
    for name in sorted(PUBLIC_ROUTES):
        before = Session.objects.count()
        look_as_a_script(name)
        if Session.objects.count() > before:
            storing.add(name)
    assert storing == {"mfa_login_webauthn"}

    answers = [look_as_a_script("mfa_login_webauthn") for _ in range(150)]

    assert answers[-1] == 429
    assert Session.objects.count() == 1 + answers.count(200) <= limits.PASSKEY.burst + 20


def test_a_person_makes_few_organizations(victim: User) -> None:
    client = Client()
    client.force_login(victim)
    url = reverse("organization_new")

    answers = [client.post(url, {"name": f"Number {n}"}).status_code for n in range(80)]

    burst = limits.NEW_ORGANIZATION.burst
    assert answers == [302] * burst + [429] * (80 - burst)
    assert Organization.objects.count() == burst


def test_proving_again_is_limited_for_the_person(victim: User) -> None:
    client = Client()
    client.force_login(victim)
    url = reverse("account_reauthenticate")

    answers = [client.post(url, {"password": "wrong"}).status_code for _ in range(8)]

    assert answers[-1] == 429
    assert 429 not in answers[:6]


# What costs calls to Amazon (F12) ----------------------------------------------------------


@pytest.fixture
def account(amazon: RunningEmulator) -> MarketplaceAccount:
    organization = make_organization("Northstar")
    token = amazon.world.authorize("A1NORTHSTAR001", "NA")
    connection = make_connection(organization, seller="A1NORTHSTAR001", refresh_token=token)
    return make_account(connection)


def press(client: Client, account: MarketplaceAccount, **headers: str) -> Any:
    connection = account.connection
    url = reverse("marketplaces_onboard", args=[connection.organization.slug, connection.pk])
    return client.post(url, {"account": str(account.pk)}, headers=headers)


def test_start_now_a_hundred_times_is_one_job(
    amazon: RunningEmulator, account: MarketplaceAccount
) -> None:
    client = Client()
    client.force_login(owner_of(account.connection.organization))
    before = amazon.ledger.last_number

    answers = [press(client, account) for _ in range(100)]

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {303, 429}
    assert statuses[: limits.COSTLY_ACTION.burst] == [303] * limits.COSTLY_ACTION.burst
    assert Job._base_manager.filter(subject_id=account.pk).count() == 1
    assert amazon.ledger.calls(since=before) == []
    refused = answers[statuses.index(429)]
    assert int(refused.headers["Retry-After"]) >= 1
    assert "Nothing was changed." in refused.content.decode()


def test_under_htmx_the_notice_alone_comes_back(account: MarketplaceAccount) -> None:
    client = Client()
    client.force_login(owner_of(account.connection.organization))
    limit = limits.COSTLY_ACTION
    Allowance.objects.create(
        key=limits.key_of(limit, account.connection.organization_id.hex),
        kind=limit.name,
        spent_until=time.time() + 10_000,
    )

    answer = press(client, account, **{"HX-Request": "true"})

    assert answer.status_code == 429
    assert answer.headers["Retry-After"]
    body = answer.content.decode()
    assert "data-request-failed" in body
    assert "<html" not in body
    page = reverse("account_connections", args=[account.connection.organization.slug])
    assert client.get(page).status_code == 200


def test_a_stranger_uses_up_nothing(account: MarketplaceAccount) -> None:
    outsider = Client()
    outsider.force_login(make_user())

    for _ in range(3):
        assert press(outsider, account).status_code == 404

    assert not Allowance.objects.exists()


def leave(client: Client, organization: Organization) -> Any:
    connection = Connection.objects.for_organization(organization).get()
    return client.post(reverse("connection_authorize", args=[organization.slug, connection.pk]))


def test_leaving_for_amazon_three_hundred_times(
    amazon: RunningEmulator, account: MarketplaceAccount
) -> None:
    """Each trip is a row and an event, and each is open for ten minutes."""
    organization = account.connection.organization
    client = trips.sign_in(owner_of(organization))

    answers = [leave(client, organization) for _ in range(300)]

    burst = limits.TRIP.burst
    statuses = [answer.status_code for answer in answers]
    assert statuses[:burst] == [302] * burst
    assert statuses[burst + 10 :] == [429] * (290 - burst)
    opened = AuthorizationRequest._base_manager.count()
    assert AuditEvent._base_manager.filter(code="authorization_opened").count() == opened
    assert burst <= opened == statuses.count(302)
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert "Nothing was changed." in answers[-1].content.decode()
    # A colleague is not held up, and looking costs nothing.
    assert leave(trips.sign_in(make_member(organization)), organization).status_code == 302
    page = reverse("account_connections", args=[organization.slug])
    assert client.get(page).status_code == 200


def test_the_rate_is_a_cap_of_open_trips_too() -> None:
    lifetime = AuthorizationRequest.LIFETIME.total_seconds()

    assert limits.TRIP.burst + lifetime / limits.TRIP.seconds == 110


def test_many_ways_out_are_one_limit(amazon: RunningEmulator, account: MarketplaceAccount) -> None:
    """A person has the same number, by whatever form the trip begins, in any organization."""
    organization = account.connection.organization
    person = owner_of(organization)
    limit = limits.TRIP
    Allowance.objects.create(
        key=limits.key_of(limit, person.pk.hex), kind=limit.name, spent_until=time.time() + 10_000
    )
    client = trips.sign_in(person)
    args = [organization.slug, account.connection.pk]

    answers = [
        client.post(reverse("connection_new", args=args[:1]), {"name": "New"}),
        *(
            client.post(reverse(name, args=args), {"account": str(account.pk)})
            for name in (
                "connection_authorize",
                "connection_add_as_new",
                "connection_another_region",
                "ppc_connect",
            )
        ),
    ]

    assert [answer.status_code for answer in answers] == [429] * 5
    assert Connection.objects.for_organization(organization).count() == 1
    assert not AuthorizationRequest._base_manager.exists()


@pytest.mark.needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_hundred_trips_at_once_are_no_more_than_there_are(amazon: RunningEmulator) -> None:
    organization = make_organization("Northstar")
    make_connection(organization)
    person = owner_of(organization)

    def leave_often() -> list[int]:
        client = trips.sign_in(person)
        return [leave(client, organization).status_code for _ in range(10)]

    answers = run_many(10, leave_often)

    statuses = [status for each in answers if isinstance(each, list) for status in each]
    assert len(statuses) == 100
    assert set(statuses) == {302, 429}
    assert AuthorizationRequest._base_manager.count() == statuses.count(302)
    assert statuses.count(302) <= limits.TRIP.burst + 4


# The callbacks -----------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["spapi_callback", "ads_callback"])
def test_refused_callbacks_end_in_a_number_and_not_in_events(
    route: str, amazon: RunningEmulator
) -> None:
    burst = limits.REFUSED_CALLBACK.burst

    answers = [Client().get(reverse(route), {"state": "forged"}) for _ in range(burst + 60)]

    statuses = [answer.status_code for answer in answers]
    assert statuses[:burst] == [303] * burst
    assert statuses[-1] == 429
    events = AuditEvent._base_manager.filter(code="authorization_refused").count()
    assert events == statuses.count(303) <= burst + 20
    assert Allowance.objects.get().refused > 0
    assert answers[-1].headers["Cache-Control"] == "no-store"
