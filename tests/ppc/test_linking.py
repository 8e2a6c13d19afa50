"""Linking marketplaces to Amazon Ads profiles, against the fake Amazon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connections.models import AdsGrant, Connection, Grant
from marketplaces.models import Marketplace, MarketplaceAccount
from ppc import services
from ppc.models import AdsProfile, PpcLink
from ppc.screen import consents
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import Membership, Organization
from sellerlegend.transitions import StaleState
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import CANADA, GERMANY, MEXICO, UK, US

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
MARKETING, AGENCY, PERSONAL = (
    "ads@northstar.example",
    "agency@ads.example",
    "personal@example.com",
)


@pytest.fixture
def organization(db: None) -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def connection(amazon: RunningEmulator, organization: Organization) -> Connection:
    """Northstar in North America with its three stores."""
    connection = factories.make_connection(organization, name="Northstar", seller=NORTHSTAR)
    for marketplace_id in (US, CANADA, MEXICO):
        factories.make_account(connection, marketplace_id)
    return connection


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.make_member(organization))


def account(connection: Connection, marketplace_id: str) -> MarketplaceAccount:
    rows = MarketplaceAccount.objects.for_organization(connection.organization_id)
    found: MarketplaceAccount = rows.get(connection=connection, marketplace_id=marketplace_id)
    return found


def choose(browser: Client, connection: Connection, *marketplace_ids: str, **fields: str) -> Any:
    """Ticks marketplaces in the pop-up and confirms."""
    chosen = [account(connection, marketplace_id).pk for marketplace_id in marketplace_ids]
    url = f"/o/{connection.organization.slug}/connections/{connection.pk}/ppc"
    return browser.post(url, {"account": chosen, **fields})


def link_as(
    browser: Client, connection: Connection, login: str, *marketplace_ids: str
) -> dict[str, tuple[str, str]]:
    """Choose, consent as this Amazon login, and let a worker finish."""
    response = choose(browser, connection, *marketplace_ids)
    callback = trips.allow(response.headers["Location"], login)
    assert trips.come_back(browser, callback) == "ads_connected"
    ledger.drain("interactive")
    return links_of(connection)


def links_of(connection: Connection) -> dict[str, tuple[str, str]]:
    rows = PpcLink.objects.for_organization(connection.organization_id)
    return {
        row.account.country_code: (row.status, row.attention_reason)
        for row in rows.filter(account__connection=connection).select_related("account")
    }


def begin(connection: Connection, *marketplace_ids: str) -> list[Job]:
    """The service's start, without a browser; returns the jobs."""
    services.begin_linking(
        connection=connection,
        account_ids=[account(connection, each).pk for each in marketplace_ids],
        actor=Actor.person(factories.owner_of(connection.organization)),
    )
    return list(Job.objects.for_organization(connection.organization_id).filter(kind="ppc.link"))


def grant_for(amazon: RunningEmulator, connection: Connection, login: str) -> AdsGrant:
    return factories.make_ads_grant(
        connection.organization,
        refresh_token=amazon.world.authorize_ads(login),
        asked_for=connection,
    )


# The trip to Amazon Ads --------------------------------------------------------------------


