"""A fresh sign-in before what cannot be taken back, through the browser's front door."""

from __future__ import annotations

import time
from collections import Counter
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from django.http import HttpResponse
from django.test import Client
from django.urls import URLResolver, get_resolver, include, path, reverse

from sellerlegend.organizations.access import OrganizationRequest, organization_view
from sellerlegend.organizations.models import Organization, Role, User
from sellerlegend.organizations.step_up import recently_authenticated
from tests.architecture.test_every_url import ORGANIZATION_ROUTES, PERSONAL_ROUTES
from tests.factories import PASSWORD, make_member, make_organization, make_user, owner_of
from tests.signing_in import signed_in_freshly, signed_in_long_ago

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

done: list[str] = []

# allauth's own pages of what protects the account, and the second step without which there is none.
TOTP, PASSKEY = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN
MADE_UP = {"name": "Key", "credential": {}}
ASKED_BY_ALLAUTH = {
    "account_email": None,
    "mfa_activate_totp": None,
    "mfa_deactivate_totp": TOTP,
    "mfa_generate_recovery_codes": TOTP,
    "mfa_add_webauthn": None,
    "mfa_edit_webauthn": PASSKEY,
    "mfa_remove_webauthn": PASSKEY,
}


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


def test_the_account_itself_is_protected_alike(owner: User) -> None:
    fields = {"email": "new@example.com", "action_add": "", "code": "123456", "name": "key"}

    for route, kind in ASKED_BY_ALLAUTH.items():
        Authenticator.objects.all().delete()
        made = [Authenticator.objects.create(user=owner, type=kind, data=MADE_UP)] if kind else []
        takes = [one.pk for one in made if kind == PASSKEY]
        address = reverse(route, args=takes)
        stale = signed_in_long_ago(owner).post(address, fields)
        fresh = signed_in_freshly(owner).post(address, fields)

        assert stale.status_code == 302, route
        assert urlsplit(stale.headers["Location"]).path == reverse("account_reauthenticate"), route
        assert fresh.status_code in (200, 302), route
        assert "reauthenticate" not in fresh.headers.get("Location", ""), route


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
    "invitation_revoke",
    "calendar_feed_make",
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
# Ask inside, where it depends on the row (`tests/ppc/test_removing.py`, `test_undo.py`).
ASK_FOR_SOME_ROWS = {"connection_remove", "connection_undo"}
# Every other route that takes a form, and why it asks for no proof.
WANT_NO_PROOF = {
    "are the proof itself, or want the current password": {
        "account_reauthenticate",
        "mfa_reauthenticate",
        "mfa_reauthenticate_webauthn",
        "account_change_password",
    },
    "there is no password yet: this person has nothing to prove it with": {"account_set_password"},
    "take a way in away from others, and can be given anew": {
        "session_end",
        "usersessions_list",
        "calendar_feed_end",
        "client_link_revoke",
        "client_links_of_person",
    },
    "lead to Amazon, who asks who it is": {
        "appstore_start",
        "connection_new",
        "connection_authorize",
        "connection_add_as_new",
        "connection_another_region",
        "ppc_connect",
        "reconnect_queue_open",
    },
    "ask Amazon for something once more, or to begin": {
        "connection_check",
        "connections_check",
        "connection_read_again",
        "marketplaces_onboard",
        "marketplaces_onboard_many",
        "marketplaces_retry",
        "marketplace_pause",
        "marketplace_resume",
        "ppc_retry",
    },
    "bring a row back or keep it": {"connection_confirm", "connection_restore"},
    "name and sort": {
        "organization_new",
        "organization_settings",
        "profile",
        "connection_rename",
        "connection_groups",
        "connections_client",
        "connections_tag",
        "client_new",
        "client_change",
        "client_delete",
        "tag_new",
        "tag_rename",
        "tag_delete",
        "view_save",
        "view_rename",
        "view_delete",
        "client_list_new",
        "client_list",
    },
    "say what one is told of, and that one knows": {
        "notifications",
        "notifications_test_mail",
        "notices_acknowledge",
        "notice_snooze",
        "client_reminders_switch",
        "staff_test_mail",
    },
    "order one's own work": {
        "reconnect_queue_add",
        "reconnect_queue_skip",
        "reconnect_queue_put_last",
        "reconnect_queue_take_up",
        "reconnect_queue_finish",
    },
    "join by an invitation to a proved address": {"invitation_accept"},
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
    "tag_rename",
    "tag_delete",
    "client_new",
    "client_change",
    "client_delete",
    "view_save",
    "view_rename",
    "view_delete",
    "calendar_feed_make",
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
    assert marked("wants_fresh_sign_in") == FRESH
    assert marked("changes_want_proof") == CHANGES_WANT_PROOF
    assert marked("is_costly") == COSTLY
    assert marked("opens_trip") == TRIPS


def test_every_form_wants_a_proof_or_says_why_not() -> None:
    """A new one has to be decided about."""
    taking = {
        route.name for route in (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES) if "POST" in route.methods
    }
    asking = [FRESH, CHANGES_WANT_PROOF, ASKED_BY_ALLAUTH, ASK_FOR_SOME_ROWS]
    decided = Counter(chain(*asking, *WANT_NO_PROOF.values()))

    assert decided == Counter(taking)
