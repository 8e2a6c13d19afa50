"""The daily proof of a Seller Central consent, its roles, its Seller ID, and *Check now*."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from connections import capabilities, verification
from connections.health_models import Capability, CapabilityCheck
from connections.models import Connection, Grant, SpApiGrant
from marketplaces import onboarding, services
from marketplaces import verification as proofs
from marketplaces.cell import state_began_at
from marketplaces.models import MarketplaceAccount
from sellerlegend.applications.models import ApplicationRole
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job, RateBucket
from sellerlegend.organizations import quarantine
from sellerlegend.organizations.audit import COMMAND
from sellerlegend.organizations.models import AuditEvent, Organization, StaffNotice
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.applications import ROLES
from tests.amazon_emulator.demo import NORTHSTAR
from tests.factories import consent, grant_of

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
GRANTED, MISSING, UNKNOWN = "granted", "missing", "unknown"
ROLE_OF = {
    Capability.ORDERS: "Inventory and Order Tracking",
    Capability.INVENTORY: "Amazon Fulfillment",
    Capability.FINANCES: "Finance and Accounting",
    Capability.LISTINGS: "Product Listing",
    Capability.REPORTS: "Brand Analytics",
}


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    """Connected, and its marketplaces read a day ago."""
    token = amazon.world.authorize(NORTHSTAR, "NA")
    made = factories.make_connection(
        factories.make_organization(), seller=NORTHSTAR, refresh_token=token
    )
    services.record_participations(connection=made, reply=services.fetch_participations(made))
    Connection.objects.for_organization(made.organization_id).update(
        participations_read_at=timezone.now() - DAY
    )
    made.refresh_from_db()
    amazon.ledger.clear()
    return made


def run(kind: str, row: Connection) -> Job:
    job = ledger.enqueue(
        kind, organization=row.organization_id, subject_id=row.pk, connection_id=row.pk
    )
    return ledger.run_here(job)


def states(row: Connection) -> dict[str, str]:
    return {check.capability: check.state for check in capabilities.checks_of(row)}


def set_grant(row: Connection, **columns: Any) -> None:
    SpApiGrant.objects.for_organization(row.organization_id).update(**columns)


def set_roles(amazon: RunningEmulator, *missing: str) -> None:
    amazon.world.applications["spapi"].roles = [role for role in ROLES if role not in missing]


def codes(row: Connection) -> list[str]:
    events = AuditEvent.objects.for_organization(row.organization_id).order_by("pk")
    return list(events.values_list("code", flat=True))


def calls(amazon: RunningEmulator) -> list[str]:
    return [call.operation for call in amazon.ledger.calls()]


def revoke(row: Connection, amazon: RunningEmulator) -> datetime:
    """Amazon refused it three times; it is over since a moment ago."""
    amazon.world.revoke(NORTHSTAR)
    now = timezone.now()
    set_grant(
        row,
        status=Grant.Status.INVALID,
        status_changed_at=now,
        last_error_code="invalid_grant",
        **verification.columns_of_end(now),
    )
    return now


# The proof ---------------------------------------------------------------------------------


def test_a_proof_reads_asks_for_roles_and_sets_the_next_one(
    row: Connection, amazon: RunningEmulator
) -> None:
    job = run(proofs.VERIFY, row)

    grant = grant_of(row)
    assert (job.status, job.last_error_code) == ("done", "")
    assert job.queue == "background"
    assert grant.verified_at is not None
    assert grant.last_success_at == grant.verified_at
    assert grant.verify_due_at is not None
    assert timedelta(hours=20) <= grant.verify_due_at - grant.verified_at <= timedelta(hours=24)
    assert sorted(calls(amazon)) == sorted(
        [
            "getMarketplaceParticipations",
            "searchOrders",
            "getInventorySummaries",
            "listFinancialEventGroups",
            "searchListingsItems",
            "getReports",
        ]
    )
    assert states(row) == dict.fromkeys(ROLE_OF, GRANTED)


def test_a_refusal_that_the_questions_for_roles_meet_is_checked_within_minutes(
    row: Connection, amazon: RunningEmulator
) -> None:
    """The reading is a few minutes old and stands for the proof: only the questions ask Amazon."""
    amazon.world.revoke(NORTHSTAR)
    began = timezone.now() + timedelta(hours=2)  # the access token is over
    with time_machine.travel(began):
        Connection.objects.for_organization(row.organization_id).update(
            participations_read_at=timezone.now()
        )
        job = run(proofs.VERIFY, row)

    grant = grant_of(row)
    assert (job.status, grant.status, grant.refusals) == (Job.Status.DONE, "doubted", 1)
    assert grant.first_refused_at is not None
    assert grant.verify_due_at == grant.first_refused_at + timedelta(minutes=2)
    # A reading of before the refusal proves nothing.
    for minutes, status in ((3, "doubted"), (20, "invalid")):
        with time_machine.travel(began + timedelta(minutes=minutes)):
            assert proofs.sweep_due() == 1
            jobs = Job.objects.for_organization(row.organization_id)
            ledger.run_here(jobs.filter(kind=proofs.VERIFY).latest("created_at"))
            assert grant_of(row).status == status


def test_a_proof_shares_the_reading_of_the_last_ten_minutes(
    row: Connection, amazon: RunningEmulator
) -> None:
    run(proofs.VERIFY, row)
    amazon.ledger.clear()

    run(proofs.VERIFY, row)

    assert calls(amazon) == []


def test_the_first_reading_of_a_fresh_consent_is_its_proof(amazon: RunningEmulator) -> None:
    token = amazon.world.authorize(NORTHSTAR, "NA")
    fresh = factories.make_connection(
        factories.make_organization(), seller=NORTHSTAR, refresh_token=token
    )
    assert grant_of(fresh).verify_due_at is None

    ledger.run_here(services.begin_reading(connection=fresh))

    grant = grant_of(fresh)
    assert grant.verified_at is not None
    assert grant.verify_due_at is not None
    # Its roles have not been asked for yet: that comes soon.
    assert grant.verify_due_at - grant.verified_at <= verification.SOON


def test_a_routine_proof_that_shows_nothing_new_is_no_event(row: Connection) -> None:
    run(proofs.VERIFY, row)
    Connection.objects.for_organization(row.organization_id).update(
        participations_read_at=timezone.now() - DAY
    )
    before = codes(row)

    run(proofs.VERIFY, row)

    assert codes(row) == before


@pytest.mark.parametrize("scenario", ["throttled", "outage"])
def test_what_amazon_postpones_waits_and_changes_no_consent(
    row: Connection, amazon: RunningEmulator, scenario: str
) -> None:
    status = 429 if scenario == "throttled" else 503
    amazon.faults.add(surface="sellers", status=status, body=b"{}")
    before = grant_of(row)

    job = run(proofs.VERIFY, row)

    after = grant_of(row)
    assert job.status == "waiting"
    assert job.next_attempt_at > timezone.now()
    assert (after.status, after.version, after.verified_at) == (
        before.status,
        before.version,
        before.verified_at,
    )
    assert states(row) == {}


# A consent that is over --------------------------------------------------------------------


def test_an_ended_consent_is_asked_soon_then_less_for_four_days_and_then_no_more(
    row: Connection, amazon: RunningEmulator
) -> None:
    ended = revoke(row, amazon)
    asked: list[int] = []

    with time_machine.travel(ended, tick=True) as clock:
        for hour in range(24 * 12):
            clock.move_to(ended + timedelta(hours=hour, minutes=5))
            amazon.ledger.clear()
            verification.queue_due(SpApiGrant, proofs.queue_proofs)
            for job in Job.objects.for_organization(row.organization_id).filter(
                kind=proofs.VERIFY, status__in=Job.LIVE
            ):
                ledger.run_here(job)
            if calls(amazon):
                asked.append(hour)

    wanted = [1, 6, 24, 48, 72, 96]
    assert len(asked) == len(wanted), asked
    for hour, latest in zip(asked, wanted, strict=True):
        assert verification.QUIET_SOONEST * latest <= hour <= latest
    assert grant_of(row).status == "invalid"
    assert grant_of(row).verify_due_at is None
    row.refresh_from_db()
    assert row.reading_error == ""


def test_an_ended_consent_that_works_again_is_recovered_and_recorded(
    row: Connection, amazon: RunningEmulator
) -> None:
    now = timezone.now()
    set_grant(
        row,
        status=Grant.Status.INVALID,
        status_changed_at=now - DAY,
        last_error_code="invalid_grant",
        verify_due_at=now,
    )

    verification.queue_due(SpApiGrant, proofs.queue_proofs)
    ledger.run_here(Job.objects.for_organization(row.organization_id).get(kind=proofs.VERIFY))

    grant = grant_of(row)
    assert grant.status == "active"
    assert grant.verified_at is not None
    assert "spapi_grant_active" in codes(row)


@pytest.mark.parametrize("cause", ["reconnect_required", "vault_locked"])
def test_what_we_stopped_ourselves_is_not_asked(
    row: Connection, amazon: RunningEmulator, cause: str
) -> None:
    set_grant(
        row,
        status=Grant.Status.INVALID,
        last_error_code=cause,
        verify_due_at=timezone.now() - DAY,
    )

    assert verification.queue_due(SpApiGrant, proofs.queue_proofs) == 0
    assert not Job.objects.for_organization(row.organization_id).exists()


# Roles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("capability", list(ROLE_OF))
def test_each_missing_role_is_found_and_found_again(
    row: Connection, amazon: RunningEmulator, capability: Capability
) -> None:
    run(proofs.CHECK, row)  # the Seller ID is proved: a refusal now is about the role
    missing = {ROLE_OF[capability]}
    if capability == Capability.INVENTORY:
        missing.add("Inventory and Order Tracking")
    set_roles(amazon, *missing)
    age_checks(row)

    run(proofs.CHECK, row)

    expected = dict.fromkeys(ROLE_OF, GRANTED) | {capability: MISSING}
    if capability == Capability.INVENTORY:
        expected[Capability.ORDERS] = MISSING
    assert states(row) == expected
    assert grant_of(row).permission_missing_since is not None
    assert "capability_missing" in codes(row)

    set_roles(amazon)
    refill(amazon)
    run(proofs.CHECK, row)

    assert states(row) == dict.fromkeys(ROLE_OF, GRANTED)
    assert grant_of(row).permission_missing_since is None
    assert "capability_granted" in codes(row)


def age_checks(row: Connection) -> None:
    checks = CapabilityCheck.objects.for_organization(row.organization_id)
    checks.update(checked_at=timezone.now() - 8 * DAY)


def refill(amazon: RunningEmulator) -> None:
    """Amazon's allowance and ours: two calls a second for some of them."""
    RateBucket.objects.all().delete()
    amazon.advance_clock(60)


