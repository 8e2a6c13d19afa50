"""People of the staff, and the rows that they look at."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import client_links, client_reminders, departures
from connections.client_links import Recipient
from connections.grouping_models import SavedView
from connections.health_models import CapabilityCheck, DataSetReport
from connections.models import AuthorizationRequest, Connection
from connections.queue_models import ReconnectItem, ReconnectQueue
from marketplaces import onboarding
from marketplaces.models import MarketplaceAccount
from ppc.models import PpcLink
from sellerlegend.applications.upkeep import look_after_secrets
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import Organization, User
from tests import factories
from tests.signing_in import signed_in_freshly

SUPPORT = "Support"
GRANTED = (
    "organizations.migrations.0003_support_group",
    "applications.migrations.0002_support_sees_client_secrets",
    "organizations.migrations.0014_support_and_incidents",
    "organizations.migrations.0015_support_and_health",
    "organizations.migrations.0019_support_and_links",
)


def make_support(email: str = "staff@example.com") -> User:
    """As the demo's staff: in the group Support, no superuser."""
    if not Group.objects.filter(name=SUPPORT).exists():
        # A test with real transactions ends in a flush, which takes the group along.
        for name in GRANTED:
            import_module(f"sellerlegend.{name}").add(apps, None)
    user = factories.make_user(email, is_staff=True)
    user.groups.add(Group.objects.get(name=SUPPORT))
    return user


def signed_in(user: User) -> Client:
    return signed_in_freshly(user)


@dataclass(frozen=True)
class Shop:
    """One row of the screen with something of every kind below it."""

    organization: Organization
    connection: Connection
    account: MarketplaceAccount
    link: PpcLink
    trip: AuthorizationRequest


def make_facts_of_health(connection: Connection) -> None:
    now, owner = timezone.now(), connection.organization_id
    CapabilityCheck.objects.for_organization(owner).create(
        connection=connection, capability="orders", state="granted", checked_at=now, changed_at=now
    )
    DataSetReport.objects.for_organization(owner).create(
        connection=connection, data_set="orders", percent=90, reported_at=now
    )
    factories.make_notice(connection)


def make_things_of_people(connection: Connection) -> None:
    """A link to a client, an invitation, a tag, a client, a view, a limit, a queue, files."""
    organization = connection.organization
    owner = factories.owner_of(organization)
    client_links.make(
        connection=connection,
        recipient=Recipient("Maria", "maria@client.example"),
        actor=Actor.person(owner),
    )
    client_reminders.switch(organization=organization, is_on=True, actor=Actor.person(owner))
    factories.make_invitation(organization)
    factories.make_tag(organization, "", connection)
    factories.make_client(organization, "", connection)
    views = SavedView.objects.for_organization(organization)
    views.create(user=owner, name=f"View {views.count()}", query="q=store")
    factories.limit(factories.make_member(organization), organization, connection)
    factories.make_files(organization)
    queues = ReconnectQueue.objects.for_organization(organization)
    queue = queues.filter(user=owner).first() or queues.create(user=owner)
    items = ReconnectItem.objects.for_organization(organization)
    items.create(queue=queue, connection=connection, position=items.count())


def make_shop(seller: str, *, organization: Organization | None = None) -> Shop:
    organization = organization or factories.make_organization()
    look_after_secrets()
    connection = factories.make_connection(organization, seller=seller)
    account = factories.make_account(
        connection, onboarding="needs_attention", attention_reason="gave_up"
    )
    profile = factories.make_profile(factories.make_ads_grant(organization), seller=seller)
    link = factories.make_link(account, profile)
    make_facts_of_health(connection)
    make_things_of_people(connection)
    onboarding.begin_onboarding(
        connection=connection,
        account_ids=[factories.make_account(connection, factories.CANADA).pk],
        actor=COMMAND,
    )
    departures.start_spapi_authorization(
        connection=connection, user=factories.owner_of(organization), session=SessionStore()
    )
    trip: AuthorizationRequest = AuthorizationRequest._base_manager.get(connection=connection)
    return Shop(organization, connection, account, link, trip)


def list_of(model: Any, **query: Any) -> str:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{'&'.join(f'{name}={value}' for name, value in query.items())}"


def page_of(row: Any, page: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def listed(client: Client, model: Any, **query: Any) -> list[Any]:
    """The rows of a staff list."""
    response = client.get(list_of(model, **query))
    assert response.status_code == 200, response
    return list(response.context["cl"].result_list)


def act(client: Client, name: str, rows: list[Any], **fields: Any) -> Any:
    """Choose a named action for rows of one table; with `reason` also confirm it."""
    data = {"action": name, "_selected_action": [str(row.pk) for row in rows]}
    if "reason" in fields:
        fields["confirmed"] = "yes"
    else:
        fields["index"] = 0
    return client.post(list_of(type(rows[0])), data | fields)
