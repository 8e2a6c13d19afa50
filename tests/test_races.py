"""Two of everything at the same moment, with real threads on PostgreSQL: one winner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from connections import credentials, queue_walk, services
from connections.models import Connection, SpApiGrant
from connections.queue_models import ReconnectItem, ReconnectQueue
from connections.queue_rows import candidates
from connections.services import NameTaken
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import services as ppc_services
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import CANADA, US
from tests.threads import run_many, run_together
from tests.workers import open_office

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.needs_postgresql]

NORTHSTAR, BLUE_HARBOR = "A1NORTHSTAR001", "A2BLUEHARBOR02"
MARKETING = "ads@northstar.example"


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def member(organization: Organization) -> User:
    return factories.make_member(organization)


@pytest.fixture
def browser(member: User) -> Client:
    return trips.sign_in(member)


@pytest.fixture
def connection(amazon: RunningEmulator, organization: Organization) -> Connection:
    return factories.make_connection(
        organization,
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
        confirmed=False,
    )


def same_browser(browser: Client) -> Client:
    """Another tab: the same cookies, a client of its own because clients are not for threads."""
    tab = Client()
    tab.cookies = browser.cookies
    return tab


Answer = tuple[int, str]


def opening(browser: Client, callback: trips.Callback) -> Callable[[], Answer]:
    """Opens a callback in another tab: status and Location."""

    def open_it() -> Answer:
        response = same_browser(browser).get(str(callback))
        return response.status_code, response.headers.get("Location", "")

    return open_it


def answers_of(returned: Iterable[object]) -> list[Answer]:
    """What the tabs saw; a tab that raised fails the test."""
    found: list[Answer] = []
    for answer in returned:
        assert isinstance(answer, tuple), answer
        found.append(answer)
    return found


def codes(organization: Organization, code: str) -> int:
    return AuditEvent._base_manager.filter(organization=organization, code=code).count()


# Callbacks (A20, G1) -----------------------------------------------------------------------


@pytest.mark.parametrize("tabs", [2, 8])
@pytest.mark.parametrize("kind", ["spapi", "ads"])
def test_one_callback_opened_many_times_at_once_is_exchanged_once(
    amazon: RunningEmulator, browser: Client, organization: Organization, tabs: int, kind: str
) -> None:
    if kind == "spapi":
        row = factories.make_waiting_connection(organization)
        callback = trips.confirm(trips.leave(browser, row), NORTHSTAR)
    else:
        row = factories.make_connection(organization, seller=NORTHSTAR)
        account = factories.make_account(row)
        callback = trips.allow(trips.leave_for_ads(browser, row, [account.pk]), MARKETING)

    answers = answers_of(run_together(*[opening(browser, callback)] * tabs))

    success = {"spapi": "connected", "ads": "ads_connected"}[kind]
    assert [status for status, _ in answers] == [303] * tabs
    assert amazon.ledger.count(surface="lwa") == 1
    assert callback.trip.outcome == success
    assert codes(organization, "authorization_ended") == 1
    assert codes(organization, "spapi_grant_stored") == 1
    assert codes(organization, "ads_grant_stored") == (1 if kind == "ads" else 0)


def test_the_losers_of_a_doubled_callback_hear_that_it_is_being_done(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    row = factories.make_waiting_connection(organization)
    callback = trips.confirm(trips.leave(browser, row), NORTHSTAR)
    amazon.faults.add(surface="lwa", delay=1.0, times=1)

    answers = answers_of(run_together(*[opening(browser, callback)] * 4))

    locations = [location for _, location in answers]
    assert sum(location.startswith("/o/") for location in locations) == 1
    assert locations.count(f"/amazon/outcome/{callback.trip.reference}") == 3


def test_sixteen_trips_for_one_seller_end_on_one_row(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    callbacks = []
    for number in range(16):
        row = factories.make_waiting_connection(organization, name=f"Store {number}")
        callbacks.append(trips.confirm(trips.leave(browser, row), NORTHSTAR))

    answers = answers_of(run_together(*[opening(browser, callback) for callback in callbacks]))

    rows = Connection.objects.for_organization(organization)
    [row] = rows
    grant = factories.grant_of(row)
    outcomes = [callback.trip.outcome for callback in callbacks]
    assert {status for status, _ in answers} == {303}
    assert row.selling_partner_id == NORTHSTAR
    assert sorted(outcomes) == ["connected"] + ["merged"] * 15
    assert {callback.trip.connection_id for callback in callbacks} == {row.pk}
    assert grant.version == 16
    assert Job.objects.for_organization(organization).count() == 1


def test_two_tabs_of_one_row_with_two_sellers_lose_neither_and_mix_nothing(
    amazon: RunningEmulator, browser: Client, organization: Organization
) -> None:
    row = factories.make_waiting_connection(organization, name="Store")
    sellers = [NORTHSTAR, BLUE_HARBOR]
    callbacks = [trips.confirm(trips.leave(browser, row), seller) for seller in sellers]
    amazon.faults.add(surface="lwa", delay=0.5)

    answers_of(run_together(*[opening(browser, callback) for callback in callbacks]))

    found = dict(
        Connection.objects.for_organization(organization).values_list("name", "selling_partner_id")
    )
    outcomes = sorted(callback.trip.outcome for callback in callbacks)
    if outcomes == ["connected", "connected"]:
        assert sorted(found) == ["Store", "Store 2"]
        assert set(found.values()) == set(sellers)
    else:
        assert outcomes == ["connected", "wrong_account"]
        assert list(found) == ["Store"]


def test_a_row_removed_while_its_code_is_exchanged_stays_removed(
    amazon: RunningEmulator, browser: Client, member: User, organization: Organization
) -> None:
    row = factories.make_waiting_connection(organization)
    callback = trips.confirm(trips.leave(browser, row), NORTHSTAR)
    amazon.faults.add(surface="lwa", delay=0.6, times=1)

    def remove() -> None:
        amazon.ledger.wait_for(1, surface="lwa")
        services.remove_waiting_connection(connection=row, actor=Actor.person(member))

    run_together(opening(browser, callback), remove)

    assert callback.trip.outcome == "row_gone"
    assert Connection.objects.for_organization(organization).count() == 0
    assert SpApiGrant.objects.for_organization(organization).count() == 0


def test_an_ads_consent_for_a_row_undone_meanwhile_stores_nothing(
    amazon: RunningEmulator, browser: Client, member: User, connection: Connection
) -> None:
    account = factories.make_account(connection)
    callback = trips.allow(trips.leave_for_ads(browser, connection, [account.pk]), MARKETING)
    amazon.faults.add(surface="lwa", delay=0.6, times=1)

    def undo() -> None:
        amazon.ledger.wait_for(1, surface="lwa")
        services.undo_connection(connection=connection, actor=Actor.person(member))

    returned, _ = run_together(opening(browser, callback), undo)

    assert answers_of([returned])[0][0] == 303
    assert callback.trip.outcome == "row_gone"
    assert codes(connection.organization, "ads_grant_stored") == 0


# Start Now and workers (G2, E6) ------------------------------------------------------------


@pytest.mark.parametrize("times", [2, 16])
def test_start_now_pressed_at_once_makes_one_job_per_marketplace(
    browser: Client, connection: Connection, times: int
) -> None:
    accounts = [factories.make_account(connection, each) for each in (US, CANADA)]
    url = f"/o/{connection.organization.slug}/connections/{connection.pk}/onboard"
    form = {"account": [account.pk for account in accounts]}

    statuses = run_many(times, lambda: same_browser(browser).post(url, form).status_code)

    assert statuses == [303] * times
    jobs = Job.objects.for_organization(connection.organization).filter(kind="marketplaces.onboard")
    assert jobs.count() == 2
    assert codes(connection.organization, "onboarding_working") == 2


def test_ppc_chosen_by_two_people_at_once_makes_one_job(
    amazon: RunningEmulator, connection: Connection
) -> None:
    account = factories.make_account(connection)
    grant = factories.make_ads_grant(
        connection.organization, refresh_token=amazon.world.authorize_ads(MARKETING)
    )
    factories.make_profile(grant, seller=NORTHSTAR)
    people = [factories.make_member(connection.organization) for _ in range(8)]

    answers = run_together(
        *[
            partial(
                ppc_services.begin_linking,
                connection=connection,
                account_ids=[account.pk],
                actor=Actor.person(person),
            )
            for person in people
        ]
    )

    assert sorted(len(started) for started in answers if isinstance(started, list)) == [0] * 7 + [1]
    jobs = Job.objects.for_organization(connection.organization).filter(kind="ppc.link")
    assert jobs.count() == 1


@pytest.mark.parametrize("workers", [2, 16])
def test_many_workers_on_one_job_do_it_once(
    amazon: RunningEmulator, connection: Connection, workers: int
) -> None:
    job = marketplace_services.begin_reading(connection=connection)

    answers = run_many(workers, lambda: ledger.run(job.pk))

    job.refresh_from_db()
    assert sorted(answers, key=str) == [False] * (workers - 1) + [True]
    assert (job.status, job.attempts, job.fence) == ("done", 1, 1)
    assert amazon.ledger.count(surface="sellers") == 1
    assert codes(connection.organization, "participations_read") == 1


def test_many_sweeps_at_once_take_a_lost_job_back_once(connection: Connection) -> None:
    job = marketplace_services.begin_reading(connection=connection)
    assert ledger.claim(job.pk) is not None
    Job.objects.for_organization(connection.organization).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )

    recovered = run_many(8, ledger.recover_lost)

    job.refresh_from_db()
    assert sorted(recovered, key=str) == [0] * 7 + [1]
    assert (job.status, job.fence) == ("queued", 2)


def test_jobs_of_one_row_done_by_many_workers_share_one_reading_budget(
    amazon: RunningEmulator, connection: Connection
) -> None:
    ledger.run(marketplace_services.begin_reading(connection=connection).pk)
    accounts = MarketplaceAccount.objects.for_organization(connection.organization)
    ids = list(accounts.filter(is_participating=True).values_list("pk", flat=True))
    onboarding.begin_onboarding(
        connection=connection,
        account_ids=ids,
        actor=Actor.person(factories.owner_of(connection.organization)),
    )

    run_many(4, lambda: ledger.drain("interactive"))

    onboarded = accounts.filter(onboarding="onboarded").values_list("country_code", flat=True)
    assert sorted(onboarded) == ["CA", "MX", "US"]
    assert amazon.ledger.count(surface="sellers") == 1
    assert codes(connection.organization, "onboarding_onboarded") == 3


def test_a_lease_is_renewed_between_the_calls_of_a_long_step(
    amazon: RunningEmulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ledger.KINDS[ppc_services.LINK]
    monkeypatch.setitem(ledger.KINDS, ppc_services.LINK, replace(kind, lease_seconds=1))
    factories.make_account(connection)
    factories.make_ads_grant(
        connection.organization, refresh_token=amazon.world.authorize_ads(MARKETING)
    )
    accounts = MarketplaceAccount.objects.for_organization(connection.organization)
    ppc_services.begin_linking(
        connection=connection,
        account_ids=list(accounts.values_list("pk", flat=True)),
        actor=Actor.person(factories.owner_of(connection.organization)),
    )
    amazon.faults.add(surface="ads", delay=0.4)

    def sweep_for_three_seconds() -> int:
        end = time.monotonic() + 3
        recovered = 0
        while time.monotonic() < end:
            recovered += ledger.recover_lost()
            time.sleep(0.1)
        return recovered

    done, recovered = run_together(lambda: ledger.drain("interactive"), sweep_for_three_seconds)

    job = Job.objects.for_organization(connection.organization).get(kind="ppc.link")
    assert (done, recovered) == (1, 0)
    assert (job.status, job.attempts) == ("done", 1)


# One refresh for all (T9, C8) --------------------------------------------------------------


def test_fifty_threads_share_one_refresh(amazon: RunningEmulator, connection: Connection) -> None:
    amazon.faults.add(surface="lwa", delay=0.3)

    tokens = run_many(50, lambda: credentials.access_token(factories.grant_of(connection)).reveal())

    assert len(set(tokens)) == 1
    assert isinstance(tokens[0], str)
    assert amazon.ledger.count(surface="lwa") == 1


STORM = """
import sys
from concurrent.futures import ThreadPoolExecutor