@pytest.mark.parametrize(("role_is_newer", "told"), [(False, ["role_missing"]), (True, [])])
def test_a_role_that_no_new_consent_would_bring_is_told_to_staff(
    row: Connection,
    amazon: RunningEmulator,
    django_capture_on_commit_callbacks: Any,
    role_is_newer: bool,
    told: list[str],
) -> None:
    """A consent from before the role lacks it for itself."""
    given = timezone.now() - DAY
    set_grant(row, authorized_at=given)
    added = given + timedelta(hours=1 if role_is_newer else -1)
    ApplicationRole.objects.create(application="spapi", name="Pricing", added_at=added)
    amazon.scenario("missing_role")

    with django_capture_on_commit_callbacks(execute=True):
        run(proofs.VERIFY, row)

    assert list(StaffNotice.objects.values_list("cause", flat=True)) == told


def test_a_reading_that_succeeds_does_not_hide_a_missing_role(
    row: Connection, amazon: RunningEmulator
) -> None:
    set_roles(amazon, "Finance and Accounting")
    run(proofs.VERIFY, row)
    since = grant_of(row).permission_missing_since
    assert since is not None

    ledger.run_here(services.begin_reading(connection=row))

    assert grant_of(row).permission_missing_since == since


def test_a_refused_reading_is_a_capability_of_its_own(
    row: Connection, amazon: RunningEmulator
) -> None:
    set_roles(amazon, "Product Listing", "Selling Partner Insights")

    job = run(proofs.VERIFY, row)

    assert (job.status, job.last_error_code) == ("done", "permission_missing")
    assert states(row) == {Capability.MARKETPLACES: MISSING}
    assert grant_of(row).permission_missing_since is not None

    set_roles(amazon)
    ledger.run_here(services.begin_reading(connection=row))

    assert states(row) == {Capability.MARKETPLACES: GRANTED}
    assert grant_of(row).permission_missing_since is None


