"""T7: a process that dies at each numbered point, what is left behind, and how it goes on.

After each crash: the sweep, then whoever comes next. The work is done once, and no consent is
stored by halves (A22, C7, E26, E27).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from connections.models import AdsGrant, AuthorizationRequest, Connection, SpApiGrant
from connections.notice_models import Notice
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from sellerlegend import crypto
from sellerlegend.amazon.secret import Secret
from sellerlegend.env import PROJECT_DIR
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.crash_points import EXIT_CODE
from tests.workers import Office, open_office

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.needs_postgresql]

NORTHSTAR, MARKETING = "A1NORTHSTAR001", "ads@northstar.example"


@pytest.fixture
def office(transactional_db: None, amazon: RunningEmulator, tmp_path: Path) -> Iterator[Office]:
    with open_office("filesystem", amazon.url, tmp_path) as opened:
        yield opened


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def connection(amazon: RunningEmulator, organization: Organization) -> Connection:
    return factories.make_connection(
        organization,
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


@pytest.fixture
def browser(organization: Organization) -> Client:
    return trips.sign_in(factories.owner_of(organization))


def crash(office: Office, point: str, action: str, *arguments: str) -> str:
    """A process that does this and dies at this point. What it logged."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash_points", point, action, *arguments],
        cwd=PROJECT_DIR,
        env=office.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == EXIT_CODE, f"did not die there: {done.stdout} {done.stderr[-2000:]}"
    return done.stderr


def time_passes(connection: Connection) -> None:
    """The leases of a dead process run out: of its job, and of the refresh it had begun."""
    past = timezone.now() - timedelta(seconds=1)
    Job._base_manager.filter(status=Job.Status.RUNNING).update(lease_expires_at=past)
    SpApiGrant._base_manager.filter(connection=connection).exclude(refresh_lease_until=None).update(
        refresh_lease_until=past
    )


def count(code: str) -> int:
    return AuditEvent._base_manager.filter(code=code).count()


# Workers -----------------------------------------------------------------------------------

BEFORE_THE_CLAIM = "before sellerlegend.jobs.claims:_take"
AFTER_THE_CLAIM = "after sellerlegend.jobs.claims:_take"
BEFORE_AMAZON = "before marketplaces.services:fetch_participations"
AFTER_LWA = "after sellerlegend.amazon.lwa:refresh"
AFTER_KEEPING = "after connections.credentials:_keep_both_tokens"
AFTER_SELLERS = "after sellerlegend.amazon.sellers:get_marketplace_participations"
BEFORE_THE_COMMIT = "after marketplaces.services:record_participations"
AFTER_THE_COMMIT = "after marketplaces.services:_read"
# Where it dies, what the job looks like then, and how often Amazon is asked in all: the next
# process has a cache of its own here, so an access token that was in use is fetched again.
WORKER_POINTS = [
    pytest.param(BEFORE_THE_CLAIM, "queued", 1, 1, id="1 before the claim"),
    pytest.param(AFTER_THE_CLAIM, "running", 1, 1, id="2 after the claim"),
    pytest.param(BEFORE_AMAZON, "running", 1, 1, id="3 before the first call"),
    pytest.param(AFTER_SELLERS, "running", 2, 2, id="5 with Amazon's answer unwritten"),
    pytest.param(BEFORE_THE_COMMIT, "running", 2, 2, id="6 between write and commit"),
    pytest.param(AFTER_THE_COMMIT, "done", 1, 1, id="7 after the commit"),
]


@pytest.mark.parametrize(("point", "status", "refreshes", "readings"), WORKER_POINTS)
def test_a_worker_that_dies_at_a_point_leaves_work_that_is_done_once(
    amazon: RunningEmulator,
    office: Office,
    connection: Connection,
    point: str,
    status: str,
    refreshes: int,
    readings: int,
) -> None:
    job = marketplace_services.begin_reading(connection=connection)

    crash(office, point, "run_job", str(job.pk))

    job.refresh_from_db()
    done_already = status == "done"
    assert job.status == status
    assert count("participations_read") == done_already
    assert MarketplaceAccount._base_manager.exists() == done_already
    time_passes(connection)
    ledger.sweep()
    ledger.drain("interactive")
    job.refresh_from_db()
    assert job.status == "done"
    assert job.attempts == (2 if status == "running" else 1)
    assert count("participations_read") == 1
    assert amazon.ledger.count(surface="lwa") == refreshes
    assert amazon.ledger.count(surface="sellers") == readings
    assert factories.grant_of(connection).status == "active"


