"""The page with what came of a *Check now* for many rows."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connections.models import AdsGrant, Connection, Grant, SpApiGrant
from connections.reasons import reason_for
from marketplaces import verification as marketplace_verification
from ppc import check_results, checking
from sellerlegend.jobs import ledger
from sellerlegend.jobs.models import Job
from sellerlegend.organizations.audit import COMMAND, event_of
from sellerlegend.organizations.models import Organization, Role, User
from tests import factories, trips
from tests.amazon_emulator import RunningEmulator
from tests.amazon_emulator.demo import BLUE_HARBOR, NORTHSTAR, NORTHSTAR_LOGIN
from tests.nothing_changed import nothing_changes

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization() -> Organization:
    return factories.make_organization("Northstar")


@pytest.fixture
def member(organization: Organization) -> User:
    return factories.make_member(organization)


@pytest.fixture
def browser(member: User) -> Client:
    return trips.sign_in(member)


@pytest.fixture
def row(amazon: RunningEmulator, organization: Organization) -> Connection:
    return factories.make_connection(
        organization,
        seller=NORTHSTAR,
        name="First",
        refresh_token=amazon.world.authorize(NORTHSTAR, "NA"),
    )


@pytest.fixture
def other(amazon: RunningEmulator, organization: Organization) -> Connection:
    return factories.make_connection(
        organization,
        seller=BLUE_HARBOR,
        name="Second",
        refresh_token=amazon.world.authorize(BLUE_HARBOR, "NA"),
    )


def begun(browser: Client, *rows: Connection) -> str:
    """The address of the result."""
    slug = rows[0].organization.slug
    answer = browser.post(
        reverse("connections_check", args=[slug]), {"row": [str(one.pk) for one in rows]}
    )
    assert answer.status_code == 303
    return answer.headers["Location"]


def result_url(organization: Organization, batch: UUID) -> str:
    return reverse("connections_check_result", args=[organization.slug, batch])


def run_checks(organization: Organization, *rows: Connection) -> None:
    jobs = Job.objects.for_organization(organization).filter(status__in=Job.LIVE)
    for job in jobs.filter(subject_id__in=[one.pk for one in rows]) if rows else jobs:
        ledger.run_here(job)


def said(text: str) -> list[str]:
    """The states of the page, in its order."""
    found = re.findall(r'<td role="cell".*?<span class="status.*?<span>(.*?)<', text, re.DOTALL)
    return [" ".join(one.split()) for one in found]


def test_each_row_says_what_came_of_its_check(
    row: Connection, other: Connection, organization: Organization, browser: Client
) -> None:
    url = begun(browser, row, other)

    before = browser.get(url).text
    run_checks(organization, row)
    half = browser.get(url).text
    run_checks(organization, other)
    after = browser.get(url).text

    assert "0 of 2 checked" in before
    assert '<progress value="0" max="2" aria-labelledby="check-progress">' in before
    assert said(before) == ["Being checked", "Not asked"] * 2
    assert "1 of 2 checked<" in half
    assert said(half) == ["Connected", "Not asked", "Being checked", "Not asked"]
    for moving in (before, half):
        assert f'hx-get="{url}" hx-trigger="every 3s"' in moving
        assert "the result stays at this address for two weeks" in moving
    assert "2 of 2 checked<" in after
    assert said(after) == ["Connected", "Not asked"] * 2
    assert "hx-trigger" not in after.partition('id="check-results"')[2]
    assert after.index(">First<") < after.index(">Second<")
    details = reverse("connection_details", args=[organization.slug, row.pk])
    assert f'href="{details}">First</a>' in after
    assert after.count("North America") == 2


def test_what_needs_a_person_is_counted(
    row: Connection,
    other: Connection,
    organization: Organization,
    browser: Client,
    amazon: RunningEmulator,
) -> None:
    SpApiGrant.objects.for_organization(organization).filter(connection=other).update(
        status=Grant.Status.INVALID, last_error_code="invalid_grant"
    )
    amazon.world.revoke(BLUE_HARBOR)
    url = begun(browser, row, other)

    while_checked = browser.get(url).text
    run_checks(organization)
    after = browser.get(url).text

    assert "0 of 2 checked<" in while_checked
    assert "2 of 2 checked, 1 needs you<" in after
    assert said(after) == ["Connected", "Not asked", "Revoked", "Not asked"]
    refused = SpApiGrant.objects.for_organization(organization).get(connection=other)
    assert refused.last_failure_code == "grant_doubted"
    assert str(reason_for("grant_doubted").title) not in after
    assert "Open a connection that needs you: it says what to do next." in after


def test_a_refusal_that_is_asked_again_is_still_being_checked(
    row: Connection, organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    amazon.world.revoke(NORTHSTAR)
    url = begun(browser, row)
    run_checks(organization)

    page = browser.get(url).text

    assert "0 of 1 checked<" in page
    assert said(page) == ["Refused, checking again", "Not asked"]
    assert "Waiting for Amazon, next try" in page


def test_a_check_without_an_answer_says_why(
    row: Connection, organization: Organization, browser: Client
) -> None:
    url = begun(browser, row)
    job = Job.objects.for_organization(organization).get()
    grants = SpApiGrant.objects.for_organization(organization)
    Job.objects.for_organization(organization).filter(pk=job.pk).update(
        status=Job.Status.WAITING, waiting_reason="amazon_unavailable"
    )
    waiting = browser.get(url).text
    Job.objects.for_organization(organization).update(status=Job.Status.DEAD)
    grants.update(last_failure_code="amazon_unavailable", last_failure_at=timezone.now())
    failed = browser.get(url).text
    grants.update(last_failure_at=timezone.now() - timedelta(days=1))
    long_ago = browser.get(url).text

    assert "Waiting for Amazon, next try" in waiting
    assert said(waiting) == ["Being checked", "Not asked"]
    assert "1 of 1 checked, 1 without an answer<" in failed
    assert said(failed) == ["Connected", "Not asked"]
    assert "Amazon does not answer at the moment" in failed
    assert "1 of 1 checked<" in long_ago
    assert "Amazon does not answer at the moment" not in long_ago


def test_both_sides_are_told(
    row: Connection,
    amazon: RunningEmulator,
    organization: Organization,
    browser: Client,
) -> None:
    ads = factories.make_ads_grant(
        organization, refresh_token=amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    )
    factories.put_to_use(ads, row)
    url = begun(browser, row)
    jobs = {job.kind: job for job in Job.objects.for_organization(organization)}

    ledger.run_here(jobs[marketplace_verification.CHECK])
    half = browser.get(url).text
    ledger.run_here(jobs[checking.CHECK])
    after = browser.get(url).text

    assert said(half) == ["Connected", "Being checked"]
    assert "0 of 1 checked" in half
    assert said(after) == ["Connected", "Connected"]
    assert "1 of 1 checked<" in after


def test_a_side_that_was_being_checked_already_says_so(
    row: Connection, amazon: RunningEmulator, organization: Organization, browser: Client
) -> None:
    ads = factories.make_ads_grant(
        organization, refresh_token=amazon.world.authorize_ads(NORTHSTAR_LOGIN)
    )
    factories.put_to_use(ads, row)
    waiting = ledger.enqueue(
        marketplace_verification.CHECK, organization=organization, subject_id=row.pk
    )
    Job.objects.for_organization(organization).update(
        status=Job.Status.WAITING, waiting_reason="amazon_unavailable"
    )
    url = begun(browser, row)
    ledger.run_here(Job.objects.for_organization(organization).get(kind=checking.CHECK))

    half = browser.get(url).text
    Job.objects.for_organization(organization).filter(pk=waiting.pk).update(
        status=Job.Status.QUEUED, waiting_reason=""
    )
    queued = browser.get(url).text
    ledger.run_here(waiting)
    after = browser.get(url).text

    assert said(half) == ["Being checked", "Connected"]
    assert "Was being checked already. Waiting for Amazon, next try" in half
    assert "0 of 1 checked<" in half
    assert queued.count("Was being checked already") == 1
    assert "Waiting for Amazon" not in queued
    assert said(after) == ["Connected", "Connected"]
    assert "Was being checked already" not in after
    assert "1 of 1 checked<" in after


def test_under_htmx_only_the_results_come_and_the_end_is_announced(
    row: Connection, organization: Organization, browser: Client
) -> None:
    headers = {"HX-Request": "true"}
    asked = browser.post(
        reverse("connections_check", args=[organization.slug]),
        {"row": [str(row.pk)]},
        headers=headers,
    )
    url = asked.headers["HX-Redirect"]
    moving = browser.get(url, headers=headers).text
    run_checks(organization)
    over = browser.get(url, headers=headers).text
    page = browser.get(url).text

    assert (asked.status_code, asked.content) == (204, b"")
    assert "<h1" not in moving
    assert "announcer" not in moving
    assert over.count('<div id="announcer" hx-swap-oob="innerHTML">1 of 1 checked</div>') == 1
    assert "hx-swap-oob" not in page


def test_what_is_gone_is_left_out_and_counted(
    row: Connection, other: Connection, organization: Organization, browser: Client
) -> None:
    url = begun(browser, row, other)
    Connection.objects.for_organization(organization).filter(pk=other.pk).update(
        removed_at=timezone.now()
    )

    page = " ".join(browser.get(url).text.split())

    assert "1 connection is left out: it was removed, or you do not see it any more." in page
    assert "Second" not in page
    assert "0 of 1 checked" in page


def test_a_limited_member_sees_the_rows_in_reach(
    row: Connection, other: Connection, organization: Organization, browser: Client, member: User
) -> None:
    own = begun(browser, row, other)
    colleagues = result_url(organization, factories.make_check(row, other))
    outside = result_url(organization, factories.make_check(other))
    factories.limit(member, organization, row)

    mine, theirs = browser.get(own).text, browser.get(colleagues).text

    assert "1 connection is left out" in " ".join(mine.split())
    assert "left out" not in theirs  # how many there are besides is not theirs to know
    for page in (mine, theirs):
        assert "of 1 checked" in page
        assert ">First<" in page
        assert "Second" not in page
    assert browser.get(outside).status_code == 404


def test_what_was_not_asked_stays_there_with_its_reason(
    row: Connection, other: Connection, organization: Organization, browser: Client, member: User
) -> None:
    factories.make_waiting_connection(organization, name="Third")
    begun(browser, other)
    url = begun(browser, *Connection.objects.for_organization(organization))

    page = " ".join(browser.get(url).text.split())
    factories.limit(member, organization, row, other)
    limited = " ".join(browser.get(url).text.split())

    assert "2 connections were not asked about" in page
    left = re.findall(r'<li> (\w+) .*?bulk-lines__words">([^<]+)<', page)
    assert left == [
        ("Second", "Was being checked already"),
        ("Third", "Waits for its first consent"),
    ]
    assert "1 connection was not asked about" in limited
    assert "Third" not in limited


def test_a_check_of_others_and_one_that_is_old_are_not_there(
    row: Connection, organization: Organization, browser: Client, amazon: RunningEmulator
) -> None:
    elsewhere = factories.make_connection(factories.make_organization())
    foreign, old = factories.make_check(elsewhere), uuid4()
    event = event_of("check_requested", COMMAND, row, {"batch": str(old), "sides": ["spapi"]})
    event.at = timezone.now() - check_results.RESULTS_KEPT
    event.save()
    viewer = trips.sign_in(factories.make_member(organization, Role.VIEWER))

    with nothing_changes(amazon, events=()):
        for batch in (foreign, old, uuid4()):
            assert browser.get(result_url(organization, batch)).status_code == 404
        assert viewer.get(result_url(organization, old)).status_code == 403


def test_a_second_check_has_a_page_of_its_own(
    row: Connection, other: Connection, organization: Organization, browser: Client
) -> None:
    first, second = begun(browser, row), begun(browser, row, other)

    assert first != second
    assert "of 1 checked" in browser.get(first).text
    assert ">Second<" in browser.get(second).text
    assert ">First<" not in browser.get(second).text  # it was being checked already


def test_many_rows_cost_as_many_statements_as_few(
    amazon: RunningEmulator, organization: Organization, browser: Client
) -> None:
    grant: AdsGrant = factories.make_ads_grant(organization)

    def queries(count: int) -> int:
        rows = [factories.make_connection(organization) for _ in range(count)]
        factories.put_to_use(grant, rows[0])
        url = begun(browser, *rows)
        browser.get(url)
        with CaptureQueriesContext(database) as sent:
            assert f"of {count} checked" in browser.get(url).text
        return len(sent)

    few = queries(2)

    assert queries(130) <= few