def test_a_new_consent_starts_clean(row: Connection, amazon: RunningEmulator) -> None:
    run(proofs.VERIFY, row)
    set_roles(amazon, "Finance and Accounting")
    age_checks(row)
    run(proofs.CHECK, row)
    assert grant_of(row).permission_missing_since is not None

    consent(row, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))

    row.refresh_from_db()
    assert states(row) == {}
    assert grant_of(row).permission_missing_since is None
    assert row.seller_proved_at is None


def test_what_an_older_consent_was_told_says_nothing_of_a_newer_one(
    row: Connection, amazon: RunningEmulator
) -> None:
    old = grant_of(row)
    consent(row, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))

    capabilities.record(old, {Capability.ORDERS: CapabilityCheck.State.MISSING})
    capabilities.confirm_seller(old, NORTHSTAR)

    row.refresh_from_db()
    assert states(row) == {}
    assert grant_of(row).permission_missing_since is None
    assert row.seller_proved_at is None


def test_no_answer_never_replaces_one(row: Connection, amazon: RunningEmulator) -> None:
    run(proofs.VERIFY, row)
    age_checks(row)
    before = states(row)
    amazon.faults.add(surface="sellers", operation="searchOrders", status=500, body=b"")

    run(proofs.CHECK, row)

    assert states(row) == before
    assert grant_of(row).last_failure_code == ""


