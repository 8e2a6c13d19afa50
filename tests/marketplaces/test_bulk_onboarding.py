"""*Start onboarding* for a selection of rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from connections.grouping_models import Reach
from connections.models import Connection, Grant, SpApiGrant
from marketplaces import bulk
from marketplaces.models import Marketplace, MarketplaceAccount
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import Actor
from sellerlegend.organizations.models import AuditEvent, Membership, Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.factories import BRAZIL, CANADA, MEXICO, UK, US
from tests.nothing_changed import nothing_changes

pytestmark = pytest.mark.django_db

Onboarding = MarketplaceAccount.Onboarding


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar Trading")


@pytest.fixture
def member(organization: Organization) -> User:
    return factories.make_member(organization)


@pytest.fixture
def browser(member: User) -> Client:
    return trips.sign_in(member)


@pytest.fixture
def page(organization: Organization) -> str:
    return reverse("marketplaces_onboard_many", args=[organization.slug])


def read_row(organization: Organization, name: str, **options: Any) -> Connection:
    """Its marketplaces are known."""
    row = factories.make_connection(organization, name=name, **options)
    rows = Connection.objects.for_organization(organization).filter(pk=row.pk)
    rows.update(participations_read_at=row.created_at)
    return row


def asked(page: str, *rows: Connection) -> str:
    return f"{page}?{'&'.join(f'row={row.pk}' for row in rows)}"


def send(browser: Client, page: str, *rows: Connection) -> Any:
    return browser.post(page, {"row": [str(row.pk) for row in rows]})


def onboarding(row: Connection) -> dict[str, str]:
    accounts = MarketplaceAccount.objects.for_organization(row.organization_id)
    return dict(accounts.filter(connection=row).values_list("marketplace_id", "onboarding"))


def test_what_would_start_and_what_not_stands_there_before(
    amazon: RunningEmulator, browser: Client, organization: Organization, page: str
) -> None:
    able = read_row(organization, "Able")
    for marketplace in (US, CANADA):
        factories.make_account(able, marketplace)
    factories.make_account(able, BRAZIL, is_participating=False)
    factories.make_account(able, UK)  # of another region
    factories.make_account(able, MEXICO, onboarding=Onboarding.ONBOARDED)
    done = read_row(organization, "Done")
    factories.make_account(done, onboarding=Onboarding.ONBOARDED)
    working = read_row(organization, "Working")
    factories.make_account(working, onboarding=Onboarding.WORKING)
    stuck = read_row(organization, "Stuck")
    factories.make_account(stuck, onboarding=Onboarding.NEEDS_ATTENTION, attention_reason="gave_up")
    refused = read_row(organization, "Refused")
    factories.make_account(refused)
    SpApiGrant.objects.for_organization(organization).filter(connection=refused).update(
        status=Grant.Status.INVALID
    )
    asking = read_row(organization, "Asking", confirmed=False)
    factories.make_account(asking)
    unread = factories.make_connection(organization, name="Unread")
    waiting = factories.make_waiting_connection(organization, name="Waiting")
    foreign = read_row(factories.make_organization(), "Foreign")
    factories.make_account(foreign)
    rows = [able, done, working, stuck, refused, asking, unread, waiting, foreign]

    with nothing_changes(amazon, events=()):
        response = browser.get(asked(page, *rows))

    told = [(plan.name, plan.marketplaces) for plan in response.context["able"]]
    obstacles = {plan.name: plan.obstacle_words for plan in response.context["unable"]}
    assert told == [("Able", "Canada, United States")]
    assert obstacles == {
        "Asking": "Its row still asks whether it is the right store. Answer that first.",
        "Done": "Everything that can be onboarded is.",
        "Refused": "It has no consent that works. Reconnect it first.",
        "Stuck": "What is left of it needs you. Look at its row.",
        "Unread": "Its marketplaces are not known yet. They are being read from Amazon.",
        "Waiting": "It waits for its consent. Use Resume in its row.",
        "Working": "It is being onboarded already.",
    }
    text = response.content.decode()
    assert "2 marketplaces will start" in text
    assert "1 of what you chose is left out" in text
    assert "Foreign" not in text


def test_a_marketplace_that_staff_switched_off_does_not_start(
    browser: Client, organization: Organization, page: str
) -> None:
    row = read_row(organization, "Row")
    factories.make_account(row, US)
    Marketplace.objects.filter(pk=US).update(is_supported=False)

    response = send(browser, page, row)

    assert response.status_code == 422
    (plan,) = response.context["unable"]
    assert plan.obstacle_words == "It takes part in no marketplace that we support."
    assert onboarding(row) == {US: "pending"}


def test_every_row_starts_what_waits_in_it_as_start_now_does(
    browser: Client,
    organization: Organization,
    member: User,
    page: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk, "ROWS_AT_ONCE", 2)
    rows = [read_row(organization, f"Row {number}") for number in range(5)]
    for row in rows:
        factories.make_account(row, US)
        factories.make_account(row, CANADA)
    factories.make_account(rows[0], BRAZIL, is_participating=False)
    done = read_row(organization, "Done")

    response = send(browser, page, *rows, done)

    assert response.status_code == 200
    results = [(each.plan.name, each.started) for each in response.context["results"]]
    assert results == [("Done", 0), *((f"Row {number}", 2) for number in range(5))]
    assert onboarding(rows[0]) == {US: "working", CANADA: "working", BRAZIL: "pending"}
    started = MarketplaceAccount.objects.for_organization(organization).filter(
        onboarding=Onboarding.WORKING
    )
    jobs = Job.objects.for_organization(organization).filter(kind="marketplaces.onboard")
    events = AuditEvent.objects.for_organization(organization).filter(code="onboarding_working")
    assert (started.count(), jobs.count(), events.count()) == (10, 10, 10)
    assert {account.chosen_by for account in started} == {member}
    assert set(jobs.values_list("subject_id", "connection_id")) == set(
        started.values_list("pk", "connection_id")
    )


def test_sending_it_twice_starts_nothing_twice(
    browser: Client, organization: Organization, page: str
) -> None:
    row = read_row(organization, "Row")
    factories.make_account(row)
    send(browser, page, row)

    again = send(browser, page, row)

    assert again.status_code == 422
    assert Job.objects.for_organization(organization).filter(subject_id__isnull=False).count() == 1


def test_what_was_started_between_the_look_and_the_start_is_told(
    browser: Client, organization: Organization, member: User, page: str
) -> None:
    row = read_row(organization, "Row")
    account = factories.make_account(row)
    membership = Membership.objects.for_organization(organization).get(user=member)
    plans = bulk.plans_of(membership, [row.pk])
    MarketplaceAccount.objects.for_organization(organization).filter(pk=account.pk).update(
        onboarding=Onboarding.PAUSED
    )

    (result,) = bulk.begin(membership=membership, plans=plans, actor=Actor.person(member))

    assert result.started == 0
    assert onboarding(row) == {US: "paused"}


@pytest.mark.parametrize("chosen", ["none", "foreign"])
def test_a_selection_of_nothing_starts_nothing(
    amazon: RunningEmulator, browser: Client, organization: Organization, page: str, chosen: str
) -> None:
    foreign = read_row(factories.make_organization(), "Foreign")
    factories.make_account(foreign)

    with nothing_changes(amazon, events=()):
        response = send(browser, page, *([foreign] if chosen == "foreign" else []))

    assert response.status_code == 422


def test_a_limited_member_starts_what_is_within_reach(
    browser: Client, organization: Organization, member: User, page: str
) -> None:
    near, far = read_row(organization, "Near"), read_row(organization, "Far")
    for row in (near, far):
        factories.make_account(row)
    memberships = Membership.objects.for_organization(organization).filter(user=member)
    memberships.update(is_limited=True)
    Reach.objects.for_organization(organization).create(
        membership=memberships.get(), connection=near
    )

    response = send(browser, page, near, far)

    assert [each.plan.name for each in response.context["results"]] == ["Near"]
    assert (onboarding(near), onboarding(far)) == ({US: "working"}, {US: "pending"})


def test_under_htmx_the_question_is_a_dialog(
    browser: Client, organization: Organization, page: str
) -> None:
    row = read_row(organization, "Row")
    factories.make_account(row)

    text = browser.get(asked(page, row), headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in text
    assert "1 marketplace will start." in text


def test_a_viewer_starts_nothing(
    amazon: RunningEmulator, organization: Organization, page: str
) -> None:
    row = read_row(organization, "Row")
    factories.make_account(row)
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    with nothing_changes(amazon, events=()):
        assert send(viewer, page, row).status_code == 403


def test_many_rows_are_started_with_few_queries(
    browser: Client,
    organization: Organization,
    page: str,
    django_assert_max_num_queries: Any,
) -> None:
    rows = [read_row(organization, f"Row {number:03d}") for number in range(60)]
    for row in rows:
        factories.make_account(row)

    with django_assert_max_num_queries(46):
        response = send(browser, page, *rows)

    assert response.context["count"] == 60


def test_marketplaces_are_named_in_the_readers_language(organization: Organization) -> None:
    row = read_row(organization, "Able")
    factories.make_account(row, US)
    member = factories.owner_of(organization).memberships.get()

    with translation.override("de"):
        [plan] = bulk.plans_of(member, [row.pk])

    assert plan.marketplaces == "USA"
