"""Reading a seller's marketplaces and onboarding the chosen ones, against the fake Amazon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from connections import superseding
from connections.models import Connection, Grant, SpApiGrant
from marketplaces import onboarding, services
from marketplaces.models import Marketplace, MarketplaceAccount
from sellerlegend.celery import DRAIN
from sellerlegend.jobs import ledger
from sellerlegend.jobs.ledger import Claim
from sellerlegend.jobs.models import Job, RateBucket
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import bells, factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import BRAZIL, CANADA, MEXICO, US
from tests.pauses import end_pauses

pytestmark = pytest.mark.django_db

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
NON_AMAZON = "A2ZV50J4W1RKNI"


@pytest.fixture
def organization(db: None) -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def connection(amazon: RunningEmulator, organization: Organization) -> Connection:
    """Northstar in North America, with a consent that the fake Amazon knows."""
    return factories.make_connection(
        organization,
        name="Northstar",
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.make_member(organization))


def read(connection: Connection) -> Job:
    job = services.begin_reading(connection=connection)
    return run(job)


def run(job: Job) -> Job:
    ledger.run(job.pk)
    job.refresh_from_db()
    connection_id = job.connection_id
    assert connection_id is not None
    return job


def accounts_of(connection: Connection) -> dict[str, MarketplaceAccount]:
    rows = MarketplaceAccount.objects.for_organization(connection.organization_id)
    return {row.marketplace_id: row for row in rows.filter(connection=connection)}


def start(connection: Connection, *marketplace_ids: str) -> list[Job]:
    """Presses Start Now; returns the jobs."""
    accounts = accounts_of(connection)
    onboarding.begin_onboarding(
        connection=connection,
        account_ids=[accounts[marketplace_id].pk for marketplace_id in marketplace_ids],
        actor=Actor.person(factories.owner_of(connection.organization)),
    )
    return jobs_of(connection)


def jobs_of(connection: Connection) -> list[Job]:
    rows = Job.objects.for_organization(connection.organization_id)
    return list(rows.filter(kind=onboarding.ONBOARD).order_by("created_at"))


def states_of(connection: Connection) -> dict[str, tuple[str, str]]:
    return {
        row.country_code: (row.onboarding, row.attention_reason)
        for row in accounts_of(connection).values()
        if row.onboarding != MarketplaceAccount.Onboarding.PENDING
    }


def read_long_ago(connection: Connection) -> None:
    """The shared reading is too old to be believed."""
    Connection.objects.for_organization(connection.organization_id).filter(pk=connection.pk).update(
        participations_read_at=timezone.now() - timedelta(minutes=11)
    )


def make_due(job: Job) -> None:
    """The wait of a job is over."""
    Job.objects.for_organization(job.organization_id).filter(pk=job.pk).update(
        next_attempt_at=timezone.now()
    )


def doubt_for(connection: Connection, by: timedelta) -> None:
    """So much time passes since Amazon refused the consent for the first time."""
    SpApiGrant.objects.for_organization(connection.organization_id).update(
        first_refused_at=F("first_refused_at") - by,
        refusals_counted_from=F("refusals_counted_from") - by,
        last_refused_at=F("last_refused_at") - by,
    )


# Reading -----------------------------------------------------------------------------------


def test_a_reading_keeps_all_that_amazon_tells(connection: Connection) -> None:
    job = read(connection)

    accounts = accounts_of(connection)
    us, brazil, other = accounts[US], accounts[BRAZIL], accounts[NON_AMAZON]
    assert job.status == Job.Status.DONE
    assert set(accounts) == {US, CANADA, MEXICO, BRAZIL, NON_AMAZON}
    assert (us.store_name, us.currency, us.language) == ("Northstar Outdoors", "USD", "en_US")
    assert (us.country_code, us.domain_name) == ("US", "www.amazon.com")
    assert (us.is_participating, brazil.is_participating) == (True, False)
    assert (other.name, other.is_participating) == ("Non-Amazon US", True)


def test_a_reading_shows_itself_on_the_row(connection: Connection) -> None:
    before = connection.revision

    read(connection)

    connection.refresh_from_db()
    assert connection.revision > before
    assert connection.participations_read_at is not None
    assert connection.reading_error == ""


def test_asking_for_a_reading_is_visible_at_once(connection: Connection) -> None:
    before = connection.revision

    services.begin_reading(connection=connection)

    connection.refresh_from_db()
    assert connection.revision > before


def test_suspended_listings_are_noted_and_can_be_onboarded(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("suspended_listings", marketplace="US")
    read(connection)

    ledger.run(start(connection, US)[0].pk)

    account = accounts_of(connection)[US]
    assert account.has_suspended_listings
    assert account.onboarding == "onboarded"


def test_the_row_of_one_region_reads_that_region_only(
    amazon: RunningEmulator, organization: Organization
) -> None:
    europe = factories.make_connection(
        organization,
        seller=NORTHSTAR,
        marketplace_id=factories.UK,
        refresh_token=amazon.world.authorize(NORTHSTAR, "EU"),
    )

    read(europe)

    codes = {row.country_code for row in accounts_of(europe).values()}
    assert codes == {"GB", "DE", "FR", "IT", "ES", "NL"}
    assert {call.region for call in amazon.ledger.calls(surface="sellers")} == {"EU"}


def test_an_empty_list_is_an_answer_and_not_an_error(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("empty_participations")

    job = read(connection)

    connection.refresh_from_db()
    assert (job.status, connection.reading_error) == ("done", "")
    assert accounts_of(connection) == {}


def test_a_lost_marketplace_is_kept_and_marked(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    amazon.scenario("lost_marketplace", marketplace="CA")

    read(connection)

    accounts = accounts_of(connection)
    assert not accounts[CANADA].is_participating
    assert accounts[US].is_participating


def test_a_marketplace_that_comes_back_takes_part_again(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    amazon.scenario("lost_marketplace", marketplace="CA")
    read(connection)
    amazon.scenario("new_marketplace", marketplace="CA")

    read(connection)

    assert accounts_of(connection)[CANADA].is_participating


def test_malformed_items_are_left_out_and_counted(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("malformed", kind="wrong_types", times=1)

    job = read(connection)

    event = connection.organization.audit_events.get(code="participations_partial")
    assert job.status == Job.Status.DONE
    assert event.details == {"listed": 1, "missing": 0, "malformed": 3}
    assert set(accounts_of(connection)) == {US}


def test_what_a_partly_unreadable_reading_does_not_show_is_not_onboarded_on_an_old_one(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """It may be gone since: whoever chose it is told, and the next whole answer onboards it."""
    read(connection)
    read_long_ago(connection)
    amazon.scenario("malformed", kind="wrong_types", times=2)

    for job in start(connection, US, CANADA):
        run(job)

    assert states_of(connection) == {
        "US": ("onboarded", ""),
        "CA": ("needs_attention", "unexpected_reply"),
    }
    assert accounts_of(connection)[CANADA].is_participating
    amazon.faults.clear()
    run(start(connection, CANADA)[-1])
    assert states_of(connection)["CA"] == ("onboarded", "")


def test_what_was_read_whole_a_moment_ago_is_onboarded_without_another_reading(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    amazon.scenario("malformed", kind="wrong_types", times=1)

    for job in start(connection, CANADA):
        run(job)

    assert states_of(connection) == {"CA": ("onboarded", "")}


def test_an_id_too_long_to_be_stored_spoils_itself_alone(
    amazon: RunningEmulator, connection: Connection
) -> None:
    us = amazon.world.sellers[NORTHSTAR].participation("US")
    amazon.world.sellers[NORTHSTAR].participations.append(
        type(us)("X" * 64, "Odd", "NA", facts={"id": "X" * 64, "name": "Odd", "countryCode": "US"})
    )

    job = read(connection)

    event = connection.organization.audit_events.get(code="participations_read")
    assert job.status == Job.Status.DONE
    assert event.details == {"listed": 5, "missing": 0, "malformed": 1}


@pytest.mark.parametrize("kind", ["hostile_text", "duplicates"])
def test_odd_answers_are_stored_without_harm(
    amazon: RunningEmulator, connection: Connection, kind: str
) -> None:
    amazon.scenario("malformed", kind=kind, times=1)

    job = read(connection)

    rows = accounts_of(connection).values()
    assert job.status == Job.Status.DONE
    assert rows
    assert not any("\x00" in row.store_name for row in rows)


# Waiting is data ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "options", "reason"),
    [
        ("throttled", {}, "amazon_throttled"),
        ("outage", {}, "amazon_unavailable"),
        ("server_error", {}, "amazon_unavailable"),
        ("html_error_page", {}, "amazon_unavailable"),
        ("html_error_page", {"status": 200}, "amazon_unavailable"),
        ("malformed", {"kind": "truncated"}, "amazon_unavailable"),
        ("malformed", {"kind": "empty_body"}, "amazon_unavailable"),
        ("cut", {}, "amazon_unavailable"),
        ("lost_answer", {"surface": "sellers"}, "amazon_unavailable"),
        ("outage", {"surface": "lwa"}, "amazon_unavailable"),
        ("wrong_secret", {}, "client_misconfigured"),
        ("expired_secret", {}, "client_misconfigured"),
        ("false_invalid_grant", {}, "grant_doubted"),
    ],
)
def test_trouble_at_amazon_waits_visibly_and_counts_as_no_attempt(
    amazon: RunningEmulator,
    connection: Connection,
    scenario: str,
    options: dict[str, Any],
    reason: str,
) -> None:
    before = connection.revision
    amazon.scenario(scenario, **options)

    job = read(connection)

    connection.refresh_from_db()
    assert (job.status, job.waiting_reason, job.attempts) == ("waiting", reason, 0)
    assert job.next_attempt_at > timezone.now()
    assert connection.reading_error == ""
    assert connection.revision > before


@pytest.mark.parametrize("scenario", ["throttled", "outage", "wrong_secret", "expired_secret"])
def test_waiting_work_finishes_by_itself_when_the_trouble_is_over(
    amazon: RunningEmulator, connection: Connection, scenario: str
) -> None:
    amazon.scenario(scenario)
    job = read(connection)
    amazon.scenario("normal")
    RateBucket.objects.update(tokens=15.0)
    end_pauses()
    make_due(job)

    run(job)

    assert job.status == Job.Status.DONE
    assert len(accounts_of(connection)) == 5


def test_a_429_empties_the_bucket_for_every_worker(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("throttled", times=1)
    job = read(connection)
    calls = amazon.ledger.count(surface="sellers")
    make_due(job)

    run(job)

    wait = (job.next_attempt_at - timezone.now()).total_seconds()
    assert (job.status, job.waiting_reason) == ("waiting", "amazon_throttled")
    assert amazon.ledger.count(surface="sellers") == calls == 1
    assert 55 < wait < 63


def test_the_sixteenth_call_waits_without_being_made(
    amazon: RunningEmulator, connection: Connection
) -> None:
    for _ in range(15):
        assert read(connection).status == Job.Status.DONE

    job = read(connection)

    assert (job.status, job.waiting_reason) == ("waiting", "amazon_throttled")
    assert amazon.ledger.count(surface="sellers") == 15
    assert amazon.ledger.count(surface="sellers", status=429) == 0


def test_two_organizations_of_one_seller_are_held_to_one_plan_by_amazon(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """An unproven Seller ID shares no bucket here; Amazon's own is the one of both (B15)."""
    agency = factories.make_organization("Agency")
    theirs = factories.make_connection(
        agency, seller=NORTHSTAR, refresh_token=amazon.world.authorize(NORTHSTAR, "NA")
    )
    for _ in range(15):
        assert read(connection).status == Job.Status.DONE

    job = read(theirs)
    for _ in range(3):
        make_due(job)
        run(job)

    assert (job.status, job.waiting_reason) == ("waiting", "amazon_throttled")
    assert amazon.ledger.count(surface="sellers", status=200) == 15
    assert amazon.ledger.count(surface="sellers", status=429) == 1
    assert factories.grant_of(theirs).status == Grant.Status.ACTIVE