def test_a_throttled_question_says_nothing_and_keeps_no_other_from_being_asked(
    row: Connection, amazon: RunningEmulator
) -> None:
    amazon.faults.add(surface="sellers", operation="searchOrders", status=429, body=b"{}")

    run(proofs.VERIFY, row)

    assert states(row) == dict.fromkeys(ROLE_OF, GRANTED) | {Capability.ORDERS: UNKNOWN}
    assert grant_of(row).throttled_since is None
    amazon.faults.clear()
    amazon.ledger.clear()

    run(proofs.CHECK, row)

    # Amazon said that nothing is left: it is not asked again before there is.
    assert "searchOrders" not in calls(amazon)


def test_roles_are_asked_for_once_a_week_and_two_at_a_time(row: Connection) -> None:
    run(proofs.VERIFY, row)
    assert capabilities.due(row) == []

    age_checks(row)

    assert len(capabilities.due(row)) == 2
    assert len(capabilities.due(row, is_checked_by_hand=True)) == 5


# The Seller ID -----------------------------------------------------------------------------


def test_a_call_that_names_the_seller_confirms_the_claim(row: Connection) -> None:
    run(proofs.VERIFY, row)

    row.refresh_from_db()
    assert row.seller_proved_at is not None
    event = AuditEvent.objects.for_organization(row.organization_id).get(code="seller_confirmed")
    assert event.details == {"selling_partner_id": NORTHSTAR}


