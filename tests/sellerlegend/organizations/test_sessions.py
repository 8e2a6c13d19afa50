from __future__ import annotations

import re
from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import retention
from sellerlegend.organizations import sessions
from sellerlegend.organizations.browsers import browser_name
from sellerlegend.organizations.models import Membership, User
from sellerlegend.organizations.sessions import end_all_sessions, key_of
from tests import factories, trips

pytestmark = pytest.mark.django_db

KHTML = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.fixture
def person() -> User:
    return factories.owner_of(factories.make_organization())


@pytest.fixture
def browser(person: User) -> Client:
    return trips.sign_in(person)


def is_signed_in(browser: Client) -> bool:
    return browser.get(reverse("profile")).status_code == 200


def test_a_session_lasts_until_it_expires(browser: Client) -> None:
    assert is_signed_in(browser)

    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    assert not is_signed_in(browser)


def test_a_revoked_session_ends_with_the_next_request(browser: Client) -> None:
    Session.objects.all().delete()

    assert not is_signed_in(browser)


def test_no_row_opens_a_browser(person: User) -> None:
    """Who reads the database, or a backup of it, can present nothing that he finds there."""
    client = signed_in_by_form(person)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    stored = [
        *Session.objects.values_list("session_key", flat=True),
        *UserSession.objects.values_list("session_key", flat=True),
    ]
    assert len(stored) == 2
    assert stored[0] == stored[1]
    assert cookie not in stored
    assert not any(cookie in row.session_data for row in Session.objects.all())

    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = stored[0]

    assert not is_signed_in(thief)
    assert is_signed_in(client)


def test_an_invented_session_is_nobodys(browser: Client) -> None:
    browser.cookies[settings.SESSION_COOKIE_NAME] = "x" * 32

    assert not is_signed_in(browser)


def test_a_switched_off_person_is_signed_out(browser: Client, person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)

    assert not is_signed_in(browser)


def test_a_deleted_person_is_signed_out(browser: Client, person: User) -> None:
    User.objects.filter(pk=person.pk).delete()

    assert not is_signed_in(browser)


def test_another_password_ends_the_sessions_made_with_the_old_one(
    browser: Client, person: User
) -> None:
    person.set_password("Another-2026-password")
    person.save()

    assert not is_signed_in(browser)


# Through the front door (F3) ---------------------------------------------------------------

NEW = "Quite-Another-77"


def signed_in_by_form(person: User) -> Client:
    client = Client()
    client.post(reverse("account_login"), {"login": person.email, "password": factories.PASSWORD})
    assert is_signed_in(client)
    return client


def test_the_session_gets_a_new_id_at_sign_in(person: User) -> None:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = "chosen-by-somebody-else-0123456789"
    client.get(reverse("account_login"))
    client.get(reverse("account_reset_password"))
    before = client.cookies[settings.SESSION_COOKIE_NAME].value

    client.post(reverse("account_login"), {"login": person.email, "password": factories.PASSWORD})

    assert client.cookies[settings.SESSION_COOKIE_NAME].value != before
    assert not Session.objects.filter(pk=key_of(before)).exists()


def test_two_first_trips_at_one_moment_are_of_one_browser(person: User) -> None:
    """Each request reads the session for itself, and the last one to write it wins."""
    client = signed_in_by_form(person)
    one, other = client.session, client.session

    assert one is not other
    assert sessions.browser_value(one) == sessions.browser_value(other)


def test_signing_out_ends_the_session_on_the_server(person: User) -> None:
    client = signed_in_by_form(person)
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert is_signed_in(thief)

    client.post(reverse("account_logout"))

    assert not is_signed_in(thief)


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(person: User) -> None:
    here, there = signed_in_by_form(person), signed_in_by_form(person)
    old_id = here.cookies[settings.SESSION_COOKIE_NAME].value

    here.post(
        reverse("account_change_password"),
        {"oldpassword": factories.PASSWORD, "password1": NEW, "password2": NEW},
    )

    assert is_signed_in(here)
    assert not is_signed_in(there)
    assert here.cookies[settings.SESSION_COOKIE_NAME].value != old_id


