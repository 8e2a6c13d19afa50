"""Amazon's password rule (Data Protection Policy §1.4), through the front door."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib.auth.hashers import check_password
from django.contrib.auth.password_validation import validate_password
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries, Settings

from connections.models import Connection
from sellerlegend.organizations.models import PastPassword, User
from tests.factories import PASSWORD, make_connection, make_organization, make_user, owner_of
from tests.signing_in import signed_in_freshly
from tests.staff import make_support

OLIVIA = User(email="olivia.marlowe@northstar.example.com", name="Olivia Marlowe-Grünwald")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("Short-1-pass", None),
        ("Short-1-pas", "password_too_short"),
        ("all-lower-case-77", "password_kinds"),
        ("ALL-UPPER-CASE-77", "password_kinds"),
        ("No-Digits-At-All", "password_kinds"),
        ("NoSpecialChars77", "password_kinds"),
        ("123456789012", "password_entirely_numeric"),
        ("Quite-OLIVIA-long-enough-77", "password_holds_name"),
        ("Quite-marlowe-long-Enough-77", "password_holds_name"),
        ("Quite-NorthStar-long-Enough-77", "password_holds_name"),
        ("A-dot-com-is-no-name-77", None),
    ],
)
def test_amazons_rule(password: str, code: str | None) -> None:
    if code is None:
        validate_password(password, OLIVIA)
        return
    with pytest.raises(ValidationError) as refused:
        validate_password(password, OLIVIA)

    assert code in {error.code for error in refused.value.error_list}


@pytest.mark.django_db
def test_nobody_signs_up_with_their_own_address_in_the_password() -> None:
    answer = Client().post(
        reverse("account_signup"),
        {"email": "marlowe@shop.example", "password1": "Quite-Marlowe-long-77"},
    )

    assert answer.status_code == 200
    assert "no part of your name" in answer.content.decode()
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("named", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("", "UTC"),
        ("../../etc/passwd", "UTC"),
        ("x" * 99, "UTC"),
    ],
)
def test_a_new_account_begins_in_the_time_zone_of_its_browser(named: str, zone: str) -> None:
    Client().post(
        reverse("account_signup"),
        {"email": "new@shop.example", "password1": "A-long-one-2026!", "time_zone": named},
    )

    assert User.objects.get().time_zone == zone


@pytest.mark.django_db
def test_nor_changes_it_to_one() -> None:
    user = User.objects.create_user("marlowe@shop.example", "Old-Password-2026")
    client = signed_in_freshly(user)
    new = "Quite-Marlowe-long-77"

    client.post(
        reverse("account_change_password"),
        {"oldpassword": "Old-Password-2026", "password1": new, "password2": new},
    )

    user.refresh_from_db()
    assert user.check_password("Old-Password-2026")


# None of the last ten ----------------------------------------------------------------------


def number(n: int) -> str:
    return f"Quite-Another-{n:03d}!"


def change(client: Client, old: str, new: str, **more: str) -> Any:
    """By the form, as a person does."""
    fields = {"oldpassword": old, "password1": new, "password2": new, **more}
    return client.post(reverse("account_change_password"), fields)


def set_passwords(user: User, *passwords: str) -> None:
    for password in passwords:
        user.set_password(password)
        user.save()


@pytest.mark.django_db
def test_none_of_the_last_ten_comes_back() -> None:
    user = make_user()
    set_passwords(user, *map(number, range(9)))
    client = signed_in_freshly(user)

    for used in (number(8), number(4), PASSWORD):
        before = User.objects.get().password
        answer = change(client, number(8), used)

        assert answer.status_code == 200
        assert "Use none of your last 10 passwords." in answer.content.decode()
        assert User.objects.get().password == before
        assert PastPassword.objects.count() == 10


@pytest.mark.django_db
def test_the_eleventh_does_and_no_more_are_kept() -> None:
    user = make_user()
    set_passwords(user, *map(number, range(10)))
    assert PastPassword.objects.count() == 10

    answer = change(signed_in_freshly(user), number(9), PASSWORD)

    assert answer.status_code == 302
    assert User.objects.get().check_password(PASSWORD)
    kept = list(PastPassword.objects.order_by("-id").values_list("password", flat=True))
    assert len(kept) == 10
    tried = [PASSWORD, *map(number, range(9, 0, -1))]
    assert [check_password(*pair) for pair in zip(tried, kept, strict=True)] == [True] * 10
    assert not [encoded for encoded in kept if check_password(number(0), encoded)]


@pytest.mark.django_db
def test_a_reset_by_mail_is_held_to_it_too() -> None:
    user = make_user()
    client = Client()
    client.post(reverse("account_reset_password"), {"email": user.email})
    link = next(word for word in mail.outbox[-1].body.split() if "/reset/key/" in word)
    form = client.get(link, follow=True).redirect_chain[-1][0]

    answer = client.post(form, {"password1": PASSWORD, "password2": PASSWORD})

    assert answer.status_code == 200
    assert "Use none of your last 10 passwords." in answer.content.decode()
    assert PastPassword.objects.count() == 1


@pytest.mark.django_db
def test_other_people_may_have_the_same_one_and_one_never_set_is_not_remembered() -> None:
    user, other = make_user(), make_user(password=number(1))
    User.objects.create_user("passkey@example.com")

    assert change(signed_in_freshly(user), PASSWORD, number(1)).status_code == 302
    assert user.past_passwords.count() == 2
    assert other.past_passwords.count() == 1
    assert PastPassword.objects.count() == 3


@pytest.mark.django_db
def test_they_go_with_the_person() -> None:
    make_user().delete()

    assert not PastPassword.objects.exists()


@pytest.mark.django_db
def test_a_hash_that_django_renews_at_sign_in_is_no_new_password(settings: Settings) -> None:
    user = make_user()
    old = timezone.now() - timedelta(days=300)
    User.objects.update(password_set_at=old)
    stronger = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    settings.PASSWORD_HASHERS = [stronger, *settings.PASSWORD_HASHERS]

    assert user.check_password(PASSWORD)

    known = User.objects.get()
    assert known.password.startswith("pbkdf2")
    assert known.password_set_at == old
    assert PastPassword.objects.count() == 1


@pytest.mark.django_db
def test_people_who_were_here_before_have_a_password_as_old_as_their_account() -> None:
    joined = timezone.now() - timedelta(days=500)
    user = make_user()
    User.objects.create_user("passkey@example.com")
    PastPassword.objects.all().delete()
    User.objects.update(date_joined=joined)

    name = "sellerlegend.organizations.migrations.0010_passwords_remembered"
    import_module(name).remember_present_passwords(apps, None)

    assert set(User.objects.values_list("password_set_at", flat=True)) == {joined}
    [kept] = PastPassword.objects.all()
    assert (kept.user, kept.password, kept.set_at) == (user, user.password, joined)


# A year ------------------------------------------------------------------------------------


def make_outdated(user: User, days: float = 365.01) -> User:
    """Its password was set so many days ago."""
    set_at = timezone.now() - timedelta(days=days)
    User.objects.filter(pk=user.pk).update(password_set_at=set_at)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def connection(db: None) -> Connection:
    connection: Connection = make_connection(make_organization("Northstar"))
    make_outdated(owner_of(connection.organization))
    return connection


def page_to_change(way_back: str) -> str:
    return f"{reverse('account_change_password')}?{urlencode({'next': way_back})}"


def list_of(connection: Connection) -> str:
    return reverse("account_connections", args=[connection.organization.slug])


def test_after_a_year_it_is_changed_first_and_one_goes_on_from_there(
    connection: Connection,
) -> None:
    client = Client()
    target = f"{list_of(connection)}?added=1"
    email = owner_of(connection.organization).email
    form = f"{reverse('account_login')}?{urlencode({'next': target})}"
    arrived = client.post(form, {"login": email, "password": PASSWORD}).headers["Location"]
    assert arrived == target

    asked = client.get(arrived)

    assert asked.status_code == 302
    assert asked.headers["Location"] == page_to_change(target)
    page = client.get(asked.headers["Location"])
    assert page.status_code == 200
    assert "It is more than a year old" in page.content.decode()
    assert f'name="next" value="{escape(target)}"' in page.content.decode()
    # A mistake does not lose the way, and leaves the door shut.
    again = change(client, PASSWORD, PASSWORD, next=target)
    assert f'name="next" value="{escape(target)}"' in again.content.decode()
    assert client.get(target).status_code == 302
    done = change(client, PASSWORD, number(1), next=target)
    assert (done.status_code, done.headers["Location"]) == (302, target)
    assert client.get(target).status_code == 200
    assert "more than a year" not in client.get(page_to_change("/")).content.decode()


@pytest.mark.parametrize("route", ["home", "profile", "security", "account_email", "mfa_index"])
def test_nothing_else_is_open_meanwhile(route: str, connection: Connection) -> None:
    client = signed_in_freshly(owner_of(connection.organization))

    for method in ("get", "post"):
        answer = getattr(client, method)(reverse(route))
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(reverse("account_change_password"))


def test_a_form_changes_nothing_and_leads_back_to_its_page(connection: Connection) -> None:
    client = signed_in_freshly(owner_of(connection.organization))
    path = reverse("connection_rename", args=[connection.organization.slug, connection.pk])
    page = f"http://testserver{list_of(connection)}"

    plain = client.post(path, {"name": "New"}, headers={"Referer": page})
    htmx = {"HX-Request": "true", "HX-Current-URL": page}
    part = client.post(path, {"name": "New"}, headers=htmx)
    poll = client.get(path, headers=htmx)

    assert plain.status_code == 302
    assert plain.headers["Location"] == page_to_change(list_of(connection))
    for answer in (part, poll):
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["HX-Redirect"] == page_to_change(list_of(connection))
    known = Connection.objects.for_organization(connection.organization).get()
    assert known.name == connection.name


def test_signing_out_and_coming_back_from_amazon_are_open(connection: Connection) -> None:
    client = signed_in_freshly(owner_of(connection.organization))

    callback = client.get(reverse("spapi_callback"), {"state": "s", "spapi_oauth_code": "c"})
    assert callback.status_code == 303
    assert not callback.headers["Location"].startswith("/accounts/")

    assert client.post(reverse("account_logout")).headers["Location"] == reverse("account_login")
    assert client.get(reverse("profile")).headers["Location"].startswith(reverse("account_login"))


@pytest.mark.django_db
def test_staff_prove_their_second_step_first_and_then_change_it() -> None:
    staff = make_outdated(make_support())
    client = Client()
    client.force_login(staff)

    assert client.get(reverse("admin:index")).headers["Location"] == reverse("mfa_index")
    assert client.get(reverse("mfa_index")).status_code == 200

    signed_in_freshly(staff, client)
    for route in ("admin:index", "mfa_index", "admin:password_change"):
        answer = client.get(reverse(route))
        assert answer.headers["Location"] == page_to_change(reverse(route))
    assert change(client, PASSWORD, number(1)).status_code == 302
    assert client.get(reverse("admin:index")).status_code == 200


@pytest.mark.django_db
def test_a_year_is_365_days_and_a_passkey_has_none() -> None:
    user = make_user()
    young = signed_in_freshly(make_outdated(user, days=364.99))
    assert young.get(reverse("profile")).status_code == 200

    user.set_unusable_password()
    user.save()
    client = signed_in_freshly(make_outdated(user))
    assert client.get(reverse("profile")).status_code == 200


def test_the_age_costs_no_query(
    connection: Connection, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in_freshly(owner_of(connection.organization))

    with django_assert_num_queries(2):  # the session and the person
        client.get(list_of(connection))