def test_a_claim_that_amazon_refuses_stays_unproved_and_says_nothing_of_the_role(
    row: Connection, amazon: RunningEmulator
) -> None:
    Connection.objects.for_organization(row.organization_id).update(
        selling_partner_id="A1SOMEBODYELSE"
    )

    run(proofs.VERIFY, row)

    row.refresh_from_db()
    assert row.seller_proved_at is None
    assert states(row)[Capability.LISTINGS] == UNKNOWN
    assert grant_of(row).permission_missing_since is None
    assert "seller_confirmed" not in codes(row)


# Marketplaces that come and go -------------------------------------------------------------


def account_of(row: Connection, marketplace_id: str) -> MarketplaceAccount:
    accounts = MarketplaceAccount.objects.for_organization(row.organization_id)
    account: MarketplaceAccount = accounts.get(connection=row, marketplace_id=marketplace_id)
    return account


def test_the_first_reading_discovers_nothing(row: Connection) -> None:
    accounts = MarketplaceAccount.objects.for_organization(row.organization_id)

    assert accounts.exists()
    assert not accounts.exclude(joined_at=None, lost_at=None).exists()
    assert not {"marketplace_added", "marketplace_lost"} & set(codes(row))


def test_a_marketplace_joined_later_is_dated_recorded_and_can_be_started(
    row: Connection, amazon: RunningEmulator
) -> None:
    seller = amazon.world.sellers[NORTHSTAR]
    seller.lose_marketplace(factories.BRAZIL)
    MarketplaceAccount.objects.for_organization(row.organization_id).filter(
        marketplace_id=factories.BRAZIL
    ).delete()
    seller.add_marketplace(factories.BRAZIL)

    run(proofs.VERIFY, row)
    run(proofs.CHECK, row)

    account = account_of(row, factories.BRAZIL)
    assert account.joined_at is not None
    assert codes(row).count("marketplace_added") == 1
    assert account in onboarding.startable(row)


def test_a_marketplace_that_came_back_is_pending_since_then(
    row: Connection, amazon: RunningEmulator
) -> None:
    account = account_of(row, factories.CANADA)
    account.onboarding = MarketplaceAccount.Onboarding.PENDING
    account.save()
    began_at = account.onboarding_changed_at

    def since() -> datetime:
        facts = MarketplaceAccount._base_manager.filter(pk=account.pk).values()[0]
        return state_began_at(dict(facts))

    amazon.world.sellers[NORTHSTAR].lose_marketplace(factories.CANADA)
    assert since() == began_at
    run(proofs.VERIFY, row)
    run(proofs.CHECK, row)
    lost_at = since()
    amazon.world.sellers[NORTHSTAR].add_marketplace(factories.CANADA)
    run(proofs.VERIFY, row)
    run(proofs.CHECK, row)

    account.refresh_from_db()
    assert account.onboarding == MarketplaceAccount.Onboarding.PENDING
    assert began_at < lost_at < since()
    assert since() == account.joined_at


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_lost_marketplace_is_dated_recorded_once_and_kept(
    row: Connection, amazon: RunningEmulator, is_listed: bool
) -> None:
    seller = amazon.world.sellers[NORTHSTAR]
    if is_listed:
        seller.participation(factories.CANADA).is_participating = False
    else:
        seller.lose_marketplace(factories.CANADA)

    run(proofs.VERIFY, row)
    run(proofs.CHECK, row)

    account = account_of(row, factories.CANADA)
    assert account.lost_at is not None
    assert not account.is_participating
    lost = AuditEvent.objects.for_organization(row.organization_id).filter(code="marketplace_lost")
    assert [event.details for event in lost] == [
        {"marketplace_id": factories.CANADA, "is_listed": is_listed}
    ]


# The sweep ---------------------------------------------------------------------------------


def due_now(row: Connection) -> None:
    set_grant(row, verify_due_at=timezone.now() - timedelta(minutes=1))


def live(organization: Organization, kind: str = proofs.VERIFY) -> int:
    jobs = Job.objects.for_organization(organization)
    return jobs.filter(kind=kind, status__in=Job.LIVE).count()