def test_a_reset_password_ends_every_session_but_the_one_that_reset_it(person: User) -> None:
    there, here = signed_in_by_form(person), Client()
    here.post(reverse("account_reset_password"), {"email": person.email})
    link = next(word for word in mail.outbox[-1].body.split() if "/reset/key/" in word)
    form = here.get(link, follow=True).redirect_chain[-1][0]

    here.post(form, {"password1": NEW, "password2": NEW})

    assert is_signed_in(here)
    assert not is_signed_in(there)


def test_devices_are_signed_out_one_by_one(person: User) -> None:
    here, there, third = (signed_in_by_form(person) for _ in range(3))
    page = here.get(reverse("usersessions_list")).content.decode()
    device = UserSession.objects.get(session_key=there.session.session_key)
    own = UserSession.objects.get(session_key=here.session.session_key)
    assert reverse("session_end", args=[device.pk]) in page
    assert reverse("session_end", args=[own.pk]) not in page

    answer = here.post(reverse("session_end", args=[device.pk]))

    assert answer.headers["Location"] == reverse("usersessions_list")
    assert not is_signed_in(there)
    assert is_signed_in(here)
    assert is_signed_in(third)


def test_a_device_is_told_by_its_browser_and_its_sign_in(person: User) -> None:
    here, _there = (signed_in_by_form(person) for _ in range(2))
    raw = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    UserSession.objects.update(user_agent=raw)

    page = " ".join(here.get(reverse("usersessions_list")).text.split())

    assert "Gecko" not in page
    assert re.search(
        r'Sign out <span class="visually-hidden">Firefox on Linux, signed in on ', page
    )
    assert 'aria-labelledby="devices-title"' in page


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (f"{KHTML} Chrome/140.0.0.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        (f"{KHTML} Chrome/140.0.0.0 Safari/537.36", "Chrome on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Firefox/140.0", "Firefox on Android"),
        ("curl/8.0 on Windows", "Windows"),
        ("<b>nobody knows</b>", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_a_browser_has_a_name_that_people_know(user_agent: str, expected: str) -> None:
    assert browser_name(user_agent) == expected


def test_somebody_elses_device_is_no_device(person: User) -> None:
    theirs = signed_in_by_form(factories.make_user())
    device = UserSession.objects.get(session_key=theirs.session.session_key)
    here = signed_in_by_form(person)

    foreign = here.post(reverse("session_end", args=[device.pk]))
    unknown = here.post(reverse("session_end", args=[device.pk + 999]))

    assert foreign.status_code == unknown.status_code == 404
    assert is_signed_in(theirs)


def test_all_other_devices_are_signed_out_at_once(person: User) -> None:
    here, there, third = (signed_in_by_form(person) for _ in range(3))

    here.post(reverse("usersessions_list"))

    assert is_signed_in(here)
    assert not is_signed_in(there)
    assert not is_signed_in(third)


def test_everybody_can_be_signed_out(person: User) -> None:
    here, there = signed_in_by_form(person), signed_in_by_form(factories.make_user())

    assert end_all_sessions() == 2

    assert not is_signed_in(here)
    assert not is_signed_in(there)
    assert not UserSession.objects.exists()


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "poll"])
def test_a_removed_member_is_out_at_the_next_request(headers: dict[str, str]) -> None:
    organization = factories.make_organization()
    member = factories.make_member(organization)
    browser = trips.sign_in(member)
    route = "connection_changes" if headers else "account_connections"
    page = reverse(route, args=[organization.slug])
    assert browser.get(page, headers=headers).status_code in (200, 204)

    Membership.objects.for_organization(organization).filter(user=member).delete()

    assert browser.get(page, headers=headers).status_code == 404


# What is kept of them ----------------------------------------------------------------------


def test_ended_sessions_and_their_addresses_can_be_removed(person: User) -> None:
    ended, alive = signed_in_by_form(person), signed_in_by_form(person)
    Session.objects.filter(pk=ended.session.session_key).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )

    retention_rules = {rule.name: rule for rule in retention.rules(trip_days=30, job_days=30)}

    assert sum(retention_rules["sessions"].steps()) == 1
    assert sum(retention_rules["devices"].steps()) == 1
    assert is_signed_in(alive)
    assert UserSession.objects.get().session_key == alive.session.session_key