def test_our_own_wrong_secret_changes_no_sellers_state(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("wrong_secret")

    read(connection)

    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals) == (Grant.Status.ACTIVE, 0)


def test_a_reading_after_four_lost_workers_still_counts_them(connection: Connection) -> None:
    job = services.begin_reading(connection=connection)
    for _ in range(4):
        lose_worker(job)

    run(job)

    assert (job.status, job.attempts) == ("done", 5)


def test_work_that_kills_five_workers_is_given_up_with_a_reason(connection: Connection) -> None:
    job = services.begin_reading(connection=connection)
    for _ in range(5):
        lose_worker(job)

    connection.refresh_from_db()
    job.refresh_from_db()
    assert (job.status, job.last_error_code) == ("dead", "worker_lost")
    assert connection.reading_error == "gave_up"


def lose_worker(job: Job) -> None:
    """A worker takes the job and is never heard of again."""
    assert ledger.claim(job.pk) is not None
    Job.objects.for_organization(job.organization_id).filter(pk=job.pk).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    ledger.recover_lost()


# A consent that Amazon refuses -------------------------------------------------------------


def test_a_revoked_consent_is_doubted_three_times_before_it_is_believed(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    [job] = start(connection, US)
    amazon.world.sellers[NORTHSTAR].revoke_grant()
    read_long_ago(connection)
    seen = []

    for minutes in (0, 2, 13):
        doubt_for(connection, timedelta(minutes=minutes))
        make_due(job)
        run(job)
        grant = factories.grant_of(connection)
        seen.append((grant.status, grant.refusals, job.status, job.waiting_reason))

    assert seen == [
        ("doubted", 1, "waiting", "grant_doubted"),
        ("doubted", 2, "waiting", "grant_doubted"),
        ("invalid", 3, "done", ""),
    ]
    assert states_of(connection) == {"US": ("needs_attention", "grant_invalid")}
    refused = amazon.ledger.calls(surface="lwa", operation="refresh_token", status=400)
    assert len(refused) == 3


def test_a_doubted_consent_is_not_asked_again_before_its_time(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.world.sellers[NORTHSTAR].revoke_grant()
    job = read(connection)
    make_due(job)

    run(job)

    wait = (job.next_attempt_at - timezone.now()).total_seconds()
    assert amazon.ledger.count(surface="lwa") == 1
    assert 100 < wait <= 120


def test_one_false_refusal_is_forgotten_after_a_success(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("false_invalid_grant", times=1)
    job = read(connection)
    doubt_for(connection, timedelta(minutes=2))
    make_due(job)

    run(job)

    grant = factories.grant_of(connection)
    assert job.status == Job.Status.DONE
    assert (grant.status, grant.refusals, grant.first_refused_at) == ("active", 0, None)


def test_an_invalid_consent_is_not_sent_to_amazon_any_more(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    [job] = start(connection, US)
    SpApiGrant.objects.for_organization(connection.organization).update(status="invalid")
    amazon.ledger.clear()

    run(job)

    assert states_of(connection) == {"US": ("needs_attention", "grant_invalid")}
    assert len(amazon.ledger) == 0


def test_a_cached_access_token_that_was_revoked_is_replaced_once_and_then_doubted(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    amazon.world.sellers[NORTHSTAR].revoke_grant()

    job = read(connection)

    assert (job.status, job.waiting_reason) == ("waiting", "grant_doubted")
    assert amazon.ledger.count(surface="sellers", status=403) == 1
    assert amazon.ledger.count(surface="lwa", status=400) == 1


def test_a_missing_permission_needs_a_person_and_does_not_condemn_the_consent(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    amazon.scenario("missing_role")
    read_long_ago(connection)

    [job] = start(connection, US)
    run(job)

    assert states_of(connection) == {"US": ("needs_attention", "permission_missing")}
    assert factories.grant_of(connection).status == Grant.Status.ACTIVE


def test_a_consent_of_another_region_does_not_condemn_itself(
    amazon: RunningEmulator, organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    crossed = factories.make_connection(
        organization,
        seller=NORTHSTAR,
        marketplace_id=factories.UK,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )

    read(crossed)

    crossed.refresh_from_db()
    assert crossed.reading_error == "wrong_region"
    grant = factories.grant_of(crossed)
    assert (grant.status, grant.refusals) == (Grant.Status.ACTIVE, 0)
    assert "consent_of_another_region" in caplog.text


# Choosing ----------------------------------------------------------------------------------


def test_continue_offers_what_can_be_started_and_says_why_the_rest_cannot(
    browser: Client, connection: Connection
) -> None:
    read(connection)
    Marketplace.objects.filter(pk=MEXICO).update(is_supported=False)
    page = f"/o/{connection.organization.slug}/connections/{connection.pk}/onboard"

    choices = browser.get(page).context["choices"]

    assert [(choice.name, choice.is_ticked, str(choice.obstacle)) for choice in choices] == [
        ("Canada", False, ""),
        ("United States", True, ""),
        ("Brazil", False, "The seller does not take part in this marketplace"),
        ("Mexico", False, "Not supported yet"),
    ]


@pytest.mark.parametrize("why", ["unsupported", "absent", "foreign", "non-Amazon", "unknown"])
def test_what_cannot_be_onboarded_is_not_started_by_a_forged_form(
    browser: Client, connection: Connection, why: str
) -> None:
    read(connection)
    accounts = accounts_of(connection)
    Marketplace.objects.filter(pk=MEXICO).update(is_supported=False)
    other = factories.make_connection(factories.make_organization(), seller=NORTHSTAR)
    chosen = {
        "unsupported": accounts[MEXICO].pk,
        "absent": accounts[BRAZIL].pk,
        "foreign": factories.make_account(other).pk,
        "non-Amazon": accounts[NON_AMAZON].pk,
        "unknown": factories.unknown_id(),
    }

    response = browser.post(
        f"/o/{connection.organization.slug}/connections/{connection.pk}/onboard",
        {"account": [chosen[why], "not-an-id", "' OR 1=1"]},
    )

    assert response.status_code == 303
    assert jobs_of(connection) == []
    assert states_of(connection) == {}
    assert Job.objects.for_organization(other.organization).count() == 0


def test_a_row_of_the_same_organization_is_not_started_through_another_row(
    browser: Client, connection: Connection
) -> None:
    other = factories.make_connection(connection.organization, name="Other", seller=BLUE_HARBOR)
    account = factories.make_account(other)

    browser.post(
        f"/o/{connection.organization.slug}/connections/{connection.pk}/onboard",
        {"account": account.pk},
    )

    assert states_of(other) == {}


# Onboarding --------------------------------------------------------------------------------


def test_start_now_onboards_the_chosen_marketplaces(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    read(connection)
    accounts = accounts_of(connection)

    browser.post(
        f"/o/{connection.organization.slug}/connections/{connection.pk}/onboard",
        {"account": [accounts[US].pk, accounts[CANADA].pk]},
    )
    working = states_of(connection)
    done = ledger.drain("interactive")

    assert working == {"US": ("working", ""), "CA": ("working", "")}
    assert done == 2
    assert states_of(connection) == {"US": ("onboarded", ""), "CA": ("onboarded", "")}
    account = accounts_of(connection)[US]
    assert account.onboarded_at is not None
    assert account.chosen_by is not None


def test_all_marketplaces_of_a_row_share_one_reading(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    start(connection, US, CANADA, MEXICO)

    ledger.drain("interactive")

    assert amazon.ledger.count(surface="sellers") == 1
    assert amazon.ledger.count(surface="lwa") == 1


def test_an_old_reading_is_renewed_once_for_all(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    read_long_ago(connection)
    start(connection, US, CANADA, MEXICO)

    ledger.drain("interactive")

    assert amazon.ledger.count(surface="sellers") == 2
    assert set(states_of(connection).values()) == {("onboarded", "")}


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [("not_participating", "not_participating"), ("lost_marketplace", "not_listed")],
)
def test_a_store_that_closed_in_between_needs_the_person(
    amazon: RunningEmulator, connection: Connection, scenario: str, reason: str
) -> None:
    read(connection)
    start(connection, US, CANADA)
    amazon.scenario(scenario, marketplace="CA")
    read_long_ago(connection)

    ledger.drain("interactive")

    assert states_of(connection) == {
        "US": ("onboarded", ""),
        "CA": ("needs_attention", reason),
    }


def test_onboarding_renews_what_it_knows_of_the_store(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    amazon.world.sellers[NORTHSTAR].participation("US").store_name = "Northstar Outlet"
    read_long_ago(connection)

    ledger.run(start(connection, US)[0].pk)

    assert accounts_of(connection)[US].store_name == "Northstar Outlet"


@pytest.mark.parametrize("times", [2, 5])
def test_start_now_pressed_again_makes_one_job(
    browser: Client, connection: Connection, times: int
) -> None:
    read(connection)
    url = f"/o/{connection.organization.slug}/connections/{connection.pk}/onboard"

    for _ in range(times):
        browser.post(url, {"account": accounts_of(connection)[US].pk})

    assert len(jobs_of(connection)) == 1
    assert connection.organization.audit_events.filter(code="onboarding_working").count() == 1


def test_an_onboarded_marketplace_is_not_started_again(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    start(connection, US)
    ledger.drain("interactive")

    start(connection, US)

    assert len(jobs_of(connection)) == 1
    assert states_of(connection) == {"US": ("onboarded", "")}


def test_a_message_delivered_twice_does_the_work_once(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    [job] = start(connection, US)

    answers = [ledger.run(job.pk), ledger.run(job.pk), ledger.run(job.pk)]

    assert answers == [True, False, False]
    assert connection.organization.audit_events.filter(code="onboarding_onboarded").count() == 1


def test_retry_repeats_only_what_failed(
    amazon: RunningEmulator, browser: Client, connection: Connection
) -> None:
    read(connection)
    start(connection, US, CANADA)
    amazon.scenario("not_participating", marketplace="CA")
    read_long_ago(connection)
    ledger.drain("interactive")
    amazon.scenario("new_marketplace", marketplace="CA")
    read(connection)
    row = f"/o/{connection.organization.slug}/connections/{connection.pk}"
    canada = accounts_of(connection)[CANADA]

    browser.post(f"{row}/onboard/{canada.pk}/retry")
    ledger.drain("interactive")

    assert states_of(connection) == {"US": ("onboarded", ""), "CA": ("onboarded", "")}
    assert len(jobs_of(connection)) == 3


def test_retry_does_nothing_to_what_did_not_fail(browser: Client, connection: Connection) -> None:
    read(connection)
    start(connection, US)
    ledger.drain("interactive")
    row = f"/o/{connection.organization.slug}/connections/{connection.pk}"

    browser.post(f"{row}/onboard/{accounts_of(connection)[US].pk}/retry")

    assert len(jobs_of(connection)) == 1
    assert states_of(connection) == {"US": ("onboarded", "")}


def test_retry_after_a_new_consent_finishes(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    [job] = start(connection, US)
    SpApiGrant.objects.for_organization(connection.organization).update(status="invalid")
    ledger.run(job.pk)
    factories.consent(connection, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))

    start(connection, US)
    ledger.drain("interactive")

    assert states_of(connection) == {"US": ("onboarded", "")}


def test_one_failed_marketplace_does_not_hold_up_the_others(connection: Connection) -> None:
    read(connection)
    jobs = start(connection, US, CANADA)
    for _ in range(5):
        lose_worker(jobs[0])

    ledger.drain("interactive")

    assert sorted(states_of(connection).values()) == [
        ("needs_attention", "gave_up"),
        ("onboarded", ""),
    ]


# Several of one row at once ----------------------------------------------------------------


def claimed(connection: Connection, *marketplace_ids: str) -> list[Claim]:
    jobs = {job.subject_id: job for job in start(connection, *marketplace_ids)}
    accounts = accounts_of(connection)
    found = [ledger.claim(jobs[accounts[one].pk].pk) for one in marketplace_ids]
    return [claim for claim in found if claim is not None]


def job_states(connection: Connection) -> list[tuple[str, str, int]]:
    return sorted((job.status, job.waiting_reason, job.attempts) for job in jobs_of(connection))


def test_ten_marketplaces_start_in_one_crowd_with_one_bell(
    connection: Connection,
    silence: None,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    read(connection)
    make_accounts(connection, 10)
    bells.heard()
    with (
        CaptureQueriesContext(database) as few,
        django_capture_on_commit_callbacks(execute=True),
    ):
        start(connection, US)
    with (
        CaptureQueriesContext(database) as many,
        django_capture_on_commit_callbacks(execute=True),
    ):
        start(connection, *[f"AMANY{number}" for number in range(10)])

    assert bells.heard() == [("interactive", DRAIN, "interactive")] * 2
    assert len(jobs_of(connection)) == 11
    assert len(many) <= len(few)


def make_accounts(connection: Connection, count: int) -> None:
    """Marketplaces that Amazon is still to invent."""
    for number in range(count):
        Marketplace.objects.create(
            marketplace_id=f"AMANY{number}", name=f"Land {number}", country_code="US", region="NA"
        )
        MarketplaceAccount.objects.for_organization(connection.organization_id).create(
            connection=connection, marketplace_id=f"AMANY{number}", is_participating=True
        )


def test_a_group_writes_what_each_would_write_alone(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    claims = claimed(connection, US, CANADA, MEXICO)
    amazon.scenario("not_participating", marketplace="CA")
    read_long_ago(connection)
    calls = amazon.ledger.count(surface="sellers")

    onboarding.onboard_many(claims)

    assert states_of(connection) == {
        "US": ("onboarded", ""),
        "CA": ("needs_attention", "not_participating"),
        "MX": ("onboarded", ""),
    }
    assert amazon.ledger.count(surface="sellers") == calls + 1
    assert job_states(connection) == [("done", "", 1)] * 3
    codes = connection.organization.audit_events.filter(code__startswith="onboarding_")
    assert sorted(codes.values_list("code", flat=True)) == [
        "onboarding_needs_attention",
        *["onboarding_onboarded"] * 2,
        *["onboarding_working"] * 3,
    ]


def test_in_an_outage_a_group_waits_and_has_called_once(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    claims = claimed(connection, US, CANADA)
    read_long_ago(connection)
    amazon.scenario("outage", surface="sellers")
    calls = amazon.ledger.count(surface="sellers")

    onboarding.onboard_many(claims)

    assert set(states_of(connection).values()) == {("working", "")}
    assert job_states(connection) == [("waiting", "amazon_unavailable", 0)] * 2
    assert amazon.ledger.count(surface="sellers") - calls == 1


def test_a_group_that_needs_a_person_says_so_for_each(
    amazon: RunningEmulator, connection: Connection
) -> None:
    read(connection)
    claims = claimed(connection, US, CANADA)
    SpApiGrant.objects.for_organization(connection.organization_id).update(status="invalid")

    onboarding.onboard_many(claims)

    assert set(states_of(connection).values()) == {("needs_attention", "grant_invalid")}
    assert job_states(connection) == [("done", "", 1)] * 2


def test_of_a_group_what_is_over_or_lost_is_left_alone(connection: Connection) -> None:
    read(connection)
    claims = claimed(connection, US, CANADA, MEXICO)
    over, lost = claims[0].job, claims[1].job
    accounts = MarketplaceAccount.objects.for_organization(connection.organization_id)
    accounts.filter(pk=over.subject_id).update(onboarding="onboarded", onboarded_at=timezone.now())
    Job._base_manager.filter(pk=lost.pk).update(fence=F("fence") + 1)

    onboarding.onboard_many(claims)

    assert states_of(connection) == {
        "US": ("onboarded", ""),
        "CA": ("working", ""),
        "MX": ("onboarded", ""),
    }
    assert job_states(connection) == [("done", "", 1)] * 2 + [("running", "", 1)]
    assert not connection.organization.audit_events.filter(
        code="onboarding_onboarded", subject_id=over.subject_id
    ).exists()


def test_every_change_of_state_is_recorded_with_its_actor(connection: Connection) -> None:
    read(connection)
    ledger.run(start(connection, US)[0].pk)

    account = accounts_of(connection)[US]
    events = connection.organization.audit_events.filter(subject_id=account.pk).order_by("pk")
    assert list(events.values_list("code", "actor_kind", "details")) == [
        ("onboarding_working", "person", {"from": "pending", "to": "working"}),
        ("onboarding_onboarded", "worker", {"from": "working", "to": "onboarded"}),
    ]


def test_a_trouble_in_one_region_does_not_touch_another(
    amazon: RunningEmulator, connection: Connection
) -> None:
    europe = factories.make_connection(
        connection.organization,
        name="Europe",
        seller=NORTHSTAR,
        marketplace_id=factories.UK,
        refresh_token=amazon.world.authorize(NORTHSTAR, "EU"),
    )
    amazon.scenario("outage", region="EU")

    jobs = [read(europe), read(connection)]

    assert [job.status for job in jobs] == ["waiting", "done"]


# A page from before the disconnect -----------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "needs_attention"])
def test_nothing_is_begun_for_a_row_that_was_disconnected_meanwhile(
    amazon: RunningEmulator, state: str
) -> None:
    row = factories.make_connection(factories.make_organization(), name="Northstar")
    reason: dict[str, Any] = (
        {"attention_reason": "not_listed"} if state == "needs_attention" else {}
    )
    account = factories.make_account(row, US, onboarding=state, **reason)
    grant = factories.grant_of(row)
    superseding.destroy(
        grant, actor=Actor.person(factories.owner_of(row.organization)), reason="disconnected"
    )
    browser = trips.sign_in(factories.make_member(row.organization))
    slug = row.organization.slug
    begin = reverse("marketplaces_onboard", args=[slug, row.pk])
    again = reverse("marketplaces_retry", args=[slug, row.pk, account.pk])

    events = AuditEvent.objects.for_organization(row.organization_id)
    known = events.count()

    begun = browser.post(begin, {"account": [str(account.pk)]})
    repeated = browser.post(again, follow=True)

    assert begun.status_code == 422
    for reply in (begun, repeated):
        assert "No consent that works: reconnect the account first" in reply.text
        assert "had been started already" not in reply.text
    assert jobs_of(row) == []
    account.refresh_from_db()
    assert account.onboarding == state
    assert events.count() == known