@pytest.mark.parametrize(
    ("point", "is_kept"),
    [
        pytest.param(AFTER_LWA, False, id="4 with tokens nobody else has"),
        pytest.param(AFTER_KEEPING, True, id="4 with tokens that are kept"),
    ],
)
def test_a_worker_that_dies_with_another_refresh_token_loses_no_consent(
    amazon: RunningEmulator, office: Office, connection: Connection, point: str, is_kept: bool
) -> None:
    """C7: the row's token is tried next, whichever it is, and it works; the old one does too, as
    Amazon ends none when it gives another."""
    old = factories.grant_of(connection).fingerprint
    another = amazon.world.authorize(NORTHSTAR, "NA")
    fields = {"access_token": "Atza|lost", "refresh_token": another, "token_type": "bearer"}
    body = json.dumps(fields | {"expires_in": 3600}).encode()
    amazon.faults.add(surface="lwa", status=200, body=body, times=1)
    job = marketplace_services.begin_reading(connection=connection)

    crash(office, point, "run_job", str(job.pk))

    expected = crypto.fingerprint(Secret(another)) if is_kept else old
    job.refresh_from_db()
    assert (job.status, factories.grant_of(connection).fingerprint) == ("running", expected)
    time_passes(connection)
    ledger.sweep()
    ledger.drain("interactive")
    job.refresh_from_db()
    assert (job.status, job.attempts, count("participations_read")) == ("done", 2, 1)
    assert amazon.ledger.count(surface="sellers") == 1
    _lost, tried = amazon.ledger.calls(surface="lwa")
    assert (tried.status, tried.token_sha256.startswith(expected)) == (200, True)
    grant = factories.grant_of(connection)
    assert (grant.status, grant.version, grant.refusals) == ("active", 1, 0)
    assert grant.fingerprint == expected
    assert count("spapi_grant_doubted") == 0
    assert not Notice._base_manager.exists()


def test_a_worker_that_dies_between_onboarding_and_its_commit_onboards_once(
    office: Office, connection: Connection
) -> None:
    account = factories.make_account(connection)
    actor = Actor.person(factories.owner_of(connection.organization))
    onboarding.begin_onboarding(connection=connection, account_ids=[account.pk], actor=actor)
    [job] = Job._base_manager.filter(kind="marketplaces.onboard")

    crash(office, "after marketplaces.onboarding:_set_onboarded", "run_job", str(job.pk))

    account.refresh_from_db()
    assert account.onboarding == "working"
    time_passes(connection)
    ledger.sweep()
    ledger.drain("interactive")
    account.refresh_from_db()
    assert account.onboarding == "onboarded"
    assert count("onboarding_onboarded") == 1


# Bells -------------------------------------------------------------------------------------


def test_a_process_that_dies_before_its_commit_leaves_no_job(
    amazon: RunningEmulator, office: Office, connection: Connection
) -> None:
    point = "after marketplaces.services:queue_reading"

    crash(office, point, "begin_reading", str(connection.pk))

    assert not Job._base_manager.exists()
    assert ledger.drain("interactive") == 0


def test_a_process_that_dies_before_it_rings_leaves_a_job_that_the_sweep_finds(
    amazon: RunningEmulator, office: Office, connection: Connection
) -> None:
    crash(office, "before sellerlegend.celery:_publish", "begin_reading", str(connection.pk))

    [job] = Job._base_manager.all()
    assert job.status == "queued"
    assert ledger.sweep() >= 1
    ledger.drain("interactive")
    job.refresh_from_db()
    assert (job.status, job.attempts) == ("done", 1)


# Callbacks (A22) ---------------------------------------------------------------------------

AFTER_CONSUME = "after connections.authorization:consume"
AFTER_EXCHANGE = "after sellerlegend.amazon.lwa:exchange_code"
BEFORE_WRITE = "before connections.flows:_stored_whole"
BEFORE_SPAPI_COMMIT = "after connections.flows:_record_success"
BEFORE_BELL = "before sellerlegend.celery:_publish"
CALLBACK_POINTS = [
    pytest.param(AFTER_CONSUME, 0, id="8 after consume, before the exchange"),
    pytest.param(AFTER_EXCHANGE, 1, id="9 between exchange and write"),
    pytest.param(BEFORE_WRITE, 1, id="9 before the write"),
    pytest.param(BEFORE_SPAPI_COMMIT, 1, id="10 between write and commit"),
]


