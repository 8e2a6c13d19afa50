"""Staff come in with a second step, and not for long."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
import time_machine
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.test import Client
from django.urls import reverse

from sellerlegend.organizations.models import User
from tests.demo.second_step import code_for
from tests.factories import PASSWORD, make_organization, make_user, owner_of
from tests.signing_in import proved_seconds_ago, signed_in_freshly
from tests.staff import make_support

SECRET = "SELLERLEGENDTESTSELLERLEGENDTEST"

pytestmark = pytest.mark.django_db


@pytest.fixture
def support(db: None) -> User:
    return make_support()


def sign_in(client: Client, user: User) -> str:
    answer = client.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})
    return answer.headers["Location"]


CLOSED = ["admin:index", "staff_setup", "home", "profile", "organization_new", "account_email"]


@pytest.mark.parametrize("route", CLOSED)
@pytest.mark.parametrize("is_superuser", [False, True], ids=["support", "superuser"])
def test_without_a_second_step_there_is_only_the_page_to_set_one_up(
    route: str, is_superuser: bool
) -> None:
    client = Client()
    sign_in(client, make_user(is_staff=True, is_superuser=is_superuser))

    for method in ("GET", "POST"):
        answer = client.generic(method, reverse(route))
        assert answer.status_code == 302
        assert answer.headers["Location"] == reverse("mfa_index")
    assert client.get(reverse("mfa_index")).status_code == 200
    assert client.get(reverse("mfa_activate_totp")).status_code == 200


def test_a_superuser_who_is_not_staff_is_held_alike() -> None:
    client = Client()
    sign_in(client, make_user(is_superuser=True))

    assert client.get(reverse("profile")).headers["Location"] == reverse("mfa_index")


def test_under_htmx_the_whole_page_goes(support: User) -> None:
    client = Client()
    client.force_login(support)

    answer = client.get(reverse("profile"), headers={"HX-Request": "true"})

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == reverse("mfa_index")


def test_setting_it_up_and_proving_it_opens_the_door(support: User) -> None:
    client = Client()
    sign_in(client, support)
    page = client.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    client.post(reverse("mfa_activate_totp"), {"code": code_for(secret)})

    asked = client.get(reverse("admin:index"))

    assert urlsplit(asked.headers["Location"]).path == reverse("mfa_reauthenticate")
    with time_machine.travel(time.time() + 30):
        client.post(asked.headers["Location"], {"code": code_for(secret)})
        assert client.get(reverse("admin:index")).status_code == 200


def test_the_sign_in_asks_for_the_code(support: User) -> None:
    TOTP.activate(support, SECRET)
    client = Client()

    assert sign_in(client, support) == reverse("mfa_authenticate")
    assert client.get(reverse("admin:index")).headers["Location"].startswith("/admin/login")
    client.post(reverse("mfa_authenticate"), {"code": code_for(SECRET)})

    assert client.get(reverse("admin:index")).status_code == 200
    assert client.session.get_expiry_age() <= settings.STAFF_SESSION_SECONDS


def test_it_does_not_last_long(support: User) -> None:
    TOTP.activate(support, SECRET)
    client = signed_in_freshly(support)
    assert client.get(reverse("admin:index")).status_code == 200

    proved_seconds_ago(client, settings.STAFF_SESSION_SECONDS + 1, "password", "mfa")

    asked = client.get(reverse("admin:index"))
    assert urlsplit(asked.headers["Location"]).path == reverse("mfa_reauthenticate")
    assert "next=%2Fadmin%2F" in asked.headers["Location"]


@pytest.mark.parametrize(
    "address",
    [
        "/amazon/spapi/callback?spapi_oauth_code=ANbCdEfGhIjK123&state=x",
        "/amazon/ads/callback?code=ANbCdEfGhIjK123&state=x",
        "/amazon/spapi/login?amazon_state=ANbCdEfGhIjK123",
        "/invitation/ANbCdEfGhIjK123",
        "/c/ANbCdEfGhIjK123",
    ],
)
def test_what_is_a_secret_in_an_address_does_not_travel_to_the_proof(
    support: User, address: str
) -> None:
    TOTP.activate(support, SECRET)
    client = Client()
    client.force_login(support)

    asked = client.get(address)

    assert asked.headers["Location"] == f"{reverse('mfa_reauthenticate')}?next=%2F"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "route",
    [
        "mfa_index",
        "mfa_activate_totp",
        "mfa_list_webauthn",
        "mfa_add_webauthn",
        "mfa_generate_recovery_codes",
        "mfa_view_recovery_codes",
        "mfa_download_recovery_codes",
        "account_reauthenticate",
    ],
)
def test_a_password_makes_no_second_step_beside_the_one_there_is(
    support: User, route: str, method: str
) -> None:
    """Recovery codes or a passkey of one's own would open the door that asks for the real one."""
    TOTP.activate(support, SECRET)
    client = signed_in_freshly(support)
    proved_seconds_ago(client, settings.STAFF_SESSION_SECONDS + 1, "mfa")
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY].append({"method": "password", "at": time.time()})
    session.save()

    answer = client.generic(method, reverse(route))

    assert answer.status_code == 302
    assert urlsplit(answer.headers["Location"]).path == reverse("mfa_reauthenticate")
    assert [row.type for row in Authenticator.objects.filter(user=support)] == ["totp"]


def test_everybody_else_is_not_asked() -> None:
    client = Client()
    client.force_login(owner_of(make_organization()))

    assert client.get(reverse("profile")).status_code == 200


def test_it_costs_no_query(support: User, django_assert_num_queries: object) -> None:
    client = signed_in_freshly(support)
    client.get(reverse("profile"))

    # The session, the person; the switcher of organizations.
    with django_assert_num_queries(3):  # type: ignore[operator]  # pytest-django's fixture
        client.get(reverse("profile"))


# Passwords have one door -------------------------------------------------------------------


def test_the_staff_site_changes_no_password(support: User) -> None:
    client = signed_in_freshly(support)
    page = reverse("admin:password_change")
    fields = {
        "old_password": PASSWORD,
        "new_password1": "Another-Pass-1!",
        "new_password2": "Another-Pass-1!",
    }

    for answer in (client.get(page), client.post(page, fields)):
        assert answer.status_code == 302
        assert answer.headers["Location"] == reverse("account_change_password")
    support.refresh_from_db()
    assert support.check_password(PASSWORD)
    assert client.get("/admin/password_change/done/").status_code == 404


@pytest.mark.parametrize("password", [PASSWORD, "Not-The-Right-1!"])
def test_the_staff_site_takes_no_guesses_from_whoever_is_in_it(
    support: User, password: str
) -> None:
    """Django's own sign-in form counts nothing and asks for no second step."""
    other = make_user("root@example.com", is_staff=True, is_superuser=True)
    client = signed_in_freshly(support)

    answer = client.post(reverse("admin:login"), {"username": other.email, "password": password})

    assert answer.status_code == 302
    assert answer.headers["Location"] == reverse("admin:index")
    assert client.session["_auth_user_id"] == str(support.pk)