def test_without_a_consent_the_browser_goes_to_amazon_ads_and_the_chosen_ones_are_linked(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    links = link_as(browser, connection, MARKETING, US, CANADA)

    assert links == {"US": ("linked", ""), "CA": ("linked", "")}
    row = PpcLink.objects.for_organization(connection.organization).get(account__country_code="US")
    assert row.profile is not None
    assert (row.profile.account_type, row.profile.account_id) == ("seller", NORTHSTAR)
    assert (row.profile.marketplace_id, row.profile.can_edit) == (US, True)
    assert row.linked_at is not None


def test_nothing_starts_before_the_consent_came_back(
    browser: Client, connection: Connection
) -> None:
    response = choose(browser, connection, US)

    assert response.status_code == 302
    assert links_of(connection) == {}
    assert (
        Job.objects.for_organization(connection.organization).filter(kind="ppc.link").count() == 0
    )


@pytest.mark.parametrize(
    ("marketplace_id", "host"),
    [(US, "www.amazon.com"), (UK, "eu.account.amazon.com"), (factories.JAPAN, "apac.account.")],
)
def test_each_region_has_its_own_consent_page(
    amazon: RunningEmulator,
    browser: Client,
    organization: Organization,
    marketplace_id: str,
    host: str,
) -> None:
    row = factories.make_connection(organization, marketplace_id=marketplace_id, seller=NORTHSTAR)
    factories.make_account(row, marketplace_id)

    location = choose(browser, row, marketplace_id).headers["Location"]

    assert location.startswith(f"{amazon.url}/{host}")
    assert "code_challenge_method=S256" in location


def test_profile_ids_beyond_53_bits_keep_every_digit(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    login = amazon.world.add_ads_login("big@ads.example")
    login.add_profile("US", account_id=NORTHSTAR, profile_id=2**64 - 1)

    link_as(browser, connection, "big@ads.example", US)

    profile = AdsProfile.objects.for_organization(connection.organization).get()
    assert profile.profile_id == "18446744073709551615"


def test_all_three_regions_are_listed_with_and_without_edit_rights(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, MARKETING, US, CANADA)

    calls = amazon.ledger.calls(surface="ads")
    assert sorted(call.region for call in calls) == ["EU", "EU", "FE", "FE", "NA", "NA"]
    assert amazon.ledger.count(surface="lwa", operation="refresh_token") == 1
    countries = AdsProfile.objects.for_organization(connection.organization)
    assert sorted(countries.values_list("country_code", "account_type")) == [
        ("CA", "seller"),
        ("DE", "seller"),
        ("UK", "seller"),
        ("US", "agency"),
        ("US", "seller"),
        ("US", "vendor"),
    ]


def test_uk_and_gb_are_one_country(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    europe = factories.make_connection(organization, marketplace_id=UK, seller=NORTHSTAR)
    factories.make_account(europe, UK)

    assert link_as(browser, europe, MARKETING, UK) == {"GB": ("linked", "")}


# A consent that is there already -----------------------------------------------------------


def test_a_consent_that_covers_the_choice_links_at_once(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, MARKETING, US)
    amazon.ledger.clear()

    response = choose(browser, connection, CANADA)
    ledger.drain("interactive")

    assert response.status_code == 303
    assert links_of(connection)["CA"] == ("linked", "")
    assert len(amazon.ledger) == 0


def test_one_consent_serves_rows_of_other_regions_and_says_so(
    amazon: RunningEmulator, browser: Client, organization: Organization, connection: Connection
) -> None:
    europe = factories.make_connection(
        organization, name="Europe", marketplace_id=UK, seller=NORTHSTAR
    )
    for marketplace_id in (UK, GERMANY):
        factories.make_account(europe, marketplace_id)
    link_as(browser, connection, MARKETING, US)

    response = choose(browser, europe, UK, GERMANY)
    ledger.drain("interactive")

    assert response.status_code == 303
    assert links_of(europe) == {"GB": ("linked", ""), "DE": ("linked", "")}
    assert AdsGrant.objects.for_organization(organization).count() == 1
    assert set(consents(europe, Membership())[0].feeds) == {"Northstar", "Europe"}


def test_a_choice_that_is_covered_in_part_needs_a_consent(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, MARKETING, US)

    response = choose(browser, connection, CANADA, MEXICO)

    assert response.status_code == 302
    assert links_of(connection) == {"US": ("linked", "")}


def test_a_new_consent_can_be_asked_for_although_one_covers_the_choice(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, MARKETING, US)

    response = choose(browser, connection, CANADA, new_consent="1")

    assert response.status_code == 302


def test_a_consent_of_another_organization_covers_nothing_here(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    other = factories.make_organization("Agency")
    factories.make_profile(factories.make_ads_grant(other), seller=NORTHSTAR)

    response = choose(browser, connection, US)

    assert response.status_code == 302


@pytest.mark.parametrize("status", [Grant.Status.INVALID, Grant.Status.DISCONNECTED])
def test_a_consent_that_ended_covers_nothing(
    amazon: RunningEmulator, browser: Client, connection: Connection, status: str
) -> None:
    link_as(browser, connection, MARKETING, US)
    columns = {"refresh_token": ""} if status == Grant.Status.DISCONNECTED else {}
    AdsGrant.objects.for_organization(connection.organization).update(status=status, **columns)

    response = choose(browser, connection, CANADA)

    assert response.status_code == 302


def test_of_two_consents_the_newer_one_is_used(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, AGENCY, US)
    AdsGrant.objects.for_organization(connection.organization).update(
        authorized_at=timezone.now() - timedelta(days=1)
    )
    PpcLink.objects.for_organization(connection.organization).delete()
    newer = grant_for(amazon, connection, MARKETING)

    begin(connection, US)
    ledger.drain("interactive")

    row = PpcLink.objects.for_organization(connection.organization).get()
    assert row.profile is not None
    assert row.profile.grant_id == newer.pk


# Why not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "marketplace_id", "reason"),
    [
        (MARKETING, MEXICO, "ads_no_profile"),
        (AGENCY, CANADA, "ads_view_only"),
        (PERSONAL, US, "ads_nothing_listed"),
        ("other@ads.example", US, "ads_other_seller"),
        ("vendor@ads.example", US, "ads_vendor_only"),
        ("dsp@ads.example", US, "ads_agency_only"),
    ],
)
def test_each_kind_of_miss_has_its_own_words(
    amazon: RunningEmulator,
    browser: Client,
    connection: Connection,
    login: str,
    marketplace_id: str,
    reason: str,
) -> None:
    world = amazon.world
    world.add_ads_login("other@ads.example").add_profile("US", account_id=BLUE_HARBOR)
    world.add_ads_login("vendor@ads.example").add_profile(
        "US", account_id="ENTITY1", account_type="vendor"
    )
    world.add_ads_login("dsp@ads.example").add_profile(
        "US", account_id="ENTITY2", account_type="agency"
    )

    links = link_as(browser, connection, login, marketplace_id)

    assert list(links.values()) == [("needs_attention", reason)]


def test_a_vendor_with_the_sellers_id_is_not_the_seller(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    login = amazon.world.add_ads_login("odd@ads.example")
    login.add_profile("US", account_id=NORTHSTAR, account_type="vendor")
    login.add_profile("CA", account_id=NORTHSTAR, account_type="agency")

    links = link_as(browser, connection, "odd@ads.example", US, CANADA)

    assert {status for status, _ in links.values()} == {"needs_attention"}


def test_what_matched_is_linked_and_the_rest_says_why(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    links = link_as(browser, connection, AGENCY, US, CANADA, MEXICO)

    assert links == {
        "US": ("linked", ""),
        "CA": ("needs_attention", "ads_view_only"),
        "MX": ("needs_attention", "ads_no_profile"),
    }


def test_without_any_consent_a_forced_start_ends_in_words(connection: Connection) -> None:
    begin(connection, US)

    ledger.drain("interactive")

    assert links_of(connection) == {"US": ("needs_attention", "ads_grant_invalid")}


def test_retry_links_when_the_profile_has_appeared(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, MARKETING, US, MEXICO)
    amazon.scenario("new_profile", marketplace="MX")
    AdsGrant.objects.for_organization(connection.organization).update(
        profiles_read_at=timezone.now() - timedelta(minutes=11)
    )
    row = f"/o/{connection.organization.slug}/connections/{connection.pk}"

    browser.post(f"{row}/ppc/{account(connection, MEXICO).pk}/retry")
    ledger.drain("interactive")

    assert links_of(connection) == {"US": ("linked", ""), "MX": ("linked", "")}
    jobs = Job.objects.for_organization(connection.organization).filter(kind="ppc.link")
    assert jobs.count() == 3


def test_a_profile_that_is_gone_is_kept_and_not_used_again(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, MARKETING, US)
    amazon.scenario("lost_profile", marketplace="CA")
    AdsGrant.objects.for_organization(connection.organization).update(
        profiles_read_at=timezone.now() - timedelta(minutes=11)
    )

    begin(connection, CANADA)
    ledger.drain("interactive")

    profiles = AdsProfile.objects.for_organization(connection.organization)
    assert links_of(connection)["CA"] == ("needs_attention", "ads_no_profile")
    assert profiles.get(country_code="CA").is_listed is False


# Choosing ----------------------------------------------------------------------------------


def test_the_pop_up_offers_what_can_have_ppc_and_says_why_the_rest_cannot(
    browser: Client, connection: Connection
) -> None:
    Marketplace.objects.filter(pk=MEXICO).update(has_ads=False)
    factories.make_account(connection, factories.BRAZIL, is_participating=False)
    page = f"/o/{connection.organization.slug}/connections/{connection.pk}/ppc"

    choices = browser.get(page).context["choices"]

    assert [(choice.name, choice.is_ticked, str(choice.obstacle)) for choice in choices] == [
        ("Canada", True, ""),
        ("United States", True, ""),
        ("Brazil", False, "The seller does not take part in this marketplace"),
        ("Mexico", False, "Amazon Ads is not available here"),
    ]


@pytest.mark.parametrize("why", ["absent", "without Ads", "foreign", "unknown"])
def test_what_cannot_have_ppc_is_not_linked_by_a_forged_form(
    amazon: RunningEmulator, browser: Client, connection: Connection, why: str
) -> None:
    link_as(browser, connection, MARKETING, US)
    other = factories.make_connection(factories.make_organization(), seller=NORTHSTAR)
    Marketplace.objects.filter(pk=MEXICO).update(has_ads=False)
    chosen = {
        "absent": factories.make_account(connection, factories.BRAZIL, is_participating=False).pk,
        "without Ads": account(connection, MEXICO).pk,
        "foreign": factories.make_account(other).pk,
        "unknown": factories.unknown_id(),
    }

    browser.post(
        f"/o/{connection.organization.slug}/connections/{connection.pk}/ppc",
        {"account": [chosen[why], "not-an-id"]},
    )
    ledger.drain("interactive")

    assert links_of(connection) == {"US": ("linked", "")}
    assert links_of(other) == {}


def test_a_foreign_account_chosen_before_the_trip_is_not_linked_after_it(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    other = factories.make_connection(factories.make_organization(), seller=NORTHSTAR)
    foreign = factories.make_account(other)
    ids = [account(connection, US).pk, foreign.pk]

    trips.come_back(browser, trips.allow(trips.leave_for_ads(browser, connection, ids), MARKETING))
    ledger.drain("interactive")

    assert links_of(connection) == {"US": ("linked", "")}
    assert links_of(other) == {}


@pytest.mark.parametrize("times", [2, 5])
def test_confirming_again_makes_one_job_and_one_link(
    amazon: RunningEmulator, browser: Client, connection: Connection, times: int
) -> None:
    grant = grant_for(amazon, connection, MARKETING)
    factories.make_profile(grant, seller=NORTHSTAR)

    for _ in range(times):
        choose(browser, connection, US)

    jobs = Job.objects.for_organization(connection.organization).filter(kind="ppc.link")
    assert jobs.count() == 1
    assert links_of(connection) == {"US": ("working", "")}


# Trouble at Amazon -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "options", "reason"),
    [
        ("throttled", {"retry_after": 7}, "amazon_throttled"),
        ("outage", {}, "amazon_unavailable"),
        ("server_error", {}, "amazon_unavailable"),
        ("html_error_page", {"status": 200}, "amazon_unavailable"),
        ("malformed", {"kind": "truncated"}, "amazon_unavailable"),
        ("malformed", {"kind": "null"}, "amazon_unavailable"),
    ],
)
def test_trouble_at_amazon_ads_waits_visibly(
    amazon: RunningEmulator,
    connection: Connection,
    scenario: str,
    options: dict[str, Any],
    reason: str,
) -> None:
    grant_for(amazon, connection, MARKETING)
    amazon.scenario(scenario, surface="ads", **options)
    [job] = begin(connection, US)

    ledger.run(job.pk)

    job.refresh_from_db()
    assert (job.status, job.waiting_reason, job.attempts) == ("waiting", reason, 0)
    assert links_of(connection) == {"US": ("working", "")}
    if scenario == "throttled":
        assert 5 < (job.next_attempt_at - timezone.now()).total_seconds() <= 7


def test_one_consents_trouble_does_not_hide_what_another_one_sees(
    amazon: RunningEmulator, connection: Connection
) -> None:
    grant_for(amazon, connection, AGENCY)
    grant_for(amazon, connection, MARKETING)
    amazon.scenario("outage", surface="ads", seller=AGENCY)
    [job] = begin(connection, CANADA)

    ledger.run(job.pk)

    assert links_of(connection) == {"CA": ("linked", "")}


def test_a_revoked_ads_consent_is_doubted_first(
    amazon: RunningEmulator, connection: Connection
) -> None:
    grant = grant_for(amazon, connection, MARKETING)
    amazon.world.ads_logins[MARKETING].revoke_grant()
    [job] = begin(connection, US)

    ledger.run(job.pk)

    job.refresh_from_db()
    grant.refresh_from_db()
    assert (job.status, job.waiting_reason) == ("waiting", "grant_doubted")
    assert (grant.status, grant.refusals) == (Grant.Status.DOUBTED, 1)


def test_an_ads_consent_believed_invalid_needs_the_person(
    amazon: RunningEmulator, connection: Connection
) -> None:
    grant = grant_for(amazon, connection, MARKETING)
    amazon.world.ads_logins[MARKETING].revoke_grant()
    AdsGrant.objects.for_organization(connection.organization).update(**doubted(2))
    [job] = begin(connection, US)

    ledger.run(job.pk)

    grant.refresh_from_db()
    assert grant.status == Grant.Status.INVALID
    assert links_of(connection) == {"US": ("needs_attention", "ads_grant_invalid")}


@pytest.mark.parametrize("refusals", [0, 2])
@pytest.mark.parametrize("is_newer", [False, True])
def test_a_refusal_of_another_rows_consent_is_not_told(
    amazon: RunningEmulator, connection: Connection, refusals: int, *, is_newer: bool
) -> None:
    """The row's own login sees nothing of the seller, and that is what the person can mend."""
    other = factories.make_connection(connection.organization, seller=BLUE_HARBOR)
    grant_for(amazon, connection, PERSONAL)
    theirs = grant_for(amazon, other, AGENCY)
    amazon.world.ads_logins[AGENCY].revoke_grant()
    now = timezone.now()
    AdsGrant.objects.for_organization(connection.organization).filter(pk=theirs.pk).update(
        authorized_at=now + timedelta(minutes=1) if is_newer else now - timedelta(days=1),
        **doubted(refusals),
    )
    [job] = begin(connection, US)

    ledger.run(job.pk)

    job.refresh_from_db()
    theirs.refresh_from_db()
    assert links_of(connection) == {"US": ("needs_attention", "ads_nothing_listed")}
    assert job.status == "done"
    assert theirs.status == (Grant.Status.INVALID if refusals else Grant.Status.DOUBTED)


def test_what_was_seen_before_is_told_where_only_another_rows_consent_is_left(
    amazon: RunningEmulator, connection: Connection
) -> None:
    other = factories.make_connection(connection.organization, seller=BLUE_HARBOR)
    theirs = grant_for(amazon, other, AGENCY)
    factories.make_profile(theirs, seller=BLUE_HARBOR)
    AdsGrant.objects.for_organization(connection.organization).update(
        profiles_read_at=timezone.now() - timedelta(hours=1)
    )
    amazon.world.ads_logins[AGENCY].revoke_grant()
    [job] = begin(connection, US)

    ledger.run(job.pk)

    assert links_of(connection) == {"US": ("needs_attention", "ads_other_seller")}


def test_an_outage_that_meets_another_rows_consent_is_waited_for(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """It was not read: it may see the seller of this row as well."""
    other = factories.make_connection(connection.organization, seller=BLUE_HARBOR)
    grant_for(amazon, connection, PERSONAL)
    grant_for(amazon, other, AGENCY)
    amazon.scenario("outage", surface="ads", seller=AGENCY)
    [job] = begin(connection, US)

    ledger.run(job.pk)

    job.refresh_from_db()
    assert (job.status, job.waiting_reason) == ("waiting", "amazon_unavailable")
    assert links_of(connection) == {"US": ("working", "")}


def test_a_refusal_of_ones_own_consent_is_told_before_another_rows_outage(
    amazon: RunningEmulator, connection: Connection
) -> None:
    other = factories.make_connection(connection.organization, seller=BLUE_HARBOR)
    mine = grant_for(amazon, connection, MARKETING)
    grant_for(amazon, other, AGENCY)
    amazon.world.ads_logins[MARKETING].revoke_grant()
    AdsGrant.objects.for_organization(connection.organization).filter(pk=mine.pk).update(
        **doubted(2)
    )
    amazon.scenario("outage", surface="ads", seller=AGENCY)
    [job] = begin(connection, US)

    ledger.run(job.pk)

    assert links_of(connection) == {"US": ("needs_attention", "ads_grant_invalid")}


def doubted(refusals: int) -> dict[str, Any]:
    """Columns of a consent that was refused so often, a quarter of an hour ago."""
    if not refusals:
        return {}
    first = timezone.now() - timedelta(minutes=16)
    return {"status": "doubted", "refusals": refusals, "first_refused_at": first}


def test_a_new_consent_wakes_links_that_waited_for_the_old_one(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    grant_for(amazon, connection, AGENCY)
    amazon.world.ads_logins[AGENCY].revoke_grant()
    [job] = begin(connection, US)
    ledger.run(job.pk)

    links = link_as(browser, connection, MARKETING, CANADA)

    assert links == {"US": ("linked", ""), "CA": ("linked", "")}


def test_the_seller_centrals_trouble_does_not_touch_linking(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    amazon.scenario("outage", surface="sellers")

    assert link_as(browser, connection, MARKETING, US) == {"US": ("linked", "")}


def test_a_late_worker_links_nothing(amazon: RunningEmulator, connection: Connection) -> None:
    grant_for(amazon, connection, MARKETING)
    [job] = begin(connection, US)
    late = ledger.claim(job.pk)
    assert late is not None
    Job.objects.for_organization(connection.organization).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    ledger.sweep()
    ledger.drain("interactive")
    before = PpcLink.objects.for_organization(connection.organization).values().get()

    with pytest.raises(StaleState):
        services.link(late)

    assert PpcLink.objects.for_organization(connection.organization).values().get() == before
    assert before["status"] == "linked"


def test_every_change_of_state_is_recorded_with_its_actor(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    link_as(browser, connection, MARKETING, US)

    row = PpcLink.objects.for_organization(connection.organization).get()
    events = connection.organization.audit_events.filter(subject_id=row.pk).order_by("pk")
    assert list(events.values_list("code", "actor_kind")) == [
        ("ppc_link_working", "person"),
        ("ppc_link_linked", "worker"),
    ]
