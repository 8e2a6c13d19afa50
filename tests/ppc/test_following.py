"""A link is *Connected* only as long as Amazon lists its profile to the consent that feeds it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from connections import list_queries, screen
from connections.models import AdsGrant, Connection
from connections.reader import Reader
from ppc import checking
from ppc.models import AdsProfile, PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories
from tests.amazon_emulator import RunningEmulator, scenarios
from tests.amazon_emulator.demo import NORTHSTAR, NORTHSTAR_LOGIN
from tests.factories import CANADA, US
from tests.ppc.test_consents import listed, read

pytestmark = pytest.mark.django_db

AGENCY = "agency@ads.example"
LINKED = ("linked", "")
READER = Reader("acme", "en", "UTC", "administer", "2026-11-23")


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    """Linked in the United States and in Canada through the login of its own seller."""
    connection = factories.make_connection(factories.make_organization(), seller=NORTHSTAR)
    grant = consent(amazon, connection, NORTHSTAR_LOGIN)
    prove(grant)
    for marketplace_id in (US, CANADA):
        profile = grant.profiles.get(
            account_type="seller", account_id=NORTHSTAR, marketplace_id=marketplace_id
        )
        factories.make_link(factories.make_account(connection, marketplace_id), profile)
    return connection


def consent(amazon: RunningEmulator, row: Connection, login: str) -> AdsGrant:
    token = amazon.world.authorize_ads(login)
    return factories.make_ads_grant(row.organization, refresh_token=token)


def first_of(row: Connection) -> AdsGrant:
    grant: AdsGrant = AdsGrant.objects.for_organization(row.organization_id).earliest(
        "authorized_at"
    )
    return grant


def prove(grant: AdsGrant) -> Job:
    """The daily proof, by a listing of now."""
    grants = AdsGrant.objects.for_organization(grant.organization_id)
    grants.update(profiles_read_at=timezone.now() - timedelta(days=1))
    return ledger.run_here(
        ledger.enqueue(checking.VERIFY, organization=grant.organization_id, subject_id=grant.pk)
    )


def links_of(row: Connection) -> dict[str, tuple[str, str]]:
    links = PpcLink.objects.for_organization(row.organization_id).select_related("account")
    return {
        link.account.country_code: (link.status, link.attention_reason)
        for link in links.filter(account__connection=row)
    }


def revision_of(row: Connection) -> int:
    row.refresh_from_db()
    return row.revision


def ppc_word(row: Connection) -> str:
    facts = list_queries.some_facts(row.organization_id, [row.pk])
    [shown] = screen.compose_rows(facts, reader=READER)
    assert shown.ppc.sign is not None
    return shown.ppc.sign.word


def test_a_profile_that_is_gone_takes_connected_along_and_brings_it_back(
    amazon: RunningEmulator, row: Connection
) -> None:
    kept = list(amazon.world.ads_logins[NORTHSTAR_LOGIN].profiles)
    assert ppc_word(row) == "Connected"
    scenarios.lost_profile(amazon.world)

    prove(first_of(row))

    assert links_of(row) == {"US": LINKED, "CA": ("needs_attention", "ads_profile_lost")}
    assert ppc_word(row) == "Needs you"
    events = AuditEvent.objects.for_organization(row.organization_id)
    event = events.get(code="ppc_link_needs_attention")
    assert (event.actor_kind, event.details["reason"]) == ("worker", "ads_profile_lost")

    amazon.world.ads_logins[NORTHSTAR_LOGIN].profiles[:] = kept
    prove(first_of(row))

    assert links_of(row) == {"US": LINKED, "CA": LINKED}
    assert ppc_word(row) == "Connected"


def test_a_consent_that_sees_nothing_any_more_connects_nothing(
    amazon: RunningEmulator, row: Connection
) -> None:
    scenarios.empty_profiles(amazon.world)

    prove(first_of(row))

    lost = ("needs_attention", "ads_nothing_listed")
    assert links_of(row) == {"US": lost, "CA": lost}
    assert ppc_word(row) == "Needs you"


def test_a_profile_that_may_only_be_viewed_is_not_connected(
    amazon: RunningEmulator, row: Connection
) -> None:
    scenarios.view_only(amazon.world)

    prove(first_of(row))

    lost = ("needs_attention", "ads_view_only")
    assert links_of(row) == {"US": lost, "CA": lost}


def test_another_consent_that_sees_the_profile_takes_the_link(
    amazon: RunningEmulator, row: Connection
) -> None:
    agency = consent(amazon, row, AGENCY)
    prove(agency)
    scenarios.empty_profiles(amazon.world)

    prove(first_of(row))

    assert links_of(row) == {"US": LINKED, "CA": ("needs_attention", "ads_nothing_listed")}
    link = PpcLink.objects.for_organization(row.organization_id).get(account__marketplace_id=US)
    assert link.profile is not None
    assert link.profile.grant_id == agency.pk


def test_a_later_consent_that_sees_it_links_what_was_lost(
    amazon: RunningEmulator, row: Connection
) -> None:
    scenarios.empty_profiles(amazon.world)
    prove(first_of(row))

    prove(consent(amazon, row, AGENCY))

    assert links_of(row) == {"US": LINKED, "CA": ("needs_attention", "ads_nothing_listed")}


@pytest.mark.parametrize("status", [500, 429, 403])
def test_a_listing_that_failed_takes_nothing_away(
    amazon: RunningEmulator, row: Connection, status: int
) -> None:
    scenarios.empty_profiles(amazon.world)
    amazon.faults.add(surface="ads", status=status, body=b"{}")

    prove(first_of(row))

    assert links_of(row) == {"US": LINKED, "CA": LINKED}


@pytest.mark.parametrize("body", [b"[]x", b'[{"profileId":9007199254740993,"countryCo', b"[7]"])
def test_a_listing_that_was_read_in_part_takes_nothing_away(
    amazon: RunningEmulator, row: Connection, body: bytes
) -> None:
    amazon.faults.add(surface="ads", status=200, body=body)

    prove(first_of(row))

    assert links_of(row) == {"US": LINKED, "CA": LINKED}
    profiles = AdsProfile.objects.for_organization(row.organization_id)
    assert not profiles.filter(is_listed=False).exists()


def test_a_link_that_a_person_ended_is_not_brought_back(
    amazon: RunningEmulator, row: Connection
) -> None:
    links = PpcLink.objects.for_organization(row.organization_id)
    links.update(status=PpcLink.Status.UNLINKED)

    prove(first_of(row))

    assert links_of(row) == {"US": ("unlinked", ""), "CA": ("unlinked", "")}


def test_every_row_that_lost_is_shown_anew(row: Connection) -> None:
    """The job of a link touches its own row alone."""
    current = row.organization.revision + 7
    Organization.objects.filter(pk=row.organization_id).update(revision=current)

    read(first_of(row), listed("1"))

    assert links_of(row)["CA"] == ("needs_attention", "ads_profile_lost")
    assert revision_of(row) == current