import django

django.setup()
from django.db import connection
from connections import credentials, models
from sellerlegend.crypto import fingerprint

def refresh(_number):
    grant = models.SpApiGrant._base_manager.get(pk=sys.argv[1])
    try:
        return fingerprint(credentials.access_token(grant))
    finally:
        connection.close()

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(25) as pool:
    print(*set(pool.map(refresh, range(25))), flush=True)
"""


@pytest.mark.parametrize(
    "broker", [pytest.param("redis", marks=pytest.mark.needs_redis), "filesystem"]
)
def test_threads_of_two_processes_share_one_refresh(
    amazon: RunningEmulator, connection: Connection, tmp_path: Path, broker: str
) -> None:
    """Through Redis, and through the database cache of the embedded defaults."""
    amazon.faults.add(surface="lwa", delay=0.5)
    grant = str(factories.grant_of(connection).pk)

    with open_office(broker, amazon.url, tmp_path) as office:
        processes = [office.run_python(STORM, grant) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        answers = [process.communicate("go\n", timeout=60)[0] for process in processes]

    tokens = {token for answer in answers for token in answer.split()}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(tokens) == 1
    assert amazon.ledger.count(surface="lwa") == 1


def test_a_refresh_that_fails_once_is_tried_by_one_waiter_and_serves_all(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.scenario("server_error", surface="lwa", times=1)

    tokens = run_many(12, lambda: credentials.access_token(factories.grant_of(connection)).reveal())

    good = {token for token in tokens if isinstance(token, str)}
    bad = [token for token in tokens if isinstance(token, Exception)]
    assert len(good) == 1
    assert len(bad) == 1
    assert amazon.ledger.count(surface="lwa") == 2


def test_fifty_refusals_at_once_count_as_one(
    amazon: RunningEmulator, connection: Connection
) -> None:
    amazon.world.sellers[NORTHSTAR].revoke_grant()

    run_many(50, lambda: credentials.access_token(factories.grant_of(connection)).reveal())

    grant = factories.grant_of(connection)
    assert (grant.status, grant.refusals) == ("doubted", 1)
    assert amazon.ledger.count(surface="lwa") == 1


def test_a_consent_that_comes_while_the_old_one_is_refused_stays_active(
    amazon: RunningEmulator, connection: Connection
) -> None:
    """C3: the refusal of the old token must not condemn the new one."""
    amazon.world.sellers[NORTHSTAR].revoke_grant()
    amazon.faults.add(surface="lwa", delay=0.6, times=1)
    fresh = amazon.world.authorize(NORTHSTAR, "NA")

    def reconnect() -> None:
        amazon.ledger.wait_for(1, surface="lwa")
        factories.consent(connection, refresh_token=fresh)

    run_together(lambda: credentials.access_token(factories.grant_of(connection)), reconnect)

    grant = factories.grant_of(connection)
    assert (grant.status, grant.version, grant.refusals) == ("active", 2, 0)


# Undo against a worker (G4) ----------------------------------------------------------------


def test_undo_during_a_reading_leaves_no_late_rows(
    amazon: RunningEmulator, member: User, connection: Connection
) -> None:
    organization = connection.organization
    job = marketplace_services.begin_reading(connection=connection)
    amazon.faults.add(surface="sellers", delay=0.6, times=1)

    def undo() -> None:
        amazon.ledger.wait_for(1, surface="sellers")
        services.undo_connection(connection=connection, actor=Actor.person(member))

    run_together(lambda: ledger.run(job.pk), undo)

    job.refresh_from_db()
    assert (job.status, job.last_error_code) == ("dead", "cancelled")
    assert Connection.objects.for_organization(organization).count() == 0
    assert MarketplaceAccount.objects.for_organization(organization).count() == 0
    assert codes(organization, "participations_read") == 0


def test_undo_against_many_workers_and_choices_ends_in_nothing_or_is_refused(
    amazon: RunningEmulator, member: User, connection: Connection
) -> None:
    organization = connection.organization
    ledger.run(marketplace_services.begin_reading(connection=connection).pk)
    accounts = MarketplaceAccount.objects.for_organization(organization)
    ids = list(accounts.values_list("pk", flat=True))
    actor = Actor.person(member)
    for account in accounts:
        factories.make_link(account)

    answers = run_together(
        lambda: services.undo_connection(connection=connection, actor=actor),
        lambda: onboarding.begin_onboarding(connection=connection, account_ids=ids, actor=actor),
        lambda: ppc_services.begin_linking(connection=connection, account_ids=ids, actor=actor),
        lambda: ledger.drain("interactive"),
        lambda: ledger.drain("interactive"),
    )
    ledger.drain("interactive")

    # Who came first decides: a row that is used is not undone any more.
    is_kept = isinstance(answers[0], services.NotRemovable)
    assert Connection.objects.for_organization(organization).count() == int(is_kept)
    assert accounts.all().count() == (len(ids) if is_kept else 0)
    assert codes(organization, "connection_undone") == int(not is_kept)
    live = Job.objects.for_organization(organization).filter(status__in=Job.LIVE)
    assert list(live.values_list("kind", "status")) == []


# Names -------------------------------------------------------------------------------------


def test_one_name_taken_by_many_at_once_is_given_once(organization: Organization) -> None:
    actor = Actor.person(factories.owner_of(organization))

    answers = run_many(
        8,
        lambda: (
            services.create_connection(
                organization=organization, name="Store", marketplace_id=US, actor=actor
            ).name
        ),
    )

    assert answers.count("Store") == 1
    assert sum(isinstance(answer, NameTaken) for answer in answers) == 7


def test_creating_and_renaming_to_one_name_at_once_never_deadlocks(
    organization: Organization,
) -> None:
    actor = Actor.person(factories.owner_of(organization))
    for number in range(10):
        row = factories.make_waiting_connection(organization, name=f"Old {number}")

        answers = run_together(
            partial(
                services.create_connection,
                organization=organization,
                name=f"N{number}",
                marketplace_id=US,
                actor=actor,
            ),
            partial(services.rename_connection, connection=row, name=f"N{number}", actor=actor),
        )

        failures = [answer for answer in answers if isinstance(answer, Exception)]
        assert [type(failure) for failure in failures] == [NameTaken]


# A person with two devices ------------------------------------------------------------------


def test_parallel_choices_fill_one_queue_once(
    organization: Organization, member: User, connection: Connection
) -> None:
    membership = Membership.objects.for_organization(organization).get(user=member)
    SpApiGrant.objects.for_organization(organization).update(
        authorized_at=timezone.now() - timedelta(days=200)
    )
    chosen = candidates(membership, [connection.pk], {})

    def fill() -> int:
        actor = Actor.person(member)
        _queue, added = queue_walk.fill(
            organization=organization, user=member, chosen=chosen, actor=actor
        )
        return added

    added = run_many(8, fill)

    assert sorted(added) == [0] * 7 + [1]  # type: ignore[type-var]  # none was raised
    assert ReconnectQueue.objects.for_organization(organization).count() == 1
    assert ReconnectItem.objects.for_organization(organization).count() == 1


def test_a_consent_and_a_skip_at_one_moment_leave_it_reconnected(
    organization: Organization, member: User, browser: Client, connection: Connection
) -> None:
    """Whoever is first, the consent counts, and the queue is over once."""
    SpApiGrant.objects.for_organization(organization).update(
        authorized_at=timezone.now() - timedelta(days=200)
    )
    membership = Membership.objects.for_organization(organization).get(user=member)
    chosen = candidates(membership, [connection.pk], {})
    actor = Actor.person(member)
    queue_walk.fill(organization=organization, user=member, chosen=chosen, actor=actor)
    item = ReconnectItem.objects.for_organization(organization).select_related("queue").get()
    base = f"/o/{organization.slug}/reconnect-queue"
    left = browser.post(f"{base}/open", {"item": str(item.pk)})
    callback = trips.confirm(left.headers["Location"], NORTHSTAR)

    def skip() -> Answer:
        response = same_browser(browser).post(f"{base}/skip", {"item": str(item.pk)})
        return response.status_code, response.headers.get("Location", "")

    answers = run_together(opening(browser, callback), skip, opening(browser, callback), skip)

    assert all(isinstance(answer, tuple) and answer[0] == 303 for answer in answers)
    item.refresh_from_db()
    assert item.status == ReconnectItem.Status.RECONNECTED
    finished = AuditEvent.objects.for_organization(organization).filter(
        code="reconnect_queue_finished"
    )
    assert finished.count() == 1
