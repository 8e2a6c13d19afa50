"""An Ads consent whose profiles name no row belongs to the row it was given for, and ends there."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from connections import ads_consents
from connections.models import AdsGrant, Connection, Grant
from ppc import disconnecting, erasure
from ppc.disconnecting import Side
from ppc.models import PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND, Actor
from sellerlegend.organizations.models import AuditEvent
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import BLUE_HARBOR, NORTHSTAR, NORTHSTAR_LOGIN
from tests.factories import UK, US, owner_of
from tests.signing_in import signed_in_freshly

PERSONAL, AGENCY = "personal@example.com", "agency@ads.example"

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


@pytest.fixture
def client(row: Connection) -> Client:
    return signed_in_freshly(owner_of(row.organization))


def consent(client: Client, row: Connection, login: str) -> AdsGrant:
    """By a trip for the row's store in the United States. Nothing is read yet."""
    account = factories.make_account(row, US)
    back = trips.allow(trips.leave_for_ads(client, row, [account.pk]), login)
    assert trips.come_back(client, back) == "ads_connected"
    grant: AdsGrant = AdsGrant.objects.for_organization(row.organization_id).get()
    return grant


def url(row: Connection, name: str = "connection_disconnect") -> str:
    return reverse(name, args=[row.organization.slug, row.pk])


def link_of(row: Connection) -> tuple[str, str]:
    links = PpcLink.objects.for_organization(row.organization_id)
    link = links.get(account__connection=row)
    return link.status, link.attention_reason


def assert_destroyed(grant: AdsGrant) -> None:
    grant.refresh_from_db()
    assert (grant.status, grant.refresh_token) == (Grant.Status.DISCONNECTED, "")


def test_a_consent_that_was_never_read_ends_with_its_row(
    amazon: RunningEmulator, client: Client, row: Connection
) -> None:
    amazon.scenario("outage", surface="ads")
    grant = consent(client, row, NORTHSTAR_LOGIN)
    ledger.drain("interactive")
    job = Job.objects.for_organization(row.organization_id).get(kind="ppc.link")
    assert (job.status, grant.asked_for_id) == ("waiting", row.pk)
    assert 'value="ppc"' in client.get(url(row)).text

    client.post(url(row), {"side": ["spapi", "ppc"]})

    assert_destroyed(grant)
    job.refresh_from_db()
    assert (job.status, job.last_error_code) == ("dead", "cancelled")
    assert link_of(row) == ("pending", "")
    event = AuditEvent._base_manager.get(code="connection_disconnected")
    assert event.details["sides"] == ["ppc", "spapi"]
    assert [each["fingerprint"] for each in event.details["destroyed"]] == [
        grant.fingerprint,
        factories.grant_of(row).fingerprint,
    ]
    assert event.details["fed"] == [str(row.pk)]


def test_a_consent_that_sees_nobody_of_ours_ends_with_the_row_it_was_given_for(
    client: Client, row: Connection
) -> None:
    grant = consent(client, row, PERSONAL)
    ledger.drain("interactive")
    assert link_of(row)[0] == "needs_attention"

    client.post(url(row), {"side": ["ppc"]})

    assert_destroyed(grant)
    assert factories.grant_of(row).status == Grant.Status.ACTIVE


def test_a_removal_ends_it_too(client: Client, row: Connection) -> None:
    grant = consent(client, row, PERSONAL)
    ledger.drain("interactive")
    client.post(url(row), {"side": ["spapi"]})
    assert 'name="end_ads"' in client.get(url(row, "connection_remove")).text

    client.post(url(row, "connection_remove"), {"end_ads": "1"})

    assert_destroyed(grant)


def test_an_erasure_ends_it_too(client: Client, row: Connection) -> None:
    grant = consent(client, row, PERSONAL)
    ledger.drain("interactive")

    erasure.erase_connection(row, actor=COMMAND)

    assert_destroyed(grant)
    assert grant.asked_for_id is None


def offers_to_disconnect(client: Client, row: Connection) -> bool:
    """In the menu of the row."""
    page = client.get(reverse("account_connections", args=[row.organization.slug]))
    return f'"{url(row)}"' in page.text


def test_beside_an_ended_selling_partner_the_menu_offers_to_end_it(
    amazon: RunningEmulator, client: Client, row: Connection
) -> None:
    """It was never read, so that no link and no health tells of it."""
    client.post(url(row), {"side": ["spapi"]})
    assert not offers_to_disconnect(client, row)
    amazon.scenario("outage", surface="ads")

    grant = consent(client, row, NORTHSTAR_LOGIN)
    ledger.drain("interactive")

    assert offers_to_disconnect(client, row)
    client.post(url(row), {"side": ["ppc"]})
    assert_destroyed(grant)
    assert not offers_to_disconnect(client, row)


def test_a_consent_that_starts_no_link_is_in_the_menu_at_once(
    client: Client, row: Connection
) -> None:
    """The stored row of the list is written anew."""
    client.post(url(row), {"side": ["spapi"]})
    assert not offers_to_disconnect(client, row)
    account = factories.make_account(row, US)
    back = trips.allow(trips.leave_for_ads(client, row, [account.pk]), PERSONAL)
    account.delete()

    assert trips.come_back(client, back) == "ads_renewed"

    assert offers_to_disconnect(client, row)


def test_a_row_whose_seller_comes_in_sight_offers_to_end_it_too(
    client: Client, row: Connection
) -> None:
    """Linking one row lists what the consent sees of others."""
    europe = factories.make_connection(row.organization, seller=NORTHSTAR, marketplace_id=UK)
    client.post(url(europe), {"side": ["spapi"]})
    assert not offers_to_disconnect(client, europe)

    consent(client, row, NORTHSTAR_LOGIN)
    assert not offers_to_disconnect(client, europe)
    ledger.drain("interactive")

    assert link_of(row) == ("linked", "")
    assert offers_to_disconnect(client, europe)


def test_what_its_profiles_say_counts_more(client: Client, row: Connection) -> None:
    """It was given for one row, and sees the seller of another."""
    other = factories.make_connection(row.organization, seller=BLUE_HARBOR)
    grant = consent(client, row, NORTHSTAR_LOGIN)
    factories.make_profile(grant, seller=BLUE_HARBOR)

    assert ads_consents.of_row(row) == []
    assert ads_consents.of_row(other) == [grant]
    assert ads_consents.rows_of([grant]) == [other.pk]


def test_no_other_row_has_it(client: Client, row: Connection) -> None:
    grant = consent(client, row, PERSONAL)
    other = factories.make_connection(row.organization, seller=BLUE_HARBOR)

    assert ads_consents.of_row(row) == [grant]
    assert ads_consents.of_row(other) == []
    assert disconnecting.own_ads_grants(row) == [grant]


def test_the_second_of_two_posts_claims_nothing(client: Client, row: Connection) -> None:
    actor = Actor.person(owner_of(row.organization))
    disconnecting.disconnect(connection=row, sides=frozenset(Side), actor=actor)
    events = AuditEvent._base_manager.count()

    told = client.post(url(row), {"side": ["spapi"]}, follow=True).text

    assert "Nothing was ended" in told
    assert "token destroyed" not in told
    assert AuditEvent._base_manager.count() == events


def test_a_side_that_has_ended_already_is_not_said_to_end(client: Client, row: Connection) -> None:
    told = client.post(url(row), {"side": ["ppc"]}, follow=True).text

    assert "Nothing was ended" in told
    assert "token destroyed" not in told
    assert factories.grant_of(row).status == Grant.Status.ACTIVE