def test_a_sweep_run_twice_queues_one_job(row: Connection) -> None:
    due_now(row)

    assert verification.queue_due(SpApiGrant, proofs.queue_proofs) == 1
    due_now(row)
    verification.queue_due(SpApiGrant, proofs.queue_proofs)

    assert live(row.organization) == 1


def test_a_sweep_killed_between_its_steps_is_taken_up(row: Connection) -> None:
    due_now(row)

    def killed(organization_id: Any, grants: Any) -> None:
        proofs.queue_proofs(organization_id, grants)
        raise SystemExit

    with pytest.raises(SystemExit):
        verification.queue_due(SpApiGrant, killed)
    assert grant_of(row).verify_due_at is not None

    verification.queue_due(SpApiGrant, proofs.queue_proofs)

    assert live(row.organization) == 1
    due = grant_of(row).verify_due_at
    assert due is not None
    assert due > timezone.now()


@pytest.mark.parametrize("kind", proofs.PROVING)
def test_a_proof_on_its_way_is_not_doubled(row: Connection, kind: str) -> None:
    ledger.enqueue(kind, organization=row.organization, subject_id=row.pk, connection_id=row.pk)
    due_now(row)

    verification.queue_due(SpApiGrant, proofs.queue_proofs)

    assert Job.objects.for_organization(row.organization).count() == 1


def test_the_sweep_takes_turns_and_rests_in_quarantine(row: Connection) -> None:
    due_now(row)
    quarantine.begin(actor=COMMAND, reason="a test")
    assert proofs.sweep_due() == 0
    assert live(row.organization) == 0


def test_one_sweep_of_a_minute_does_the_work(row: Connection) -> None:
    due_now(row)

    assert proofs.sweep_due() == 1
    assert proofs.sweep_due() == 0


def test_a_disconnected_consent_is_left_alone(row: Connection) -> None:
    set_grant(row, status=Grant.Status.DISCONNECTED, refresh_token="")
    due_now(row)

    assert verification.queue_due(SpApiGrant, proofs.queue_proofs) == 0


# An answer of which a part is unreadable ---------------------------------------------------


@pytest.mark.parametrize("kind", [proofs.VERIFY, proofs.CHECK, services.READ])
def test_a_partly_garbled_answer_marks_nothing_lost_and_proves_nothing(
    row: Connection, amazon: RunningEmulator, kind: str
) -> None:
    accounts = MarketplaceAccount.objects.for_organization(row.organization_id).order_by("pk")
    states = list(accounts.values_list("marketplace_id", "is_participating", "lost_at"))
    assert len(states) > 1
    a_day_ago = timezone.now() - DAY
    set_grant(row, verified_at=a_day_ago)
    read_at, before = row.participations_read_at, codes(row)
    amazon.scenario("malformed", surface="sellers", region="NA", kind="wrong_types", times=1)

    run(kind, row)

    row.refresh_from_db()
    grant = grant_of(row)
    assert list(accounts.values_list("marketplace_id", "is_participating", "lost_at")) == states
    assert (grant.verified_at, row.participations_read_at) == (a_day_ago, read_at)
    assert grant.last_failure_code == "unexpected_reply"
    assert grant.verify_due_at is not None
    wait = grant.verify_due_at - timezone.now()
    assert timedelta(minutes=9) < wait <= timedelta(minutes=20)
    new = codes(row)[len(before) :]
    assert "participations_partial" in new
    assert not {"marketplace_lost", "participations_read"} & set(new)


def test_a_whole_answer_after_a_garbled_one_is_the_proof(
    row: Connection, amazon: RunningEmulator
) -> None:
    amazon.scenario("malformed", surface="sellers", region="NA", kind="wrong_types", times=1)
    run(proofs.VERIFY, row)

    run(proofs.VERIFY, row)

    grant = grant_of(row)
    assert grant.last_failure_code == ""
    assert grant.verified_at is not None
    assert grant.verify_due_at is not None
    assert grant.verify_due_at - timezone.now() > timedelta(hours=19)


