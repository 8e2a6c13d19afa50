"""A fresh sign-in before what cannot be taken back, through the browser's front door."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import URLResolver, get_resolver, include, path, reverse

from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Organization, Role, User
from sellerlegend.organizations.step_up import recently_authenticated
from tests.factories import PASSWORD, make_member, make_organization, make_user, owner_of
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

done: list[str] = []


@organization_view(Role.ADMIN)
@recently_authenticated
def destroy(request: OrganizationRequest) -> HttpResponse:
    if request.method == "POST":
        done.append(request.POST.get("name", ""))
        return HttpResponse("destroyed")
    return HttpResponse("are you sure?")


urlpatterns = [
    path("o/<slug:slug>/destroy", destroy, name="destroy"),
    path("", include("sellerlegend.urls")),
]


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@pytest.fixture
def organization() -> Organization:
    return make_organization("Northstar")


@pytest.fixture
def page(organization: Organization) -> str:
    return reverse("destroy", args=[organization.slug])


@pytest.fixture
def owner(organization: Organization) -> User:
    return owner_of(organization)


def next_of(location: str) -> str:
    return parse_qs(urlsplit(location).query)["next"][0]


def test_a_sign_in_of_just_now_is_enough(page: str, owner: User, client: Client) -> None:
    client.post(reverse("account_login"), {"login": owner.email, "password": PASSWORD})

    assert client.get(page).content == b"are you sure?"
    assert client.post(page, {"name": "x"}).content == b"destroyed"
    assert done == ["x"]


def test_an_old_session_proves_who_it_is_and_comes_back(page: str, owner: User) -> None:
    client = signed_in_long_ago(owner)

    asked = client.get(f"{page}?tab=2")

    assert asked.status_code == 302
    location = asked.headers["Location"]
    assert urlsplit(location).path == reverse("account_reauthenticate")
    assert next_of(location) == f"{page}?tab=2"

    proved = client.post(location, {"password": PASSWORD, "next": f"{page}?tab=2"})

    assert proved.headers["Location"] == f"{page}?tab=2"
    assert client.get(page).content == b"are you sure?"


def test_a_wrong_password_proves_nothing(page: str, owner: User) -> None:
    client = signed_in_long_ago(owner)

    client.post(reverse("account_reauthenticate"), {"password": "not it", "next": page})

    assert client.get(page).status_code == 302


def test_a_stale_post_does_nothing_and_says_so(page: str, owner: User) -> None:
    client = signed_in_long_ago(owner)

    asked = client.post(page, {"name": "x"}, headers={"Referer": f"http://testserver{page}?tab=2"})

    assert asked.status_code == 302
    assert next_of(asked.headers["Location"]) == f"{page}?tab=2"
    assert "Nothing was changed yet." in client.get(asked.headers["Location"]).content.decode()
    client.post(asked.headers["Location"], {"password": PASSWORD, "next": page})
    assert done == []


@pytest.mark.parametrize("told", ["https://evil.example/x", "//evil.example", "javascript:1", ""])
def test_the_way_back_stays_here(page: str, owner: User, told: str) -> None:
    asked = signed_in_long_ago(owner).post(page, headers={"Referer": told})

    assert next_of(asked.headers["Location"]) == "/"
    assert done == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_under_htmx_the_whole_page_goes(page: str, owner: User, method: str) -> None:
    client = signed_in_long_ago(owner)
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/o/northstar/connections/"}

    asked = client.generic(method, page, headers=headers)

    assert asked.status_code == 401
    assert asked.content == b""
    target = asked.headers["HX-Redirect"]
    assert urlsplit(target).path == reverse("account_reauthenticate")
    assert next_of(target) == (page if method == "GET" else "/o/northstar/connections/")
    assert done == []


def test_the_role_comes_first(page: str, organization: Organization) -> None:
    member = signed_in_long_ago(make_member(organization, Role.MEMBER))
    outsider = signed_in_long_ago(make_user())

    assert member.get(page).status_code == 403
    assert outsider.get(page).status_code == 404


def test_somebody_elses_proof_in_one_browser_does_not_count(page: str, owner: User) -> None:
    client = signed_in_freshly(make_user())
    session = client.session
    records = session["account_authentication_methods"]
    client.force_login(owner)
    session = client.session
    session["account_authentication_methods"] = records
    session["account_authentication_methods_user"] = "somebody else"
    session.save()

    assert client.get(page).status_code == 302


def test_a_person_without_any_proof_is_refused(page: str, owner: User) -> None:
    owner.set_unusable_password()
    owner.save()

    assert signed_in_long_ago(owner).get(page).status_code == 403


@pytest.mark.parametrize(
    ("route", "fields"),
    [
        ("account_email", {"email": "new@example.com", "action_add": ""}),
        ("mfa_activate_totp", {"code": "123456"}),
        ("mfa_add_webauthn", {"name": "key"}),
    ],
)
def test_the_account_itself_is_protected_alike(
    owner: User, route: str, fields: dict[str, str]
) -> None:
    stale = signed_in_long_ago(owner).post(reverse(route), fields)
    fresh = signed_in_freshly(owner).post(reverse(route), fields)

    assert stale.status_code == 302
    assert urlsplit(stale.headers["Location"]).path == reverse("account_reauthenticate")
    assert "reauthenticate" not in fresh.headers.get("Location", "")


def test_freshness_ends(page: str, owner: User) -> None:
    client = signed_in_freshly(owner)
    assert client.get(page).status_code == 200

    session = client.session
    session["account_authentication_methods"][0]["at"] = time.time() - 901
    session.save()

    assert client.get(page).status_code == 302


# Which pages stand under it ----------------------------------------------------------------

FRESH = {
    "organization_delete",
    "connection_disconnect",
    "connections_export",
    "token_import",
    "token_import_new",
    "login_delete",
    "member_invite",
    "invitation_resend",
    "member_role",
    "member_remove",
    "member_reach",
    "member_leave",
    "ownership_transfer",
}
CHANGES_WANT_PROOF = {
    "client_link_new",
    "client_link_again",
    "reconnect_queue_send",
    "client_list_invite",
}
COSTLY = {
    "client_list_invite",
    "reconnect_queue_send",
    "client_link_new",
    "client_link_again",
    "connection_new",
    "connection_add_as_new",
    "connection_another_region",
    "connection_read_again",
    "connection_check",
    "client_list",
    "connections_check",
    "connections_tag",
    "connections_client",
    "connection_groups",
    "tag_new",
    "client_new",
    "view_save",
    "marketplaces_onboard",
    "marketplaces_onboard_many",
    "reconnect_queue_add",
    "marketplaces_retry",
    "marketplace_resume",
    "ppc_connect",
    "ppc_retry",
    "token_import",
}
TRIPS = {
    "connection_new",
    "connection_authorize",
    "connection_add_as_new",
    "connection_another_region",
    "appstore_start",
    "ppc_connect",
    "reconnect_queue_open",
}


def marked(attribute: str) -> set[str]:
    """Routes of the product whose view carries this mark."""
    found: set[str] = set()
    waiting: list[Any] = list(get_resolver("sellerlegend.urls").url_patterns)
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, URLResolver):
            waiting += entry.url_patterns
        elif getattr(entry.callback, attribute, False):
            found.add(entry.name)
    return found


def test_nobody_took_a_guard_away() -> None:
    assert marked("wants_fresh_sign_in") >= FRESH
    assert marked("changes_want_proof") >= CHANGES_WANT_PROOF
    assert marked("is_costly") >= COSTLY
    assert marked("opens_trip") == TRIPS
