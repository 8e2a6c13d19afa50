"""A form takes the fields that it shows, and no column that somebody adds to it (B2).

Every route that takes a form gets a body that it accepts, and the same with columns that the
product alone writes, pointing at somebody else's rows. Both do the same, and neither touches a row
of somebody else.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.utils import timezone

from connections.grouping_models import SavedView
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.renewals import make_feed
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Allowance, Role
from tests.amazon_emulator import RunningEmulator
from tests.architecture.test_every_url import ORGANIZATION_ROUTES, PERSONAL_ROUTES, Route
from tests.architecture.test_route_matrix import PEOPLE, Ids, Person, undone
from tests.factories import UK, US, owner_of
from tests.nothing_changed import Rows, all_rows, changed_columns
from tests.trees import Tree, ids_of, make_tree

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plain_rendering")]

TAKING = tuple(
    route for route in (*ORGANIZATION_ROUTES, *PERSONAL_ROUTES) if "POST" in route.methods
)
OF_MEMBERS = tuple(
    route
    for route in TAKING
    if {"member_id", "invitation_id"} & set(route.takes) or route.name == "member_invite"
)
# What changes no row of ours here, so that an added field could not show.
WITHOUT_EFFECT = {
    "allauth's, with rows of its own": {
        "account_change_password",
        "account_email",
        "account_reauthenticate",
        "account_set_password",
        "mfa_activate_totp",
        "mfa_add_webauthn",
        "mfa_deactivate_totp",
        "mfa_edit_webauthn",
        "mfa_generate_recovery_codes",
        "mfa_reauthenticate",
        "mfa_reauthenticate_webauthn",
        "mfa_remove_webauthn",
        "session_end",
        "usersessions_list",
    },
    "the only owner stays": {"login_delete", "member_leave"},
    "the row is connected, and all is well with it": {
        "connection_remove",
        "connection_restore",
        "connection_undo",
        "marketplaces_onboard_many",
        "reconnect_queue_add",
        "reconnect_queue_send",
        "client_list_invite",
    },
    "of a browser that came by a link, or of staff": {
        "appstore_start",
        "invitation_accept",
        "staff_test_mail",
    },
    "an answer alone": {"connections_export", "notifications_test_mail"},
}
# Columns whose values are compared; of all others, that they changed.
WATCHED = frozenset(
    {
        "organization_id",
        "user_id",
        "connection_id",
        "is_staff",
        "is_superuser",
        "is_active",
        "role",
        "status",
        "state",
        "removed_at",
        "selling_partner_id",
    }
)


def added(foreign: Tree) -> dict[str, Any]:
    organization, owner = foreign.organization.pk, owner_of(foreign.organization).pk
    return {
        "organization": organization,
        "organization_id": organization,
        "tenant_id": organization,
        "user": owner,
        "user_id": owner,
        "connection_id": foreign.connection.pk,
        "id": foreign.connection.pk,
        "pk": foreign.connection.pk,
        "is_staff": "on",
        "is_superuser": "on",
        "is_active": "",
        "role": "owner",
        "status": "disconnected",
        "state": "granted",
        "removed_at": "2020-01-01T00:00:00Z",
        "selling_partner_id": foreign.connection.selling_partner_id,
    }


def accepted(tree: Tree, item: ReconnectItem) -> dict[str, dict[str, Any]]:
    """By route; the others want no field."""
    row = {"row": tree.connection.pk}
    words = {"language": "en", "message": "", "days": "7"}
    table = "name,marketplace,seller id,refresh token\nNew,US,B0000000000009,Atzr|new-one\n"
    return {
        "organization_settings": {"name": "Renamed"},
        "organization_delete": {"name": tree.organization.name},
        "organization_new": {"name": "Another"},
        "profile": {"name": "Renamed", "time_zone": "UTC", "language": "de"},
        "login_delete": {"email": owner_of(tree.organization).email},
        "connection_new": {"name": "New", "marketplace": US},
        "connection_rename": {"name": "Renamed", "known": tree.connection.name},
        "connection_disconnect": {"side": "spapi"},
        "connection_another_region": {"name": "Elsewhere", "marketplace": UK},
        "connection_groups": {"tag": tree.tag.pk, "client": tree.client.pk},
        "connections_check": row,
        "connections_tag": row | {"do": "add", "which": tree.tag.pk},
        "connections_client": row | {"which": tree.client.pk},
        "connections_export": row | {"kind": "csv"},
        "marketplaces_onboard": {"account": tree.account.pk},
        "marketplaces_onboard_many": row,
        "ppc_connect": {"account": tree.account.pk},
        "tag_new": {"name": "New tag"},
        "tag_rename": {"name": "Renamed"},
        "client_new": {"name": "New client"},
        "client_change": {"name": "Renamed"},
        "view_save": {"name": "New view", "query": "q=store"},
        "view_rename": {"name": "Renamed"},
        "notifications": {
            "wants": "",
            "digest_hour": "9",
            "quiet_from": "22",
            "quiet_until": "6",
            "paused_until": "",
        },
        "notices_acknowledge": {"notice": tree.notice.pk},
        "notice_snooze": {"days": "7"},
        "token_import_new": {"text": table},
        "token_import": {"action": "confirm"},
        "client_list_new": {"text": "client name,store name,marketplace\nNew,Listed,US\n"},
        "client_list": {"action": "confirm"},
        "client_list_invite": words | {"since": timezone.now().isoformat()},
        "reconnect_queue_add": row,
        "reconnect_queue_open": {"item": item.pk},
        "reconnect_queue_skip": {"item": item.pk},
        "reconnect_queue_put_last": {"item": item.pk},
        "reconnect_queue_take_up": {"item": item.pk},
        "reconnect_queue_send": words | {"since": timezone.now().isoformat()},
        "member_invite": {"email": "new@example.com", "role": "viewer"},
        "member_role": {"role": "member"},
        "member_reach": {"sees": "some", "connections": tree.connection.pk},
        "ownership_transfer": {"member": tree.member.pk},
        "client_link_new": words | {"recipient_name": "Maria", "recipient_email": ""},
        "client_reminders_switch": {"on": "yes"},
    }


def what_came_of(before: Rows, after: Rows) -> list[Any]:
    """Rows that went, came and changed, without the ids and the moments that are new each time."""
    known = {key for _label, key in before}
    went = [("went", *key) for key in before.keys() - after.keys()]
    came = [
        ("came", label, *(f"{name}={told(name, value, known)}" for name, value in row.items()))
        for (label, key) in after.keys() - before.keys()
        for row in [watched(after[label, key])]
    ]
    changed = [
        ("changed", *key, name, told(name, watched(after[key]).get(name), known))
        for key in before.keys() & after.keys()
        if before[key] != after[key]
        for name in changed_columns(before[key], after[key])
    ]
    return sorted([*went, *came, *changed])


def watched(row: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(row).items() if name in WATCHED}


def told(name: str, value: Any, known: set[str]) -> str:
    if name == "removed_at":
        return "set" if value else ""
    is_new = name.endswith("_id") and name != "selling_partner_id" and value not in known
    return "new" if value and is_new else str(value)


def rows_of(tree: Tree, rows: Rows) -> Rows:
    """That are this organization's or its owner's, or name either."""
    ids = (str(tree.organization.pk), str(owner_of(tree.organization).pk))
    return {key: row for key, row in rows.items() if any(one in row for one in ids)}


def sent(person: Person, route: Route, tree: Tree, fields: dict[str, Any]) -> tuple[int, Rows]:
    """The status, and all rows as they were for a moment."""
    with undone(person):
        Allowance.objects.all().delete()  # how often one may is told elsewhere
        if "pk" not in route.takes:
            Authenticator.objects.all().delete()  # made up: others would read it
        answer = person.client.post(path_of(route, tree), fields)
        return int(answer.status_code), all_rows()


def path_of(route: Route, tree: Tree) -> str:
    path = Ids("own", ids_of(tree)).path(route)
    if route.name not in ("view_rename", "view_delete"):
        return path
    return f"{path}?view={SavedView.objects.for_organization(tree.organization).get().pk}"


@pytest.fixture
def tree() -> Tree:
    """With what a person has for himself: a link to the calendar, and a view."""
    tree = make_tree("Northstar")
    organization, owner = tree.organization, owner_of(tree.organization)
    make_feed(organization=organization, user=owner, actor=Actor.person(owner))
    views = SavedView.objects.for_organization(organization)
    views.create(user=owner, name="View", query="q=store")
    return tree


@pytest.fixture
def item(tree: Tree) -> ReconnectItem:
    organization = tree.organization
    queues = ReconnectQueue.objects.for_organization(organization)
    queue = queues.create(user=owner_of(organization))
    items = ReconnectItem.objects.for_organization(organization)
    made: ReconnectItem = items.create(queue=queue, connection=tree.connection, position=1)
    return made


def test_an_added_field_changes_nothing(
    tree: Tree, item: ReconnectItem, amazon: RunningEmulator
) -> None:
    foreign = make_tree("Harbor")
    fields, extra = accepted(tree, item), added(foreign)
    owner, admin = PEOPLE["owner"](tree), PEOPLE["admin"](tree)
    before = all_rows()
    theirs = rows_of(foreign, before)
    assert len(theirs) > 15
    assert admin.role == Role.ADMIN
    without_effect: set[str] = set()

    for person, routes in ((owner, TAKING), (admin, OF_MEMBERS)):
        for route in routes:
            own = fields.get(route.name, {})
            status, plain = sent(person, route, tree, own)
            same, attacked = sent(person, route, tree, extra | own)

            assert same == status, route.name
            assert what_came_of(before, attacked) == what_came_of(before, plain), route.name
            assert rows_of(foreign, plain) == rows_of(foreign, attacked) == theirs, route.name
            if plain == before:
                without_effect.add(route.name)

    assert without_effect == set().union(*WITHOUT_EFFECT.values())
