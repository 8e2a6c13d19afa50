"""Pausing one marketplace and resuming it, without a new consent."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import Connection
from marketplaces import onboarding, pausing
from marketplaces.models import MarketplaceAccount
from ppc.disconnecting import Side, disconnect
from ppc.models import PpcLink
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Role
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import CANADA, MEXICO, US
from tests.nothing_changed import nothing_changes

pytestmark = pytest.mark.django_db

Onboarding = MarketplaceAccount.Onboarding
NORTHSTAR = "A1NORTHSTAR001"


@pytest.fixture
def row(amazon: RunningEmulator) -> Connection:
    return factories.make_connection(
        factories.make_organization(),
        name="Northstar",
        seller=NORTHSTAR,
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


@pytest.fixture
def actor(row: Connection) -> Actor:
    return Actor.person(factories.owner_of(row.organization))


@pytest.fixture
def client(row: Connection) -> Client:
    return trips.sign_in(factories.make_member(row.organization, Role.MEMBER))


def url(row: Connection, name: str, account: MarketplaceAccount) -> str:
    return reverse(name, args=[row.organization.slug, row.pk, account.pk])


def screen(row: Connection, client: Client) -> str:
    return client.get(reverse("account_connections", args=[row.organization.slug])).text


def details_of(row: Connection) -> str:
    return reverse("connection_details", args=[row.organization.slug, row.pk])


def live_jobs(row: Connection) -> list[Job]:
    return list(Job.objects.for_organization(row.organization_id).filter(status__in=Job.LIVE))


def test_a_paused_marketplace_counts_neither_as_started_nor_as_missing(
    row: Connection, client: Client
) -> None:
    paused = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    factories.make_account(row, CANADA, onboarding=Onboarding.ONBOARDED)
    assert "<span>Started</span>" in screen(row, client)
    factories.make_account(row, MEXICO)

    answer = client.post(url(row, "marketplace_pause", paused), follow=True)

    assert "Nothing is imported for this marketplace until you resume it." in answer.text
    assert "1 of 2" in answer.text
    paused.refresh_from_db()
    assert paused.onboarding == Onboarding.PAUSED
    assert paused.onboarded_at is not None
    event = AuditEvent._base_manager.get(code="onboarding_paused")
    assert (event.subject_id, event.connection_id) == (paused.pk, row.pk)


def test_a_row_whose_marketplaces_are_all_paused_says_so(row: Connection, client: Client) -> None:
    account = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    client.post(url(row, "marketplace_pause", account))
    page = screen(row, client)
    assert "<span>Paused</span>" in page
    assert "<span>Started</span>" not in page


def test_resuming_goes_back_to_onboarded_without_asking_amazon(
    amazon: RunningEmulator, row: Connection, client: Client
) -> None:
    account = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    client.post(url(row, "marketplace_pause", account))
    known, before = amazon.ledger.last_number, account.onboarded_at

    answer = client.post(url(row, "marketplace_resume", account), follow=True)

    assert "No new consent was needed." in answer.text
    account.refresh_from_db()
    assert (account.onboarding, account.onboarded_at) == (Onboarding.ONBOARDED, before)
    assert len(amazon.ledger.calls(since=known)) == 0
    assert live_jobs(row) == []


def test_pausing_one_that_works_ends_its_job_and_resuming_goes_on(
    amazon: RunningEmulator, row: Connection, actor: Actor
) -> None:
    account = factories.make_account(row, US)
    onboarding.begin_onboarding(connection=row, account_ids=[account.pk], actor=actor)
    (job,) = live_jobs(row)

    assert pausing.pause(connection=row, account_id=account.pk, actor=actor)
    assert live_jobs(row) == []
    ledger.run(job.pk)
    account.refresh_from_db()
    assert account.onboarding == Onboarding.PAUSED

    assert pausing.resume(connection=row, account_id=account.pk, actor=actor)
    (again,) = live_jobs(row)
    ledger.run(again.pk)
    account.refresh_from_db()
    assert account.onboarding == Onboarding.ONBOARDED


def test_what_needed_somebody_is_tried_again_when_it_is_resumed(
    row: Connection, actor: Actor
) -> None:
    account = factories.make_account(
        row, US, onboarding=Onboarding.NEEDS_ATTENTION, attention_reason="gave_up"
    )
    assert pausing.pause(connection=row, account_id=account.pk, actor=actor)
    assert pausing.resume(connection=row, account_id=account.pk, actor=actor)
    account.refresh_from_db()
    assert (account.onboarding, account.attention_reason) == (Onboarding.WORKING, "")
    assert [job.subject_id for job in live_jobs(row)] == [account.pk]


@pytest.mark.parametrize("was", [Onboarding.WORKING, Onboarding.NEEDS_ATTENTION])
def test_resuming_on_a_disconnected_row_goes_back_to_pending_and_queues_nothing(
    amazon: RunningEmulator, row: Connection, client: Client, actor: Actor, was: str
) -> None:
    reason = "gave_up" if was == Onboarding.NEEDS_ATTENTION else ""
    account = factories.make_account(row, US, onboarding=was, attention_reason=reason)
    pausing.pause(connection=row, account_id=account.pk, actor=actor)
    disconnect(connection=row, sides=frozenset(Side), actor=actor)
    known = amazon.ledger.last_number

    answer = client.post(url(row, "marketplace_resume", account), follow=True)

    assert "not started: Northstar has no consent that works. Reconnect it first" in answer.text
    assert "No new consent was needed" not in answer.text
    account.refresh_from_db()
    assert (account.onboarding, account.attention_reason) == (Onboarding.PENDING, "")
    event = AuditEvent._base_manager.get(code="onboarding_pending")
    assert event.details == {"from": "paused", "to": "pending", "reason": "resumed"}
    assert live_jobs(row) == []
    assert len(amazon.ledger.calls(since=known)) == 0


def test_what_was_onboarded_is_so_again_on_a_disconnected_row_which_is_to_be_connected_first(
    row: Connection, client: Client, actor: Actor
) -> None:
    account = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    pausing.pause(connection=row, account_id=account.pk, actor=actor)
    disconnect(connection=row, sides=frozenset(Side), actor=actor)

    answer = client.post(url(row, "marketplace_resume", account), follow=True)

    assert "Northstar has no consent that works: reconnect it first." in answer.text
    account.refresh_from_db()
    assert account.onboarding == Onboarding.ONBOARDED
    assert live_jobs(row) == []
    for page in (screen(row, client), client.get(details_of(row)).text):
        assert "Onboarded" in page
        assert "tone-success" not in page[page.index("Northstar") :]


def test_the_ppc_link_of_a_paused_marketplace_stays(row: Connection, actor: Actor) -> None:
    account = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    grant = factories.make_ads_grant(row.organization)
    link = factories.make_link(account, factories.make_profile(grant, seller=NORTHSTAR))
    pausing.pause(connection=row, account_id=account.pk, actor=actor)
    link.refresh_from_db()
    assert link.status == PpcLink.Status.LINKED


@pytest.mark.parametrize("name", ["marketplace_pause", "marketplace_resume"])
def test_a_second_click_changes_nothing(
    amazon: RunningEmulator, row: Connection, client: Client, name: str
) -> None:
    account = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    client.post(url(row, "marketplace_pause", account))
    client.post(url(row, name, account))
    account.refresh_from_db()
    before, events = account.onboarding_changed_at, AuditEvent._base_manager.count()

    assert client.post(url(row, name, account)).status_code == 303

    account.refresh_from_db()
    assert account.onboarding_changed_at == before
    assert AuditEvent._base_manager.count() == events


def test_what_was_never_started_cannot_be_paused(row: Connection, client: Client) -> None:
    account = factories.make_account(row, US)
    client.post(url(row, "marketplace_pause", account))
    account.refresh_from_db()
    assert account.onboarding == Onboarding.PENDING


def test_a_viewer_and_another_organization_pause_nothing(
    amazon: RunningEmulator, row: Connection
) -> None:
    account = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    viewer = trips.sign_in(factories.make_member(row.organization, Role.VIEWER))
    theirs = factories.make_connection(factories.make_organization())
    owner = trips.sign_in(factories.owner_of(theirs.organization))
    path = reverse("marketplace_pause", args=[theirs.organization.slug, theirs.pk, account.pk])
    with nothing_changes(amazon, events=()):
        assert viewer.post(url(row, "marketplace_pause", account)).status_code == 403
        details = reverse("connection_details", args=[row.organization.slug, row.pk])
        assert "marketplace_pause" not in viewer.get(details).text
    owner.post(path)
    account.refresh_from_db()
    assert account.onboarding == Onboarding.ONBOARDED


def test_the_details_offer_the_one_button_that_fits(row: Connection, client: Client) -> None:
    account = factories.make_account(row, US, onboarding=Onboarding.ONBOARDED)
    details = reverse("connection_details", args=[row.organization.slug, row.pk])
    pause, resume = url(row, "marketplace_pause", account), url(row, "marketplace_resume", account)
    assert (pause in client.get(details).text, resume in client.get(details).text) == (True, False)
    client.post(pause)
    assert (pause in client.get(details).text, resume in client.get(details).text) == (False, True)


@pytest.mark.parametrize("onboarded", [True, False])
def test_a_marketplace_that_the_seller_left_is_not_resumed_before_it_is_joined_again(
    amazon: RunningEmulator, row: Connection, client: Client, actor: Actor, onboarded: bool
) -> None:
    state = Onboarding.ONBOARDED if onboarded else Onboarding.NEEDS_ATTENTION
    reason = "" if onboarded else "gave_up"
    account = factories.make_account(row, US, onboarding=state, attention_reason=reason)
    pausing.pause(connection=row, account_id=account.pk, actor=actor)
    accounts = MarketplaceAccount.objects.for_organization(row.organization_id)
    accounts.update(is_participating=False, lost_at=timezone.now())
    resume = url(row, "marketplace_resume", account)
    details = reverse("connection_details", args=[row.organization.slug, row.pk])

    assert resume not in client.get(details).text
    with nothing_changes(amazon, events=()):
        client.post(resume)
    told = screen(row, client)

    assert "Still paused: the seller takes no part in this marketplace." in told
    assert "then resume it." in told

    accounts.update(is_participating=True, lost_at=None)  # as the next reading finds it
    assert resume in client.get(details).text
    client.post(resume)
    account.refresh_from_db()
    assert account.onboarding == (Onboarding.ONBOARDED if onboarded else Onboarding.WORKING)
