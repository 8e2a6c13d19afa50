"""The named actions of the staff pages on connections and consents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections import credentials, superseding
from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from marketplaces import onboarding
from marketplaces import services as marketplace_services
from marketplaces.models import MarketplaceAccount
from ppc import upkeep
from ppc.disconnecting import Side, disconnect
from ppc.models import PpcLink
from sellerlegend.amazon.errors import GrantInvalid
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND, WORKER, Actor
from sellerlegend.organizations.models import AuditEvent, User
from tests import factories
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import NORTHSTAR, NORTHSTAR_LOGIN
from tests.nothing_changed import nothing_changes
from tests.staff import act, make_support, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> User:
    return make_support()


@pytest.fixture
def support(staff: User) -> Client:
    return signed_in(staff)


@pytest.fixture
def connection(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


def event(code: str) -> AuditEvent:
    return AuditEvent._base_manager.get(code=code)


def job_of(kind: str) -> Job:
    return Job._base_manager.get(kind=kind)


def told(event: AuditEvent) -> tuple[Any, str, Any]:
    """Who, as what, and why."""
    return event.actor, event.actor_kind, event.details.get("reason")


# Re-sync -----------------------------------------------------------------------------------


def test_re_sync_refreshes_and_reads_again_in_a_worker(
    amazon: RunningEmulator, support: Client, staff: User, connection: Connection
) -> None:
    login = amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    ads_grant = factories.make_ads_grant(connection.organization, refresh_token=login)

    act(support, "resync", [connection], reason="customer called")

    assert amazon.ledger.calls() == []
    assert ledger.drain("background") == 2
    assert MarketplaceAccount._base_manager.filter(connection=connection).count() == 5
    ads_grant.refresh_from_db()
    assert ads_grant.profiles.count() == 6
    assert ads_grant.last_refreshed_at is not None
    assert factories.grant_of(connection).last_refreshed_at is not None
    assert told(event("resync_requested")) == (staff, "staff", "customer called")


def test_a_re_sync_proves_a_consent_that_was_believed_lost(
    amazon: RunningEmulator, support: Client, connection: Connection
) -> None:
    SpApiGrant._base_manager.update(status=Grant.Status.INVALID, last_error_code="invalid_grant")

    act(support, "resync", [factories.grant_of(connection)], reason="seller says it is there")
    ledger.drain("background")

    assert factories.grant_of(connection).status == Grant.Status.ACTIVE


def test_asking_twice_queues_once(support: Client, connection: Connection) -> None:
    act(support, "resync", [connection], reason="once")
    act(support, "resync", [connection], reason="twice")

    assert Job._base_manager.filter(kind=marketplace_services.RESYNC).count() == 1


def test_a_row_without_consent_has_nothing_to_re_sync(support: Client, staff: User) -> None:
    waiting = factories.make_waiting_connection(factories.make_organization())

    act(support, "resync", [waiting], reason="why not")

    assert not Job._base_manager.exists()
    assert not AuditEvent._base_manager.filter(actor=staff).exists()


def test_an_ads_consent_is_re_synced_alone(
    amazon: RunningEmulator, support: Client, staff: User
) -> None:
    grant = factories.make_ads_grant(
        factories.make_organization(), refresh_token=amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    )

    act(support, "resync", [grant], reason="new campaign")
    ledger.drain("background")

    assert grant.profiles.count() == 6
    assert told(event("resync_requested")) == (staff, "staff", "new campaign")


def test_what_amazon_refuses_is_written_down(
    amazon: RunningEmulator, support: Client, connection: Connection
) -> None:
    grant = factories.make_ads_grant(connection.organization)
    AdsGrant._base_manager.update(
        status=Grant.Status.DOUBTED,
        refusals=2,
        first_refused_at=timezone.now() - timedelta(hours=1),
    )

    act(support, "resync", [grant], reason="look again")
    ledger.drain("background")

    grant.refresh_from_db()
    assert grant.status == Grant.Status.INVALID
    assert event("ads_profiles_failed").details == {"reason": "grant_invalid"}
    job = job_of(upkeep.RESYNC)
    assert (job.status, job.last_error_code) == (Job.Status.DONE, "grant_invalid")


# Retry now ---------------------------------------------------------------------------------


def test_retry_now_repeats_what_waits_and_what_needs_attention(
    support: Client, staff: User, connection: Connection
) -> None:
    waiting = factories.make_account(connection, factories.US)
    stuck = factories.make_account(
        connection, factories.CANADA, onboarding="needs_attention", attention_reason="gave_up"
    )
    untouched = factories.make_account(connection, factories.MEXICO)
    onboarding.begin_onboarding(
        connection=connection,
        account_ids=[waiting.pk],
        actor=WORKER,
    )
    later = timezone.now() + timedelta(hours=1)
    Job._base_manager.update(status=Job.Status.WAITING, next_attempt_at=later)

    act(support, "retry", [connection], reason="amazon is back")

    due = Job._base_manager.filter(next_attempt_at__lte=timezone.now())
    assert set(due.values_list("subject_id", flat=True)) == {waiting.pk, stuck.pk}
    assert ledger.drain("interactive") == 2
    states = {row.pk: row.onboarding for row in MarketplaceAccount._base_manager.all()}
    assert states[waiting.pk] == states[stuck.pk] == "onboarded"
    assert states[untouched.pk] == "pending"
    retried = event("retry_requested")
    assert told(retried) == (staff, "staff", "amazon is back")
    assert retried.details["repeated"] == 2
    assert retried.connection_id == connection.pk


def test_retry_now_hurries_checks_and_proofs_of_both_sides(
    support: Client, connection: Connection
) -> None:
    grant = factories.make_ads_grant(connection.organization)
    factories.make_profile(grant, seller=NORTHSTAR)
    unrelated = factories.make_ads_grant(connection.organization)
    for kind, subject in (
        ("marketplaces.check", connection),
        ("marketplaces.verify", connection),
        ("ppc.verify", grant),
        ("ppc.verify", unrelated),
    ):
        ledger.enqueue(kind, organization=connection.organization, subject_id=subject.pk)
    later = timezone.now() + timedelta(hours=1)
    Job._base_manager.update(status=Job.Status.WAITING, next_attempt_at=later)

    act(support, "retry", [connection], reason="amazon is back")

    late = Job._base_manager.filter(next_attempt_at__gt=timezone.now())
    assert [job.subject_id for job in late] == [unrelated.pk]
    assert event("retry_requested").details["repeated"] == 3


def test_staff_see_the_health_of_both_sides(support: Client, connection: Connection) -> None:
    account = factories.make_account(connection)
    grant = factories.make_ads_grant(connection.organization)
    factories.make_link(account, factories.make_profile(grant, seller=NORTHSTAR))
    AdsGrant._base_manager.update(status="invalid")
    SpApiGrant._base_manager.update(last_success_at=timezone.now() - timedelta(days=2))

    listed = support.get(reverse("admin:connections_connection_changelist")).content.decode()
    page = support.get(
        reverse("admin:connections_connection_change", args=[connection.pk])
    ).content.decode()

    assert '<td class="field-spapi_health">Stale</td>' in listed
    assert '<td class="field-ads_health">Revoked</td>' in listed
    for table in ("job", "notice", "auditevent", "capabilitycheck", "datasetreport"):
        assert f"/{table}/?q={connection.pk}" in page


def test_staff_do_not_become_the_person_who_chose(support: Client, connection: Connection) -> None:
    owner = factories.owner_of(connection.organization)
    stuck = factories.make_account(
        connection, onboarding="needs_attention", attention_reason="gave_up", chosen_by=owner
    )

    act(support, "retry", [stuck], reason="try again")

    stuck.refresh_from_db()
    assert stuck.onboarding == "working"
    assert stuck.chosen_by == owner


def test_work_that_was_given_up_starts_over(support: Client, connection: Connection) -> None:
    account = factories.make_account(
        connection, onboarding="needs_attention", attention_reason="gave_up"
    )
    link = factories.make_link(account, status="needs_attention", attention_reason="gave_up")
    reading = marketplace_services.begin_reading(connection=connection)
    Connection._base_manager.update(reading_error="gave_up")
    for kind, subject in (("marketplaces.onboard", account), ("ppc.link", link)):
        ledger.enqueue(kind, organization=connection.organization, subject_id=subject.pk)
    grant = factories.make_ads_grant(connection.organization)
    upkeep.begin_grant_resync(grant=grant, actor=WORKER)
    Job._base_manager.update(status=Job.Status.DEAD, finished_at=timezone.now())
    dead = list(Job._base_manager.all())

    act(support, "retry", dead, reason="all of it")

    live = Job._base_manager.filter(status=Job.Status.QUEUED)
    assert {(job.kind, job.subject_id) for job in live} == {
        ("marketplaces.read_participations", reading.subject_id),
        ("marketplaces.onboard", account.pk),
        ("ppc.link", link.pk),
        ("ppc.resync", grant.pk),
    }
    assert PpcLink._base_manager.get().status == "working"
    assert AuditEvent._base_manager.filter(code="retry_requested").count() == 4


def test_a_job_whose_subject_is_gone_is_left_alone(support: Client) -> None:
    organization = factories.make_organization()
    kinds = ["marketplaces.read_participations", "marketplaces.onboard", "ppc.link", "ppc.resync"]
    jobs = [
        ledger.enqueue(kind, organization=organization, subject_id=factories.unknown_id())
        for kind in kinds
    ]
    Job._base_manager.update(status=Job.Status.DEAD, finished_at=timezone.now())

    response = act(support, "retry", jobs, reason="tidy up")

    assert response.status_code == 302
    assert not AuditEvent._base_manager.filter(code="retry_requested").exists()


def test_lost_work_is_found_by_its_subject(support: Client, connection: Connection) -> None:
    account = factories.make_account(connection, onboarding="working")
    link = factories.make_link(account, status="working")

    act(support, "retry", [account], reason="nothing moves")
    act(support, "retry", [link], reason="nothing moves")

    assert set(Job._base_manager.values_list("kind", flat=True)) == {
        "marketplaces.onboard",
        "ppc.link",
    }


# Require reconnect -------------------------------------------------------------------------


@pytest.mark.parametrize("on_the_row", [True, False])
def test_a_consent_is_not_used_until_there_is_a_new_one(
    amazon: RunningEmulator, support: Client, staff: User, connection: Connection, on_the_row: bool
) -> None:
    credentials.access_token(factories.grant_of(connection))
    target = connection if on_the_row else factories.grant_of(connection)

    act(support, "require_reconnect", [target], reason="a role is missing")

    grant = factories.grant_of(connection)
    assert (grant.status, grant.last_error_code) == ("invalid", "reconnect_required")
    assert told(event("spapi_grant_invalid")) == (staff, "staff", "a role is missing")
    amazon.ledger.clear()
    for force in (False, True):
        with pytest.raises(GrantInvalid):
            credentials.access_token(factories.grant_of(connection), force=force)
    assert amazon.ledger.calls() == []

    factories.consent(connection, refresh_token=amazon.world.authorize(NORTHSTAR, "NA"))

    assert factories.grant_of(connection).status == "active"
    credentials.access_token(factories.grant_of(connection))


def test_a_refresh_on_its_way_does_not_undo_it(
    amazon: RunningEmulator, support: Client, connection: Connection
) -> None:
    slow = factories.grant_of(connection)
    data_key = connection.organization.data_key
    act(support, "require_reconnect", [connection], reason="now")

    credentials._refresh(slow, data_key, timezone.now())

    assert factories.grant_of(connection).status == "invalid"
    with pytest.raises(GrantInvalid):
        credentials.access_token(factories.grant_of(connection))


def test_the_customer_sees_at_once_that_a_consent_is_needed(
    support: Client, connection: Connection
) -> None:
    before = Connection._base_manager.get(pk=connection.pk).revision

    act(support, "require_reconnect", [connection], reason="now")

    assert Connection._base_manager.get(pk=connection.pk).revision > before


def test_requiring_it_twice_is_once(support: Client, connection: Connection) -> None:
    act(support, "require_reconnect", [connection], reason="once")
    act(support, "require_reconnect", [connection], reason="twice")

    assert event("spapi_grant_invalid").details["reason"] == "once"


def test_an_ads_consent_can_be_stopped_too(support: Client) -> None:
    grant = factories.make_ads_grant(factories.make_organization())

    act(support, "require_reconnect", [grant], reason="left the agency")

    grant.refresh_from_db()
    assert grant.status == "invalid"


def test_the_customer_reads_that_support_asked_for_it(
    support: Client, connection: Connection
) -> None:
    act(support, "require_reconnect", [connection], reason="a role is missing")

    owner = signed_in(factories.owner_of(connection.organization))
    page = owner.get(reverse("account_connections", args=[connection.organization.slug]))

    assert b"Our support asks for a new consent" in page.content
    assert b"a role is missing" not in page.content


# Where Amazon cannot be asked --------------------------------------------------------------


def stop(grant: SpApiGrant | AdsGrant) -> None:
    superseding.require_reconnect(grant, actor=COMMAND, reason="staff")


def end(connection: Connection) -> None:
    actor = Actor.person(factories.owner_of(connection.organization))
    disconnect(connection=connection, sides=frozenset(Side), actor=actor)


def words_after(support: Client, response: Any) -> list[str]:
    """What staff are told by the page that follows."""
    return [
        str(message) for message in support.get(response.headers["Location"]).context["messages"]
    ]


NOT_ASKED = "1 left out: Amazon cannot be asked before the customer gives a new consent."


@pytest.mark.parametrize("name", ["resync", "retry"])
@pytest.mark.parametrize("was", ["stopped", "disconnected"])
def test_nothing_is_done_to_a_row_about_which_amazon_cannot_be_asked(
    amazon: RunningEmulator, support: Client, connection: Connection, name: str, was: str
) -> None:
    factories.make_account(connection, onboarding="needs_attention", attention_reason="gave_up")
    stuck = factories.make_account(
        connection, factories.CANADA, onboarding="needs_attention", attention_reason="gave_up"
    )
    factories.make_link(stuck, status="needs_attention", attention_reason="gave_up")
    if was == "stopped":
        stop(factories.grant_of(connection))
    else:
        end(connection)
    Connection._base_manager.update(reading_error="gave_up")
    Job._base_manager.all().delete()

    with nothing_changes(amazon, events=()):
        response = act(support, name, [connection], reason="look again")
        ledger.drain("background")

    label = {"resync": "Re-sync", "retry": "Retry now"}[name]
    assert words_after(support, response) == [f"{label}: 0 of 1 row. {NOT_ASKED}"]


def test_staff_read_how_many_rows_were_left_out_and_why(
    support: Client, connection: Connection
) -> None:
    organization = connection.organization
    waiting = factories.make_waiting_connection(organization)
    stopped, gone = (factories.make_connection(organization) for _ in range(2))
    stop(factories.grant_of(stopped))
    end(gone)
    rows = [connection, waiting, stopped, gone]

    response = act(support, "resync", rows, reason="look again")

    (told,) = words_after(support, response)
    assert told.startswith("Re-sync: 1 of 4 rows. ")
    assert "1 left out: waiting for the first consent." in told
    assert "2 left out: Amazon cannot be asked before the customer gives a new consent." in told
    assert "nothing to do" not in told
    assert [job.subject_id for job in Job._base_manager.all()] == [connection.pk]


def test_beside_a_stopped_consent_that_of_the_other_side_is_synced(
    support: Client, connection: Connection
) -> None:
    grant = factories.make_ads_grant(connection.organization)
    factories.put_to_use(grant, connection)
    other = factories.make_ads_grant(connection.organization)
    stop(factories.grant_of(connection))
    stop(other)

    act(support, "resync", [connection], reason="look again")

    assert [(job.kind, job.subject_id) for job in Job._base_manager.all()] == [
        (upkeep.RESYNC, grant.pk)
    ]


def test_a_stopped_consent_alone_is_not_synced(
    amazon: RunningEmulator, support: Client, connection: Connection
) -> None:
    ads_grant = factories.make_ads_grant(connection.organization)
    factories.put_to_use(ads_grant, connection)
    spapi = factories.grant_of(connection)
    for grant in (spapi, ads_grant):
        stop(grant)

    with nothing_changes(amazon, events=()):
        responses = [act(support, "resync", [one], reason="again") for one in (spapi, ads_grant)]

    told = [words for response in responses for words in words_after(support, response)]
    assert told == [f"Re-sync: 0 of 1 row. {NOT_ASKED}"] * 2


def test_what_was_queued_before_a_stop_ends_without_a_word(
    amazon: RunningEmulator, support: Client, connection: Connection
) -> None:
    grant = factories.make_ads_grant(connection.organization)
    factories.put_to_use(grant, connection)
    act(support, "resync", [connection], reason="look again")
    for kind, subject in (("marketplaces.check", connection), ("ppc.check", grant)):
        ledger.enqueue(kind, organization=connection.organization, subject_id=subject.pk)
    for one in (factories.grant_of(connection), grant):
        stop(one)
    known, calls = AuditEvent._base_manager.count(), amazon.ledger.last_number

    assert ledger.drain("background") + ledger.drain("interactive") == 4

    assert Connection._base_manager.get(pk=connection.pk).reading_error == ""
    assert amazon.ledger.calls(since=calls) == []
    assert AuditEvent._base_manager.count() == known


def test_dead_work_of_a_stopped_consent_is_not_begun_again(
    amazon: RunningEmulator, support: Client, connection: Connection
) -> None:
    grant = factories.make_ads_grant(connection.organization)
    factories.put_to_use(grant, connection)
    work = [
        ("marketplaces.check", connection.pk),
        ("marketplaces.resync", connection.pk),
        ("ppc.check", grant.pk),
        ("ppc.resync", grant.pk),
    ]
    for kind, subject in work:
        ledger.enqueue(kind, organization=connection.organization, subject_id=subject)
    Job._base_manager.update(status=Job.Status.DEAD, finished_at=timezone.now())
    Connection._base_manager.update(reading_error="gave_up")
    for one in (factories.grant_of(connection), grant):
        stop(one)

    with nothing_changes(amazon, events=()):
        response = act(support, "retry", list(Job._base_manager.all()), reason="again")

    assert words_after(support, response) == [
        "Retry now: 0 of 4 rows. There was nothing to do for the rest."
    ]


def test_retry_asks_amazon_by_force_about_a_consent_that_it_refused(
    support: Client, connection: Connection
) -> None:
    SpApiGrant._base_manager.update(status=Grant.Status.INVALID, last_error_code="invalid_grant")
    Connection._base_manager.update(reading_error="gave_up")

    act(support, "retry", [connection], reason="seller says it is there")
    ledger.drain("background")

    assert factories.grant_of(connection).status == Grant.Status.ACTIVE
    assert Connection._base_manager.get(pk=connection.pk).reading_error == ""
