"""A removed row is out of sight, can be had back, and never makes a twin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import removal, services, storing
from connections.models import Connection, Grant, SpApiGrant
from marketplaces.models import MarketplaceAccount
from ppc import disconnecting, removing
from ppc.disconnecting import Side
from ppc.models import PpcLink
from sellerlegend.amazon.secret import Secret
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization, Role
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import US, owner_of
from tests.nothing_changed import nothing_changes
from tests.operators import run_command
from tests.signing_in import signed_in_freshly

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def actor(organization: Organization) -> Actor:
    return Actor.person(owner_of(organization))


@pytest.fixture
def row(organization: Organization, actor: Actor) -> Connection:
    """Removed a moment ago; one marketplace was onboarded and linked by a consent that lives."""
    connection = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)
    account = factories.make_account(connection, US, onboarding="onboarded")
    grant = factories.make_ads_grant(organization)
    factories.make_link(account, factories.make_profile(grant, seller=NORTHSTAR))
    disconnecting.disconnect(connection=connection, sides=frozenset({Side.SPAPI}), actor=actor)
    removing.remove(connection=connection, actor=actor)
    return connection


@pytest.fixture
def client(organization: Organization) -> Client:
    return signed_in_freshly(owner_of(organization))


def url(organization: Organization, name: str, *ids: Any) -> str:
    return reverse(name, args=[organization.slug, *ids])


def shown(organization: Organization) -> list[str]:
    rows = Connection.objects.for_organization(organization)
    return list(rows.order_by("name").values_list("name", flat=True))


def restore(row: Connection, actor: Actor) -> Connection:
    return removing.restore(organization_id=row.organization_id, connection_id=row.pk, actor=actor)


def test_no_page_shows_a_removed_row_and_none_acts_on_it(
    amazon: RunningEmulator, row: Connection, client: Client
) -> None:
    organization = row.organization
    assert "Northstar</span>" not in client.get(url(organization, "account_connections")).text
    with nothing_changes(amazon, events=()):
        for name in ("connection_details", "connection_authorize", "connection_rename"):
            assert client.get(url(organization, name, row.pk)).status_code == 404
        for name in ("connection_read_again", "connection_disconnect", "connection_remove"):
            assert client.post(url(organization, name, row.pk)).status_code == 404
    assert services.count_sellers() == 0
    assert not Job.objects.for_organization(organization).filter(status__in=Job.LIVE).exists()


def test_removing_ends_the_links_and_keeps_the_consent_that_may_feed_others(
    row: Connection,
) -> None:
    link = PpcLink.objects.for_organization(row.organization_id).get()
    assert (link.status, link.profile is None) == (PpcLink.Status.UNLINKED, False)
    event = AuditEvent._base_manager.get(code="ppc_link_unlinked")
    assert event.details["reason"] == "removed"
    assert link.profile is not None
    assert link.profile.grant.status == Grant.Status.ACTIVE


def test_the_page_of_removed_rows_says_until_when_and_restores(
    row: Connection, client: Client
) -> None:
    organization = row.organization
    page = client.get(url(organization, "removed_connections")).text
    grant = SpApiGrant._base_manager.get(connection=row)
    last_day = timezone.localtime(grant.status_changed_at + timedelta(days=30, hours=-1))
    assert NORTHSTAR in page
    assert f"{last_day:%b}" in page
    assert f"{last_day.day}, {last_day.year}" in page

    answer = client.post(url(organization, "connection_restore", row.pk), follow=True)

    assert "Northstar is back in the list, still disconnected." in answer.text
    assert shown(organization) == ["Northstar"]
    found = Connection.objects.for_organization(organization).get()
    assert (found.pk, found.removed_at) == (row.pk, None)
    kept = MarketplaceAccount.objects.for_organization(organization).get()
    assert kept.onboarding == MarketplaceAccount.Onboarding.ONBOARDED
    assert AuditEvent._base_manager.filter(code="connection_restored").count() == 1


def test_a_second_click_on_restore_changes_nothing(
    amazon: RunningEmulator, row: Connection, client: Client, actor: Actor
) -> None:
    restore(row, actor)
    with nothing_changes(amazon, events=()):
        answer = client.post(url(row.organization, "connection_restore", row.pk))
    assert answer.status_code == 303


def test_only_administrators_see_and_restore(amazon: RunningEmulator, row: Connection) -> None:
    member = trips.sign_in(factories.make_member(row.organization, Role.MEMBER))
    with nothing_changes(amazon, events=()):
        assert member.get(url(row.organization, "removed_connections")).status_code == 403
        assert member.post(url(row.organization, "connection_restore", row.pk)).status_code == 403
    page = member.get(url(row.organization, "account_connections")).text
    assert "Removed connections" not in page


def test_the_name_is_free_and_the_restored_row_takes_the_next_one(
    row: Connection, actor: Actor
) -> None:
    organization = row.organization
    factories.make_connection(organization, name="northstar", seller=BLUE_HARBOR)
    factories.make_connection(organization, name="Northstar 2", seller="A3THIRD0000003")

    restored = restore(row, actor)

    assert restored.name == "Northstar 3"
    assert shown(organization) == ["Northstar 2", "Northstar 3", "northstar"]


def test_a_numbered_name_still_fits(organization: Organization) -> None:
    factories.make_waiting_connection(organization, name="N" * 80)
    twin = Connection(organization=organization, name="n" * 80)
    assert removal.free_name(twin) == f"{'n' * 78} 2"


def test_connecting_the_same_seller_brings_the_removed_row_back(
    amazon: RunningEmulator, row: Connection, organization: Organization
) -> None:
    """Id, history and settings, and no twin."""
    person = owner_of(organization)
    client = trips.sign_in(person)
    waiting = factories.make_waiting_connection(organization, name="A new name")

    outcome = trips.come_back(client, trips.confirm(trips.leave(client, waiting), NORTHSTAR))

    assert outcome == "brought_back"
    found = Connection.with_removed.for_organization(organization).get()
    assert (found.pk, found.name, found.removed_at) == (row.pk, "Northstar", None)
    assert factories.grant_of(found).status == Grant.Status.ACTIVE
    kept = MarketplaceAccount.objects.for_organization(organization).get()
    assert kept.onboarding == MarketplaceAccount.Onboarding.ONBOARDED
    restored = AuditEvent._base_manager.get(code="connection_restored")
    assert (restored.connection_id, restored.actor) == (row.pk, person)


def test_a_trip_from_before_the_removal_does_not_bring_it_back(
    amazon: RunningEmulator, organization: Organization, actor: Actor
) -> None:
    """The newer fact wins: somebody removed the row while another one was at Amazon."""
    row = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)
    disconnecting.disconnect(connection=row, sides=frozenset({Side.SPAPI}), actor=actor)
    client = trips.sign_in(owner_of(organization))
    back = trips.confirm(trips.leave(client, row), NORTHSTAR)

    removing.remove(connection=row, actor=actor)

    assert trips.come_back(client, back) == "row_removed"
    assert shown(organization) == []
    assert factories.grant_of(row).status == Grant.Status.DISCONNECTED


def test_a_consent_that_is_being_stored_finds_the_row_removed(
    organization: Organization, row: Connection
) -> None:
    with pytest.raises(storing.RowRemoved), transaction.atomic():
        storing.store_spapi_grant(
            connection=row,
            seller=NORTHSTAR,
            token=Secret("Atzr|made-up-too-late"),
            actor=Actor.person(owner_of(organization)),
            began_at=timezone.now() - timedelta(minutes=1),
        )
    assert factories.grant_of(row).status == Grant.Status.DISCONNECTED


def test_a_removed_row_is_erased_30_days_after_the_disconnect_not_after_the_removal(
    organization: Organization, row: Connection
) -> None:
    moved = {"status_changed_at": timezone.now() - timedelta(days=30)}
    SpApiGrant._base_manager.filter(connection=row).update(**moved)

    assert run_command("prune", "--yes").code == 0

    assert not Connection.with_removed.for_organization(organization).exists()
    assert not MarketplaceAccount.objects.for_organization(organization).exists()


def test_it_goes_with_its_organization(row: Connection, actor: Actor) -> None:
    from ppc import erasure

    erasure.delete_organization(organization=row.organization, actor=actor)
    erasure.erase_organization(row.organization, actor=actor)
    assert not Connection._base_manager.filter(pk=row.pk).exists()


def test_a_row_with_a_consent_is_not_removed(
    amazon: RunningEmulator, organization: Organization, actor: Actor
) -> None:
    living = factories.make_connection(organization, seller=BLUE_HARBOR)
    with nothing_changes(amazon, events=()), pytest.raises(services.NotRemovable):
        removing.remove(connection=living, actor=actor)


# The proof ---------------------------------------------------------------------------------


def test_the_proof_names_who_when_and_which_consent(row: Connection, client: Client) -> None:
    page = client.get(url(row.organization, "disconnect_proof", row.pk)).text

    grant = SpApiGrant._base_manager.get(connection=row)
    assert grant.fingerprint in page
    assert str(owner_of(row.organization)) in page
    assert NORTHSTAR in page
    assert str(row.pk) in page
    assert "used in 1 marketplace" in page
    assert "Manage Your Apps → Disable authorization" in page
    assert "refresh_token" not in page


def test_the_proof_outlives_the_row(row: Connection, client: Client) -> None:
    disconnecting.drop_row(row.organization_id, row.pk)
    page = client.get(url(row.organization, "disconnect_proof", row.pk)).text
    assert "Erased since" in page
    assert NORTHSTAR not in page


def test_there_is_no_proof_of_what_was_not_disconnected_or_is_another_organizations(
    organization: Organization, row: Connection, client: Client
) -> None:
    living = factories.make_connection(organization, seller=BLUE_HARBOR)
    page = client.get(url(organization, "disconnect_proof", living.pk)).text
    assert "This connection was never disconnected." in page
    other = factories.make_organization()
    stranger = signed_in_freshly(owner_of(other))
    assert stranger.get(url(other, "disconnect_proof", row.pk)).status_code == 404


# The row after a disconnect ------------------------------------------------------------------


def test_the_row_says_until_when_it_comes_back_and_how_to_finish_at_amazon(
    organization: Organization, actor: Actor, client: Client
) -> None:
    row = factories.make_connection(organization, name="Blue Harbor", seller=BLUE_HARBOR)
    disconnecting.disconnect(connection=row, sides=frozenset({Side.SPAPI}), actor=actor)

    page = client.get(url(organization, "account_connections")).text

    last_day = timezone.localtime(timezone.now() + timedelta(days=30, hours=-1))
    assert f"{last_day.day}, {last_day.year} and everything is as it was" in page
    assert "Apps and Services → Manage Your Apps" in page
    assert url(organization, "disconnect_proof", row.pk) in page


def test_the_ppc_cell_says_how_to_finish_after_the_ads_consent_ended(
    organization: Organization, actor: Actor, client: Client
) -> None:
    row = factories.make_connection(organization, name="Blue Harbor", seller=BLUE_HARBOR)
    profile = factories.make_profile(factories.make_ads_grant(organization), seller=BLUE_HARBOR)
    factories.make_link(factories.make_account(row, US, onboarding="onboarded"), profile)
    disconnecting.disconnect(connection=row, sides=frozenset({Side.PPC}), actor=actor)

    page = client.get(url(organization, "account_connections")).text

    assert "removes our app there, under Login with Amazon" in page
