"""Every route of the product, declared once with who may use it and how, and tried.

A route that nobody declared fails `test_every_route_is_declared`. Each declared one is tried
logged out, from another organization, with too low a role and with a wrong method, as a whole
page and under htmx; a refusal changes nothing and sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import DjangoDbBlocker

from connections.models import Connection
from sellerlegend.organizations.models import Organization, Role
from tests import bells, client_trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import (
    make_account,
    make_check,
    make_client,
    make_connection,
    make_files,
    make_invitation,
    make_member,
    make_notice,
    make_organization,
    make_tag,
    make_user,
    make_waiting_connection,
    owner_of,
)
from tests.nothing_changed import nothing_changes
from tests.signing_in import signed_in_freshly
from tests.trees import made_up

READ = ("GET", "HEAD")
FORM = ("GET", "HEAD", "POST")
ACTION = ("POST",)
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    """`role` None: any signed-in person. `takes`: the ids in the path besides the slug."""

    name: str
    methods: tuple[str, ...]
    role: Role | None = None
    takes: tuple[str, ...] = field(default=())


ROW = ("connection_id",)
ACCOUNT = ("connection_id", "account_id")
MEMBER, INVITATION = ("member_id",), ("invitation_id",)

ORGANIZATION_ROUTES = (
    Route("organization_settings", FORM, Role.VIEWER),
    Route("organization_delete", FORM, Role.OWNER),
    Route("account_connections", READ[:1], Role.VIEWER),
    Route("connections_json", READ[:1], Role.VIEWER),
    Route("connection_changes", READ[:1], Role.VIEWER),
    Route("connection_details", READ[:1], Role.VIEWER, ROW),
    Route("connection_timeline", READ[:1], Role.VIEWER, ROW),
    Route("connections_overview", READ[:1], Role.VIEWER),
    Route("connection_new", FORM, Role.MEMBER),
    Route("connection_authorize", FORM, Role.MEMBER, ROW),
    Route("connection_add_as_new", ACTION, Role.MEMBER, ROW),
    Route("connection_rename", FORM, Role.ADMIN, ROW),
    Route("connection_remove", FORM, Role.MEMBER, ROW),
    Route("connection_disconnect", FORM, Role.ADMIN, ROW),
    Route("disconnect_proof", READ[:1], Role.ADMIN, ROW),
    Route("removed_connections", READ[:1], Role.ADMIN),
    Route("connection_restore", ACTION, Role.ADMIN, ROW),
    Route("connection_confirm", ACTION, Role.MEMBER, ROW),
    Route("connection_undo", FORM, Role.MEMBER, ROW),
    Route("connection_read_again", ACTION, Role.MEMBER, ROW),
    Route("connection_another_region", FORM, Role.MEMBER, ROW),
    Route("connection_check", ACTION, Role.MEMBER, ROW),
    Route("connections_check", FORM, Role.MEMBER),
    Route("connections_check_result", READ[:1], Role.MEMBER, ("batch",)),
    Route("connections_tag", FORM, Role.MEMBER),
    Route("connections_client", FORM, Role.MEMBER),
    Route("connection_filters", READ[:1], Role.VIEWER),
    Route("connection_overview", READ[:1], Role.VIEWER),
    Route("connection_groups", FORM, Role.MEMBER, ROW),
    Route("connection_groups_page", READ[:1], Role.VIEWER),
    Route("tag_new", FORM, Role.MEMBER),
    Route("tag_rename", FORM, Role.MEMBER, ("tag_id",)),
    Route("tag_delete", FORM, Role.ADMIN, ("tag_id",)),
    Route("client_new", FORM, Role.ADMIN),
    Route("client_change", FORM, Role.ADMIN, ("client_id",)),
    Route("client_delete", FORM, Role.ADMIN, ("client_id",)),
    # Of one's own, named by a parameter (`tests/connections/test_saved_views.py`).
    Route("saved_views", READ[:1], Role.VIEWER),
    Route("view_save", FORM, Role.VIEWER),
    Route("view_rename", FORM, Role.VIEWER),
    Route("view_delete", FORM, Role.VIEWER),
    Route("marketplaces_onboard", FORM, Role.MEMBER, ROW),
    Route("marketplaces_retry", ACTION, Role.MEMBER, ACCOUNT),
    Route("marketplace_pause", ACTION, Role.MEMBER, ACCOUNT),
    Route("marketplace_resume", ACTION, Role.MEMBER, ACCOUNT),
    Route("ppc_connect", FORM, Role.MEMBER, ROW),
    Route("ppc_retry", ACTION, Role.MEMBER, ACCOUNT),
    Route("notifications", FORM, Role.VIEWER),
    Route("notifications_test_mail", ACTION, Role.MEMBER),
    # What they name is in the body (`tests/connections/test_notifications.py`).
    Route("notices_acknowledge", ACTION, Role.MEMBER),
    Route("notice_snooze", ACTION, Role.MEMBER, ("notice_id",)),
    Route("connections_export", FORM, Role.VIEWER),
    Route("token_import_new", FORM, Role.ADMIN),
    Route("token_import", FORM, Role.ADMIN, ("import_id",)),
    Route("client_list_new", FORM, Role.ADMIN),
    Route("client_list", FORM, Role.ADMIN, ("list_id",)),
    Route("client_list_invite", FORM, Role.ADMIN, ("list_id",)),
    Route("authorisers", READ[:1], Role.VIEWER),
    Route("reconnect_queue", READ[:1], Role.MEMBER),
    Route("reconnect_queue_add", FORM, Role.MEMBER),
    Route("reconnect_queue_open", ACTION, Role.MEMBER),
    Route("reconnect_queue_skip", ACTION, Role.MEMBER),
    Route("reconnect_queue_put_last", ACTION, Role.MEMBER),
    Route("reconnect_queue_take_up", ACTION, Role.MEMBER),
    Route("reconnect_queue_finish", FORM, Role.MEMBER),
    # Of one's own, named by a parameter (`tests/connections/test_queue_links.py`).
    Route("reconnect_queue_send", FORM, Role.MEMBER),
    Route("marketplaces_onboard_many", FORM, Role.MEMBER),
    Route("renewal_calendar", READ[:1], Role.VIEWER),
    Route("calendar_feed_make", ACTION, Role.VIEWER),
    Route("calendar_feed_end", FORM, Role.VIEWER),
    Route("people", READ[:1], Role.VIEWER),
    Route("member_invite", FORM, Role.ADMIN),
    Route("invitation_resend", ACTION, Role.ADMIN, INVITATION),
    Route("invitation_revoke", FORM, Role.ADMIN, INVITATION),
    Route("member_role", FORM, Role.ADMIN, MEMBER),
    Route("member_remove", FORM, Role.ADMIN, MEMBER),
    Route("member_reach", FORM, Role.ADMIN, MEMBER),
    Route("member_leave", FORM, Role.VIEWER),
    Route("ownership_transfer", FORM, Role.OWNER),
    Route("client_link_new", FORM, Role.MEMBER, ROW),
    Route("client_links", READ[:1], Role.MEMBER),
    Route("client_link_again", FORM, Role.MEMBER, ("link_id",)),
    Route("client_links_of_person", FORM, Role.ADMIN, ("person_id",)),
    Route("client_reminders_switch", ACTION, Role.ADMIN),
    Route("client_link_revoke", FORM, Role.MEMBER, ("link_id",)),
)

PERSONAL_ROUTES = (
    Route("home", READ[:1]),
    Route("organization_new", FORM),
    Route("invitation_accept", ACTION),
    Route("profile", FORM),
    Route("login_delete", FORM),
    Route("security", READ[:1]),
    Route("staff_setup", READ[:1]),
    Route("staff_reference", READ[:1]),
    Route("appstore_start", FORM, None, ("ticket",)),
    Route("staff_test_mail", FORM),
    Route("authorization_outcome", READ[:1], None, ("reference",)),
    Route("account_reauthenticate", FORM),
    Route("account_email", FORM),
    Route("account_change_password", FORM),
    Route("account_set_password", FORM),
    Route("mfa_index", READ[:1]),
    Route("mfa_reauthenticate", FORM),
    Route("mfa_activate_totp", FORM),
    Route("mfa_deactivate_totp", FORM),
    Route("mfa_view_recovery_codes", READ[:1]),
    Route("mfa_generate_recovery_codes", FORM),
    Route("mfa_download_recovery_codes", READ[:1]),
    Route("mfa_list_webauthn", READ[:1]),
    Route("mfa_add_webauthn", FORM),
    Route("mfa_reauthenticate_webauthn", FORM),
    Route("mfa_remove_webauthn", FORM, None, ("pk",)),
    Route("mfa_edit_webauthn", FORM, None, ("pk",)),
    Route("usersessions_list", FORM),
    Route("session_end", ACTION, None, ("pk",)),
)

# Open to everybody on purpose: signing in, and Amazon sending the browser back (the trip's own
# state, browser and person are checked inside; `tests/connections/test_callbacks.py`).
PUBLIC_ROUTES = frozenset(
    {
        "account_login",
        "account_logout",
        "account_inactive",
        "account_signup",
        "account_email_verification_sent",
        "account_reset_password",
        "account_confirm_login_code",
        "account_reset_password_done",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
        "mfa_authenticate",
        "mfa_login_webauthn",
        "spapi_login",
        "spapi_callback",
        # Explain what people meet at Amazon and here, also when they are not signed in.
        "amazon_codes",
        "error_catalogue",
        "ads_callback",
        # Its address is the secret (`tests/connections/test_feeds.py`).
        "calendar_feed",
        # So is the invitation's; the page after it shows what the browser's session remembers
        # (`tests/sellerlegend/organizations/test_invitations.py`).
        "invitation",
        "invitation_link",
        # For people without a login (`tests/connections/test_client_link_attacks.py`).
        "client_link",
        "client_link_ended",
        # For probes (`tests/sellerlegend/monitoring/`).
        "healthz",
        "readyz",
        "metrics",
    }
)

# Exist while DEBUG is on, and tests run without it.
DEVELOPMENT_ROUTES = frozenset({"components_page"})

# What differs between two answers to one request: the masked CSRF token and the CSP nonce.
CHANCE = re.compile(rb'(name="csrfmiddlewaretoken" value|nonce)="[^"]*"')

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plain_rendering")]


@dataclass(frozen=True)
class Scene:
    """An organization with a row, and somebody else's."""

    organization: Organization
    connection: Connection
    account_id: UUID
    notice_id: UUID
    import_id: UUID
    list_id: UUID
    member_id: UUID
    invitation_id: UUID
    tag_id: int
    client_id: UUID
    link_id: UUID
    batch: UUID
    outsider: Any

    def path(self, route: Route, **overrides: Any) -> str:
        known = {
            "slug": self.organization.slug,
            "connection_id": self.connection.pk,
            "account_id": self.account_id,
            "notice_id": self.notice_id,
            "import_id": self.import_id,
            "list_id": self.list_id,
            "member_id": self.member_id,
            "person_id": owner_of(self.organization).pk,
            "invitation_id": self.invitation_id,
            "tag_id": self.tag_id,
            "client_id": self.client_id,
            "link_id": self.link_id,
            "batch": self.batch,
            "reference": "BCDFGH23",
            "pk": 1,
            "ticket": "a-step-of-nobody",
        } | overrides
        names = ("slug", *route.takes) if route.role else route.takes
        return reverse(route.name, kwargs={name: known[name] for name in names})


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    """One for all: nearly every test proves that nothing of it changed, the others undo theirs."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_scene()
        transaction.set_rollback(True)


def make_scene() -> Scene:
    organization = make_organization("Northstar")
    connection = make_connection(organization)
    account = make_account(connection)
    notice = make_notice(connection)
    token_import, client_list = make_files(organization)
    colleague = make_member(organization, Role.VIEWER)
    member = colleague.memberships.get()
    invitation, _token = make_invitation(organization)
    tag, owner = make_tag(organization), make_client(organization)
    link = client_trips.ask(connection)
    outsider = owner_of(make_organization("Somebody else"))
    return Scene(
        organization,
        connection,
        account.pk,
        notice.pk,
        token_import.pk,
        client_list.pk,
        member.pk,
        invitation.pk,
        tag.pk,
        owner.pk,
        link.pk,
        make_check(connection),
        outsider,
    )


def leaves(patterns: Any, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in patterns:
        if isinstance(entry, URLResolver):
            yield from leaves(entry.url_patterns, entry.namespace or namespace)
        else:
            yield namespace, entry


def body_of(response: Any) -> bytes:
    return CHANCE.sub(b"", response.content)


def headers_without_chance(response: Any) -> dict[str, str]:
    return {
        name: value
        for name, value in response.headers.items()
        if "nonce-" not in value and name != "X-Request-ID"
    }


def headers_of(is_htmx: bool) -> dict[str, str]:
    return {"HX-Request": "true"} if is_htmx else {}


def named(routes: tuple[Route, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", routes, ids=[route.name for route in routes])


both_ways = pytest.mark.parametrize("is_htmx", [False, True], ids=["page", "htmx"])


def test_every_route_is_declared() -> None:
    declared = {route.name for route in (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES)} | PUBLIC_ROUTES

    found = {
        pattern.name
        for namespace, pattern in leaves(get_resolver().url_patterns)
        if namespace != "admin"
    }

    assert found - DEVELOPMENT_ROUTES == declared


@both_ways
@named((*ORGANIZATION_ROUTES, *PERSONAL_ROUTES))
def test_logged_out_leads_to_the_login_page(
    route: Route, is_htmx: bool, scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    for method in route.methods:
        with nothing_changes(amazon, events=()):
            response = client.generic(method, scene.path(route), headers=headers_of(is_htmx))

        if is_htmx:
            assert response.status_code == 401
            assert response.headers["HX-Redirect"].startswith(reverse("account_login"))
            assert method == "HEAD" or "data-signed-out" in response.content.decode()
        else:
            assert response.status_code == 302
            assert response.headers["Location"].startswith(reverse("account_login"))


@both_ways
@named(ORGANIZATION_ROUTES)
def test_another_organization_is_not_there(
    route: Route, is_htmx: bool, scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    client.force_login(scene.outsider)
    bells.heard()

    for method in route.methods:
        with nothing_changes(amazon, events=()):
            real = client.generic(method, scene.path(route), headers=headers_of(is_htmx))
            unknown = client.generic(
                method, scene.path(route, slug="no-such-thing"), headers=headers_of(is_htmx)
            )

        assert real.status_code == 404
        assert body_of(real) == body_of(unknown)
    assert bells.heard() == []


@both_ways
@named(tuple(route for route in ORGANIZATION_ROUTES if route.takes))
def test_a_foreign_row_is_the_same_as_no_row(
    route: Route, is_htmx: bool, scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    mine = make_organization("Mine")
    signed_in_freshly(owner_of(mine), client)
    none = made_up()
    nobodys = {name: none[name] for name in route.takes}

    for method in route.methods:
        with nothing_changes(amazon, events=()):
            foreign = client.generic(
                method, scene.path(route, slug=mine.slug), headers=headers_of(is_htmx)
            )
            random = client.generic(
                method,
                scene.path(route, slug=mine.slug, **nobodys),
                headers=headers_of(is_htmx),
            )

        assert foreign.status_code == random.status_code == 404
        assert body_of(foreign) == body_of(random)
        assert headers_without_chance(foreign) == headers_without_chance(random)


@both_ways
@named(tuple(route for route in ORGANIZATION_ROUTES if route.role != Role.VIEWER))
def test_too_low_a_role_is_refused(
    route: Route, is_htmx: bool, scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    lower = Role.MEMBER if route.role == Role.ADMIN else Role.VIEWER
    client.force_login(make_member(scene.organization, lower))
    bells.heard()

    for method in route.methods:
        with nothing_changes(amazon, events=()):
            response = client.generic(method, scene.path(route), headers=headers_of(is_htmx))

        assert response.status_code == 403
    assert bells.heard() == []


def test_a_viewer_cannot_rename_the_organization(
    scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    client.force_login(make_member(scene.organization, Role.VIEWER))
    path = reverse("organization_settings", args=[scene.organization.slug])

    with nothing_changes(amazon, events=()):
        response = client.post(path, {"name": "Taken over"})

    assert response.status_code == 403


@both_ways
@named(ORGANIZATION_ROUTES)
def test_a_wrong_method_is_refused(
    route: Route, is_htmx: bool, scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    client.force_login(owner_of(scene.organization))
    wrong = [method for method in ALL_METHODS if method not in (*route.methods, "HEAD")]

    for method in wrong:
        with nothing_changes(amazon, events=()):
            response = client.generic(method, scene.path(route), headers=headers_of(is_htmx))

        assert response.status_code == 405


@named(tuple(route for route in ORGANIZATION_ROUTES if "POST" in route.methods))
def test_a_post_without_a_csrf_token_is_refused(
    route: Route, scene: Scene, amazon: RunningEmulator
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner_of(scene.organization))

    with nothing_changes(amazon, events=()):
        response = strict.post(scene.path(route))

    assert response.status_code == 403


@both_ways
@named(tuple(route for route in ORGANIZATION_ROUTES if "GET" in route.methods))
def test_looking_changes_nothing(
    route: Route, is_htmx: bool, scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    user = owner_of(scene.organization)
    signed_in_freshly(user, client)
    client.get(reverse("account_connections", args=[scene.organization.slug]))

    with nothing_changes(amazon, events=()):
        response = client.get(scene.path(route), headers=headers_of(is_htmx))

    assert response.status_code in (200, 204)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in response.headers["Content-Security-Policy"]


def test_a_waiting_row_offers_its_removal(scene: Scene, client: Client) -> None:
    waiting = make_waiting_connection(scene.organization)
    client.force_login(owner_of(scene.organization))
    path = reverse("connection_remove", args=[scene.organization.slug, waiting.pk])

    assert client.get(path).status_code == 200
    assert client.post(path).status_code == 303
    assert not Connection.objects.for_organization(scene.organization).filter(pk=waiting.pk)


def test_the_login_uri_uses_no_address_that_is_not_amazons(
    client: Client, amazon: RunningEmulator
) -> None:
    evil = {
        "amazon_callback_uri": "https://evil.example/",
        "amazon_state": "attackers-state",
        "selling_partner_id": "A1",
    }

    with nothing_changes(amazon, events=()):
        response = client.get(reverse("spapi_login"), evil)

    assert response.status_code == 400
    assert "evil.example" not in response.content.decode()
    assert dict(client.session) == {}


@pytest.mark.parametrize("name", ["spapi_login", "amazon_codes", "error_catalogue"])
def test_a_page_for_everybody_opens_for_everybody(
    name: str, scene: Scene, client: Client, amazon: RunningEmulator
) -> None:
    member = Client()
    member.force_login(owner_of(scene.organization))

    with nothing_changes(amazon, events=()):
        for browser in (client, member):
            assert browser.get(reverse(name)).status_code == 200
            assert browser.post(reverse(name)).status_code == 405


@pytest.mark.parametrize("name", ["staff_setup", "staff_reference"])
def test_a_page_of_staff_is_for_staff(client: Client, name: str) -> None:
    client.force_login(make_user())
    assert client.get(reverse(name)).status_code == 404

    signed_in_freshly(make_user(is_staff=True), client)
    assert client.get(reverse(name)).status_code == 200


def test_the_admin_is_for_staff(client: Client, scene: Scene, amazon: RunningEmulator) -> None:
    client.force_login(owner_of(scene.organization))
    guesses = {"object_id": "1", "app_label": "connections"}
    tried = 0

    for namespace, pattern in leaves(get_resolver().url_patterns):
        if namespace != "admin" or pattern.name is None:
            continue
        wanted = pattern.pattern.converters or pattern.pattern.regex.groupindex
        path = reverse(
            f"admin:{pattern.name}", kwargs={name: guesses.get(name, "1") for name in wanted}
        )
        with nothing_changes(amazon, events=()):
            response = client.get(path)
        if pattern.name not in ("login", "logout", "jsi18n"):
            assert response.status_code == 302, path
            assert "login" in response.headers["Location"], path
            tried += 1

    assert tried > 10