def test_an_unreadable_answer_is_read_again_the_later_the_longer_it_lasts(row: Connection) -> None:
    set_grant(row, verified_at=timezone.now() - 4 * DAY)
    waits = []
    for _ in range(20):
        verification.note_doubt(grant_of(row))
        due = grant_of(row).verify_due_at
        assert due is not None
        waits.append(due - timezone.now())

    assert timedelta(minutes=9) < min(waits)
    assert timedelta(hours=1) < max(waits) <= timedelta(hours=23)


def test_a_message_that_nobody_can_explain_is_not_left_for_a_day(row: Connection) -> None:
    """One that Amazon ended keeps its quiet probes."""
    set_grant(row, verified_at=timezone.now())
    verification.note_no_proof(grant_of(row), "unexpected_reply")
    soon = grant_of(row).verify_due_at
    verification.note_no_proof(grant_of(row), "permission_missing")
    tomorrow = grant_of(row).verify_due_at
    ended = timezone.now() - timedelta(hours=2)
    set_grant(row, status="invalid", last_error_code="invalid_grant", status_changed_at=ended)
    verification.note_no_proof(grant_of(row), "unexpected_reply")

    assert soon is not None
    assert tomorrow is not None
    assert soon - timezone.now() < timedelta(hours=1)
    assert tomorrow - timezone.now() > timedelta(hours=19)
    quiet = grant_of(row).verify_due_at
    assert quiet is not None
    assert ended + DAY / 5 <= quiet <= ended + DAY / 4


def test_a_consent_that_amazon_takes_back_is_found_within_the_hour(
    row: Connection, amazon: RunningEmulator
) -> None:
    ended = timezone.now() - timedelta(hours=1)
    facts = {"last_error_code": "invalid_grant", "status_changed_at": ended}
    set_grant(row, status="invalid", **facts, **verification.columns_of_end(ended))

    assert proofs.sweep_due() == 1
    (job,) = Job.objects.for_organization(row.organization_id).filter(status__in=Job.LIVE)
    ledger.run(job.pk)

    assert grant_of(row).status == Grant.Status.ACTIVE


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_page_in_place_of_an_answer_says_nothing_of_the_seller(
    row: Connection, amazon: RunningEmulator, status: int
) -> None:
    """A firewall's or a proxy's: the proof waits as in any outage."""
    amazon.scenario("html_error_page", surface="sellers", status=status, times=1)

    job = run(proofs.VERIFY, row)

    job.refresh_from_db()
    assert (job.status, job.waiting_reason) == ("waiting", "amazon_unavailable")
    grant = grant_of(row)
    assert (grant.status, grant.last_failure_code) == ("active", "amazon_unavailable")
    assert Connection.objects.for_organization(row.organization).get().reading_error == ""


# A marketplace of another region -----------------------------------------------------------


def test_a_marketplace_of_another_region_is_shown_and_never_offered(
    row: Connection, amazon: RunningEmulator
) -> None:
    uk = amazon.world.sellers[NORTHSTAR].participation("US")
    facts = uk.facts | {"id": factories.UK, "name": "Amazon.co.uk", "countryCode": "GB"}
    amazon.world.sellers[NORTHSTAR].participations.append(
        type(uk)(factories.UK, uk.store_name, "NA", facts=facts)
    )
    before = len(codes(row))

    run(services.READ, row)

    account = account_of(row, factories.UK)
    assert account.is_participating
    assert account.joined_at is None
    assert "marketplace_added" not in codes(row)[before:]
    assert account not in onboarding.startable(row)
    person = trips.sign_in(factories.make_member(row.organization))
    slug = row.organization.slug
    page = person.get(reverse("marketplaces_onboard", args=[slug, row.pk])).content.decode()
    assert "Belongs to another region" in page
    assert str(account.pk) not in page
    screen = person.get(reverse("account_connections", args=[slug])).content.decode()
    assert "United Kingdom" in screen
    assert "New:" not in screen
