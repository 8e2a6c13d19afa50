"""Real worker processes, killed without warning in the middle of their work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest
from django.utils import timezone

from connections import client_links, notice_mails, token_imports
from connections.client_link_models import ClientLink
from connections.import_models import ImportedToken
from connections.models import Connection
from connections.notice_models import NoticeMail, NotificationChoice
from connections.token_table import checked_table
from marketplaces import onboarding, verification
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import checking, erasure, farewell, upkeep
from ppc import services as ppc_services
from ppc.models import AdsProfile, PpcLink
from sellerlegend.celery import RUN_JOB, SWEEP
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Organization
from tests import client_trips, factories
from tests.amazon_emulator import RunningEmulator
from tests.factories import JAPAN, US
from tests.workers import Office, open_office, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

NORTHSTAR, BLUE_HARBOR, SAKURA = "A1NORTHSTAR001", "A2BLUEHARBOR02", "A3SAKURATEA003"
MAILS = (notice_mails.MAIL, client_links.MAIL, client_links.MAIL_IN_TURN, farewell.RECEIPT)
MARKETING, AGENCY = "ads@northstar.example", "agency@ads.example"


@pytest.fixture(
    params=[pytest.param("redis", marks=pytest.mark.needs_redis), pytest.param("filesystem")]
)
def office(
    request: pytest.FixtureRequest,
    transactional_db: None,
    amazon: RunningEmulator,
    tmp_path: Path,
) -> Iterator[Office]:
    with open_office(request.param, amazon.url, tmp_path) as opened:
        yield opened


@pytest.fixture
def jobs(transactional_db: None, amazon: RunningEmulator) -> dict[str, Job]:
    """One job of each kind, each for a consent of its own, queued and not rung."""
    organization = factories.make_organization("Northstar Trading")
    actor = Actor.person(factories.owner_of(organization))
    reading = connect(amazon, organization, NORTHSTAR, US)
    resyncing = connect(amazon, organization, BLUE_HARBOR, US)
    chosen = connect(amazon, organization, SAKURA, JAPAN)
    onboarding.begin_onboarding(
        connection=chosen,
        account_ids=[factories.make_account(chosen, JAPAN).pk],
        actor=actor,
    )
    grant = factories.make_ads_grant(
        organization, refresh_token=amazon.world.authorize_ads(MARKETING)
    )
    other = factories.make_organization("Agency")
    linking = connect(amazon, other, NORTHSTAR, US)
    factories.make_ads_grant(other, refresh_token=amazon.world.authorize_ads(AGENCY))
    ppc_services.begin_linking(
        connection=linking,
        account_ids=[factories.make_account(linking).pk],
        actor=Actor.person(factories.owner_of(other)),
    )
    marketplace_services.begin_reading(connection=reading)
    marketplace_services.begin_resync(connection=resyncing)
    upkeep.begin_grant_resync(grant=grant, actor=actor)
    prove(amazon)
    mail_notice(reading)
    import_token(amazon)
    end_an_organization()
    client_trips.ask(reading)
    in_turn = client_trips.ask(resyncing, has_own_mail=False).link
    client_links.plan_mail([in_turn], client_links.MAIL_IN_TURN)
    found = {job.kind: job for job in Job._base_manager.all()}
    assert set(found) == set(ledger.KINDS), "a kind of work that this test does not know yet"
    return found


def prove(amazon: RunningEmulator) -> None:
    """The daily proofs of one organization, and those that somebody of another asks for."""
    daily, by_hand = factories.make_organization("Daily"), factories.make_organization("By hand")
    rows = [connect(amazon, organization, BLUE_HARBOR, US) for organization in (daily, by_hand)]
    consents = [
        factories.make_ads_grant(organization, refresh_token=amazon.world.authorize_ads(MARKETING))
        for organization in (daily, by_hand)
    ]
    verification.queue_proofs(daily.pk, [factories.grant_of(rows[0])])
    checking.queue_proofs(daily.pk, [consents[0]])
    verification.begin_check(rows[1])
    ledger.enqueue(checking.CHECK, organization=by_hand, subject_id=consents[1].pk)


def end_an_organization() -> None:
    gone = factories.make_organization("Gone")
    actor = Actor.person(factories.owner_of(gone))
    erasure.delete_organization(organization=gone, actor=actor, with_receipt=True)


def mail_notice(connection: Connection) -> None:
    organization = connection.organization
    factories.make_notice(connection)
    NotificationChoice.objects.for_organization(organization).create(
        user=factories.owner_of(organization), quiet_from=0, quiet_until=0
    )
    noon = (timezone.now() + timedelta(days=2)).replace(hour=12)
    assert notice_mails.plan_for(organization, noon) == 1


def import_token(amazon: RunningEmulator) -> None:
    """One row of a file that an owner confirmed."""
    organization = factories.make_organization("Importer")
    actor = Actor.person(factories.owner_of(organization))
    token = amazon.world.authorize(BLUE_HARBOR, "NA")
    text = f"name,marketplace,seller id,refresh token\nBrought,US,{BLUE_HARBOR},{token}\n"
    rows = checked_table(text.encode(), organization.pk)
    kept = token_imports.keep(organization=organization, rows=rows, actor=actor)
    assert token_imports.confirm(token_import=kept, renew=(), actor=actor) == 1


def connect(
    amazon: RunningEmulator, organization: Organization, seller: str, marketplace_id: str
) -> Connection:
    region: Literal["FE", "NA"] = "FE" if marketplace_id == JAPAN else "NA"
    return factories.make_connection(
        organization,
        seller=seller,
        marketplace_id=marketplace_id,
        refresh_token=amazon.world.authorize(seller, region),
    )


def forget_leases() -> None:
    """The half minute for which a dead worker still holds its jobs has passed."""
    Job._base_manager.filter(status=Job.Status.RUNNING).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )


def make_first(job: Job) -> None:
    """A bell does the job whose turn it is."""
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Job._base_manager.filter(pk=job.pk).update(next_attempt_at=an_hour_ago)


def statuses(jobs: dict[str, Job]) -> dict[str, str]:
    ids = [job.pk for job in jobs.values()]
    return dict(Job._base_manager.filter(pk__in=ids).values_list("kind", "status"))


def wait_until_done(jobs: dict[str, Job]) -> None:
    wait_until(lambda: set(statuses(jobs).values()) == {"done"}, f"finished work: {statuses(jobs)}")


def assert_done_once(jobs: dict[str, Job]) -> None:
    """The work of each kind has had its effect, and had it once."""
    events = AuditEvent._base_manager.values_list("code", flat=True)
    assert sorted(code for code in events if code in EFFECTS) == EFFECTS
    assert (
        MarketplaceAccount._base_manager.get(
            connection__selling_partner_id=SAKURA, marketplace_id=JAPAN
        ).onboarding
        == "onboarded"
    )
    assert [link.status for link in PpcLink._base_manager.all()] == ["linked"]
    assert Connection._base_manager.filter(participations_read_at__isnull=False).count() == 6
    brought = ImportedToken._base_manager.get()
    assert (brought.status, brought.refresh_token) == ("stored", "")
    assert brought.connection is not None
    assert factories.grant_of(brought.connection).fingerprint == brought.fingerprint
    assert AdsProfile._base_manager.count() == 6 + 4 + 6 + 6
    assert [mail.status for mail in NoticeMail._base_manager.all()] == ["sent"]
    assert [link.status for link in ClientLink._base_manager.all()] == ["sent"] * 2


EFFECTS = sorted(
    # A daily proof that finds nothing new is no event.
    ["participations_read"] * 5
    + ["imported_token_stored"]
    + ["ads_profiles_read"] * 4
    + ["onboarding_working", "onboarding_onboarded", "ppc_link_working", "ppc_link_linked"]
)


def test_a_worker_killed_in_the_middle_of_every_kind_of_work_is_replaced(
    amazon: RunningEmulator, office: Office, jobs: dict[str, Job]
) -> None:
    amazon.faults.add(surface="sellers", delay=60, times=6)
    amazon.faults.add(surface="ads", delay=60, times=4)
    victim = office.hire(concurrency=len(jobs))
    for job in jobs.values():
        office.tell(RUN_JOB, str(job.pk))
    amazon.ledger.wait_for(6, timeout=30, surface="sellers")
    amazon.ledger.wait_for(4, timeout=30, surface="ads")
    # Mails ask nothing of Amazon.
    mails = {kind: jobs.pop(kind) for kind in MAILS}
    assert set(statuses(jobs).values()) == {"running"}

    office.hire()
    victim.kill()
    forget_leases()
    office.tell(SWEEP)
    wait_until_done(jobs | mails)

    assert_done_once(jobs)
    rows = Job._base_manager.filter(pk__in=[job.pk for job in jobs.values()])
    assert set(rows.values_list("attempts", "fence", "last_error_code")) <= {
        (2, 3, "worker_lost"),
        (2, 3, ""),
    }


def test_lost_messages_are_made_up_for_by_the_sweep(office: Office, jobs: dict[str, Job]) -> None:
    office.hire()

    office.tell(SWEEP)
    wait_until_done(jobs)

    assert_done_once(jobs)


@pytest.mark.parametrize(
    "office", [pytest.param("redis", marks=pytest.mark.needs_redis)], indirect=True
)
def test_killed_pool_processes_cost_an_attempt_and_not_the_work(
    amazon: RunningEmulator, office: Office, jobs: dict[str, Job]
) -> None:
    """One busy, one idle: the worker survives both and starts new ones; the message is gone for
    good. With the broker of files the pool is threads: there is no process to kill alone."""
    amazon.faults.add(surface="sellers", delay=60, times=1)
    worker = office.hire(concurrency=2)
    office.tell(RUN_JOB, str(jobs["marketplaces.read_participations"].pk))
    amazon.ledger.wait_for(1, timeout=30, surface="sellers")

    worker.kill_pool()
    forget_leases()
    office.tell(SWEEP)
    wait_until_done(jobs)

    assert_done_once(jobs)
    assert worker.process.poll() is None


def test_a_worker_killed_while_it_refreshes_a_token_does_not_lock_the_consent(
    amazon: RunningEmulator, office: Office, jobs: dict[str, Job]
) -> None:
    job = jobs["marketplaces.read_participations"]
    amazon.faults.add(surface="lwa", seller=NORTHSTAR, delay=60, times=1)
    make_first(job)
    victim = office.hire()
    office.tell(RUN_JOB, str(job.pk))
    amazon.ledger.wait_for(1, timeout=30, surface="lwa", seller=NORTHSTAR)

    office.hire()
    victim.kill()
    forget_leases()
    connection = Connection._base_manager.get(pk=job.subject_id)
    grant = factories.grant_of(connection)
    assert grant.refresh_lease_until is not None
    type(grant)._base_manager.filter(pk=grant.pk).update(refresh_lease_until=timezone.now())
    office.tell(SWEEP)
    wait_until_done(jobs)

    assert_done_once(jobs)
    assert amazon.ledger.count(surface="lwa", seller=NORTHSTAR) == 2


def test_messages_told_three_times_do_the_work_once(
    amazon: RunningEmulator, office: Office, jobs: dict[str, Job]
) -> None:
    office.hire(concurrency=2)

    for job in [*jobs.values()] * 3:
        office.tell(RUN_JOB, str(job.pk))
    office.tell(RUN_JOB, str(factories.unknown_id()))
    wait_until_done(jobs)

    assert_done_once(jobs)
    assert {job.attempts for job in Job._base_manager.all()} == {1}


def test_messages_of_other_releases_stop_no_worker(office: Office, jobs: dict[str, Job]) -> None:
    """Names nobody knows any more or yet, and signatures that never were (E22)."""
    office.tell("jobs.of_an_old_release", "argument")
    office.tell("sellerlegend.jobs.of_a_newer_release")
    office.tell(RUN_JOB)
    office.tell(RUN_JOB, "not an id")
    office.tell(RUN_JOB, str(uuid4()))
    office.tell(RUN_JOB, str(next(iter(jobs.values())).pk), "one more")
    for job in jobs.values():
        office.tell(RUN_JOB, str(job.pk))
    worker = office.hire()

    wait_until_done(jobs)

    assert worker.process.poll() is None
    assert_done_once(jobs)
