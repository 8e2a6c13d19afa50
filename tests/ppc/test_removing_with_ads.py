"""What a removal makes of the row's Amazon Ads consents, and a restoration of its links."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import renewals
from connections.models import AdsGrant, AuthorizationRequest, Connection, Grant, SpApiGrant
from ppc import disconnecting, removing
from ppc import services as ppc_services
from ppc.disconnecting import Side
from ppc.models import PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization, Role
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import CANADA, US, owner_of
from tests.operators import run_command
from tests.signing_in import signed_in_freshly

NORTHSTAR, BLUE_HARBOR, LOGIN = "A1NORTHSTAR001", "A2BLUEHARBOR02", "ads@northstar.example"

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def actor(organization: Organization) -> Actor:
    return Actor.person(owner_of(organization))


@pytest.fixture
def client(organization: Organization) -> Client:
    return signed_in_freshly(owner_of(organization))


@pytest.fixture
def row(amazon: RunningEmulator, organization: Organization, actor: Actor) -> Connection:
    """Its PPC is linked through a consent that no other row uses; Seller Central is ended."""
    connection = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)
    account = factories.make_account(connection, US, onboarding="onboarded")
    factories.make_ads_grant(organization, refresh_token=amazon.world.authorize_ads(LOGIN))
    ppc_services.begin_linking(connection=connection, account_ids=[account.pk], actor=actor)
    ledger.drain("interactive")
    assert link_of(connection).status == PpcLink.Status.LINKED
    disconnecting.disconnect(connection=connection, sides=frozenset({Side.SPAPI}), actor=actor)
    return connection


def link_of(connection: Connection) -> PpcLink:
    links = PpcLink.objects.for_organization(connection.organization_id)
    link: PpcLink = links.get(account__connection=connection)
    return link


def consent_of(organization: Organization) -> AdsGrant:
    grant: AdsGrant = AdsGrant.objects.for_organization(organization).get()
    return grant


def url(row: Connection, name: str) -> str:
    return reverse(name, args=[row.organization.slug, row.pk])


def list_url(row: Connection, name: str = "account_connections") -> str:
    return reverse(name, args=[row.organization.slug])


def restore(row: Connection, actor: Actor) -> Connection:
    return removing.restore(organization_id=row.organization_id, connection_id=row.pk, actor=actor)


def serve_another_row(organization: Organization, name: str = "Blue Harbor") -> Connection:
    """The same Ads consent feeds it."""
    other = factories.make_connection(organization, name=name, seller=BLUE_HARBOR)
    factories.put_to_use(consent_of(organization), other)
    return other


def names_to_renew(organization: Organization) -> list[str]:
    return [renewal.name for renewal in renewals.renewals_of(organization) if renewal.is_ads]


# Restoring ---------------------------------------------------------------------------------


def test_a_restored_row_gets_its_links_back_by_the_ordinary_work(
    row: Connection, client: Client, actor: Actor
) -> None:
    client.post(url(row, "connection_remove"), {})
    assert link_of(row).status == PpcLink.Status.UNLINKED

    told = client.post(url(row, "connection_restore"), follow=True).text

    assert "Its PPC links are being made again." in told
    assert "PPC must be connected again" not in told
    assert link_of(row).status == PpcLink.Status.WORKING
    ledger.drain("interactive")
    link = link_of(row)
    assert (link.status, link.chosen_by) == (PpcLink.Status.LINKED, actor.user)
    assert link.profile is not None
    assert link.profile.grant_id == consent_of(row.organization).pk


def test_connecting_the_seller_again_brings_the_links_back_too(
    amazon: RunningEmulator, row: Connection, client: Client, actor: Actor
) -> None:
    removing.remove(connection=row, actor=actor)
    waiting = factories.make_waiting_connection(row.organization, name="A new name")

    outcome = trips.come_back(client, trips.confirm(trips.leave(client, waiting), NORTHSTAR))
    ledger.drain("interactive")

    assert outcome == "brought_back"
    assert link_of(row).status == PpcLink.Status.LINKED


def test_a_link_that_somebody_ended_before_the_removal_stays_ended(
    row: Connection, actor: Actor
) -> None:
    """The consent it had is over; another one that sees the profile was not chosen for it."""
    disconnecting.disconnect(connection=row, sides=frozenset({Side.PPC}), actor=actor)
    other = factories.make_ads_grant(row.organization)
    factories.make_profile(other, seller=NORTHSTAR)
    removing.remove(connection=row, actor=actor)

    restore(row, actor)

    assert link_of(row).status == PpcLink.Status.UNLINKED
    assert not Job.objects.for_organization(row.organization).filter(status__in=Job.LIVE).exists()


def test_a_profile_that_is_listed_no_more_is_not_linked_again(
    row: Connection, client: Client, actor: Actor
) -> None:
    removing.remove(connection=row, actor=actor)
    consent_of(row.organization).profiles.update(is_listed=False)

    told = client.post(url(row, "connection_restore"), follow=True).text

    assert "After that, PPC must be connected again." in told
    assert link_of(row).status == PpcLink.Status.UNLINKED


# Removing ----------------------------------------------------------------------------------


def test_the_page_offers_to_end_the_consent_that_no_other_row_uses(
    row: Connection, client: Client
) -> None:
    page = client.get(url(row, "connection_remove")).text
    assert '<input type="checkbox" name="end_ads" value="1" checked>' in page
    assert "No other row uses it." in page
    assert consent_of(row.organization).status == Grant.Status.ACTIVE

    told = client.post(url(row, "connection_remove"), {"end_ads": "1"}, follow=True).text

    assert "Its Amazon Ads token was destroyed; the proof is there, too." in told
    consent = consent_of(row.organization)
    assert (consent.status, consent.refresh_token) == (Grant.Status.DISCONNECTED, "")
    assert link_of(row).status == PpcLink.Status.UNLINKED
    event = AuditEvent._base_manager.filter(code="connection_disconnected").latest("pk")
    destroyed = [each["fingerprint"] for each in event.details["destroyed"]]
    assert (event.details["sides"], event.details["fed"]) == (["ppc"], [str(row.pk)])
    assert destroyed == [consent.fingerprint]
    assert consent.fingerprint in client.get(url(row, "disconnect_proof")).text
    assert names_to_renew(row.organization) == []

    restored = client.post(url(row, "connection_restore"), follow=True).text

    assert "After that, PPC must be connected again." in restored
    assert "PPC must be connected again, once the account is reconnected." in restored
    assert link_of(row).status == PpcLink.Status.UNLINKED


def test_a_consent_that_is_kept_is_asked_for_by_no_calendar_and_ends_with_the_row(
    row: Connection, client: Client
) -> None:
    assert names_to_renew(row.organization) == ["Northstar"]

    told = client.post(url(row, "connection_remove"), {}, follow=True).text

    assert "token was destroyed" not in told
    assert consent_of(row.organization).status == Grant.Status.ACTIVE
    assert names_to_renew(row.organization) == []
    page = client.get(list_url(row, "removed_connections")).text
    assert "Its Amazon Ads consent lives on until that day." in page

    moved = {"status_changed_at": timezone.now() - timedelta(days=30)}
    SpApiGrant._base_manager.filter(connection=row).update(**moved)
    assert run_command("prune", "--yes").code == 0

    assert not Connection.with_removed.for_organization(row.organization).exists()
    consent = consent_of(row.organization)
    assert (consent.status, consent.refresh_token) == (Grant.Status.DISCONNECTED, "")
    proof = client.get(url(row, "disconnect_proof")).text
    assert consent.fingerprint in proof
    assert "Nobody: it ended by itself when the row was erased" in proof


def test_a_consent_that_another_row_uses_stays_and_is_named(
    row: Connection, client: Client
) -> None:
    other = serve_another_row(row.organization)
    page = client.get(url(row, "connection_remove")).text
    assert "end_ads" not in page
    assert "<li>Blue Harbor</li>" in page

    # As if the page had offered it before the other row was linked.
    client.post(url(row, "connection_remove"), {"end_ads": "1"})

    assert consent_of(row.organization).status == Grant.Status.ACTIVE
    assert link_of(row).status == PpcLink.Status.UNLINKED
    assert link_of(other).status == PpcLink.Status.LINKED
    assert names_to_renew(row.organization) == ["Blue Harbor"]
    page = client.get(list_url(row, "removed_connections")).text
    assert "Its Amazon Ads consent lives on" not in page


def test_rows_that_a_consent_only_sees_are_not_said_to_use_it(
    row: Connection, client: Client, actor: Actor
) -> None:
    """As *Disconnect*, which names only the rows it feeds."""
    seen = factories.make_connection(row.organization, name="Only seen", seller=BLUE_HARBOR)
    factories.make_profile(consent_of(row.organization), seller=BLUE_HARBOR)
    disconnecting.disconnect(connection=seen, sides=frozenset({Side.SPAPI}), actor=actor)

    page = client.get(url(row, "connection_remove")).text
    of_seen = client.get(url(seen, "connection_remove")).text

    assert "These rows use it" not in page
    assert "<li>Only seen</li>" not in page
    assert "No other row uses it now, but it sees the seller of another row" in page
    assert "Amazon Ads consent of this row" not in of_seen
    assert "<li>Northstar</li>" not in of_seen


def test_an_erased_row_leaves_the_consent_to_a_row_that_could_be_restored(
    row: Connection, actor: Actor
) -> None:
    other = serve_another_row(row.organization)
    for each in (row, other):
        disconnecting.disconnect(connection=each, sides=frozenset({Side.SPAPI}), actor=actor)
        removing.remove(connection=each, actor=actor)
    moved = {"status_changed_at": timezone.now() - timedelta(days=30)}
    SpApiGrant._base_manager.filter(connection=row).update(**moved)

    assert run_command("prune", "--yes").code == 0

    assert [each.pk for each in Connection.with_removed.for_organization(row.organization)] == [
        other.pk
    ]
    assert consent_of(row.organization).status == Grant.Status.ACTIVE


def test_ending_the_consent_ends_the_trips_that_would_give_it_again(
    row: Connection, client: Client
) -> None:
    account = factories.make_account(row, CANADA, onboarding="onboarded")
    member = trips.sign_in(factories.make_member(row.organization, Role.MEMBER))
    leads_to = trips.leave_for_ads(member, row, [account.pk], new_consent="1")
    back = trips.allow(leads_to, LOGIN)

    client.post(url(row, "connection_remove"), {"end_ads": "1"})

    assert trips.come_back(member, back) == "disconnected_meanwhile"
    left = AuthorizationRequest._base_manager.get(kind="ads")
    assert (left.status, left.code_verifier) == ("expired", "")
    assert AdsGrant.objects.for_organization(row.organization).count() == 1


def test_a_member_is_neither_asked_nor_obeyed(row: Connection) -> None:
    member = signed_in_freshly(factories.make_member(row.organization, Role.MEMBER))
    assert "end_ads" not in member.get(url(row, "connection_remove")).text
    member.post(url(row, "connection_remove"), {"end_ads": "1"})
    assert consent_of(row.organization).status == Grant.Status.ACTIVE
    assert link_of(row).status == PpcLink.Status.LINKED
    row.refresh_from_db()
    assert row.removed_at is None