def come_back_and_crash(
    office: Office, browser: Client, callback: trips.Callback, point: str
) -> str:
    return crash(office, point, "open_callback", browser.cookies["session"].value, str(callback))


def assert_it_names_the_orphan(
    logged: str, amazon: RunningEmulator, callback: trips.Callback
) -> None:
    """By the hash of its token, so that Amazon and we can find it; the token itself is nowhere."""
    [line] = [line for line in logged.splitlines() if "grant_received" in line]
    names = [crypto.fingerprint(Secret(secret)) for secret in amazon.issued_secrets()]
    assert sum(name in line for name in names) == 1
    assert callback.trip.reference in line
    assert not any(secret in logged for secret in amazon.issued_secrets())


def a_minute_later() -> None:
    """The sweep sees that whoever consumed the trip does not come back."""
    AuthorizationRequest._base_manager.filter(status="consumed").update(
        consumed_at=timezone.now() - timedelta(minutes=2)
    )
    ledger.sweep()


@pytest.mark.parametrize(("point", "exchanges"), CALLBACK_POINTS)
def test_a_callback_that_dies_at_a_point_connects_nothing_and_can_be_started_again(
    amazon: RunningEmulator,
    office: Office,
    browser: Client,
    organization: Organization,
    point: str,
    exchanges: int,
) -> None:
    row = factories.make_waiting_connection(organization)
    callback = trips.confirm(trips.leave(browser, row), NORTHSTAR)

    logged = come_back_and_crash(office, browser, callback, point)

    if point in (BEFORE_WRITE, BEFORE_SPAPI_COMMIT):
        assert_it_names_the_orphan(logged, amazon, callback)
    row.refresh_from_db()
    assert row.selling_partner_id is None
    assert not SpApiGrant._base_manager.exists()
    assert not Job._base_manager.exists()
    assert count("spapi_grant_stored") == 0
    assert (callback.trip.status, callback.trip.outcome) == ("consumed", "in_progress")
    assert amazon.ledger.count(surface="lwa") == exchanges
    a_minute_later()
    assert trips.come_back(browser, callback) == "interrupted"
    assert amazon.ledger.count(surface="lwa") == exchanges
    again = trips.confirm(trips.leave(browser, row), NORTHSTAR)
    assert trips.come_back(browser, again) == "connected"
    assert count("spapi_grant_stored") == 1


@pytest.mark.parametrize(("point", "exchanges"), CALLBACK_POINTS[1:])
def test_an_ads_callback_that_dies_at_a_point_stores_nothing(
    amazon: RunningEmulator,
    office: Office,
    browser: Client,
    connection: Connection,
    point: str,
    exchanges: int,
) -> None:
    account = factories.make_account(connection)
    callback = trips.allow(trips.leave_for_ads(browser, connection, [account.pk]), MARKETING)

    logged = come_back_and_crash(office, browser, callback, point)

    if point in (BEFORE_WRITE, BEFORE_SPAPI_COMMIT):
        assert_it_names_the_orphan(logged, amazon, callback)

    assert not AdsGrant._base_manager.exists()
    assert not Job._base_manager.exists()
    assert amazon.ledger.count(surface="lwa") == exchanges
    a_minute_later()
    assert trips.come_back(browser, callback) == "interrupted"
    assert callback.trip.code_verifier == ""


def test_a_callback_that_dies_after_its_commit_is_connected_and_read_by_the_sweep(
    amazon: RunningEmulator, office: Office, browser: Client, organization: Organization
) -> None:
    row = factories.make_waiting_connection(organization)
    callback = trips.confirm(trips.leave(browser, row), NORTHSTAR)

    come_back_and_crash(office, browser, callback, BEFORE_BELL)

    row.refresh_from_db()
    assert row.selling_partner_id == NORTHSTAR
    assert factories.grant_of(row).status == "active"
    assert trips.come_back(browser, callback) == "connected"
    assert amazon.ledger.count(surface="lwa") == 1
    ledger.sweep()
    ledger.drain("interactive")
    [job] = Job._base_manager.all()
    assert job.status == "done"
    assert count("participations_read") == 1
